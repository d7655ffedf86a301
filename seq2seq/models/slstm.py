"""Long short-term memory with exponential gates, which mixes its units."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq import checks
from seq2seq.models.batching import members_first
from seq2seq.models.mixer import MixerModel, Recurrence
from seq2seq.models.model import State


class ExponentialScan(torch.autograd.Function):
    """The recurrence of `SLSTM`, given W x + b of all times; heads lead before the batch.

    Pre-activations of i, f, z and o (time, heads, batch, 4N), R (heads, N, 4N), and h, c, n and m
    before, (heads, batch, N) -> all h, c and n, the last m, and of all times what is kept and
    written, tanh z, σ(o) and σ(f̂). c and n are stored as e^{−m} times themselves; c/n, and so h,
    does not depend on m, which has no gradient.
    """

    @staticmethod
    def forward(raw: Tensor, R: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor) -> Any:
        states, gates = (h.new_empty(count, len(raw), *h.shape) for count in (3, 5))
        for t, given in enumerate(raw):
            i, f, z, o = torch.bmm(h, R).add_(given).chunk(4, -1)
            keep, write, tanh, output, sigmoid = gates[:, t]
            h_t, c_t, n_t = states[:, t]
            torch.sigmoid(f, out=sigmoid)
            fading = F.logsigmoid(f)
            before, m = m, torch.maximum(fading + m, i)
            torch.sub(before, m, out=keep).add_(fading).exp_()
            torch.sub(i, m, out=write).exp_()
            torch.mul(write, torch.tanh(z, out=tanh), out=c_t).addcmul_(keep, c)
            torch.addcmul(write, keep, n, out=n_t)
            torch.mul(torch.sigmoid(o, out=output), c_t, out=h_t).div_(n_t)
            h, c, n = h_t, c_t, n_t
        return *states, m, gates

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        _, *before, _ = inputs
        *states, m, gates = output
        ctx.save_for_backward(*before, *states, gates)
        ctx.mark_non_differentiable(m, gates)
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor | None, dc: Any, dn: Any, *_: None) -> Any:
        R, *before, h, c, n, gates = ctx.saved_tensors
        earlier = [torch.cat([b[None], s[:-1]]) for b, s in zip(before, (h, c, n), strict=True)]
        keep, write, z, o, f = gates
        fading = keep * (1 - f)
        # What multiplies the slopes by h_t, c_t and n_t at every time.
        o_by_h, c_by_h, n_by_h = h * (1 - o), o / n, -h / n
        f_by_c, f_by_n = fading * earlier[1], fading * earlier[2]
        i_by_c, z_by_c = write * z, write * (1 - z * z)
        slopes = h.new_empty(*h.shape[:-1], 4 * h.shape[-1])
        gh, gc, gn = torch.zeros_like(gates[:3, 0])
        for t in range(len(h) - 1, -1, -1):
            for slope, given in ((gh, dh), (gc, dc), (gn, dn)):
                if given is not None:
                    slope += given[t]
            di, df, dz, do = slopes[t].chunk(4, -1)
            torch.mul(gh, o_by_h[t], out=do)
            gc.addcmul_(gh, c_by_h[t])
            gn.addcmul_(gh, n_by_h[t])
            torch.mul(gc, f_by_c[t], out=df).addcmul_(gn, f_by_n[t])
            torch.mul(gc, i_by_c[t], out=di).addcmul_(gn, write[t])
            torch.mul(gc, z_by_c[t], out=dz)
            gc.mul_(keep[t])
            gn.mul_(keep[t])
            torch.bmm(slopes[t], R.mT, out=gh)
        rows, columns = (part.transpose(0, 1).flatten(1, 2) for part in (earlier[0], slopes))
        return slopes, torch.bmm(rows.mT, columns), gh, gc, gn, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        """More heads."""
        raw, *others = members_first(info, in_dims, arguments)
        heads = others[0].shape[1]
        raw = raw.transpose(0, 1).flatten(1, 2)
        *states, m, gates = ExponentialScan.apply(raw, *(z.flatten(0, 1) for z in others))
        states = [s.unflatten(1, (-1, heads)) for s in states]
        found = *states, m.unflatten(0, (-1, heads)), gates.unflatten(2, (-1, heads))
        return found, (1, 1, 1, 0, 2)


class SLSTMMixer(Recurrence):
    """The recurrence and a norm of each head; see `SLSTM`. Heads lead before the batch."""

    def __init__(self, hidden_size: int, num_heads: int, depth: float) -> None:
        super().__init__()
        self.sizes = num_heads, hidden_size // num_heads
        H, N = self.sizes
        self.gates = nn.Linear(hidden_size, 4 * hidden_size)  # of each head i, f, z, o
        nn.init.normal_(self.gates.weight, std=math.sqrt(2 / (5 * hidden_size)))
        self.recurrent = nn.Parameter(torch.zeros(H, N, 4 * N))
        with torch.no_grad():
            places = torch.arange(N) / max(N - 1, 1)
            self.gates.bias.zero_()
            self.gates.bias.view(H, 4, N)[:, 1] = 5 - 12 * places ** (0.3 + 1.3 * depth)
        self.norm = nn.RMSNorm(N, eps=1e-5)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, (states, *_) = self._run(x, state)
        return self.norm(h).movedim(1, 2).flatten(2), states

    def _run(self, x: Tensor, state: State) -> tuple[Tensor, tuple[State, Tensor]]:
        """h (time, heads, batch, N), and the last state and f (time, heads, batch, N)."""
        state = state or self.initial_state(x.shape[1], x.device, x.dtype)
        gates = self.gates(x).unflatten(-1, (self.sizes[0], -1)).movedim(2, 1)
        h, c, n, m, (*_, f) = ExponentialScan.apply(gates, self.recurrent, *state)
        return h, ((h[-1], c[-1], n[-1], m), f)

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """h, c, n and m, which says that c and n are stored as e^{−m} times themselves."""
        zero = torch.zeros(self.sizes[0], batch_size, self.sizes[1], device=device, dtype=dtype)
        return zero, zero, zero, torch.full_like(zero, -math.inf)

    def spectrum(self, x: Tensor) -> Tensor:
        """The forget gates: the eigenvalues of c's transition where the gates are held."""
        fading = self._run(x, None)[1][1]
        return fading.movedim(1, 2).flatten(2).to(x.dtype.to_complex())


class SLSTM(MixerModel):
    """sLSTM in residual blocks: Beck et al. 2024 (xLSTM), sec. 2.2.

        c_t = f_t c_{t−1} + i_t tanh(z_t),   n_t = f_t n_{t−1} + i_t,   h_t = σ(o_t) c_t / n_t

    with i_t = exp(ĩ_t), f_t = σ(f̂_t), and ĩ, f̂, z and o each of W x_t + R h_{t−1} + b, R mixing the
    units of a head. As the authors start it, W is normal of variance 2/(5 hidden_size) (Nguyen and
    Salazar 2019), R is 0 and the bias of f falls from 5 to −7 within a head, as a power that grows
    with depth; other biases are 0. An RMS norm of each head follows.

    Args:
        hidden_size: channels and units of each block.
        num_layers: blocks.
        num_heads: heads, which share the units.
        mlp: width of a network after each layer, in hidden_sizes; 0 for none.
        dropout: share of a branch's outputs that training leaves out.

    Raises ValueError when num_heads does not divide hidden_size, and for sizes out of range.
    """

    title = "sLSTM"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        num_heads: int = 2,
        mlp: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.num_heads", num_heads)
        remedy = "model.num_heads=1"
        checks.divides("model.num_heads", num_heads, "model.hidden_size", hidden_size, remedy)
        depths = iter([layer / max(num_layers - 1, 1) for layer in range(num_layers)])
        self._build(lambda: SLSTMMixer(hidden_size, num_heads, next(depths)), mlp, dropout)
