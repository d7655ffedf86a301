"""Recall of the input k steps ago."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.inputs import GP
from seq2seq.tasks.linear_functional import LinearTask
from seq2seq.theory.kernels import Impulse


@dataclass(eq=False)
class Shift(LinearTask):
    """y_t = x_{t−k}, and 0 for t < k: the linear functional whose kernel is an impulse at k.

    Args:
        k: steps of delay, 0 ≤ k < length.
        length, channels, input: see `LinearTask`; a smooth Gaussian process by default.

    Raises:
        ValueError: k outside 0 … length − 1, or a size out of range.
    """

    k: int = 8
    length: int = 32
    channels: int = 1
    default_input = GP()

    def __post_init__(self) -> None:
        checks.integer("task.k", self.k, 0)
        if 1 <= self.length <= self.k:
            raise ValueError(
                f"k must be smaller than length, got k={self.k}, length={self.length}; "
                "raise task.length or lower task.k"
            )
        self.filter = Impulse(self.k)
        super().__post_init__()

    def targets(self, x: Tensor) -> Tensor:
        """An exact copy, delayed: (B, T, D) -> (B, T, D)."""
        return F.pad(x, (0, 0, self.k, 0))[:, : x.shape[1]]
