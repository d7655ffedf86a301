"""Coupled oscillators as a recurrent network."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq import checks
from seq2seq.models.batching import members_first
from seq2seq.models.mixer import Cell, LayeredRNN
from seq2seq.models.model import State


class OscillatorScan(torch.autograd.Function):
    """The steps of `CoRNN`, given V x + b of all times.

    These, (time, members, batch, n), the weights of (z, y) (members, n, 2n), and (z, y) before,
    (members, batch, 2n) -> (z, y) and the forces tanh(…) of all times.
    """

    @staticmethod
    def forward(
        u: Tensor, weight: Tensor, before: Tensor, dt: float, gamma: float, epsilon: float
    ) -> tuple[Tensor, Tensor]:
        states, forces = u.new_empty(*u.shape[:-1], 2 * u.shape[-1]), torch.empty_like(u)
        for u_t, state, force in zip(u, states, forces, strict=True):
            torch.baddbmm(u_t, before, weight.mT, out=force).tanh_()
            z, y = before.chunk(2, -1)
            z_t, y_t = state.chunk(2, -1)
            torch.mul(z, 1 - dt * epsilon, out=z_t).add_(y, alpha=-dt * gamma)
            z_t.add_(force, alpha=dt)
            torch.add(y, z_t, alpha=dt, out=y_t)
            before = state
        return states, forces

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        _, weight, before, *ctx.constants = inputs
        ctx.save_for_backward(weight, before, *output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dstates: Tensor, _: Any) -> Any:
        weight, before, states, forces = ctx.saved_tensors
        dt, gamma, epsilon = ctx.constants
        slopes = (1 - forces * forces).mul_(dt)  # of z by what is inside tanh
        later = torch.zeros_like(before)
        gz, gy = later.chunk(2, -1)
        for t in range(len(states) - 1, -1, -1):
            later += dstates[t]
            gz.add_(gy, alpha=dt)
            slopes[t].mul_(gz)
            gy.add_(gz, alpha=-dt * gamma)
            gz.mul_(1 - dt * epsilon)
            later.baddbmm_(slopes[t], weight)
        earlier = torch.cat([before[None], states[:-1]])
        rows, columns = (part.transpose(0, 1).flatten(1, 2) for part in (slopes, earlier))
        return slopes, torch.bmm(rows.mT, columns), later, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        """More members."""
        u, weight, before, *constants = members_first(info, in_dims, arguments)
        members = before.shape[1]
        u = u.transpose(0, 1).flatten(1, 2)
        found = OscillatorScan.apply(u, weight.flatten(0, 1), before.flatten(0, 1), *constants)
        return tuple(part.unflatten(1, (-1, members)) for part in found), (1, 1)


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
        joint = torch.cat([z, y], -1)
        u, constants = self.input(x)[:, None], (self.dt, self.gamma, self.epsilon)
        states, _ = OscillatorScan.apply(u, self.recurrent[None], joint[None], *constants)
        z, y = states[:, 0].chunk(2, -1)
        return y, torch.cat([y[-1], z[-1]], -1)

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
        for key, value, usual in (
            ("dt", dt, 0.06),
            ("gamma", gamma, 66.0),
            ("epsilon", epsilon, 15.0),
        ):
            checks.positive(f"model.{key}", value, usual)
        self._stack(lambda width: CoupledCell(width, hidden_size, dt, gamma, epsilon))
