"""The slow variables of Lorenz 96 from a fast state that is not seen, as in the published data."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks, memory
from seq2seq.seeds import generator
from seq2seq.tasks.cache import cached
from seq2seq.tasks.inputs import GP
from seq2seq.tasks.lorenz96_system import UNBOUNDED, Array, Lorenz96System
from seq2seq.tasks.task import DrivenTask, Pairs
from seq2seq.theory import predictors

#: Part of the cache's key: raise it whenever the numbers that `sample` returns change.
VERSION = 1

#: Paths whose largest |input| is the unit of the outputs.
CALIBRATION = 32


@dataclass(eq=False)
class Lorenz96Published(Lorenz96System, DrivenTask):
    """A `Lorenz96System` that is never started anew: each path begins where an earlier one ended.

    These are the data that the losses of `seq2seq.analysis.published` were measured on. Each of
    `trajectories` copies of the system starts from normal variables, runs unseen under random
    forcing for `burn_in` steps, and then goes on from path to path. x_0 and y_0 are the slow state
    that a path begins with; the fast state is not shown. Then x_t is the forcing, held constant
    while the system takes `euler_steps` steps of Euler's method to y_t. Inputs are given as
    (x − offset)/unit, outputs divided by `scale`.

    With K = 1 the system is linear for all that can be seen: the slow nonlinearity vanishes, and
    the fast one once all z_{j,k} are equal, which they become during the burn-in. What no model can
    know is then the fast state at the start of a path, and `irreducible` its exact price.

    Args:
        length: time steps per sequence.
        trajectories: copies of the system. Few take long to draw: their paths wait for each other.
        burn_in: unseen steps of each copy before its first path, enough for its fast variables to
            become equal where K = 1.
        euler_steps: steps of the integrator per step of time.
        offset, unit: inputs are given as (x − offset)/unit.
        skip: steps at the start of a path that no loss counts. `task.skip=20` leaves out what the
            fast state at the start still influences.
        cache: folder where generated sets are kept; None computes them each time.
        K, J, epsilon, h_x, h_y, dt: see `Lorenz96System`.
        input: forcing, a smooth Gaussian process by default.

    Raises:
        ValueError: a parameter out of range, or a state that leaves the floating-point numbers.
    """

    epsilon: float = 0.5
    length: int = 128
    trajectories: int = 20
    burn_in: int = 350
    euler_steps: int = 10
    offset: float = 0.6
    unit: float = 0.6
    skip: int = 0
    cache: str | None = None
    default_input = GP()
    perturbation = 1.0
    affine = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("task.length", self.length, 2)
        for name in ("trajectories", "burn_in", "euler_steps"):
            checks.integer(f"task.{name}", getattr(self, name))
        checks.positive("task.unit", self.unit, 0.6)
        checks.integer("task.skip", self.skip, 0)
        if self.skip >= self.length:
            checks.refuse("task.skip", self.skip, f"be below task.length={self.length}", 0)
        size, count = self.K * (self.J + 1), self.trajectories
        memory.fit("the system", 24.0 * size**2, f"lower task.J={self.J} or task.K={self.K}")
        longest = max(self.burn_in, self.length)
        needed = 8.0 * count * (4 * size + 3 * longest * self.K)
        memory.fit("a round of paths", needed, f"lower task.trajectories={count}")

    @functools.cached_property
    def scale(self) -> float:
        """What outputs are divided by: the largest |input| of 32 paths."""
        stream = generator(self.seed, "scale")
        return float(self.input.sample(CALIBRATION, self.length, self.K, stream).abs().max())

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        def forcing(steps: int) -> Tensor:
            return self.input.sample(count, steps, self.K, generator, torch.float64)

        count = self.trajectories
        state = torch.randn(self.K * (self.J + 1), count, generator=generator, dtype=torch.float64)
        _, last = self._advance(state.numpy(), forcing(self.burn_in))
        x, y = [], []
        for _ in range(math.ceil(n / count)):
            start = torch.from_numpy(last[: self.K].T[:, None])
            push = forcing(self.length - 1)
            path, last = self._advance(last, push)
            x.append(torch.cat([start, push], 1))
            y.append(torch.cat([start, path], 1))
        inputs, outputs = torch.cat(x)[:n], torch.cat(y)[:n]
        if not outputs.isfinite().all():
            raise ValueError(UNBOUNDED)
        return ((inputs - self.offset) / self.unit).float(), (outputs / self.scale).float()

    def _advance(self, state: Array, forcing: Tensor) -> tuple[Tensor, Array]:
        """The slow path (B, T, K) after each step of the forcing (B, T, K), and the last state.

        The state s = (y, z), (K(J + 1), B), takes steps s + h·rate·s_a(s_b − s_c) + h·linear·s and
        h·x on y.
        """
        h = self.dt / self.euler_steps
        near, linear, rate = self._as_vectors()
        onward, rate = np.eye(len(linear)) + h * linear, h * rate[:, None]
        path = np.empty(forcing.transpose(0, 1).shape)
        with np.errstate(over="ignore", invalid="ignore"):
            for push, slow in zip(h * forcing.permute(1, 2, 0).numpy(), path, strict=True):
                for _ in range(self.euler_steps):
                    a, b, c = state[near]
                    b -= c
                    b *= a
                    b *= rate
                    b += onward @ state
                    b[: self.K] += push
                    state = b
                slow[:] = state[: self.K].T
        return torch.from_numpy(path).transpose(0, 1), state

    def draw(self, split: str) -> Pairs:
        if self.cache is None:
            return super().draw(split)
        names = ["K", "J", "epsilon", "h_x", "h_y", "dt", "length", "trajectories", "burn_in"]
        names += ["euler_steps", "offset", "unit", "seed"]
        key: dict[str, Any] = {name: getattr(self, name) for name in names}
        key |= {"task": "lorenz96_published", "version": VERSION, "input": repr(self.input)}
        key |= {"split": split, "size": self.sizes[split]}
        return Pairs(*cached(self.cache, key, functools.partial(super().draw, split)))

    def irreducible(self) -> Tensor:
        """Var(y_t | x_0, …, x_t), (length,), float64: what an unseen fast state leaves, for K = 1.

        s = (y, z̄) obeys s_t = Φ s_{t−1} + b x_t. The n = length − 1 steps of a path add the
        covariance Q = Σ_{ij} Φ^i b C(i − j) bᵀ Φ^jᵀ, so that a path begins with P = Φⁿ P Φⁿᵀ + Q.
        As start and forcing are Gaussian and independent, z̄_0 is known up to the variance
        v = P_zz − P_yz²/P_yy and y_t up to v (Φ^t)_yz². Under forcing that is not Gaussian this is
        the error of the best linear predictor.
        """
        n, h = self.length - 1, self.dt / self.euler_steps
        rates = np.array([[-1.0, self.h_x], [self.h_y / self.epsilon, -1 / self.epsilon]])
        small = np.eye(2) + h * rates
        b, phi = np.zeros(2), np.eye(2)
        for _ in range(self.euler_steps):
            b, phi = b + phi[:, 0] * h, phi @ small
        powers = [np.eye(2)]
        for _ in range(n):
            powers.append(phi @ powers[-1])
        impulse = np.stack(powers[:n]) @ b
        q = impulse.T @ self.input.covariance(n).numpy() @ impulse
        p = np.linalg.solve(np.eye(4) - np.kron(powers[n], powers[n]), q.ravel()).reshape(2, 2)
        unknown = p[1, 1] - p[0, 1] ** 2 / p[0, 0]
        return torch.from_numpy(unknown * np.stack(powers)[:, 0, 1] ** 2 / self.scale**2)

    @property
    def reference_names(self) -> tuple[str, ...]:
        return *super().reference_names, *(("linear", "irreducible") if self.K == 1 else ())

    def reference_losses(self) -> dict[str, float]:
        """Losses of the reference predictors.

        For K = 1 they include `linear`, a plain regression on the inputs so far with weights of its
        own at each step, estimated like the taps, and the exact `irreducible`.
        """
        losses = super().reference_losses()
        if self.K == 1:
            fitted, judged = (
                [part[:2000, :, 0].cpu().numpy() for part in self.split(split)]
                for split in ("train", "test")
            )
            losses["linear"] = predictors.regression_loss(fitted, judged, self.skip)
            losses["irreducible"] = float(self.irreducible()[self.skip :].mean())
        return losses
