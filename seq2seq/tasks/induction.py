"""Induction heads: what came after the special symbol the first time."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.token import IGNORED, Guess, TokenTask, among, rarely, uniform


@dataclass(eq=False)
class Induction(TokenTask):
    """A special symbol comes at a random place and at the end: y is what followed it before.

    The other symbols, 0 … V − 2, are drawn independently; the special one is V − 1. Fu, Dao et al.,
    "Hungry Hungry Hippos", arXiv:2212.14052 (2023), have V = 20; Gu and Dao, arXiv:2312.00752
    (2023), V = 16 and a length of 256. The reference `in_context` guesses among the other symbols
    of the sequence, as often as they occur.

    Args:
        length: steps, or [least, most], 3 or more.
        V: symbols, the special one included, 3 or more.
        supervise: `answer`, at the end only, or `all`: at every step before the special symbol
            itself, which says that nothing is to be recalled yet.
    """

    length: int | list[int] = 64  # type: ignore[assignment]
    V: int = 16
    supervise: Literal["answer", "all"] = "answer"

    def __post_init__(self) -> None:
        checks.integer("task.V", self.V, 3)
        self.symbols = (*map(str, range(self.V - 1)), "!")
        checks.one_of("task.supervise", self.supervise, ("answer", "all"))
        self.answers = self.V - (self.supervise == "answer")
        super().__post_init__()
        checks.integer("task.length", self.lengths[0], 3)

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        high = self.lengths[1]
        x = torch.randint(self.V - 1, (n, high), generator=generator)
        ends, times = self.draw_lengths(n, generator), torch.arange(high)
        place = (torch.rand(n, 1, generator=generator, dtype=torch.float64) * (ends - 2)).long()
        answer = x.gather(1, place + 1)
        x = x.scatter_(1, place, self.V - 1).scatter_(1, ends - 1, self.V - 1)
        y = torch.full_like(x, IGNORED)
        if self.supervise == "all":
            y = y.masked_fill_(times < ends, self.V - 1)
        y = y.scatter_(1, ends - 1, answer)
        return x.masked_fill_(times >= ends, 0), y

    def shortcuts(self) -> dict[str, Guess]:
        low, high = self.lengths
        guess = uniform(self.V - 1)
        own = [among(length - 2, 1 / (self.V - 1)) for length in range(low, high + 1)]
        in_context = Guess(*np.mean(own, 0).tolist())
        if self.supervise == "all":
            steps = (low + high) / 2
            guess = rarely(2 / steps, 0.5, guess)
            in_context = rarely(1 / steps, 1.0, in_context)
        return {"memoryless": guess, "in_context": in_context}

    @property
    def chance(self) -> float:
        return self.guesses["memoryless"].accuracy
