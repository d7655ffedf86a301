"""Selective state spaces: the first Mamba."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.mixer import (
    Mixer,
    MixerModel,
    ShortConvolution,
    has_negative,
    spread,
    step_bias,
)
from seq2seq.models.model import State
from seq2seq.models.scan import gated_scan


class MambaMixer(Mixer):
    """SiLU(W z) ⊙ S6(Conv(W' z)), mapped back; see `Mamba`."""

    def __init__(
        self, hidden_size: int, expansion: int, state_dim: int, rank: int, conv: int, negative: bool
    ) -> None:
        super().__init__()
        width = expansion * hidden_size
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
        kept, steps, B, C = self._select(z)
        states = gated_scan(kept, (steps * z)[..., None] * B[..., None, :], h)
        y = (states @ C[..., None]).squeeze(-1) + self.skip * z
        return self.mixing(y * F.silu(gate)), (queue, states[-1])

    def _select(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """a (time, batch, width, N), Δ (time, batch, width), and B and C (time, batch, N)."""
        low, B, C = self.select(z).split(self.sizes, -1)
        steps = F.softplus(self.step(low))
        kept = (-steps[..., None] * self.rate.exp()).exp()
        return spread(kept, self.negative), steps, B, C

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """The inputs that the convolution keeps, and h."""
        h = torch.zeros(batch_size, *self.rate.shape, device=device, dtype=dtype)
        return self.convolution.initial_state(batch_size, device, dtype), h

    def spectrum(self, x: Tensor) -> Tensor:
        z, _ = self.convolution(self.project(x).chunk(2, -1)[0], None)
        return self._select(z)[0].flatten(2).to(x.dtype.to_complex())


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
