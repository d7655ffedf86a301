"""Linear oscillators as a state space."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.mixer import MixerModel, Recurrence
from seq2seq.models.model import State
from seq2seq.models.scan import block_scan

DISCRETISATIONS = ("implicit", "symplectic")


class LinOSSMixer(Recurrence):
    """Oscillators between two complex maps, then GLU(GELU(·)); see `LinOSS`.

    Real and imaginary parts, which do not mix as M is real, alternate.
    """

    def __init__(self, hidden_size: int, state_dim: int, discretisation: str) -> None:
        super().__init__()
        self.state_dim, self.discretisation = state_dim, discretisation
        self.stiffness = nn.Parameter(torch.rand(state_dim))
        self.step = nn.Parameter(torch.rand(state_dim))
        bounds = 1 / math.sqrt(hidden_size), 1 / math.sqrt(state_dim)
        self.B = nn.Parameter(
            torch.empty(2 * state_dim, hidden_size).uniform_(-bounds[0], bounds[0])
        )
        self.C = nn.Parameter(
            torch.empty(hidden_size, 2 * state_dim).uniform_(-bounds[1], bounds[1])
        )
        self.D = nn.Parameter(torch.randn(hidden_size))
        self.mixing = nn.Sequential(nn.GELU(), nn.Linear(hidden_size, 2 * hidden_size), nn.GLU())

    def system(self) -> tuple[Tensor, Tensor]:
        """M (2, 2, N) and the factors of the input (2, N), for (z, y) of each oscillator."""
        A, step = self.stiffness.relu(), self.step.sigmoid()
        if self.discretisation == "implicit":
            S = 1 / (1 + step**2 * A)
            rows = [[S, -step * A * S], [step * S, S]]
        else:
            rows = [[torch.ones_like(A), -step * A], [step, 1 - step**2 * A]]
            S = torch.ones_like(A)
        M = torch.stack([torch.stack(row) for row in rows])
        return M, torch.stack([step * S, step**2 * S])

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        M, factors = (z.repeat_interleave(2, -1) for z in self.system())
        driven = F.linear(x, self.B)[:, None] * factors[:, None]  # (time, 2, batch, 2N)
        states = block_scan(M, driven, state)
        y = F.linear(states[:, 1], self.C) + self.D * x
        return self.mixing(y), states[-1]

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """z and y, (2, batch, 2N)."""
        return torch.zeros(2, batch_size, 2 * self.state_dim, device=device, dtype=dtype)

    def spectrum(self, x: Tensor) -> Tensor:
        found = torch.linalg.eigvals(self.system()[0].permute(2, 0, 1)).flatten()
        return found.expand(*x.shape[:2], -1)


class LinOSS(MixerModel):
    """Forced harmonic oscillators in residual blocks: Rusch and Rus 2025 (LinOSS), sec. 2.

        z' = −A y + B u,    y' = z,    read as Re(C y) + D u

    with A = relu(a) ≥ 0 and steps Δ = σ(s), a and s uniform in [0, 1] at the start; B, C complex,
    uniform in ±1/√hidden_size and ±1/√state_dim. `implicit` takes both equations at the new time:
    |λ|² = 1/(1 + Δ²A), it forgets. `symplectic` takes y at the old time in the first: |λ| = 1 as
    long as Δ²A < 4, it keeps the volume of the state. Each block is x + GLU(GELU(LinOSS(LN x))).

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        state_dim: oscillators of a block, each of two complex numbers.
        discretisation: implicit or symplectic.
        mlp: width of a network after each layer, in hidden_sizes; 0 for none.
        dropout: share of a branch's outputs that training leaves out.

    Raises ValueError for an unknown discretisation and sizes out of range.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        state_dim: int = 32,
        discretisation: Literal["implicit", "symplectic"] = "implicit",
        mlp: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.state_dim", state_dim)
        checks.one_of("model.discretisation", discretisation, DISCRETISATIONS)
        self._build(lambda: LinOSSMixer(hidden_size, state_dim, discretisation), mlp, dropout)

    @torch.no_grad()
    def eigenvalues(self) -> list[Tensor]:
        one = torch.zeros(1, 1, self.hidden_size)
        mixers = (part for part in self.modules() if isinstance(part, LinOSSMixer))
        return [mixer.spectrum(one)[0, 0] for mixer in mixers]
