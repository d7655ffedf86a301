"""The loss and the learning rate of every step of a run."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

#: Steps after which their losses are read at once. What stops a run by its losses looks at them
#: then, so that a run ends where it does however often it logs.
READ_EVERY = 50


class History:
    """Step, loss and learning rate of every optimisation step.

    Losses wait on their device until `flush` reads a block of them at once.
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.rates: list[float] = []
        self._waiting: list[Tensor] = []

    @property
    def first(self) -> float:
        """The loss of the first step."""
        return self.losses[0] if self.losses else math.nan

    @property
    def last(self) -> float:
        """The latest loss."""
        return float(self._waiting[-1]) if self._waiting else (self.losses or [math.nan])[-1]

    def append(self, step: int, loss: Tensor, lr: float) -> None:
        """Note the loss and rate of one step."""
        self.steps.append(step + 1)
        self.rates.append(float(lr))
        self._waiting.append(loss)

    def flush(self) -> None:
        """Read the losses noted since the last call."""
        if self._waiting:
            self.losses += torch.stack(self._waiting).tolist()
            self._waiting.clear()

    def arrays(self) -> dict[str, np.ndarray]:
        """`step` (counted from 1), `loss` and `lr` as arrays."""
        self.flush()
        return {
            "step": np.asarray(self.steps, dtype=np.int64),
            "loss": np.asarray(self.losses, dtype=np.float64),
            "lr": np.asarray(self.rates, dtype=np.float64),
        }

    def restore(self, arrays: Mapping[str, np.ndarray | Tensor], steps: int) -> None:
        """Take over the first `steps` steps of a stored history.

        Raises:
            ValueError: it holds fewer.
        """
        if len(arrays["step"]) < steps:
            raise ValueError(f"history has {len(arrays['step'])} steps, the checkpoint {steps}")
        self.steps = arrays["step"][:steps].tolist()
        self.losses = arrays["loss"][:steps].tolist()
        self.rates = arrays["lr"][:steps].tolist()
        self._waiting.clear()
