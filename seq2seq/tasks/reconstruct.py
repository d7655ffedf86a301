"""All of the latest inputs, from the last state."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.inputs import White
from seq2seq.tasks.task import AskedLast, DrivenTask
from seq2seq.theory.machines import Taps
from seq2seq.theory.predictors import RCOND


@dataclass(eq=False)
class Reconstruct(AskedLast, DrivenTask):
    """y = (x_L, x_{L−1}, …, x_{L−m+1}), asked at the last step L as m channels.

    Whatever n numbers a model keeps, if it reads y off them linearly its outputs lie in a space of
    n dimensions, and its error is at least the sum of the m − n smallest eigenvalues of the
    covariance of m inputs in a row, over m: `order_<n>`, which a linear model with n states reaches
    (Eckart and Young 1936). For white inputs that is the variance times 1 − n/m. The task of
    Voelker, Kajić and Eliasmith, "Legendre Memory Units" (2019), and of Gu et al., "How to train
    your HiPPO", arXiv:2206.12037 (2022).

    Args:
        m: how many inputs are asked for, m ≤ length.
        length: time steps per sequence.
        input: the process.
    """

    m: int = 16
    length: int = 64

    def __post_init__(self) -> None:
        checks.integer("task.m", self.m)
        super().__post_init__()
        if self.m > self.length:
            raise ValueError(
                f"m must be at most length, got m={self.m}, length={self.length}; lower task.m or "
                "raise task.length"
            )
        self.output_dim = self.m

    def targets(self, x: Tensor) -> Tensor:
        """The latest inputs, the last one first: (B, T, 1) -> (B, 1, m)."""
        return x[:, -self.m :].flip(1).mT

    @property
    def independent(self) -> bool:
        return isinstance(self.input, White)

    @property
    def memory(self) -> int:
        return self.m - 1

    @property
    def machine(self) -> Taps:
        return Taps(np.eye(self.m)[:, :, None])

    def best_within(self, window: int) -> dict[str, float]:
        """What earlier inputs are not told by the latest ones, over m."""
        if window >= self.m:
            return {}
        c = self.input.covariance(self.m).numpy()
        seen, unseen = slice(window), slice(window, None)
        if np.linalg.cond(c[seen, seen]) > 1 / RCOND:  # rounding hides what some of them tell
            return {}
        told = c[unseen, seen] @ np.linalg.solve(c[seen, seen], c[seen, unseen])
        return self._best(np.trace(c[unseen, unseen] - told))

    def best_with_states(self, states: int) -> dict[str, float]:
        """The eigenvalues of the covariance beyond the largest ones, over m: see `order_<n>`."""
        spectrum = np.linalg.eigvalsh(self.input.covariance(self.m).numpy()).clip(0)
        return self._best(spectrum[: max(self.m - states, 0)].sum())

    def _best(self, error: float) -> dict[str, float]:
        loss = max(float(error), 0.0) / self.m
        return {"loss": loss, "nmse": loss / float(self.input.autocovariance(1)[0])}

    @property
    def reference_names(self) -> tuple[str, ...]:
        orders = (2**i for i in range(self.m.bit_length()) if 2**i < self.m)
        return ("zero", "memoryless", *(f"order_{n}" for n in orders))

    def reference_losses(self) -> dict[str, float]:
        """Exact mean squared errors: of 0, of w x_L, and the least with n states."""
        covariance = self.input.covariance(self.m).numpy()
        power, first = covariance[0, 0], covariance[0]
        losses = {"zero": power, "memoryless": power - (first @ first) / power / self.m}
        spectrum = np.linalg.eigvalsh(covariance).clip(0)
        for name in self.reference_names[2:]:
            losses[name] = spectrum[: self.m - int(name.removeprefix("order_"))].sum() / self.m
        return {name: float(loss) for name, loss in losses.items()}
