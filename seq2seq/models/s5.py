"""State spaces of many inputs and outputs that share one diagonal state."""

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
    log_uniform,
)

DEVIATION = 0.87962566  # of a standard normal number within ±2


def hippo(size: int) -> tuple[Tensor, Tensor]:
    """Imaginary parts and vectors of half the eigenvalues of HiPPO-LegS without its low rank.

    A + P Pᵀ = −1/2 + skew, A_ij = −√((2i+1)(2j+1)) below the diagonal and −(i+1) on it, P_i =
    √(i+1/2): Gu, Goel, Gupta and Ré 2022, app. The others are their conjugates. (size/2,) and
    (size, size/2), complex, in float64.
    """
    n = torch.arange(size, dtype=torch.float64)
    outer = torch.sqrt((n[:, None] + 0.5) * (n + 0.5))
    skew = outer.triu(1) - outer.tril(-1)
    frequencies, vectors = torch.linalg.eigh(-1j * skew)
    return frequencies[size // 2 :], vectors[:, size // 2 :]


def lecun(*shape: int) -> Tensor:
    """Normal numbers within ±2 deviations, of variance 1/shape[0] (LeCun et al. 1998)."""
    drawn = nn.init.trunc_normal_(torch.empty(shape, dtype=torch.float64), a=-2, b=2)
    return drawn / (DEVIATION * math.sqrt(shape[0]))


class S5Layer(SharedStateLayer):
    """h' = Λ h + B x, y = 2 Re(C h) + D x, held over steps of Δ; see `S5`."""

    def __init__(
        self,
        hidden_size: int,
        state_dim: int,
        blocks: int,
        dt_min: float,
        dt_max: float,
        parameterisation: str,
    ) -> None:
        super().__init__()
        self.rate, inverse = PARAMETERISATIONS[parameterisation]
        N, dtype = state_dim // 2, torch.get_default_dtype()
        frequencies, vectors = hippo(state_dim // blocks)
        vectors = torch.block_diag(*[vectors] * blocks)
        self.decay = nn.Parameter(inverse(torch.full((N,), 0.5)))
        self.frequency = nn.Parameter(frequencies.repeat(blocks).to(dtype))
        B = vectors.mH @ lecun(state_dim, hidden_size).to(vectors.dtype)
        self.B = nn.Parameter(torch.view_as_real(B).to(dtype))  # (N, channels, 2)
        real, imaginary = (lecun(state_dim, hidden_size).T for _ in range(2))
        C = 2 * torch.complex(real, imaginary) @ vectors  # Re(C h) = Re C Re h − Im C Im h
        self.C = nn.Parameter(torch.view_as_real(C.conj().resolve_conj()).flatten(1).to(dtype))
        self.D = nn.Parameter(torch.randn(hidden_size))
        self.dt = nn.Parameter(log_uniform(dt_min, dt_max, N).log())  # its logarithm
        self.state_shape = (N,)

    def _system(self) -> tuple[Tensor, Tensor]:
        """Λ and ΔΛ, in float64."""
        eigenvalues = torch.complex(-self.rate(self.decay.double()), self.frequency.double())
        return eigenvalues, self.dt.double().exp() * eigenvalues

    def logarithms(self) -> Tensor:
        return self._system()[1]

    def input_map(self) -> Tensor:
        eigenvalues, logarithms = self._system()
        B = torch.view_as_complex(self.B)
        held = (torch.expm1(logarithms) / eigenvalues).to(B.dtype)[:, None] * B
        return torch.view_as_real(held).transpose(1, 2).flatten(0, 1)


class SelfGate(nn.Module):
    """z ⊙ σ(W z + b)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, width)

    def forward(self, z: Tensor) -> Tensor:
        gated: Tensor = z * self.gate(z).sigmoid()
        return gated


class S5(BlockModel):
    """Simplified structured state spaces: Smith, Warrington and Linderman 2023, sec. 3.

    One diagonal system for all channels, where S4D has one for each: h_t = e^{ΔΛ} h_{t−1} +
    (e^{ΔΛ} − 1)/Λ B x_t (zero-order hold), y = 2 Re(C h) + D x. Λ starts as the eigenvalues of the
    normal part of HiPPO-LegS, `blocks` times over (app. B.1); B and C as LeCun's normal numbers in
    its eigenvectors, the steps Δ, one for each number of the state, log-uniform in [dt_min,
    dt_max]. Each block is x + Dropout(SelfGate(GELU(S5(LN x)))), z ⊙ σ(W z) being the gate. The
    authors' Λ is `direct`, which may become unstable.

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        state_dim: eigenvalues of a block, conjugates included.
        blocks: parts of the state that start alike; state_dim is an even number for each.
        dt_min, dt_max: between which the steps Δ start.
        dropout: share of a block's outputs that training leaves out.
        parameterisation: how a weight gives −Re Λ, as in `DiagonalRNN`.

    Raises ValueError for a state_dim that is no even number for each block, steps not positive and
    in order, an unknown parameterisation, and sizes or dropout out of range.
    """

    start = ("dt_min", "dt_max")

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        state_dim: int = 64,
        blocks: int = 1,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dropout: float = 0.0,
        parameterisation: Literal["direct", "exp", "softplus", "stable"] = "exp",
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.state_dim", state_dim)
        checks.integer("model.blocks", blocks)
        if state_dim % (2 * blocks):
            near = 2 * blocks * -(-state_dim // (2 * blocks))
            checks.refuse("model.state_dim", state_dim, f"be a multiple of {2 * blocks}", near)
        checks.ordered("model.dt_min", dt_min, "model.dt_max", dt_max)
        check_parameterisation(parameterisation, 0.5, "model.parameterisation=exp")
        self._build(
            lambda: S5Layer(hidden_size, state_dim, blocks, dt_min, dt_max, parameterisation),
            lambda: nn.Sequential(nn.GELU(), SelfGate(hidden_size)),
            dropout,
        )
