"""Induction heads: what came after the special symbol the first time."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.token import CERTAIN, IGNORED, Guess, TokenTask, among, uniform


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
    """

    length: int | list[int] = 64  # type: ignore[assignment]
    V: int = 16

    def __post_init__(self) -> None:
        checks.integer("task.V", self.V, 3)
        self.symbols = (*map(str, range(self.V - 1)), "!")
        self.answers = self.V - 1
        super().__post_init__()
        checks.integer("task.length", self.lengths[0], 3)

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        high = self.lengths[1]
        x = torch.randint(self.V - 1, (n, high), generator=generator)
        ends, times = self.draw_lengths(n, generator), torch.arange(high)
        place = (torch.rand(n, 1, generator=generator, dtype=torch.float64) * (ends - 2)).long()
        answer = x.gather(1, place + 1)
        x = x.scatter_(1, place, self.V - 1).scatter_(1, ends - 1, self.V - 1)
        y = torch.full_like(x, IGNORED).scatter_(1, ends - 1, answer)
        return x.masked_fill_(times >= ends, 0), y

    def guesses(self) -> dict[str, Guess]:
        low, high = self.lengths
        guess = uniform(self.V - 1)
        own = [among(length - 2, 1 / (self.V - 1)) for length in range(low, high + 1)]
        in_context = Guess(*np.mean(own, 0).tolist())
        return {
            "uniform": guess,
            "memoryless": guess,
            "in_context": in_context,
            "floor": CERTAIN,
        }
