"""Causal convolution with a given filter."""

from dataclasses import dataclass
from typing import Any

from seq2seq.tasks.inputs import Uniform
from seq2seq.tasks.linear_functional import LinearTask

#: A bell over seven steps, the default filter.
BELL = (0.002, 0.022, 0.097, 0.159, 0.097, 0.022, 0.002)


@dataclass(eq=False)
class Convolution(LinearTask):
    """y_t = Σ_{s≥0} ρ(s) x_{t−s}: a linear functional whose time is counted in steps.

    Args:
        filter: see `LinearTask`; by default a bell over seven steps.
        length, channels, input: likewise; uniform on (−1, 1) by default.
    """

    filter: Any = None
    length: int = 32
    channels: int = 1
    default_input = Uniform()

    def __post_init__(self) -> None:
        self.filter = BELL if self.filter is None else self.filter
        super().__post_init__()
