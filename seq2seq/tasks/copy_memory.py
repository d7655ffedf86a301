"""The copy-memory problem: hold symbols through a long pause."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.token import IGNORED, Guess, TokenTask
from seq2seq.theory import limits
from seq2seq.theory.machines import Delay


@dataclass(eq=False)
class CopyMemory(TokenTask):
    """S random symbols, a pause of T steps, and then the same symbols, T + 2S steps in all.

        x = s_1 … s_S, T − 1 blanks, S + 1 markers        y = T + S blanks, s_1 … s_S

    The blank is 0, the symbols are 1 … A, the marker is A + 1. Hochreiter and Schmidhuber 1997;
    Arjovsky, Shah and Bengio, arXiv:1511.06464 (2016); in the encoding of Bai, Kolter and Koltun,
    arXiv:1803.01271 (2018).

    Without memory of the symbols the best answer is a blank for T + S steps and then each symbol
    with the same probability, which costs S·ln A/(T + 2S): the published baseline, `memoryless`
    here, although it knows what time it is.

    Args:
        S: symbols to remember.
        A: how many different ones there are, 2 or more.
        T: steps of the pause.
        supervise: `all`, every step, blanks included, as published, or `answer`, the last S.
    """

    S: int = 10
    A: int = 8
    T: int = 100
    supervise: Literal["answer", "all"] = "all"

    def __post_init__(self) -> None:
        for name, least in (("S", 1), ("A", 2), ("T", 1)):
            checks.integer(f"task.{name}", getattr(self, name), least)
        checks.one_of("task.supervise", self.supervise, ("answer", "all"))
        self.length = self.T + 2 * self.S
        self.symbols = ("·", *map(str, range(1, self.A + 1)), "?")
        self.answers = self.A if self.supervise == "answer" else self.A + 1
        super().__post_init__()

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        data = torch.randint(1, self.A + 1, (n, self.S), generator=generator)
        asked = F.pad(data.new_full((n, self.S + 1), self.A + 1), (self.T - 1, 0))
        blank = 0 if self.supervise == "all" else IGNORED
        return torch.cat([data, asked], 1), F.pad(data, (self.T + self.S, 0), value=blank)

    def shortcuts(self) -> dict[str, Guess]:
        share = self.S / (self.T + 2 * self.S) if self.supervise == "all" else 1.0
        return {"memoryless": Guess(share * math.log(self.A), 1 - share + share / self.A)}

    @property
    def chance(self) -> float:
        return self.guesses["memoryless"].accuracy

    @property
    def independent(self) -> bool:
        return True

    @property
    def memory(self) -> int:
        return self.T + self.S

    @property
    def machine(self) -> Delay:
        return Delay(self.memory, np.arange(self.A + 1), self.vocabulary_size)

    def best_within(self, window: int) -> dict[str, float]:
        """Whoever does not see the symbols guesses them."""
        return {} if window > self.memory else self.best(self.guesses["memoryless"])

    def best_with_bits(self, bits: float) -> dict[str, float]:
        entropy = self.S * math.log2(self.A)
        loss, accuracy = limits.least_losses(self.S, self.A, entropy, bits)
        share = self.S / self.length if self.supervise == "all" else 1.0
        if bits >= entropy:
            return {}
        return self.best(Guess(share * loss, 1 - share + share * accuracy))
