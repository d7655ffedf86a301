"""A string backwards."""

import math
from dataclasses import dataclass

from torch import Tensor

from seq2seq.tasks.token import StringTask


@dataclass(eq=False)
class ReverseString(StringTask):
    """s_n … s_1 for s_1 … s_n. Of Deletang et al., arXiv:2207.02098 (2023), with two symbols.

    Args:
        length, alphabet: see `StringTask`.
    """

    length: int | list[int] = 10  # type: ignore[assignment]
    alphabet: int = 8

    def answer(self, strings: Tensor, ends: Tensor, places: Tensor) -> Tensor:
        return strings.gather(1, ends - 1 - places)

    def best_with_bits(self, bits: float) -> dict[str, float]:
        n, most = self.lengths
        if n < most:
            return {}
        return self.recalled(bits, n, self.alphabet, n * math.log2(self.alphabet))
