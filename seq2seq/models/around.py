"""Models around a model: what it is given and what it answers pass through other maps."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from seq2seq.models.graph import Row, rows
from seq2seq.models.model import SequenceModel, State


class Around(SequenceModel):
    """o_t = leave(model(enter(x_t))), `enter` and `leave` being maps without a memory.

    Any module may stand inside. What it cannot do, the whole cannot do either.
    """

    model: Any
    has_step: bool

    def _surround(self, model: Any) -> None:
        self.carries_state = getattr(model, "carries_state", False) is True
        self.has_step = hasattr(type(model), "step")
        self.model = model

    @abstractmethod
    def enter(self, x: Tensor) -> Tensor:
        """What the model is given for x, (batch, …, channels)."""

    @abstractmethod
    def leave(self, output: Tensor) -> Tensor:
        """The answer, from the model's `output`."""

    def forward(self, x: Tensor, state: State = None, return_state: bool = False) -> Any:
        """Answers to x; a recurrent model takes and returns its state on request."""
        if state is None and not return_state:
            return self.leave(self.model(self.enter(x)))
        output, state = self.model(self.enter(x), state, return_state=True)
        return (self.leave(output), state) if return_state else self.leave(output)

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        output, state = self.model.step(self.enter(x_t), state)
        return self.leave(output), state

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        return self.model.initial_state(batch_size, device, dtype)

    def on_channels(self, x: Tensor) -> tuple[Tensor, Any]:
        """What the model reads for x, and the model."""
        with torch.no_grad():
            return self.enter(x), self.model

    @torch.no_grad()
    def spectra(self, x: Tensor) -> list[Tensor]:
        """Those of the recurrent model inside: per layer (batch, time, n), complex.

        Raises:
            AttributeError: it is not recurrent.
        """
        found: list[Tensor] = self.model.spectra(self.enter(x))
        return found

    def rows(self, length: int) -> Iterator[Row]:
        """Those of the model inside."""
        return rows(self.model, length)

    @property
    def receptive_field(self) -> int | None:
        return getattr(self.model, "receptive_field", None)

    @property
    def is_linear(self) -> bool:
        return getattr(self.model, "is_linear", False)

    @property
    def has_nonnegative_eigenvalues(self) -> bool:
        return getattr(self.model, "has_nonnegative_eigenvalues", False)

    @property
    def has_real_eigenvalues(self) -> bool:
        return getattr(self.model, "has_real_eigenvalues", False)

    @property
    def is_diagonal(self) -> bool:
        return getattr(self.model, "is_diagonal", False)

    @property
    def num_layers(self) -> int:  # type: ignore[override]
        return getattr(self.model, "num_layers", 1)

    @property
    def state_size(self) -> int | None:
        return getattr(self.model, "state_size", None)
