"""Selective state spaces: the first Mamba."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq import checks
from seq2seq.models.batching import members_first
from seq2seq.models.mixer import (
    MixerModel,
    Recurrence,
    ShortConvolution,
    has_negative,
    spread,
    step_bias,
)
from seq2seq.models.model import State


class SelectiveScan(torch.autograd.Function):
    """h_t = a_t ⊙ h_{t−1} + u_t B_tᵀ, a_t = exp(Δ_t A), and what is read of it, y_t = h_t C_t.

    Δ and u (time, …, batch, width), B and C (time, …, batch, N), A (…, 1, width, N) and h_{−1}
    (…, batch, width, N) -> y (time, …, batch, width), and all h. With `negative`, 2a − 1 stands for
    a. From time to time, so that all but the states stays in the cache: a is never stored, and
    computed again for the backward pass.
    """

    @staticmethod
    def forward(
        steps: Tensor, A: Tensor, u: Tensor, B: Tensor, C: Tensor, before: Tensor, negative: bool
    ) -> tuple[Tensor, Tensor]:
        h = before.new_empty(len(u), *before.shape)
        y = torch.empty_like(u)
        a = torch.empty_like(before)
        last = before
        for step, u_t, B_t, C_t, h_t, y_t in zip(steps, u, B, C, h, y, strict=True):
            torch.mul(step[..., None], A, out=a).exp_()
            if negative:
                a.mul_(2).sub_(1)
            last = torch.mul(u_t[..., None], B_t[..., None, :], out=h_t).addcmul_(a, last)
            y_t.copy_((last @ C_t[..., None]).squeeze(-1))
        return y, h

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.negative = inputs
        ctx.save_for_backward(*tensors, output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, dh: Tensor | None) -> Any:
        steps, A, u, B, C, before, h = ctx.saved_tensors
        slopes = [torch.zeros_like(z) for z in (steps, u, B, C)]
        g, dA = torch.zeros_like(before), torch.zeros_like(before)
        a, slope = torch.empty_like(before), torch.empty_like(before)
        for t in range(len(u) - 1, -1, -1):
            dsteps, du, dB, dC = (z[t] for z in slopes)
            if dh is not None:
                g += dh[t]
            if dy is not None:
                g.addcmul_(dy[t][..., None], C[t][..., None, :])
                dC.copy_((dy[t][..., None, :] @ h[t]).squeeze(-2))
            du.copy_((g @ B[t][..., None]).squeeze(-1))
            dB.copy_((u[t][..., None, :] @ g).squeeze(-2))
            torch.mul(steps[t][..., None], A, out=a).exp_()
            if ctx.negative:
                a.mul_(2)
            torch.mul(g, a, out=slope).mul_(h[t - 1] if t else before)
            dA.addcmul_(slope, steps[t][..., None])
            torch.sum(slope.mul_(A), -1, out=dsteps)
            g.mul_(a.sub_(1) if ctx.negative else a)
        dsteps, du, dB, dC = slopes
        return dsteps, dA.sum_to_size(A.shape), du, dB, dC, g, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        """Members follow the time."""
        steps, A, *sequences, before, negative = members_first(info, in_dims, arguments)
        steps, *sequences = (z.transpose(0, 1) for z in (steps, *sequences))
        return SelectiveScan.apply(steps, A, *sequences, before, negative), (1, 1)


class MambaMixer(Recurrence):
    """SiLU(W z) ⊙ S6(Conv(W' z)), mapped back; see `Mamba`."""

    def __init__(
        self, hidden_size: int, expansion: int, state_dim: int, rank: int, conv: int, negative: bool
    ) -> None:
        super().__init__()
        width = expansion * hidden_size
        self.has_nonnegative_eigenvalues, self.has_real_eigenvalues = not negative, True
        self.sizes, self.negative = (rank, state_dim, state_dim), negative
        self.project = nn.Linear(hidden_size, 2 * width, bias=False)
        self.convolution = ShortConvolution(width, conv, True)
        self.select = nn.Linear(width, rank + 2 * state_dim, bias=False)
        self.step = nn.Linear(rank, width)
        nn.init.uniform_(self.step.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():
            self.step.bias.copy_(step_bias(width))
        rates = torch.arange(1.0, state_dim + 1)
        self.rate = nn.Parameter(rates.log().repeat(width, 1))
        self.skip = nn.Parameter(torch.ones(width))
        self.mixing = nn.Linear(width, hidden_size, bias=False)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        queue, h = state or (None, None)
        z, gate = self.project(x).chunk(2, -1)
        z, queue = self.convolution(z, queue)
        steps, B, C = self._select(z)
        if h is None:
            h = z.new_zeros(*z.shape[1:], self.sizes[1])
        y, states = SelectiveScan.apply(steps, self._rates(), steps * z, B, C, h, self.negative)
        return self.mixing((y + self.skip * z) * F.silu(gate)), (queue, states[-1])

    def _select(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Δ (time, batch, width), and B and C (time, batch, N)."""
        low, B, C = self.select(z).split(self.sizes, -1)
        return F.softplus(self.step(low)), B, C

    def _rates(self) -> Tensor:
        """A (1, width, N)."""
        return -self.rate.exp()[None]

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """The inputs that the convolution keeps, and h."""
        h = torch.zeros(batch_size, *self.rate.shape, device=device, dtype=dtype)
        return self.convolution.initial_state(batch_size, device, dtype), h

    def spectrum(self, x: Tensor) -> Tensor:
        z, _ = self.convolution(self.project(x).chunk(2, -1)[0], None)
        kept = (self._select(z)[0][..., None] * self._rates()).exp()
        return spread(kept, self.negative).flatten(2).to(x.dtype.to_complex())


class Mamba(MixerModel):
    """Selective state spaces (S6) in residual blocks: Gu and Dao 2023, sec. 3.

        h_t = exp(Δ_t A) ⊙ h_{t−1} + Δ_t B_t u_t,    y_t = C_t·h_t + D u_t

    for each channel of u, a causal convolution of W x with SiLU; SiLU(W' x) multiplies y. The step
    Δ_t = softplus(W_Δ u_t + b), its map of rank ⌈hidden_size/16⌉, and B_t, C_t (N), shared by the
    channels, depend on the token. A = −(1, …, N) at the start, softplus(b) log-uniform in
    [0.001, 0.1]. `eigenvalues` of [-1, 1] stretch a = exp(ΔA) to 2a − 1 (Grazzi et al. 2025).

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        expansion: channels of u, in hidden_sizes.
        state_dim: N, the state of each of them.
        conv: inputs that the convolution reads.
        eigenvalues: range of a, [0, 1] or [-1, 1].
        mlp: width of a network after each layer, in hidden_sizes; 0 for none.
        dropout: share of a branch's outputs that training leaves out.

    Raises ValueError for sizes out of range.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        expansion: int = 2,
        state_dim: int = 16,
        conv: int = 4,
        eigenvalues: Sequence[int] = (0, 1),
        mlp: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.expansion", expansion)
        checks.integer("model.state_dim", state_dim)
        checks.integer("model.conv", conv)
        negative = has_negative(eigenvalues)
        rank = -(-hidden_size // 16)
        self._build(
            lambda: MambaMixer(hidden_size, expansion, state_dim, rank, conv, negative),
            mlp,
            dropout,
        )
