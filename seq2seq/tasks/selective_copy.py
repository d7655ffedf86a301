"""Copy the symbols that are scattered among blanks."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.token import IGNORED, TokenTask


@dataclass(eq=False)
class SelectiveCopy(TokenTask):
    """S random symbols at random places among blanks, and then, under S markers, in their order.

        x = `length` steps that hold s_1 … s_S and blanks, then S markers; y = s_1 … s_S at these.

    The places are a uniformly random subset of all of them. The symbols are 0 … A − 1, the blank is
    A, the marker A + 1. Gu and Dao, "Mamba", arXiv:2312.00752 (2023), have S = 16, A = 14 and
    a length of 4096.

    Args:
        length: steps before the markers, or [least, most]; at least S.
        S: symbols to copy.
        A: how many different ones there are, 2 or more.
    """

    length: int | list[int] = 64  # type: ignore[assignment]
    S: int = 8
    A: int = 14

    def __post_init__(self) -> None:
        checks.integer("task.S", self.S)
        checks.integer("task.A", self.A, 2)
        self.symbols = (*map(str, range(self.A)), "·", "?")
        self.answers = self.A
        super().__post_init__()
        if self.lengths[0] < self.S:
            raise ValueError(
                f"S must be at most length, got S={self.S}, length={self.lengths[0]}; lower task.S "
                "or raise task.length"
            )

    def steps(self, length: int) -> int:
        return length + self.S

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        high = self.lengths[1]
        data = torch.randint(self.A, (n, self.S), generator=generator)
        order = torch.rand(n, high, generator=generator)
        ends, places = self.draw_lengths(n, generator), torch.arange(high)
        chosen = order.masked_fill_(places >= ends, -1.0).topk(self.S).indices.sort().values
        x = torch.full((n, high), self.A).scatter(1, chosen, data).masked_fill_(places >= ends, 0)
        asked = ends + torch.arange(self.S)
        x = F.pad(x, (0, self.S)).scatter(1, asked, self.A + 1)
        return x, torch.full_like(x, IGNORED).scatter(1, asked, data)

    @property
    def independent(self) -> bool:
        return True

    def best_with_bits(self, bits: float) -> dict[str, float]:
        return self.recalled(bits, self.S, self.A, self.S * math.log2(self.A))
