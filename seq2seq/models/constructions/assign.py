"""What all constructions share: how to refuse a model, and to set a parameter."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

#: An argument at which sigmoid, tanh and softplus are, to the last bit, at their limits.
SATURATED = 1000.0

#: Length of a key before it is normalised, which divides by a little more than that.
LONG = 1e6

#: By how many nats the right answer stands above the others.
SURE = 60.0


class NoConstruction(ValueError):
    """No weights are known by which this model, of this size, is that machine."""


def need(key: str, given: int, least: int) -> None:
    if given < least:
        raise NoConstruction(f"the construction needs {key} ≥ {least}, got {given}")


def only(condition: bool, words: str) -> None:
    if not condition:
        raise NoConstruction(f"the construction needs {words}")


def assign(parameter: Tensor, value: Any) -> None:
    parameter.copy_(torch.as_tensor(np.asarray(value), dtype=parameter.dtype))
