"""Recurrent networks whose recurrent matrix is orthogonal by construction."""

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.graph import Row
from seq2seq.models.model import RecurrentModel, State

MAPS = ("exponential", "cayley")
ACTIVATIONS = ("modrelu", "linear")


class OrthogonalLayer(nn.Module):
    """h_t = σ(ρ Q h_{t−1} + V x_t); see `OrthogonalRNN`."""

    def __init__(
        self,
        input_dim: int,
        hidden_size: int,
        parameterisation: str,
        activation: str,
        radius: float,
        max_phase: float,
    ) -> None:
        super().__init__()
        self.hidden_size, self.parameterisation, self.radius = hidden_size, parameterisation, radius
        angles = max_phase * (2 * torch.rand(hidden_size // 2) - 1)
        skew = torch.zeros(hidden_size, hidden_size)
        places = 2 * torch.arange(hidden_size // 2)
        skew[places, places + 1] = (
            2 * (angles / 2).tan() if parameterisation == "cayley" else angles
        )
        rows, columns = torch.triu_indices(hidden_size, hidden_size, 1)
        self.skew = nn.Parameter(skew[rows, columns])
        self.input = nn.Linear(input_dim, hidden_size, bias=False)
        nn.init.kaiming_normal_(self.input.weight, nonlinearity="relu")
        self.threshold = None
        if activation == "modrelu":
            self.threshold = nn.Parameter(torch.empty(hidden_size).uniform_(-0.01, 0.01))

    def weight(self) -> Tensor:
        """ρ Q."""
        n = self.hidden_size
        places = torch.triu_indices(n, n, 1, device=self.skew.device)
        upper = self.skew.new_zeros(n, n).index_put(tuple(places), self.skew)
        A = upper - upper.mT
        if self.parameterisation == "exponential":
            return self.radius * torch.linalg.matrix_exp(A)
        unit = torch.eye(n, dtype=A.dtype, device=A.device)
        return self.radius * torch.linalg.solve(unit - A / 2, unit + A / 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """(time, batch, in) and (batch, hidden) -> (time, batch, hidden), and the last h."""
        transposed = self.weight().mT
        visited = []
        for u in self.input(x).unbind(0):
            h = torch.addmm(u, h, transposed)
            if self.threshold is not None:
                h = h.sign() * (h.abs() + self.threshold).relu()
            visited.append(h)
        return torch.stack(visited), h


class OrthogonalRNN(RecurrentModel):
    """A recurrent network that keeps norms: Q is orthogonal, whatever the parameters.

        h_t = σ(ρ Q h_{t−1} + V x_t),    o_t = cᵀ h_t + d

    Q = exp(A) (Lezcano-Casado and Martínez-Rubio 2019, expRNN) or (1 − A/2)⁻¹(1 + A/2) (Helfrich,
    Willmott and Ye 2018, scoRNN), A being skew-symmetric: it starts as plane rotations by angles
    uniform in ±max_phase (Henaff, Szlam and LeCun 2016). σ is modReLU, sign(z)·relu(|z| + b)
    (Arjovsky, Shah and Bengio 2016), or the identity. A radius ρ below 1 forgets at that rate.

    Args:
        hidden_size: units of each layer.
        num_layers: layers, each reading the states of the one below.
        parameterisation: of Q.
        activation: σ.
        radius: ρ, the modulus of all eigenvalues.
        max_phase: largest angle at the start.

    Raises ValueError for unknown choices, and sizes, radius or angle out of range.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        parameterisation: Literal["exponential", "cayley"] = "exponential",
        activation: Literal["modrelu", "linear"] = "modrelu",
        radius: float = 1.0,
        max_phase: float = math.pi,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.hidden_size", hidden_size, 2)
        checks.one_of("model.parameterisation", parameterisation, MAPS)
        checks.one_of("model.activation", activation, ACTIVATIONS)
        checks.positive("model.radius", radius)
        checks.within("model.max_phase", max_phase, "[0, 3.1415927]", 3.14)
        self.layers = nn.ModuleList(
            OrthogonalLayer(
                hidden_size if layer else input_dim,
                hidden_size,
                parameterisation,
                activation,
                radius,
                max_phase,
            )
            for layer in range(num_layers)
        )
        self.readout = nn.Linear(hidden_size, output_dim)

    def forward(self, x: Tensor, state: State = None, return_state: bool = False) -> Any:
        if state is None:
            state = self.initial_state(len(x), x.device, x.dtype)
        z, final = x.transpose(0, 1), []
        for layer, h in zip(self.layers, state, strict=True):
            z, h = layer(z, h)
            final.append(h)
        y = self.readout(z).transpose(0, 1)
        return (y, tuple(final)) if return_state else y

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.forward(x_t[:, None], state, True)
        return y[:, 0], state

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """Per layer h (batch, hidden_size)."""
        zero = torch.zeros(batch_size, self.hidden_size, device=device, dtype=dtype)
        return (zero,) * self.num_layers

    def eigenvalues(self) -> list[Tensor]:
        """Of ρ Q, all of modulus ρ."""
        return [torch.linalg.eigvals(layer.weight().detach()) for layer in self.layers]  # type: ignore[union-attr, operator]

    def rows(self, length: int) -> Iterator[Row]:
        return self._rows(length, "orthogonal RNN")
