"""Causal convolution with a given filter."""

from typing import Any

from seq2seq.tasks.inputs import InputProcess, Uniform
from seq2seq.tasks.linear_functional import LinearFunctional

#: A bell over seven steps, the default filter.
BELL = (0.002, 0.022, 0.097, 0.159, 0.097, 0.022, 0.002)


class Convolution(LinearFunctional):
    """y_t = Σ_{s≥0} ρ(s) x_{t−s}: a linear functional whose time is counted in steps.

    Args:
        filter: as for `LinearFunctional`, with dt = 1; by default a bell over seven steps.
        length: time steps per sequence.
        channels: independent copies of the relation side by side.
        input: input process, uniform on (−1, 1) by default.
    """

    def __init__(
        self,
        filter: Any = None,
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
        super().__init__(
            BELL if filter is None else filter,
            length,
            1.0,
            channels,
            input or Uniform(),
            train_size,
            val_size,
            test_size,
            batch_size,
            online,
            seed,
        )
