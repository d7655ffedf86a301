"""A string in order."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from seq2seq.tasks.token import Guess, StringTask, best_guess


@dataclass(eq=False)
class BucketSort(StringTask):
    """The symbols of a string in ascending order: counting, not copying.

    Of Deletang et al., arXiv:2207.02098 (2023), with five symbols. The reference `place` knows n
    and how many symbols have been asked for, but not the string: the j-th of n is at most v with
    the probability that a binomial number of (n, (v + 1)/alphabet) is j or more.

    Args:
        length, alphabet: see `StringTask`.
    """

    length: int | list[int] = 10  # type: ignore[assignment]
    alphabet: int = 5

    def answer(self, strings: Tensor, ends: Tensor, places: Tensor) -> Tensor:
        beyond = torch.arange(strings.shape[1]) >= ends
        return strings.masked_fill(beyond, self.alphabet).sort().values.gather(1, places)

    def shortcuts(self) -> dict[str, Guess]:
        below = np.arange(1, self.alphabet + 1) / self.alphabet
        rows = []
        for n in range(self.lengths[0], self.lengths[1] + 1):
            at_most = binom.sf(np.arange(n)[:, None], n, below)  # (j − 1, v)
            rows.append(np.diff(at_most, prepend=0.0))
        place = best_guess(np.concatenate(rows) / sum(map(len, rows)))
        return super().shortcuts() | {"place": place}
