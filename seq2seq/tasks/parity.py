"""Parity, and what it is the simplest case of: a walk on a cycle."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from seq2seq.tasks.token import PrefixTask
from seq2seq.theory import groups
from seq2seq.theory.machines import Automaton


class Walk(PrefixTask):
    """y_t = Σ_{s≤t} move(x_s) mod `answers`, x_t being one of the `moves`, all equally likely."""

    moves: tuple[int, ...]

    def words(self, n: int, length: int, generator: torch.Generator) -> Tensor:
        return torch.randint(len(self.moves), (n, length), generator=generator)

    def targets(self, x: Tensor) -> Tensor:
        """Where each step of (batch, time) leads."""
        return torch.tensor(self.moves)[x].cumsum(1) % self.answers

    @property
    def mixes(self) -> bool:
        return len({move % self.answers for move in self.moves}) == self.answers == len(self.moves)

    @property
    def machine(self) -> Automaton:
        """Turns of a wheel; symbols that never move it, a BOS too, leave it as it is."""
        turns = np.zeros(self.vocabulary_size, int)
        turns[: len(self.moves)] = self.moves
        turns %= self.answers
        places = (np.arange(self.answers) + turns[:, None]) % self.answers
        return Automaton(places, groups.rotations(self.answers)[turns])

    def joint(self, shares: np.ndarray) -> np.ndarray:
        before, place = np.zeros(self.answers), np.eye(self.answers)[0]
        for share in shares:
            before += share * place
            place = np.mean([np.roll(place, move) for move in self.moves], 0)
        return np.stack([np.roll(before, move) for move in self.moves]) / len(self.moves)


@dataclass(eq=False)
class Parity(Walk):
    """y_t = x_1 + … + x_t mod 2, the x_t being independent fair bits.

    Asked at the last step as by Beck et al., "xLSTM", arXiv:2405.04517 (2024), and Grazzi et al.,
    arXiv:2411.12537 (2024), who train on lengths of 3 to 40 and test on 40 to 256.

    Args:
        length: bits per sequence, or [least, most].
        supervise: `answer`, at the last step only, or `all`, at every step.
    """

    length: int | list[int] = 16  # type: ignore[assignment]
    supervise: Literal["answer", "all"] = "answer"
    moves = (0, 1)
