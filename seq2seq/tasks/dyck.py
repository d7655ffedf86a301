"""Brackets of several kinds, nested to a bounded depth."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.token import IGNORED, Guess, TokenTask, best_guess

#: The first kinds of brackets.
PAIRS = [("(", ")"), ("[", "]"), ("{", "}"), ("<", ">")]


@dataclass(eq=False)
class Dyck(TokenTask):
    """Prefixes of well-bracketed words with k kinds of brackets, never nested deeper than m.

    The depth is a symmetric random walk that turns back at 0 and at m; the kind of an opening
    bracket is uniform. The symbols are k opening brackets, the k closing ones, and a last one for
    "none". What is asked is the bracket that may be closed next, that of the innermost open one: at
    every step, "none" where nothing is open (`all`), or where the next symbol does close one
    (`answer`), as by Hewitt et al., "RNNs can generate bounded hierarchical languages with optimal
    memory", arXiv:2010.07515 (2020), in which O(m log k) hidden units suffice.

    Args:
        length: symbols per sequence, or [least, most]; more than `depth`.
        kinds: of brackets, k, 2 or more.
        depth: most brackets that are open at a time, m.
        supervise: `all` or `answer`, see above.
    """

    length: int | list[int] = 32  # type: ignore[assignment]
    kinds: int = 2
    depth: int = 4
    supervise: Literal["answer", "all"] = "all"

    def __post_init__(self) -> None:
        checks.integer("task.kinds", self.kinds, 2)
        checks.integer("task.depth", self.depth)
        checks.one_of("task.supervise", self.supervise, ("answer", "all"))
        known = (
            PAIRS if self.kinds <= len(PAIRS) else [(f"+{i}", f"-{i}") for i in range(self.kinds)]
        )
        opening, closing = zip(*known[: self.kinds], strict=True)
        self.symbols = (*opening, *closing, "·")
        self.answers = self.kinds + (self.supervise == "all")
        super().__post_init__()
        if self.lengths[0] <= self.depth:
            raise ValueError(
                f"depth must be smaller than length, got depth={self.depth}, "
                f"length={self.lengths[0]}; lower task.depth or raise task.length"
            )

    def pose(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        high, k, m = self.lengths[1], self.kinds, self.depth
        kinds = torch.randint(k, (n, high), generator=generator)
        walk = (2 * torch.randint(2, (n, high), generator=generator) - 1).cumsum(1)
        depth = ((walk + m) % (2 * m) - m).abs()  # folded, it turns back at 0 and at m
        opens = depth > F.pad(depth, (1, 0))[:, :-1]
        # The innermost open bracket is the latest that opened to the present depth.
        times, levels = torch.arange(high), torch.arange(1, m + 1)[:, None]
        at_level = opens[:, None] & (depth[:, None] == levels)
        latest = torch.where(at_level, times, 0).cummax(2).values
        innermost = latest.gather(1, (depth - 1).clamp(min=0)[:, None])[:, 0]
        legal = torch.where(depth > 0, k + kinds.gather(1, innermost), 2 * k)
        x = torch.where(opens, kinds, F.pad(legal, (1, 0))[:, :-1])
        ends = self.draw_lengths(n, generator)
        asked = times < ends
        if self.supervise == "answer":
            asked = F.pad(asked & ~opens, (0, 1))[:, 1:]
        return x.masked_fill(times >= ends, 0), legal.masked_fill(~asked, IGNORED)

    def shortcuts(self) -> dict[str, Guess]:
        """`memoryless` knows the kind that has just been opened; after a closing one it guesses."""
        k, m = self.kinds, self.depth
        rises = np.full(m + 1, 0.5)
        rises[0], rises[m] = 1.0, 0.0
        low, high = self.lengths
        reached = np.clip((high - np.arange(high)) / (high - low + 1), 0, 1)
        asked, closes = reached, np.ones(m + 1)
        if self.supervise == "answer":
            asked, closes = np.append(reached[1:], 0.0), 1 - rises
        opened = closed = empty = 0.0
        depth = np.eye(m + 1)[0]
        for share in asked:
            up, down = np.roll(depth * rises, 1), np.roll(depth * (1 - rises), -1)
            opened += share * (up @ closes)
            closed += share * (down[1:] @ closes[1:])
            empty += share * down[0] * closes[0]
            depth = up + down
        joint = np.zeros((2 * k, k + 1))
        joint[:k, :k] = np.eye(k) * opened / k
        joint[k:, :k] = closed / k**2
        joint[k:, k] = empty / k
        return {"memoryless": best_guess(joint / joint.sum())}
