"""Look up what follows an n-gram of a string."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq import checks
from seq2seq.seeds import generator
from seq2seq.tasks.token import IGNORED, Guess, TokenTask


@dataclass(eq=False)
class NgramLookup(TokenTask):
    """A random string s and a part of it, g = g_1 … g_n: what followed its latest occurrence in s?

        suffix: x = s | g |        prefix: x = g | s |        y at the last step

    The part begins at a place that is drawn uniformly; it may occur again by chance. The symbols
    are 0 … alphabet − 1, the bar is `alphabet`. Jelassi et al., "Repeat after me", arXiv:2402.01032
    (2024): with the n-gram before the string a small state suffices, behind it the state must hold
    the whole string.

    Args:
        length: symbols of the string, or [least, most]; more than n.
        n: symbols of the part.
        alphabet: how many different symbols there are, 2 or more.
        order: `suffix`, the part after the string, or `prefix`, before it.
    """

    length: int | list[int] = 20  # type: ignore[assignment]
    n: int = 2
    alphabet: int = 8
    order: Literal["suffix", "prefix"] = "suffix"

    def __post_init__(self) -> None:
        checks.integer("task.n", self.n)
        checks.integer("task.alphabet", self.alphabet, 2)
        checks.one_of("task.order", self.order, ("suffix", "prefix"))
        self.answers = self.alphabet
        self.symbols = (*map(str, range(self.alphabet)), "|")
        super().__post_init__()
        if self.n >= self.lengths[0]:
            raise ValueError(
                f"n must be smaller than length, got n={self.n}, length={self.lengths[0]}; raise "
                "task.length or lower task.n"
            )

    def steps(self, length: int) -> int:
        return length + self.n + 2

    def _strings(self, n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Strings (n, most), their lengths, parts, where these are (n, most − n), the answers."""
        high = self.lengths[1]
        s = torch.randint(self.alphabet, (n, high), generator=generator)
        ends = self.draw_lengths(n, generator)
        drawn = torch.rand(n, 1, generator=generator, dtype=torch.float64)
        part = s.gather(1, (drawn * (ends - self.n)).long() + torch.arange(self.n))
        starts = torch.arange(high - self.n)
        found = (s.unfold(1, self.n, 1)[:, :-1] == part[:, None]).all(-1) & (starts < ends - self.n)
        latest = torch.where(found, starts, -1).amax(1, keepdim=True)
        return s, ends, part, found, s.gather(1, latest + self.n)

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        high = self.lengths[1]
        s, ends, part, _, answer = self._strings(n, generator)
        s = s.masked_fill_(torch.arange(high) >= ends, 0)
        bar, last = torch.full_like(ends, self.alphabet), ends + self.n + 1
        if self.order == "suffix":
            behind = torch.cat([bar, part, bar], 1)
            x = F.pad(s, (0, self.n + 2)).scatter_(1, ends + torch.arange(self.n + 2), behind)
        else:
            x = torch.cat([part, bar, F.pad(s, (0, 1))], 1).scatter_(1, last, bar)
        return x, torch.full_like(x, IGNORED).scatter_(1, last, answer)

    def shortcuts(self) -> dict[str, Guess]:
        """`in_context` knows how often each symbol follows the part in the string, not where.

        That is an n-gram model fitted to the string. It is estimated, from 4,096 sequences.
        """
        s, _, _, found, answer = self._strings(4096, generator(0, "references"))
        share = (found & (s[:, self.n :] == answer)).sum(1) / found.sum(1)
        in_context = Guess(-float(share.log().mean()), float(share.mean()))
        return super().shortcuts() | {"in_context": in_context}
