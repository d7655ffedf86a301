"""The graph of a model: rows of nodes, one node per layer and time, and what each node reads.

The inputs lie below and the outputs above. A model that has `rows(length)` says what its layers
read: the taps and dilation of a convolution, the mask of an attention, and for a recurrence its own
predecessor, which carries the state. A node of the inputs reaches the output y_T exactly if
∂y_T/∂x_s need not vanish.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """The nodes of one layer, and what they read.

    Attributes:
        name, detail: how the row is labelled; neighbours of one name are one layer.
        reads: (time, time); [t, s] is whether node t reads node s of the row below.
        carries: whether node t also reads node t−1 of its own row.
        skip: how many rows down the node of the same time lies that is added; 0 for none.
    """

    name: str
    detail: str
    reads: Mask
    carries: bool = False
    skip: int = 0


@dataclass(frozen=True)
class Graph:
    """The rows above the inputs, from the lowest to the outputs.

    Attributes:
        rows: of which the last is the outputs.
        receptive_field: of the model; None if it sees all inputs.
    """

    rows: tuple[Row, ...]
    receptive_field: int | None

    @property
    def length(self) -> int:
        """Time steps."""
        return len(self.rows[0].reads)

    @cached_property
    def reached(self) -> Mask:
        """(1 + rows, time): the nodes that the last output depends on, the inputs first."""
        found = np.zeros((len(self.rows) + 1, self.length), bool)
        found[-1, -1] = True
        for level in range(len(self.rows), 0, -1):
            row = self.rows[level - 1]
            if row.carries:  # and so do all earlier nodes of the row
                found[level] = found[level, ::-1].cumsum()[::-1] > 0
            found[level - 1] |= row.reads[found[level]].any(0)
            if row.skip:
                found[level - row.skip] |= found[level]
        return found


def graph(model: nn.Module, length: int) -> Graph:
    """The nodes and edges of a model on sequences of `length` steps.

    Raises:
        ValueError: a model that does not say what its layers read.
    """
    return Graph(
        (*rows(model, length), Row("output y", "", np.eye(length, dtype=bool))),
        getattr(model, "receptive_field", None),
    )


def rows(model: nn.Module, length: int) -> Iterator[Row]:
    """The rows between inputs and outputs, as the model says."""
    own = getattr(type(model), "rows", None)
    if own is None:
        name = type(model).__name__
        raise ValueError(f"{name} has no drawing; give it a method rows(length) as RecurrentModel")
    yield from own(model, length)
