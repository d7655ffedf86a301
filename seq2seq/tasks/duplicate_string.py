"""A string twice."""

from dataclasses import dataclass

from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.token import StringTask


@dataclass(eq=False)
class DuplicateString(StringTask):
    """s_1 … s_n s_1 … s_n for s_1 … s_n. Of Deletang et al., arXiv:2207.02098, with two symbols.

    Args:
        length, alphabet: see `StringTask`.
        factor: how many times the string is asked for; 1 is plain copying.
    """

    length: int | list[int] = 10  # type: ignore[assignment]
    alphabet: int = 8
    factor: int = 2

    def __post_init__(self) -> None:
        checks.integer("task.factor", self.factor)
        super().__post_init__()

    def answer(self, strings: Tensor, ends: Tensor, places: Tensor) -> Tensor:
        return strings.gather(1, places % ends)
