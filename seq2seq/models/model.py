"""What every sequence model offers."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

State = Any  # any nesting of tensors and tuples; only the model that made it looks inside


class SequenceModel(nn.Module, ABC):
    """A causal map from (batch, time, input_dim) to (batch, time, output_dim), of any length.

    `forward` treats all times at once and `step` one at a time; both give the same outputs.
    `receptive_field` is the number of latest inputs, the current one included, that an output can
    depend on (None: all of them). `state_size` is how many real numbers `step` carries per
    sequence (None: it grows with time).
    """

    input_dim: int
    output_dim: int
    hidden_size: int
    num_layers: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Outputs (batch, time, output_dim) for inputs (batch, time, input_dim)."""

    @abstractmethod
    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """The state before the first input."""

    @abstractmethod
    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        """The output (batch, output_dim) for the input (batch, input_dim), and the next state."""

    @property
    @abstractmethod
    def receptive_field(self) -> int | None: ...

    @property
    @abstractmethod
    def state_size(self) -> int | None: ...


class RecurrentModel(SequenceModel):
    """A sequence model whose state has a fixed size and can be handed from one call to the next.

    Cutting a sequence into pieces and passing the state along gives the outputs of the whole.
    """

    receptive_field = None
    layers: nn.ModuleList

    @abstractmethod
    def forward(self, x: Tensor, state: State = None, return_state: bool = False) -> Any:
        """Outputs for `x`, starting from `state` (None: `initial_state`).

        With `return_state` a pair: the outputs and the state after the last input.
        """

    @abstractmethod
    def eigenvalues(self) -> list[Tensor]:
        """Per layer, the complex eigenvalues of the map h_t -> h_{t+1}, without nonlinearity."""
