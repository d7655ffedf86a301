"""Linear recurrent units."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.state_space import (
    PARAMETERISATIONS,
    BlockModel,
    SharedStateLayer,
    check_parameterisation,
)

SMALLEST = 1e-6  # of |λ|² and 1 − |λ|², whose logarithms are infinite at 0


class LRULayer(SharedStateLayer):
    """h_t = λ h_{t−1} + γ B x_t, y_t = Re(C h_t) + D x_t: Orvieto et al. 2023, sec. 3 and app. A.

    λ = exp(−e^ν + i e^θ), or with another decay rate than e^ν, starts uniform, by area, on the ring
    between the two radii and up to max_phase, γ at √(1 − |λ|²), which keeps h of order one under
    white input.
    """

    def __init__(
        self,
        hidden_size: int,
        state_dim: int,
        min_radius: float,
        max_radius: float,
        max_phase: float,
        parameterisation: str,
    ) -> None:
        super().__init__()
        self.rate, inverse = PARAMETERISATIONS[parameterisation]
        N = state_dim // 2
        squared = min_radius**2 + torch.rand(N) * (max_radius**2 - min_radius**2)
        squared = squared.clamp(SMALLEST, 1 - SMALLEST)
        self.nu = nn.Parameter(inverse(-squared.log() / 2))
        self.theta = nn.Parameter((max_phase * (1 - torch.rand(N))).log())
        self.gamma = nn.Parameter((1 - squared).log() / 2)  # its logarithm
        self.B = nn.Parameter(torch.randn(2 * N, hidden_size) / math.sqrt(2 * hidden_size))
        self.C = nn.Parameter(torch.randn(hidden_size, 2 * N) / math.sqrt(N))
        self.D = nn.Parameter(torch.randn(hidden_size))
        self.state_shape = (N,)

    def logarithms(self) -> Tensor:
        return torch.complex(-self.rate(self.nu.double()), self.theta.double().exp())

    def input_map(self) -> Tensor:
        return self.gamma.exp().repeat_interleave(2)[:, None] * self.B


class LRU(BlockModel):
    """Linear recurrent units in residual blocks: Orvieto et al. 2023, fig. 1.

    Each block is x + Dropout(GLU(GELU(LRU(LN x)))); before them a linear embedding, after them a
    linear readout. `state_dim` counts the real numbers in a layer's state, which are state_dim/2
    complex ones. The eigenvalues start on the ring min_radius ≤ |λ| ≤ max_radius with phases up to
    max_phase, all of them trained: |λ| < 1 unless the parameterisation is direct.

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        state_dim: real numbers in the state of a block, even.
        min_radius, max_radius: between which |λ| starts, within [0, 1].
        max_phase: largest phase of λ at the start, in radians.
        dropout: share of a block's outputs that training leaves out.
        parameterisation: how a weight gives −log|λ|, as in `DiagonalRNN`.

    Raises ValueError for an odd state_dim, radii not in order within [0, 1], and sizes, phase or
    dropout out of range, and radii that the parameterisation cannot reach.
    """

    start = ("min_radius", "max_radius", "max_phase")

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
        parameterisation: Literal["direct", "exp", "softplus", "stable"] = "exp",
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
        fastest = -math.log(max(min_radius**2, SMALLEST)) / 2
        check_parameterisation(parameterisation, fastest, "model.min_radius=0.9")
        self._build(
            lambda: LRULayer(
                hidden_size, state_dim, min_radius, max_radius, max_phase, parameterisation
            ),
            lambda: nn.Sequential(nn.GELU(), nn.Linear(hidden_size, 2 * hidden_size), nn.GLU()),
            dropout,
        )
