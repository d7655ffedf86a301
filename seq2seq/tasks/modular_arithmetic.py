"""Sums and products modulo a number."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.token import CERTAIN, IGNORED, Guess, TokenTask, best_guess, bounds, uniform


@dataclass(eq=False)
class ModularArithmetic(TokenTask):
    """The value of d_1 ∘ d_2 ∘ … ∘ d_k modulo m, each ∘ one of + − ×, asked at the = behind it.

    Products come before sums. The symbols are the digits 0 … m − 1, then + − × =. Deletang et al.,
    arXiv:2207.02098 (2023); Beck et al., arXiv:2405.04517 (2024); Grazzi et al., arXiv:2411.12537
    (2024), with m = 5.

    Args:
        length: digits and signs before the =, an odd number, or [least, most], of which the odd
            ones are drawn.
        modulus: m, 2 or more.
    """

    length: int | list[int] = 15  # type: ignore[assignment]
    modulus: int = 5

    def __post_init__(self) -> None:
        checks.integer("task.modulus", self.modulus, 2)
        low, high = bounds("task.length", self.length)
        self.digits = low // 2 + 1, (high + 1) // 2
        if self.digits[0] > self.digits[1]:
            checks.refuse("task.length", low, "be odd, digits and signs in turn", low + 1)
        self.answers = self.modulus
        self.symbols = (*map(str, range(self.modulus)), "+", "−", "×", "=")
        super().__post_init__()

    def steps(self, length: int) -> int:
        return 2 * ((length + 1) // 2)

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        (low, high), m = self.digits, self.modulus
        digits = torch.randint(m, (n, high), generator=generator)
        signs = torch.randint(3, (n, high), generator=generator)  # behind each digit: + − ×
        counts = torch.randint(low, high + 1, (n, 1), generator=generator)
        places = torch.arange(high)
        pairs = torch.stack([digits, m + signs.masked_fill(places == counts - 1, 3)], -1)
        x = pairs.masked_fill((places >= counts)[..., None], 0).flatten(1)
        # Evaluated with + 0 for each digit that is not there.
        signs = signs.masked_fill(places >= counts - 1, 0)
        value = evaluate(digits.masked_fill(places >= counts, 0), signs[:, :-1], m)
        y = torch.full_like(x, IGNORED).scatter(1, 2 * counts - 1, value[:, None])
        return x, y

    def guesses(self) -> dict[str, Guess]:
        """`memoryless` knows how the values of all expressions are distributed."""
        (low, high), m = self.digits, self.modulus
        numbers = np.arange(m)
        times = np.zeros((m, m))  # how a product goes on
        np.add.at(times, (numbers[:, None], numbers[:, None] * numbers % m), 1 / m)
        state = np.zeros((m, m))  # of the sum before it, and the latest product
        state[0] = 1 / m
        values = np.zeros(m)
        for count in range(1, high + 1):
            total = np.zeros(m)
            np.add.at(total, (numbers[:, None] + numbers) % m, state)
            values += total * (count >= low)
            state = 2 / 3 * total[:, None] / m + state @ times / 3
        memoryless = best_guess(values[None] / values.sum())
        return {"uniform": uniform(m), "memoryless": memoryless, "floor": CERTAIN}

    @property
    def memory(self) -> int:
        return 2 * self.digits[1] - 1


def evaluate(digits: Tensor, signs: Tensor, modulus: int) -> Tensor:
    """The values (n,) of digits (n, k) with the signs 0 + 1 − 2 × between them (n, k − 1)."""
    starts = torch.cat([torch.ones_like(digits[:, :1]).bool(), signs != 2], 1)  # of a product
    last = torch.cat([starts[:, 1:], starts[:, :1]], 1)
    negative = torch.cat([torch.zeros_like(digits[:, :1]), signs], 1) == 1
    product, s = torch.where(negative, -digits, digits), 1
    while s < digits.shape[1]:  # products of the latest s digits, 2s, …, within their bounds
        longer = torch.where(starts[:, s:], 1, product[:, :-s]) * product[:, s:] % modulus
        product = torch.cat([product[:, :s], longer], 1)
        starts, s = torch.cat([starts[:, :s], starts[:, s:] | starts[:, :-s]], 1), 2 * s
    return torch.where(last, product, 0).sum(1) % modulus
