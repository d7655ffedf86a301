"""The smallest machines that do what a task asks: what its memory must be, and not how it is built.

A task says which one it asks for (`SequenceTask.machine`), `seq2seq.models.constructions` sets the
weights of models so that they are one, and the numbers here say how small a state can be.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Taps:
    """y_t = Σ_s W_s x_{t−s}, with x = 0 before the first step.

    Attributes:
        weights: W, (lags, outputs, inputs), the last one not zero.
    """

    weights: Array


@dataclass(frozen=True)
class Delay:
    """The token of `lag` steps ago, or the first answer where there was none or no answer.

    Attributes:
        lag: in steps.
        answers: tokens that may be answered; the first one stands for nothing.
        tokens: how many there are.
    """

    lag: int
    answers: Numbers
    tokens: int


@dataclass(frozen=True)
class Automaton:
    """s_t = moves[x_t, s_{t−1}] from s_0 = 0, and the answer s_t.

    Attributes:
        moves: (tokens, states), where each token leads from each state.
        matrices: orthogonal ones by which the tokens act, (tokens, d, d), if moves have inverses:
            different states are different products of them. None if nothing is known of them.
    """

    moves: Numbers
    matrices: Array | None = None

    def states(self) -> Array:
        """The product of matrices that each state stands for, (states, d, d).

        Raises:
            ValueError: there are no matrices.
        """
        if self.matrices is None:
            raise ValueError("an automaton without matrices has no products of them")
        found = {0: np.eye(self.matrices.shape[-1])}
        fresh = [0]
        while fresh:
            state = fresh.pop()
            for matrix, after in zip(self.matrices, self.moves[:, state].tolist(), strict=True):
                if after not in found:
                    found[after] = matrix @ found[state]
                    fresh.append(after)
        return np.stack([found[state] for state in sorted(found)])


@dataclass(frozen=True)
class Dictionary:
    """At a key, the value that followed it last; elsewhere nothing is asked.

    Attributes:
        keys, values: which tokens they are.
        tokens: how many there are.
    """

    keys: Numbers
    values: Numbers
    tokens: int


@dataclass(frozen=True)
class MarkedSum:
    """y_t = Σ_{s≤t} m_s u_s for x = (u, m), u in [0, 1] and m either 0 or 1."""


Machine = Taps | Delay | Automaton | Dictionary | MarkedSum
