"""The slow variables of Lorenz 96, driven by the input."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks, memory
from seq2seq.tasks.cache import cached
from seq2seq.tasks.inputs import GP
from seq2seq.tasks.lorenz96_system import UNBOUNDED, Array, Lorenz96System
from seq2seq.tasks.task import DrivenTask, Pairs
from seq2seq.theory import predictors

#: Part of the cache's key: raise it whenever the numbers that `targets` returns change.
VERSION = 1


@dataclass(eq=False)
class Lorenz96(Lorenz96System, DrivenTask):
    """The target is y, the slow variables of a `Lorenz96System` that x forces.

    Every path starts from the same state (`y0`, `z0`), which is its first target. The target is a
    function of x even where the system is chaotic.

    What few notice: from the zero state all z_{j,k} of one k stay equal, so that the fast
    nonlinearity vanishes, and with K = 1 the slow one vanishes too. The system is then exactly
    linear, and `kernel` is known. Hence the default start is an asymmetric state.

    Args:
        length: time steps per sequence.
        initial_state: `perturbed`, normal with standard deviation `perturbation`, drawn once from
            `seed`; `zero`; or `burn_in`, what the perturbed state has become after `burn_in` steps
            under one random forcing.
        perturbation: size of the perturbed state.
        burn_in: steps before the start, for `initial_state=burn_in`.
        cache: folder where generated sets are kept; None computes them each time.
        K, J, epsilon, h_x, h_y, dt: see `Lorenz96System`.
        input: input process, a smooth Gaussian process by default.

    Raises:
        ValueError: a parameter out of range, or a state that leaves the floating-point numbers.
    """

    length: int = 128
    initial_state: Literal["perturbed", "zero", "burn_in"] = "perturbed"
    perturbation: float = 0.1
    burn_in: int = 100
    cache: str | None = None
    default_input = GP()

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("task.burn_in", self.burn_in)
        if self.initial_state not in ("perturbed", "zero", "burn_in"):
            rule = "be perturbed, zero or burn_in"
            checks.refuse("task.initial_state", self.initial_state, rule, "perturbed")
        if self._linear:  # whose exact losses take square matrices
            remedy = f"lower task.length={self.length}"
            memory.fit("the reference predictors", 40 * self.length**2, remedy)

    def _begin(self, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        y, z = super()._begin(stream)
        if self.initial_state == "zero":
            return 0 * y, 0 * z
        if self.initial_state == "burn_in":
            forcing = self.input.sample(1, self.burn_in + 1, self.K, stream, torch.float64)
            _, last_y, last_z = self._integrate(forcing, y, z)
            return last_y[:, 0], last_z[..., 0]
        return y, z

    def targets(self, x: Tensor) -> Tensor:
        """The slow variables under forcing x: (B, T, K) -> (B, T, K), T ≥ 1, y_0 the start."""
        # As many paths at once as keep the working set in the processor's cache.
        paths = max(64, 2**16 // (self.K * (self.J + 1)))
        y = torch.cat([self._integrate(part, self.y0, self.z0)[0] for part in x.split(paths)])
        if not y.isfinite().all():
            raise ValueError(UNBOUNDED)
        return y.to(x.dtype)

    def trajectory(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """All variables of one path under forcing x: (T, K) -> y (T, K), z (T, J, K), in float64.

        The steps are those of `targets`. A single path costs little but the calls, so the state is
        one NumPy vector s = (y, z) here, and its slope the sum of a matrix product (the linear
        terms), a product of neighbours, and the forcing.

        Raises:
            ValueError: the state leaves the floating-point numbers.
        """
        T, K, J = len(x), self.K, self.J
        near, linear, rate = self._as_vectors()
        n, h = self.substeps, self.dt / self.substeps
        force, ramp = np.zeros((2, K * (J + 1)))
        path = np.empty((T, K * (J + 1)))
        path[0] = state = np.concatenate([self.y0.numpy(), self.z0.numpy().ravel()])
        forcing = x.detach().cpu().double().numpy()

        def slope(s: Array, into: float) -> Array:
            a, b, c = s[near]
            b -= c
            b *= a
            b *= rate
            b += linear @ s
            b += force + into * ramp
            return b

        with np.errstate(over="ignore", invalid="ignore"):
            for t in range(T - 1):
                force[:K], ramp[:K] = forcing[t], forcing[t + 1] - forcing[t]
                for i in range(n):
                    k1 = slope(state, i / n)
                    k2 = slope(state + h / 2 * k1, (i + 0.5) / n)
                    k3 = slope(state + h / 2 * k2, (i + 0.5) / n)
                    k4 = slope(state + h * k3, (i + 1) / n)
                    k2 += k3
                    k2 *= 2
                    k1 += k2
                    k1 += k4
                    state = state + h / 6 * k1
                path[t + 1] = state
        if not np.isfinite(path).all():
            raise ValueError(UNBOUNDED)
        y, z = path[:, :K], path[:, K:].reshape(T, J, K)
        return torch.from_numpy(y.copy()), torch.from_numpy(z.copy())

    def draw(self, split: str) -> Pairs:
        if self.cache is None:
            return super().draw(split)
        names = ["K", "J", "epsilon", "h_x", "h_y", "dt", "length", "initial_state"]
        names += ["perturbation", "burn_in", "substeps", "seed"]
        key: dict[str, Any] = {name: getattr(self, name) for name in names}
        key |= {"task": "lorenz96", "version": VERSION, "input": repr(self.input)}
        key |= {"split": split, "size": self.sizes[split]}
        return Pairs(*cached(self.cache, key, lambda: super(Lorenz96, self).draw(split)))

    def kernel(self) -> Tensor | None:
        """The impulse response, (length,), float64, where the system is linear, else None.

        From the zero state and with K = 1, s = (y, z̄) obeys ds/dt = A s + (x, 0) with
        A = [[−1, h_x], [h_y/ε, −1/ε]], whose exact step under forcing linear in time is
        s_{t+1} = Φ s_t + a x_t + b x_{t+1}; the response to an impulse is b_0 at once and
        (Φ^s b + Φ^{s−1} a)_0 after s steps. The very first input has no ramp before it: it lacks
        the terms in b, and y_0 = 0.
        """
        return self._responses()[0] if self._linear else None

    def reference_losses(self) -> dict[str, float]:
        """Losses of the reference predictors: exact where the system is linear, else estimated."""
        if not self._linear:
            return super().reference_losses()
        response, first = self._responses()
        lag = torch.arange(self.length)[:, None] - torch.arange(self.length)
        operator = torch.where(lag >= 0, response[lag.clamp(min=0)], 0.0)
        operator[:, 0] = first
        covariance = self.input.covariance(self.length)
        return predictors.tap_losses(predictors.operator_moments(operator, covariance))

    @property
    def _linear(self) -> bool:
        return self.K == 1 and self.initial_state == "zero"

    def _responses(self) -> tuple[Tensor, Tensor]:
        """Responses of y, (length,) each, to a unit input at a step t ≥ 1 and at step 0."""
        # exp of [[A, B, 0], [0, 0, 1], [0, 0, 0]]·dt holds Φ and the two integrals of the ramp.
        system = torch.zeros(4, 4, dtype=torch.float64)
        system[0, :3] = self.dt * torch.tensor([-1.0, self.h_x, 1.0])
        system[1, :2] = self.dt / self.epsilon * torch.tensor([self.h_y, -1.0])
        system[2, 3] = 1.0
        step = torch.linalg.matrix_exp(system)
        phi, a, b = step[:2, :2], step[:2, 2] - step[:2, 3], step[:2, 3]
        response, first = [], []
        ramp, state = b, torch.zeros_like(a)
        for _ in range(self.length):
            response.append((ramp + state)[0])
            first.append(state[0])
            state = a if len(first) == 1 else phi @ state
            ramp = phi @ ramp
        return torch.stack(response), torch.stack(first)
