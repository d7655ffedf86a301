"""Legendre memory units: what a window of the past looked like, as a polynomial."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.mixer import MixerModel, Recurrence
from seq2seq.models.model import State, eigenvalues

CHUNK = 32  # time steps that are one product of matrices


def legendre(order: int, theta: float) -> tuple[Tensor, Tensor]:
    """A (order, order) and B (order,) of m_t = A m_{t−1} + B u_t, float64; see `LMU`."""
    i, j = torch.arange(order, dtype=torch.float64)[:, None], torch.arange(order)
    signs = torch.where(i < j, -1.0, (-1.0) ** (i - j + 1))
    slope, drive = (2 * i + 1) * signs / theta, (2 * i + 1) * (-1.0) ** i / theta
    # An input that is held drives a state of its own: exp [[A, B], [0, 0]] = [[Ā, B̄], [0, 1]].
    joint = F.pad(torch.cat([slope, drive], 1), (0, 0, 0, 1)).matrix_exp()
    return joint[:order, :order], joint[:order, order]


class LegendreMixer(Recurrence):
    """GELU(W_m m + W_x x + b), m being the memories of U x + c; see `LMU`."""

    A: Tensor
    B: Tensor

    def __init__(self, hidden_size: int, memories: int, order: int, theta: float) -> None:
        super().__init__()
        for name, value in zip("AB", legendre(order, theta), strict=True):
            self.register_buffer(name, value.to(torch.get_default_dtype()), persistent=False)
        self.project = nn.Linear(hidden_size, memories)
        self.skip = nn.Linear(hidden_size, hidden_size)
        self.mixing = nn.Linear(memories * order, hidden_size, bias=False)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if state is None:
            state = self.initial_state(x.shape[1], x.device, x.dtype)
        m = self._scan(self.project(x), state)
        return F.gelu(self.mixing(m.flatten(-2)) + self.skip(x)), m[-1]

    def _scan(self, u: Tensor, m: Tensor) -> Tensor:
        """All m (time, batch, memories, order) for u (time, batch, memories), after m.

        Chunk by chunk: what its own inputs leave, and what the last m of the one before becomes.
        """
        (T, *rest), steps, order = u.shape, min(CHUNK, len(u)), len(self.B)
        powers = [self.A]  # of A, from 1
        for _ in range(1, steps):
            powers.append(powers[-1] @ self.A)
        aged = torch.stack([self.B, *(power @ self.B for power in powers[:-1])])  # A^s B
        lags = torch.arange(steps)[:, None] - torch.arange(steps)
        response = torch.where((lags >= 0)[..., None].to(u.device), aged[lags.clamp(min=0)], 0)
        response = response.mT.flatten(0, 1)  # of each time and number by the inputs of a chunk
        chunks = F.pad(u, (0, 0, 0, 0, 0, -T % steps)).unflatten(0, (-1, steps)).flatten(2)
        driven = response @ chunks
        starts = [m.movedim(-1, 0).flatten(1)]
        for last in driven[:-1, -order:]:
            starts.append(torch.addmm(last, powers[-1], starts[-1]))
        found = torch.baddbmm(
            driven, torch.cat(powers).expand(len(chunks), -1, -1), torch.stack(starts)
        )
        return (
            found.unflatten(1, (steps, order)).flatten(0, 1)[:T].unflatten(2, rest).movedim(1, -1)
        )

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        memories, order = self.project.out_features, len(self.B)
        return torch.zeros(batch_size, memories, order, device=device, dtype=dtype)

    def spectrum(self, x: Tensor) -> Tensor:
        """Those of A, for each memory the same."""
        found = eigenvalues(self.A.to(x)).repeat(self.project.out_features)
        return found.expand(*x.shape[:2], -1)


class LMU(MixerModel):
    """Legendre memory units in residual blocks: Voelker, Kajić and Eliasmith 2019, eq. 1 to 3, in
    the parallel form of Chilkuri and Eliasmith 2021, sec. 3.

        m_t = Ā m_{t−1} + B̄ u_t,    o_t = GELU(W_m vec m_t + W_x x_t + b),    u_t = U x_t + c

    Each channel of u has a memory m of `order` numbers, which approximates its last θ steps:
    u(t − s) ≈ Σ_i P_i(2s/θ − 1) m_i(t) for 0 ≤ s ≤ θ, with Legendre polynomials P_i. It obeys
    θ m' = A m + B u with A_ij = (2i + 1) (−1 for i < j, (−1)^{i−j+1} else), B_i = (2i + 1) (−1)^i,
    and u held over each step: Ā = exp(A/θ), B̄ = A⁻¹ (Ā − I) B. Neither is trained.

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        order: numbers of each memory, the degree of its polynomial plus 1.
        theta: θ, time steps.
        memories: channels of u.
        mlp: width of a network after each layer, in hidden_sizes; 0 for none.
        dropout: share of a branch's outputs that training leaves out.

    Raises ValueError for θ below 1, order above 1,024, and sizes out of range.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        order: int = 16,
        theta: float = 64.0,
        memories: int = 8,
        mlp: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.order", order)
        checks.within("model.order", order, "[1, 1024]", 16)
        checks.within("model.theta", theta, "[1, 1e+9]", 64.0)
        checks.integer("model.memories", memories)
        self._build(lambda: LegendreMixer(hidden_size, memories, order, theta), mlp, dropout)
