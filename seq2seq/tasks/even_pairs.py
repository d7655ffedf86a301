"""Whether a word has evenly many pairs of unequal neighbours."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from seq2seq.tasks.token import PrefixTask


@dataclass(eq=False)
class EvenPairs(PrefixTask):
    """y_t = parity of the number of s < t with x_s ≠ x_{s+1}, which is [x_t ≠ x_1].

    Of Deletang et al., arXiv:2207.02098 (2023). It looks like counting, but only asks for the first
    symbol and the last one.

    Args:
        length: bits per sequence, or [least, most].
        supervise: `answer`, at the last step only, or `all`, at every step.
    """

    length: int | list[int] = 16  # type: ignore[assignment]
    supervise: Literal["answer", "all"] = "answer"

    def words(self, n: int, length: int, generator: torch.Generator) -> Tensor:
        return torch.randint(2, (n, length), generator=generator)

    def targets(self, x: Tensor) -> Tensor:
        """Whether each bit of (batch, time) differs from the first one."""
        return x ^ x[:, :1]

    def joint(self, shares: np.ndarray) -> np.ndarray:
        later = (1 - shares[0]) / 4  # than the first step, where y = 0
        return np.array([[later + shares[0] / 2, later]] * 2)
