"""The two-scale Lorenz 96 system, driven by the input."""

import functools
import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.seeds import generator
from seq2seq.tasks.cache import cached
from seq2seq.tasks.inputs import GP, InputProcess
from seq2seq.tasks.task import Pairs, SequenceTask, at_least_one
from seq2seq.theory import predictors

#: Part of the cache's key: raise it whenever the numbers that `targets` returns change.
VERSION = 1

UNBOUNDED = (
    "the forcing drives Lorenz 96 out of the floating-point numbers; "
    "lower task.input.scale or task.dt"
)

Array = NDArray[Any]


class Lorenz96(SequenceTask):
    """K slow variables y, forced by x, each coupled to J fast ones z; the target is y.

        dy_k/dt     = −y_{k−1}(y_{k−2} − y_{k+1}) − y_k + x_k + h_x·(1/J) Σ_j z_{j,k}
        ε dz_{j,k}/dt = −z_{j+1,k}(z_{j+2,k} − z_{j−1,k}) − z_{j,k} + h_y y_k

    Indices are periodic in k and, separately, in j. Every path starts from the same state
    (`y0`, `z0`), which is its first target, and is forced linearly between x_t and x_{t+1}. Lorenz,
    "Predictability: a problem partly solved", ECMWF Seminar on Predictability (1996), section 4.

    What few notice: from the zero state all z_{j,k} of one k stay equal, so that the fast
    nonlinearity vanishes, and with K = 1 the slow one vanishes too. The system is then exactly
    linear, and `kernel` is known. Hence the default start is an asymmetric state.

    The integrator is Runge-Kutta 4 with fixed steps in float64. Over 128 steps of 0.1 with
    forcing of scale ≤ 1 its error is below 1e-6; under stronger forcing and with K > 3 the system
    is chaotic and no integrator follows it for long, though the target stays a function of x.

    Args:
        K: slow variables, the channels of x and y.
        J: fast variables per slow one.
        epsilon: ratio of the time scales, > 0.
        h_x: coupling of the fast variables to the slow.
        h_y: coupling of the slow variables to the fast.
        dt: time per step.
        length: time steps per sequence.
        initial_state: `perturbed`, normal with standard deviation `perturbation`, drawn once from
            `seed`; `zero`; or `burn_in`, what the perturbed state has become after `burn_in` steps
            under one random forcing.
        perturbation: size of the perturbed state.
        burn_in: steps before the start, for `initial_state=burn_in`.
        input: input process, a smooth Gaussian process by default.
        cache: folder where generated sets are kept; None computes them each time.

    Raises:
        ValueError: a parameter out of range, or a state that leaves the floating-point numbers.
    """

    def __init__(
        self,
        K: int = 1,
        J: int = 10,
        epsilon: float = 1.0,
        h_x: float = -1.0,
        h_y: float = 1.0,
        dt: float = 0.1,
        length: int = 128,
        initial_state: Literal["perturbed", "zero", "burn_in"] = "perturbed",
        perturbation: float = 0.1,
        burn_in: int = 100,
        input: InputProcess | None = None,
        train_size: int = 10000,
        val_size: int = 1000,
        test_size: int = 1000,
        batch_size: int = 128,
        online: bool = False,
        seed: int = 0,
        cache: str | None = None,
    ) -> None:
        process = input or GP()
        super().__init__(
            length, K, K, process, train_size, val_size, test_size, batch_size, online, seed
        )
        for name, size in {"K": K, "J": J, "burn_in": burn_in}.items():
            at_least_one(name, size)
        for name, value in {"epsilon": epsilon, "dt": dt, "perturbation": perturbation}.items():
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(
                    f"{name} must be positive, got {name}={value}; correct task.{name}"
                )
        if initial_state not in ("perturbed", "zero", "burn_in"):
            raise ValueError(
                "initial_state must be perturbed, zero or burn_in, "
                f"got initial_state={initial_state!r}; correct task.initial_state"
            )
        self.K = K
        self.J = J
        self.epsilon = epsilon
        self.h_x = h_x
        self.h_y = h_y
        self.dt = dt
        self.initial_state = initial_state
        self.perturbation = perturbation
        self.burn_in = burn_in
        self.cache = cache
        self._process = process
        # Measured against DOP853 at rtol 1e-10: the slow nonlinearity of K > 1 needs finer steps.
        self.substeps = max(2, math.ceil((30 if K == 1 else 60) * dt / min(1.0, epsilon) - 1e-9))

    @property
    def y0(self) -> Tensor:
        """Slow variables at the start, (K,), float64."""
        return self._start[0]

    @property
    def z0(self) -> Tensor:
        """Fast variables at the start, (J, K), float64."""
        return self._start[1]

    @functools.cached_property
    def _start(self) -> tuple[Tensor, Tensor]:
        stream = generator(self.seed, "initial state")
        state = torch.randn(self.J + 1, self.K, generator=stream, dtype=torch.float64)
        state *= 0.0 if self.initial_state == "zero" else self.perturbation
        if self.initial_state == "burn_in":
            forcing = self._process.sample(1, self.burn_in + 1, self.K, stream, torch.float64)
            _, y, z = self._integrate(forcing, state[0], state[1:])
            return y[:, 0], z[..., 0]
        return state[0], state[1:]

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
        slow, fast = np.arange(K), K + np.arange(J * K).reshape(J, K)

        def neighbours(of_slow: int, of_fast: int) -> Array:
            parts = np.roll(slow, -of_slow), np.roll(fast, -of_fast, axis=0).ravel()
            return np.concatenate(parts)

        # dy_k/dt has y_{k−1}(y_{k+1} − y_{k−2}), dz_{j,k}/dt has z_{j+1,k}(z_{j−1,k} − z_{j+2,k}).
        near = np.stack([neighbours(-1, 1), neighbours(1, -1), neighbours(-2, 2)])
        linear = -np.eye(K * (J + 1))
        linear[slow, fast] = self.h_x / J
        linear[fast, slow] = self.h_y
        rate = np.concatenate([np.ones(K), np.full(J * K, 1 / self.epsilon)])
        linear *= rate[:, None]

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
        covariance = self._process.covariance(self.length)
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

    @torch.no_grad()
    def _integrate(self, x: Tensor, y0: Tensor, z0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Runge-Kutta 4: paths (B, T, K) and the last state (K, B), (J, K, B), in float64.

        Paths lie side by side in memory, and the stage's state sits between copies of its periodic
        neighbours, so that every neighbour is a view.
        """
        B, T, K = x.shape
        J = self.J
        n, h = self.substeps, self.dt / self.substeps
        x = x.double().permute(1, 2, 0).contiguous()
        y_ring, z_ring = x.new_empty(K + 3, B), x.new_empty(J + 3, K, B)
        y_stage, z_stage = y_ring[2:-1], z_ring[1:-2]
        y, z = y_stage.copy_(y0[:, None].to(x)).clone(), z_stage.copy_(z0[..., None].to(x)).clone()
        dy, dz, y_sum, z_sum = (torch.empty_like(like) for like in (y, z, y, z))
        force, ramp, work = (torch.empty_like(y) for _ in range(3))
        path = torch.empty_like(x)
        path[0] = y

        def slope() -> None:
            """dy = dy/dt and dz = ε dz/dt at the stage's state."""
            y_ring[0], y_ring[1], y_ring[-1] = y_stage[(K - 2) % K], y_stage[-1], y_stage[0]
            z_ring[0], z_ring[-2], z_ring[-1] = z_stage[-1], z_stage[0], z_stage[1 % J]
            torch.sub(y_ring[3:], y_ring[:K], out=dy).mul_(y_ring[1:-2])
            dy.sub_(y_stage).add_(force).add_(torch.mean(z_stage, 0, out=work), alpha=self.h_x)
            torch.sub(z_ring[:J], z_ring[3:], out=dz).mul_(z_ring[2:-1])
            dz.sub_(z_stage).add_(torch.mul(y_stage, self.h_y, out=work))

        for t in range(T - 1):
            torch.sub(x[t + 1], x[t], out=ramp)
            for i in range(n):
                y_sum.copy_(y)
                z_sum.copy_(z)
                # Each stage: how far into the step, its weight, where the next one is evaluated.
                for into, weight, ahead in ((0, 1, 0.5), (0.5, 2, 0.5), (0.5, 2, 1), (1, 1, 0)):
                    torch.add(x[t], ramp, alpha=(i + into) / n, out=force)
                    slope()
                    y_sum.add_(dy, alpha=weight * h / 6)
                    z_sum.add_(dz, alpha=weight * h / 6 / self.epsilon)
                    if ahead:
                        torch.add(y, dy, alpha=ahead * h, out=y_stage)
                        torch.add(z, dz, alpha=ahead * h / self.epsilon, out=z_stage)
                y_stage.copy_(y_sum)
                z_stage.copy_(z_sum)
                y, y_sum, z, z_sum = y_sum, y, z_sum, z
            path[t + 1] = y
        return path.permute(2, 0, 1), y, z
