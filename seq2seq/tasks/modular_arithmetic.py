"""Sums and products modulo a number."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.token import IGNORED, Guess, TokenTask, best_guess, bounds

ADD, SUBTRACT, MULTIPLY = range(3)


@dataclass(eq=False)
class ModularArithmetic(TokenTask):
    """The value of d_0 ∘ d_1 ∘ … ∘ d_k modulo m, each ∘ one of + − ×, asked at the = behind it.

    Products come before sums. With brackets the k signs are worked out in a random order, all
    orders equally likely, with a pair of brackets for each but the last. The symbols are the digits
    0 … m − 1, then + − ×, perhaps ( ), and =. Deletang et al., arXiv:2207.02098 (2023); Beck et
    al., arXiv:2405.04517 (2024); Grazzi et al., arXiv:2411.12537 (2024), with m = 5.

    Args:
        length: symbols before the =, or [least, most], of which the possible ones are drawn: 2k + 1
            or, with brackets, 4k − 1.
        modulus: m, 2 or more.
        brackets: whether there are any.
    """

    length: int | list[int] = 15  # type: ignore[assignment]
    modulus: int = 5
    brackets: bool = False

    def __post_init__(self) -> None:
        checks.integer("task.modulus", self.modulus, 2)
        low, high = bounds("task.length", self.length)
        self._form = (4, -1) if self.brackets else (2, 1)
        each, rest = self._form
        self.signs = -((rest - low) // each), (high - rest) // each
        if self.signs[0] > self.signs[1]:
            possible = each * self.signs[0] + rest
            known = (
                "3, 7, 11, … with brackets" if self.brackets else "odd, digits and signs in turn"
            )
            checks.refuse("task.length", low, f"be {known}", possible)
        self.answers = self.modulus
        brackets = ("(", ")") if self.brackets else ()
        self.symbols = (*map(str, range(self.modulus)), "+", "−", "×", *brackets, "=")
        super().__post_init__()

    def steps(self, length: int) -> int:
        each, rest = self._form
        return (length - rest) // each * each + rest + 1

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        (low, high), m = self.signs, self.modulus
        digits = torch.randint(m, (n, high + 1), generator=generator)
        signs = torch.randint(3, (n, high), generator=generator)
        counts = torch.randint(low, high + 1, (n, 1), generator=generator)
        if self.brackets:
            rank = torch.rand(n, high, generator=generator).argsort(1)
            expression, value = _bracketed(digits, signs, rank, counts, m)
        else:
            present = torch.arange(high) < counts
            zeros = torch.zeros_like(counts)
            expression = torch.stack([digits, torch.cat([m + signs, zeros], 1)], -1).flatten(1)
            digits = torch.cat([digits[:, :1], digits[:, 1:].where(present, 0)], 1)
            value = evaluate(digits, signs.where(present, ADD), m)
        each, rest = self._form
        end = each * counts + rest
        x = expression.masked_fill(torch.arange(expression.shape[1]) > end, 0)
        x = x.scatter(1, end, len(self.symbols) - 1)
        return x, torch.full_like(x, IGNORED).scatter(1, end, value[:, None])

    def shortcuts(self) -> dict[str, Guess]:
        """`memoryless` knows how the values of all expressions are distributed."""
        low, high = self.signs
        by_count = _by_brackets if self.brackets else _by_precedence
        values = by_count(self.modulus, high)[low:].mean(0)
        return {"memoryless": best_guess(values[None])}

    @property
    def memory(self) -> int:
        each, rest = self._form
        return each * self.signs[1] + rest


def evaluate(digits: Tensor, signs: Tensor, modulus: int) -> Tensor:
    """The values (n,) of digits (n, k + 1) with signs (n, k) between them, products first."""
    starts = torch.cat([torch.ones_like(digits[:, :1]).bool(), signs != MULTIPLY], 1)
    last = torch.cat([starts[:, 1:], starts[:, :1]], 1)
    negative = torch.cat([torch.zeros_like(digits[:, :1]), signs], 1) == SUBTRACT
    product, s = torch.where(negative, -digits, digits), 1
    while s < digits.shape[1]:  # products of the latest s digits, 2s, …, within their bounds
        longer = torch.where(starts[:, s:], 1, product[:, :-s]) * product[:, s:] % modulus
        product = torch.cat([product[:, :s], longer], 1)
        starts, s = torch.cat([starts[:, :s], starts[:, s:] | starts[:, :-s]], 1), 2 * s
    return torch.where(last, product, 0).sum(1) % modulus


def _bracketed(
    digits: Tensor, signs: Tensor, rank: Tensor, counts: Tensor, modulus: int
) -> tuple[Tensor, Tensor]:
    """Expressions (n, 4k) and their values (n,): of signs (n, k) those of low rank come first.

    Only the first `counts` (n, 1) of them are there.
    """
    n, most = signs.shape
    numbers = torch.arange(1, most + 1)
    present = numbers <= counts
    rank = rank.where(present, most)  # one that is not there parts others as a later one does
    later = rank[:, None] > rank[:, :, None]  # (n, sign, other)
    left = torch.where(later & (numbers < numbers[:, None]), numbers, 0).amax(2)
    right = torch.where(later & (numbers > numbers[:, None]), numbers, most + 1).amin(2) - 1
    right = right.minimum(counts)  # so a sign joins the digits left … right

    value = digits.clone()  # of what begins with each digit
    for chosen in rank.argsort(1).unbind(1):
        one = chosen[:, None]
        first, second = left.gather(1, one), one + 1
        a, b, sign = value.gather(1, first), value.gather(1, second), signs.gather(1, one)
        joined = torch.where(sign == MULTIPLY, a * b, a + torch.where(sign == SUBTRACT, -b, b))
        value.scatter_(1, first, torch.where(present.gather(1, one), joined % modulus, a))

    inner = present & ((left > 0) | (right < counts))  # the last one has no brackets
    zeros = torch.zeros_like(digits)
    opened = zeros.scatter_add(1, left, inner.long())
    closed = zeros.scatter_add(1, right, inner.long())
    places = (opened + closed).cumsum(1) - closed + 2 * torch.arange(most + 1)
    beyond = torch.arange(most + 1) > counts
    places = places.masked_fill(beyond, 4 * most)
    behind = (places + closed + 1)[:, :-1].masked_fill(~present, 4 * most)
    x, inside = digits.new_zeros(2, n, 4 * most + 1)
    x = x.scatter(1, places, digits).scatter(1, behind, modulus + signs)
    marks = inside.scatter(1, places, 1).scatter(1, behind, -1)[:, :-1]
    brackets = modulus + 3 + marks.cumsum(1)  # behind a sign they open, behind a digit they close
    return torch.where(marks != 0, x[:, :-1], brackets), value[:, 0]


def _by_precedence(m: int, most: int) -> np.ndarray:
    """How the values of expressions with 0 … most signs are distributed, (most + 1, m)."""
    numbers = np.arange(m)
    times = np.zeros((m, m))  # how a product goes on
    np.add.at(times, (numbers[:, None], numbers[:, None] * numbers % m), 1 / m)
    state = np.zeros((m, m))  # of the sum before it, and the latest product
    state[0] = 1 / m
    values = []
    for _ in range(most + 1):
        total = np.zeros(m)
        np.add.at(total, (numbers[:, None] + numbers) % m, state)
        values.append(total)
        state = 2 / 3 * total[:, None] / m + state @ times / 3
    return np.array(values)


def _by_brackets(m: int, most: int) -> np.ndarray:
    """The same with brackets: the last sign has 0 … k − 1 others on its left, equally likely."""
    numbers = np.arange(m)
    pairs = numbers[:, None], numbers
    results = [f(*pairs) % m for f in (np.add, np.subtract, np.multiply)]
    values = [np.full(m, 1 / m)]
    for k in range(1, most + 1):
        joint = sum(np.outer(values[i], values[k - 1 - i]) for i in range(k)) / k
        own = np.zeros(m)
        for result in results:
            np.add.at(own, result, joint / 3)
        values.append(own)
    return np.array(values)
