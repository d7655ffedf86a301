"""Multi-query associative recall."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.token import IGNORED, Guess, TokenTask, among, rarely, uniform
from seq2seq.theory.machines import Dictionary


@dataclass(eq=False)
class MQAR(TokenTask):
    """K keys with their values, then each key once more: there, its value is asked for.

        x = k_1 v_1 … k_K v_K, then queries at even distances, fillers between them

    Where y is asked, it is the token that followed the latest earlier occurrence of x_t. Keys are
    distinct and of 1 … V/2 − 1, values of V/2 … V − 1; 0 is a blank. The i-th key is asked for g_i
    pairs after the context, g = 0, 1, …: all g_i are drawn without replacement, the first key's
    first, with weights (g + 1)^(power − 1), so that most queries come early. Arora et al.,
    "Zoology", arXiv:2312.04927 (2023), have V = 8192, power 0.01 and blanks as fillers.

    Args:
        V: tokens, an even number.
        K: keys.
        length: steps of a sequence, an even number; the context and K queries must fit.
        passes: how often the context lists all pairs.
        overwritten: how many of the keys get another value, in further pairs after the others.
        fillers: `blank`; `random`, any tokens but 0 and the keys of the sequence; or `colliding`,
            any tokens at all, keys too, as published: the rule above then fails where a filler
            that is a key comes before its query.
        distinct: draw the values without replacement, as published; false makes them independent.
        power: exponent of the distances, above 0; 1 spreads them evenly.
        supervise: `answer`, at the queries only, or `all`: at every other step a blank.
    """

    V: int = 64
    K: int = 4
    length: int = 64
    passes: int = 1
    overwritten: int = 0
    fillers: Literal["blank", "random", "colliding"] = "blank"
    distinct: bool = True
    power: float = 0.01
    supervise: Literal["answer", "all"] = "answer"

    def __post_init__(self) -> None:
        for name, least in (("V", 4), ("K", 1), ("length", 4), ("passes", 1), ("overwritten", 0)):
            checks.integer(f"task.{name}", getattr(self, name), least)
        checks.one_of("task.supervise", self.supervise, ("answer", "all"))
        checks.even("task.V", self.V)
        checks.even("task.length", self.length)
        checks.positive("task.power", self.power, 0.01)
        checks.one_of("task.fillers", self.fillers, ("blank", "random", "colliding"))
        if self.overwritten > self.K:
            checks.refuse("task.overwritten", self.overwritten, f"be at most K={self.K}", self.K)
        needed = self.K + self.distinct * self.overwritten
        if max(self.K + 1, needed) > self.V // 2:
            raise ValueError(
                f"K must leave a key for each of the V/2 − 1 and a value for each of the V/2, got "
                f"K={self.K}, V={self.V}; lower task.K or raise task.V"
            )
        self.pairs = self.passes * self.K + self.overwritten
        if 2 * (self.pairs + self.K) > self.length:
            raise ValueError(
                f"length must hold {self.pairs} pairs and K={self.K} queries, two steps each, got "
                f"length={self.length}; set task.length={2 * (self.pairs + self.K)}"
            )
        self.symbols = ("·", *map(str, range(1, self.V)))
        self.answers = self.V // 2 + (self.supervise == "all")
        super().__post_init__()
        places = torch.arange(1, (self.lengths[1] - 2 * self.pairs) // 2 + 1)
        self._weights = (self.power - 1) * places.log()  # logarithms

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        keys = 1 + _distinct(n, self.K, self.V // 2 - 1, generator)
        count = self.K + self.overwritten
        if self.distinct:
            values = _distinct(n, count, self.V // 2, generator)
        else:
            values = torch.randint(self.V // 2, (n, count), generator=generator)
        values += self.V // 2
        pairs = torch.stack([keys, values[:, : self.K]], -1).repeat(1, self.passes, 1)
        answers = values[:, : self.K]
        if self.overwritten:
            chosen = _distinct(n, self.overwritten, self.K, generator)
            fresh = values[:, self.K :]
            again = torch.stack([keys.gather(1, chosen), fresh], -1)
            pairs, answers = torch.cat([pairs, again], 1), answers.scatter(1, chosen, fresh)
        # The largest of log-weight + Gumbel noise are a draw without replacement, in its order.
        noise = -torch.empty(n, len(self._weights)).exponential_(generator=generator).log()
        gaps = (self._weights + noise).topk(self.K).indices
        asked = 2 * (self.pairs + gaps)
        x = torch.cat([pairs.flatten(1), self._fill(keys, 2 * len(self._weights), generator)], 1)
        x = x.scatter(1, asked, keys)
        nothing = 0 if self.supervise == "all" else IGNORED
        return x, torch.full_like(x, nothing).scatter(1, asked, answers)

    def _fill(self, keys: Tensor, length: int, generator: torch.Generator) -> Tensor:
        """What stands between the queries, (n, length)."""
        if self.fillers == "blank":
            return keys.new_zeros(len(keys), length)
        if self.fillers == "colliding":
            return torch.randint(self.V, (len(keys), length), generator=generator)
        others = torch.randint(self.V - 1 - self.K, (len(keys), length), generator=generator)
        # The r-th token, from 1 on, that is no key: r and as many more as there are keys before it.
        before = keys.sort().values - 1 - torch.arange(self.K)
        return 1 + others + torch.searchsorted(before, others, right=True)

    def shortcuts(self) -> dict[str, Guess]:
        """`in_context` guesses among the values that keys have, as often as they have them."""
        guess, values = uniform(self.V // 2), self.V // 2
        in_context = among(self.K, 0.0 if self.distinct else 1 / values)
        if self.supervise == "all":
            steps, fillers = self.lengths[1], self.lengths[1] - 2 * self.pairs - self.K
            keys, tokens = {
                "blank": (0, 1),
                "random": (values - 1 - self.K, self.V - 1 - self.K),
                "colliding": (values - 1, self.V),
            }[self.fillers]
            met = self.pairs + self.K + fillers * keys / tokens  # steps that hold a key
            guess = rarely(met / steps, self.K / met, guess)
            in_context = rarely(self.K / steps, 1.0, in_context)
        return {"memoryless": guess, "in_context": in_context}

    @property
    def chance(self) -> float:
        return self.guesses["memoryless"].accuracy

    @property
    def independent(self) -> bool:
        return not self.distinct and self.supervise == "answer"

    @property
    def machine(self) -> Dictionary | None:
        """Where a key that stands in the context is not to be told from a query, none is known."""
        again = self.passes > 1 or self.overwritten > 0 or self.fillers != "blank"
        if self.fillers == "colliding" or (self.supervise == "all" and again):
            return None
        keys, values = np.arange(1, self.V // 2), np.arange(self.V // 2, self.V)
        return Dictionary(keys, values, self.vocabulary_size)

    def best_with_bits(self, bits: float) -> dict[str, float]:
        """The values of K keys, which are asked for after all pairs."""
        values = self.V // 2
        each = [values - i * self.distinct for i in range(self.K)]
        entropy = sum(map(math.log2, each))
        return self.recalled(bits, self.K, values, entropy) if self.supervise == "answer" else {}

    @property
    def memory(self) -> int:
        """From the last query to the first pair of the last pass."""
        return self.lengths[1] - 2 - 2 * self.K * (self.passes - 1)


def _distinct(n: int, count: int, of: int, generator: torch.Generator) -> Tensor:
    """For each of n rows `count` different numbers below `of`, in a random order."""
    return torch.rand(n, of, generator=generator).topk(count).indices
