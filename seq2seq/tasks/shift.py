"""Recall of the input k steps ago."""

import torch.nn.functional as F
from torch import Tensor

from seq2seq.tasks.inputs import GP, InputProcess
from seq2seq.tasks.linear_functional import LinearFunctional
from seq2seq.theory.kernels import Impulse


class Shift(LinearFunctional):
    """y_t = x_{t−k}, and 0 for t < k: the linear functional whose kernel is an impulse at k.

    Args:
        k: steps of delay, 0 ≤ k < length.
        length: time steps per sequence.
        channels: independent copies of the relation side by side.
        input: input process, a smooth Gaussian process by default.

    Raises:
        ValueError: k outside 0 … length − 1, or a size out of range.
    """

    def __init__(
        self,
        k: int = 8,
        length: int = 32,
        channels: int = 1,
        input: InputProcess | None = None,
        train_size: int = 10000,
        val_size: int = 1000,
        test_size: int = 1000,
        batch_size: int = 128,
        online: bool = False,
        seed: int = 0,
    ) -> None:
        if k < 0:
            raise ValueError(f"k must be at least 0, got k={k}; raise task.k")
        if 1 <= length <= k:
            raise ValueError(
                f"k must be smaller than length, got k={k}, length={length}; "
                "raise task.length or lower task.k"
            )
        super().__init__(
            Impulse(k),
            length,
            1.0,
            channels,
            input or GP(),
            train_size,
            val_size,
            test_size,
            batch_size,
            online,
            seed,
        )
        self.k = k

    def targets(self, x: Tensor) -> Tensor:
        """An exact copy, delayed: (B, T, D) -> (B, T, D)."""
        return F.pad(x, (0, 0, self.k, 0))[:, : x.shape[1]]
