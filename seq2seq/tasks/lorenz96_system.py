"""The two-scale system of Lorenz (1996) and its integrator, whatever is asked of it."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq import checks, memory
from seq2seq.seeds import generator
from seq2seq.tasks.task import SequenceTask

Array = NDArray[Any]

UNBOUNDED = (
    "the forcing drives Lorenz 96 out of the floating-point numbers; "
    "lower task.input.scale or task.dt"
)


@dataclass(eq=False)
class Lorenz96System(SequenceTask):
    """K slow variables y, forced by x, each coupled to J fast ones z.

        dy_k/dt     = −y_{k−1}(y_{k−2} − y_{k+1}) − y_k + x_k + h_x·(1/J) Σ_j z_{j,k}
        ε dz_{j,k}/dt = −z_{j+1,k}(z_{j+2,k} − z_{j−1,k}) − z_{j,k} + h_y y_k

    Indices are periodic in k and, separately, in j. The forcing is linear between x_t and x_{t+1}.
    Lorenz, "Predictability: a problem partly solved", ECMWF Seminar on Predictability (1996),
    section 4. The integrator is Runge-Kutta 4 with fixed steps in float64. Over 128 steps of 0.1
    with forcing of scale ≤ 1 its error is below 1e-6; under stronger forcing and with K > 3 the
    system is chaotic and no integrator follows it for long.

    Args:
        K: slow variables, the channels of x and y.
        J: fast variables per slow one.
        epsilon: ratio of the time scales, > 0.
        h_x: coupling of the fast variables to the slow.
        h_y: coupling of the slow variables to the fast.
        dt: time per step.

    Attributes:
        perturbation: standard deviation of the start (`y0`, `z0`), which is normal, drawn once from
            `seed`.
        substeps: steps of the integrator per step of time.

    Raises:
        ValueError: a parameter out of range.
    """

    K: int = 1
    J: int = 10
    epsilon: float = 1.0
    h_x: float = -1.0
    h_y: float = 1.0
    dt: float = 0.1
    perturbation = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("K", "J"):
            checks.integer(f"task.{name}", getattr(self, name))
        for name in ("epsilon", "dt", "perturbation"):
            checks.positive(f"task.{name}", getattr(self, name))
        memory.fit("a block of paths", 4096.0 * self.K * self.J, f"lower task.J={self.J} or task.K")
        self.input_dim = self.output_dim = self.K
        # Measured against DOP853 at rtol 1e-10: the slow nonlinearity of K > 1 needs finer steps.
        finer = (30 if self.K == 1 else 60) * self.dt / min(1.0, self.epsilon)
        self.substeps = max(2, math.ceil(finer - 1e-9))

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
        return self._begin(generator(self.seed, "initial state"))

    def _begin(self, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        state = torch.randn(self.J + 1, self.K, generator=stream, dtype=torch.float64)
        state *= self.perturbation
        return state[0], state[1:]

    def _as_vectors(self) -> tuple[Array, Array, Array]:
        """The slope of the one vector s = (y, z), (n,) with n = K(J + 1), as NumPy likes it.

        It is rate·s_a(s_b − s_c) + linear·s and the forcing: the indices (a, b, c), (3, n), which
        name neighbours, `linear`, (n, n), and `rate`, (n,).
        """
        K, J = self.K, self.J
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
        return near, linear, rate

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
