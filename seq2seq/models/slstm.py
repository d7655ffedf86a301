"""Long short-term memory with exponential gates, which mixes its units."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.mixer import Mixer, MixerModel
from seq2seq.models.model import State


class SLSTMMixer(Mixer):
    """The recurrence and a norm of each head; see `SLSTM`. Heads lead before the batch."""

    def __init__(self, hidden_size: int, num_heads: int, depth: float) -> None:
        super().__init__()
        self.sizes = num_heads, hidden_size // num_heads
        H, N = self.sizes
        self.gates = nn.Linear(hidden_size, 4 * hidden_size)  # of each head i, f, z, o
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
        """h (time, heads, batch, N), and the last state and log f (time, heads, batch, N)."""
        h, c, n, m = state or self.initial_state(x.shape[1], x.device, x.dtype)
        visited, fading = [], []
        gates = self.gates(x).unflatten(-1, (self.sizes[0], -1)).movedim(2, 1)
        for gates_t in gates.unbind(0):
            i, f, z, o = (gates_t + h @ self.recurrent).chunk(4, -1)
            f = F.logsigmoid(f)
            # c/n does not depend on m, so it has no gradient.
            before, m = m, torch.maximum(f + m, i).detach()
            keep, write = (f + (before - m)).exp(), (i - m).exp()
            c = torch.addcmul(write * z.tanh(), keep, c)
            n = torch.addcmul(write, keep, n)
            h = o.sigmoid() * c / n
            visited.append(h)
            fading.append(f)
        return torch.stack(visited), ((h, c, n, m), torch.stack(fading))

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """h, c, n and m, which says that c and n are stored as e^{−m} times themselves."""
        zero = torch.zeros(self.sizes[0], batch_size, self.sizes[1], device=device, dtype=dtype)
        return zero, zero, zero, torch.full_like(zero, -math.inf)

    def spectrum(self, x: Tensor) -> Tensor:
        """The forget gates: the eigenvalues of c's transition where the gates are held."""
        fading = self._run(x, None)[1][1].exp()
        return fading.movedim(1, 2).flatten(2).to(x.dtype.to_complex())


class SLSTM(MixerModel):
    """sLSTM in residual blocks: Beck et al. 2024 (xLSTM), sec. 2.2.

        c_t = f_t c_{t−1} + i_t tanh(z_t),   n_t = f_t n_{t−1} + i_t,   h_t = σ(o_t) c_t / n_t

    with i_t = exp(ĩ_t), f_t = σ(f̂_t), and ĩ, f̂, z and o each of W x_t + R h_{t−1} + b, R mixing the
    units of a head. As the authors start it, R is 0 and the bias of f falls from 5 to −7 within a
    head, as a power that grows with depth; other biases are 0. An RMS norm of each head follows.

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
        if hidden_size % num_heads:
            raise ValueError(
                f"model.num_heads must divide model.hidden_size, got num_heads={num_heads}, "
                f"hidden_size={hidden_size}; set model.num_heads=1"
            )
        depths = iter([layer / max(num_layers - 1, 1) for layer in range(num_layers)])
        self._build(lambda: SLSTMMixer(hidden_size, num_heads, next(depths)), mlp, dropout)
