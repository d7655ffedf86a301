"""The word problem of a finite group."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.token import IGNORED, PrefixTask
from seq2seq.theory import groups
from seq2seq.theory.machines import Automaton


@dataclass(eq=False)
class GroupWord(PrefixTask):
    """y_t = x_t·x_{t−1}·…·x_1 in a finite group; in a·b, b acts first.

    `elements[i]` is the permutation that token i stands for, i ↦ elements[…][i]; the identity is
    token 0. The word problem of a group that is not solvable (A5, S5) is NC¹-complete: Barrington
    1989; Merrill, Petty and Sabharwal, arXiv:2404.08819 (2024). Inputs that move few points and
    several tokens per element are those of Grazzi et al., arXiv:2411.12537 (2024).

    Args:
        group: Z<n>, S<n>, A<n>, D<n> (the n-gon's), or a product such as A4xZ5.
        length: elements per sequence, or [least, most].
        inputs: what x_t is drawn from, uniformly: `all` elements; `generators`, a few ones whose
            products are all, their inverses and the identity; `swaps`, which move at most two
            points; `cycles`, which move at most three; or a number, that many of `elements`, the
            first ones: 12 of A5 are A4, and 13 generate it.
        tokens: steps per element; those after its token hold a blank, and the last one is asked.
        supervise: `answer`, at the end only, or `all`, after every element.
    """

    group: str = "S3"
    length: int | list[int] = 32  # type: ignore[assignment]
    inputs: Literal["all", "generators", "swaps", "cycles"] | int = "all"
    tokens: int = 1
    supervise: Literal["answer", "all"] = "all"

    def __post_init__(self) -> None:
        checks.integer("task.tokens", self.tokens)
        try:
            self.elements = groups.group(self.group)
        except ValueError as error:
            raise ValueError(f"task.{error}; set task.group=S3") from None
        order = len(self.elements)
        if order < 2:
            checks.refuse("task.group", self.group, "have two elements or more", "Z2")
        self.answers = order
        blank = self.tokens > 1
        self.symbols = (*map(str, range(order)), *["·"] * blank)
        self.table = groups.table(self.elements)
        inputs = self._inputs()
        self.drawn = np.array([i for i, p in enumerate(self.elements) if p in inputs])
        if len(self.drawn) < 2:
            checks.refuse(
                "task.inputs", self.inputs, f"leave more than the identity of {self.group}", "all"
            )
        super().__post_init__()

    def _inputs(self) -> set[groups.Permutation]:
        if not isinstance(self.inputs, str):
            checks.integer("task.inputs", self.inputs, 2)
            order = len(self.elements)
            if self.inputs > order:
                wanted = f"be at most the {order} elements of {self.group}"
                checks.refuse("task.inputs", self.inputs, wanted, order)
            return {*self.elements[: self.inputs]}
        if self.inputs == "generators":
            few = groups.generators(self.group)
            return {*few, *(tuple(np.argsort(p).tolist()) for p in few)}
        most = {"swaps": 2, "cycles": 3}.get(self.inputs, len(self.elements[0]))
        return {p for p in self.elements if groups.moved(p) <= most}

    def steps(self, length: int) -> int:
        return self.tokens * length

    def words(self, n: int, length: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(self.drawn), (n, length), generator=generator)
        return torch.from_numpy(self.drawn)[chosen]

    def targets(self, x: Tensor) -> Tensor:
        """The products of elements (batch, time), the latest s of them for s = 1, 2, 4, …"""
        flat, y, s = torch.from_numpy(self.table).flatten(), x, 1
        while s < x.shape[1]:
            longer = flat[y[:, s:] * len(self.elements) + y[:, :-s]]
            y, s = torch.cat([y[:, :s], longer], 1), 2 * s
        return y

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = super().pose(n, generator)
        rest = (*x.shape, self.tokens - 1)
        x = torch.cat([x[..., None], x.new_full(rest, len(self.elements))], -1)
        y = torch.cat([y.new_full(rest, IGNORED), y[..., None]], -1)
        return x.flatten(1), y.flatten(1)

    @property
    def mixes(self) -> bool:
        return self.tokens == 1 and len(self.drawn) == len(self.elements)

    @property
    def machine(self) -> Automaton:
        """The group by its table; tokens that are never drawn, blank or BOS leave it as it is."""
        tokens = np.zeros(self.vocabulary_size, int)
        tokens[self.drawn] = self.drawn
        return Automaton(self.table[tokens], groups.representation(self.elements)[tokens])

    def joint(self, shares: np.ndarray) -> np.ndarray:
        order, chance = len(self.elements), 1 / len(self.drawn)
        after = self.table[self.drawn]  # (inputs, order): where each leads from each element
        step = np.zeros((order, order))
        np.add.at(step, (after, np.arange(order)), chance)
        before, product = np.zeros(order), np.eye(order)[0]
        for share in shares:
            before += share * product
            product = step @ product
        joint = np.zeros((len(self.drawn), order))
        np.put_along_axis(joint, after, chance * before[None], 1)
        return joint if self.tokens == 1 else joint.sum(0, keepdims=True)
