"""The Mackey-Glass equation, to be forecast."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.task import GeneratedTask

#: Steps of the integrator per unit of time, and units before the first one that is kept.
STEPS, BURN_IN = 10, 200


@dataclass(eq=False)
class MackeyGlass(GeneratedTask):
    """y_t = x_{t+k} of dx/dt = 0.2 x(t − τ) / (1 + x(t − τ)^10) − 0.1 x, sampled once per unit.

    Each sequence starts from a constant past, uniform on [0.5, 1.5], and is kept from 200 units on.
    Fourth-order Runge-Kutta steps of 0.1, x(t − τ) between steps by a cubic through four of them.
    Chaotic from τ = 17 on; k = 84 is the classic forecast: Mackey and Glass, Science 197 (1977);
    Jaeger and Haas, Science 304 (2004).

    Args:
        tau: τ, at least 1, in tenths at the finest.
        k: units of time ahead.
        length: samples per sequence.
        train_size, val_size, test_size, batch_size, online, seed: see `SequenceTask`.
    """

    tau: float = 17.0
    k: int = 84
    length: int = 200
    train_size: int = 2000
    affine = True

    def __post_init__(self) -> None:
        checks.within("task.tau", self.tau, "[1, 1000]", 17.0)
        if abs(STEPS * self.tau - round(STEPS * self.tau)) > 1e-6:
            checks.refuse("task.tau", self.tau, "be a multiple of 0.1", round(self.tau, 1))
        checks.integer("task.k", self.k)
        super().__post_init__()

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        start = 0.5 + torch.rand(n, generator=generator, dtype=torch.float64).numpy()
        series = integrate(start, self.tau, BURN_IN + self.length + self.k)[:, BURN_IN:, None]
        x, y = series[:, : self.length], series[:, self.k :]
        return torch.from_numpy(x).float(), torch.from_numpy(y).float()


def integrate(start: np.ndarray, tau: float, times: int) -> np.ndarray:
    """x at the times 0, 1, …, (n, times), from x = `start` (n,) at all times up to 0."""
    delay, h = round(STEPS * tau), 1 / STEPS
    x = np.empty((delay + 2 + STEPS * (times - 1), len(start)))  # from the time −τ − h on
    x[: delay + 2] = start
    end = _feed(start)
    for now in range(delay + 1, len(x) - 1):
        a, b, c, d = x[now - delay - 1 : now - delay + 3]  # x(t − τ) is b, h later it is c
        begin, middle, end = end, _feed((9 * (b + c) - a - d) / 16), _feed(c)
        k1 = begin - 0.1 * x[now]
        k2 = middle - 0.1 * (x[now] + h / 2 * k1)
        k3 = middle - 0.1 * (x[now] + h / 2 * k2)
        k4 = end - 0.1 * (x[now] + h * k3)
        x[now + 1] = x[now] + h / 6 * (k1 + 2 * (k2 + k3) + k4)
    return x[delay + 1 :: STEPS].T


def _feed(late: np.ndarray) -> np.ndarray:
    square = late * late
    fourth = square * square
    fed: np.ndarray = 0.2 * late / (1 + fourth * fourth * square)
    return fed
