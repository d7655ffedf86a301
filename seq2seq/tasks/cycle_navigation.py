"""Steps around a cycle."""

from dataclasses import dataclass
from typing import Literal

from seq2seq import checks
from seq2seq.tasks.parity import Walk


@dataclass(eq=False)
class CycleNavigation(Walk):
    """Where a walk on a cycle has come to: symbol 0 stays, 1 goes one place on, 2 one place back.

    Of Deletang et al., "Neural Networks and the Chomsky Hierarchy", arXiv:2207.02098 (2023), who
    have five places, train on lengths up to 40 and test on those up to 500.

    Args:
        length: steps, or [least, most].
        places: of the cycle, 2 or more; the answers are 0 … places − 1.
        supervise: `answer`, at the last step only, or `all`, at every step.
    """

    length: int | list[int] = 16  # type: ignore[assignment]
    places: int = 5
    supervise: Literal["answer", "all"] = "answer"
    moves = (0, 1, -1)

    def __post_init__(self) -> None:
        checks.integer("task.places", self.places, 2)
        self.answers = self.places
        self.symbols = tuple(map(str, range(max(3, self.places))))
        super().__post_init__()
