"""Linear recurrent units."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.batching import linear
from seq2seq.models.scan import scan_by_time
from seq2seq.models.state_space import BlockModel, Layer, Outputs, run_diagonal


class LRULayer(Layer):
    """h_t = λ h_{t−1} + γ B x_t, y_t = Re(C h_t) + D x_t: Orvieto et al. 2023, sec. 3 and app. A.

    λ = exp(−e^ν + i e^θ) starts uniform, by area, on the ring between the two radii and up to
    max_phase, γ at √(1 − |λ|²), which keeps h of order one under white input.
    """

    def __init__(
        self,
        hidden_size: int,
        state_dim: int,
        min_radius: float,
        max_radius: float,
        max_phase: float,
    ) -> None:
        super().__init__()
        N = state_dim // 2
        squared = min_radius**2 + torch.rand(N) * (max_radius**2 - min_radius**2)
        # Away from 0 and 1, where the logarithms below are infinite.
        squared = squared.clamp(1e-6, 1 - 1e-6)
        self.nu = nn.Parameter((-squared.log() / 2).log())
        self.theta = nn.Parameter((max_phase * (1 - torch.rand(N))).log())
        self.gamma = nn.Parameter((1 - squared).log() / 2)  # its logarithm
        # Real and imaginary parts of B and C alternate.
        self.B = nn.Parameter(torch.randn(2 * N, hidden_size) / math.sqrt(2 * hidden_size))
        self.C = nn.Parameter(torch.randn(hidden_size, 2 * N) / math.sqrt(N))
        self.D = nn.Parameter(torch.randn(hidden_size))
        self.state_shape = (N,)

    def logarithms(self) -> Tensor:
        return torch.complex(-self.nu.double().exp(), self.theta.double().exp())

    def forward(self, x: Tensor, h: Tensor | None, return_state: bool) -> Outputs:
        states, last = run_diagonal(self.logarithms(), F.linear(x, self._input()), h)
        return F.linear(states, self.C) + self.D * x, last

    def _input(self) -> Tensor:
        return self.gamma.exp().repeat_interleave(2)[:, None] * self.B

    def batched_forward(self) -> Callable[..., Outputs]:
        """On (time, batch, channels), as `BlockModel` wants it."""

        def forward(x: Tensor, h: None, return_state: bool) -> Outputs:
            u = torch.view_as_complex(linear(x, self._input(), None).unflatten(-1, (-1, 2)))
            states = scan_by_time(self.logarithms().exp().to(u.dtype), u)
            y = linear(torch.view_as_real(states).flatten(-2), self.C, None)
            return y + self.D * x, None

        return forward


class LRU(BlockModel):
    """Linear recurrent units in residual blocks: Orvieto et al. 2023, fig. 1.

    Each block is x + Dropout(GLU(GELU(LRU(LN x)))); before them a linear embedding, after them a
    linear readout. `state_dim` counts the real numbers in a layer's state, which are state_dim/2
    complex ones. The eigenvalues start on the ring min_radius ≤ |λ| ≤ max_radius with phases up to
    max_phase, all of them trained: |λ| < 1 always.

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        state_dim: real numbers in the state of a block, even.
        min_radius, max_radius: between which |λ| starts, within [0, 1].
        max_phase: largest phase of λ at the start, in radians.
        dropout: share of a block's outputs that training leaves out.

    Raises ValueError for an odd state_dim, radii not in order within [0, 1], and sizes, phase or
    dropout out of range.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        state_dim: int = 64,
        min_radius: float = 0.9,
        max_radius: float = 0.999,
        max_phase: float = math.pi,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.state_dim", state_dim)
        checks.even("model.state_dim", state_dim)
        if not 0 <= min_radius <= max_radius <= 1:
            raise ValueError(
                f"0 <= model.min_radius <= model.max_radius <= 1 must hold, got {min_radius}, "
                f"{max_radius}; set model.min_radius=0.9 model.max_radius=0.999"
            )
        checks.positive("model.max_phase", max_phase)
        checks.within("model.dropout", dropout, "[0, 1)", 0.0)
        self._build(
            lambda: LRULayer(hidden_size, state_dim, min_radius, max_radius, max_phase),
            lambda: nn.Sequential(nn.GELU(), nn.Linear(hidden_size, 2 * hidden_size), nn.GLU()),
            dropout,
        )
