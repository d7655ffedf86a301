"""Volterra series of order two."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.task import DrivenTask


@dataclass(eq=False)
class Volterra(DrivenTask):
    """y_t = Σ_s h_s x_{t−s} + Σ_{(s, r, w)} w x_{t−s} x_{t−r}, with x = 0 before the first step.

    Reference predictors have a constant term, as products of inputs need not have mean zero. What
    the linear ones cannot tell is the part of the products.

    Args:
        linear: h_0, h_1, …
        products: lags s and r with their weight, [[s, r, w], …], all lags below `length`.
        length: time steps per sequence.
        input: the process.
    """

    linear: list[float] = field(default_factory=lambda: [0.5])
    products: list[Any] = field(default_factory=lambda: [[2, 5, 1.0], [0, 8, 0.5]])
    length: int = 64
    affine = True

    def __post_init__(self) -> None:
        super().__post_init__()
        rows = [tuple(row) if isinstance(row, Sequence) else () for row in self.products]
        if any(len(row) != 3 for row in rows):
            checks.refuse("task.products", self.products, "be lags and a weight", "[[2,5,1.0]]")
        for s, r, _ in rows:
            checks.integer("task.products", s, 0)
            checks.integer("task.products", r, 0)
        self._products = rows
        if self.memory >= self.length:
            raise ValueError(
                f"length must exceed the largest lag, got lag {self.memory}, length={self.length}; "
                f"set task.length={self.memory + 1}"
            )
        if not any(self.linear) and not any(w for *_, w in rows):
            checks.refuse("task.linear", [*self.linear], "not be zero without products", "[1.0]")

    @property
    def memory(self) -> int:
        lags = [lag for s, r, _ in self._products for lag in (s, r)]
        return max([len(self.linear) - 1, 0, *lags])

    def targets(self, x: Tensor) -> Tensor:
        """(B, T, 1) -> (B, T, 1)."""

        def late(lag: int) -> Tensor:
            return torch.cat([torch.zeros_like(x[:, :lag]), x[:, : x.shape[1] - lag]], 1)

        y = sum((h * late(s) for s, h in enumerate(self.linear)), torch.zeros_like(x))
        return sum((w * late(s) * late(r) for s, r, w in self._products), y)
