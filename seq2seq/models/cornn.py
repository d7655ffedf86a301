"""Coupled oscillators as a recurrent network."""

import torch
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.mixer import Cell, LayeredRNN
from seq2seq.models.model import State


class CoupledCell(Cell):
    """Oscillators that drive one another; see `CoRNN`. Its state is y and z side by side."""

    def __init__(
        self, input_dim: int, hidden_size: int, dt: float, gamma: float, epsilon: float
    ) -> None:
        super().__init__()
        self.hidden_size, self.dt, self.gamma, self.epsilon = hidden_size, dt, gamma, epsilon
        # One map of (x, z, y), as the authors have it: torch's start depends on the joint width.
        joint = nn.Linear(input_dim + 2 * hidden_size, hidden_size)
        self.input = nn.Linear(input_dim, hidden_size)
        self.recurrent = nn.Parameter(joint.weight.detach()[:, input_dim:].clone())
        with torch.no_grad():
            self.input.weight.copy_(joint.weight[:, :input_dim])
            self.input.bias.copy_(joint.bias)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if state is None:
            state = self.initial_state(x.shape[1], x.device, x.dtype)
        y, z = state.chunk(2, -1)
        of_z, of_y = self.recurrent.mT.chunk(2)
        visited = []
        for u in self.input(x).unbind(0):
            force = torch.addmm(torch.addmm(u, z, of_z), y, of_y).tanh()
            z = z + self.dt * (force - self.gamma * y - self.epsilon * z)
            y = y + self.dt * z
            visited.append(y)
        return torch.stack(visited), torch.cat([y, z], -1)

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        return torch.zeros(batch_size, 2 * self.hidden_size, device=device, dtype=dtype)

    def linearised(self) -> Tensor:
        """Where tanh(z) = z."""
        unit = torch.eye(self.hidden_size, dtype=self.recurrent.dtype, device=self.recurrent.device)
        of_z, of_y = self.recurrent.chunk(2, 1)
        z_by_y = self.dt * (of_y - self.gamma * unit)
        z_by_z = unit + self.dt * (of_z - self.epsilon * unit)
        rows = [[unit + self.dt * z_by_y, self.dt * z_by_z], [z_by_y, z_by_z]]
        return torch.cat([torch.cat(row, 1) for row in rows])


class CoRNN(LayeredRNN):
    """Coupled oscillatory recurrent networks: Rusch and Mishra 2021 (coRNN), eq. 1 and 3.

        y'' = tanh(W y + 𝒲 y' + V x + b) − γ y − ε y',    o = cᵀ y + d

    as steps z_t = z_{t−1} + Δ (tanh(W y_{t−1} + 𝒲 z_{t−1} + V x_t + b) − γ y_{t−1} − ε z_{t−1}),
    y_t = y_{t−1} + Δ z_t. The frequency γ and the damping ε of all oscillators are fixed, their
    defaults those of the authors' adding problem of 100 steps. Gradients neither vanish nor explode
    exponentially for small Δ (their sec. 4).

    Args:
        hidden_size: oscillators of each layer.
        num_layers: layers, each reading the positions y of the one below.
        dt: Δ.
        gamma: γ, the square of the angular frequency of a free oscillator.
        epsilon: ε, its damping.

    Raises ValueError for sizes out of range, and Δ, γ or ε not positive.
    """

    title = "coRNN"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        dt: float = 0.06,
        gamma: float = 66.0,
        epsilon: float = 15.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        for key, value in (("dt", dt), ("gamma", gamma), ("epsilon", epsilon)):
            checks.positive(f"model.{key}", value)
        self._stack(lambda width: CoupledCell(width, hidden_size, dt, gamma, epsilon))
