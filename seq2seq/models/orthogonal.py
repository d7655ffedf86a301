"""Recurrent networks whose recurrent matrix is orthogonal by construction."""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq import checks
from seq2seq.models.batching import members_first
from seq2seq.models.mixer import Cell, LayeredRNN
from seq2seq.models.model import State

MAPS = ("exponential", "cayley")
ACTIVATIONS = ("modrelu", "linear")


class RotationScan(torch.autograd.Function):
    """h_t = σ(W h_{t−1} + u_t): u (time, members, batch, n), W (members, n, n), h_{−1} one time.

    σ is the identity, or with a threshold b (members, 1, n) modReLU, sign(z)·relu(|z| + b).
    """

    @staticmethod
    def forward(u: Tensor, weight: Tensor, threshold: Tensor | None, before: Tensor) -> Tensor:
        h, size = torch.empty_like(u), torch.empty_like(before)
        for u_t, h_t in zip(u, h, strict=True):
            torch.baddbmm(u_t, before, weight.mT, out=h_t)
            if threshold is not None:
                torch.abs(h_t, out=size).add_(threshold).relu_()
                h_t.sign_().mul_(size)
            before = h_t
        return h

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, weight, threshold, before = inputs
        ctx.save_for_backward(weight, before, output)
        ctx.bent = threshold is not None

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor) -> Any:
        weight, before, h = ctx.saved_tensors
        signs = h.sign() if ctx.bent else None
        alive = None if signs is None else signs.abs()
        dz, dthreshold = torch.empty_like(dh), None
        later = torch.zeros_like(before)
        for t in range(len(h) - 1, -1, -1):
            torch.baddbmm(dh[t], later, weight, out=dz[t])
            later = dz[t] if alive is None else dz[t].mul_(alive[t])
        if signs is not None:
            dthreshold = (dz * signs).sum((0, 2))[:, None]
        earlier = torch.cat([before[None], h[:-1]])
        rows, columns = (z.transpose(0, 1).flatten(1, 2) for z in (dz, earlier))
        return dz, torch.bmm(rows.mT, columns), dthreshold, torch.bmm(later, weight)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[Tensor, int]:
        """More members."""
        leading = members_first(info, in_dims, arguments)
        u, weight, threshold, before = leading
        shape = u.shape[1:3]
        weight, before = weight.flatten(0, 1), before.flatten(0, 1)
        threshold = None if threshold is None else threshold.flatten(0, 1)
        u = u.transpose(0, 1).flatten(1, 2)
        h: Tensor = RotationScan.apply(u, weight, threshold, before)
        return h.unflatten(1, (-1, shape[1])), 1


class OrthogonalCell(Cell):
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

    def linearised(self) -> Tensor:
        """ρ Q."""
        n = self.hidden_size
        places = torch.triu_indices(n, n, 1, device=self.skew.device)
        upper = self.skew.new_zeros(n, n).index_put(tuple(places), self.skew)
        A = upper - upper.mT
        if self.parameterisation == "exponential":
            return self.radius * torch.linalg.matrix_exp(A)
        unit = torch.eye(n, dtype=A.dtype, device=A.device)
        return self.radius * torch.linalg.solve(unit - A / 2, unit + A / 2)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        u = self.input(x)
        h = torch.zeros_like(u[0]) if state is None else state
        threshold = None if self.threshold is None else self.threshold[None, None]
        states = RotationScan.apply(u[:, None], self.linearised()[None], threshold, h[None])[:, 0]
        return states, states[-1]

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        return torch.zeros(batch_size, self.hidden_size, device=device, dtype=dtype)


class OrthogonalRNN(LayeredRNN):
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

    title = "orthogonal RNN"

    start = ("max_phase",)

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
        self._stack(
            lambda width: OrthogonalCell(
                width, hidden_size, parameterisation, activation, radius, max_phase
            )
        )
