"""What every sequence model offers."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.graph import Row
from seq2seq.models.impulse import Responses, probe

State = Any  # any nesting of tensors and tuples; only the model that made it looks inside


class SequenceModel(nn.Module, ABC):
    """A causal map from (batch, time, input_dim) to (batch, time, output_dim), of any length.

    `forward` treats all times at once and `step` one at a time; both give the same outputs.
    `receptive_field` is the number of latest inputs, the current one included, that an output can
    depend on (None: all of them). `state_size` is how many real numbers `step` carries per
    sequence (None: it grows with time).

    A model may also have `rows(length)`, its graph of layers (see `graph`); `attention(x)`, its
    attention weights, (batch, heads, time, time) per layer; and `batched_forward()`, its forward
    for many members at once (see `batching`).
    """

    #: Whether `forward` takes a state, and with `return_state` returns the last one.
    carries_state: bool = False

    #: Arguments that set where training starts and nothing else.
    start: tuple[str, ...] = ()

    input_dim: int
    output_dim: int
    hidden_size: int
    num_layers: int

    def _size(self, input_dim: int, output_dim: int, hidden_size: int, num_layers: int) -> None:
        """Check and keep what every model of the package is given."""
        checks.integer("model.hidden_size", hidden_size)
        checks.integer("model.num_layers", num_layers)
        self.input_dim, self.output_dim = input_dim, output_dim
        self.hidden_size, self.num_layers = hidden_size, num_layers

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
    def receptive_field(self) -> int | None:
        """All inputs, unless a model says otherwise."""
        return None

    @property
    def is_linear(self) -> bool:
        """Whether the outputs are linear in the inputs, but for a constant."""
        return False

    @property
    def has_nonnegative_eigenvalues(self) -> bool:
        """Whether the state is advanced by matrices whose eigenvalues are real and not negative.

        They may depend on the inputs but not on the state: h_t = A(x_t) h_{t−1} + b(x_t).
        """
        return False

    @property
    def has_real_eigenvalues(self) -> bool:
        """Whether they are real at least."""
        return self.has_nonnegative_eigenvalues

    @property
    def is_diagonal(self) -> bool:
        """Whether these matrices are diagonal, or would be in a basis that is always the same.

        A convolution before them, which has a memory of its own, counts as what is not.
        """
        return False

    @property
    def state_size(self) -> int | None:
        """As counted in `initial_state`."""
        return _numbers(self.initial_state(1, torch.device("cpu"), torch.float32))

    def responses(self, length: int) -> Responses:
        """The responses to impulses and to nothing, as `impulse.responses` says; by probing."""
        return probe(self, length, self.input_dim, next(self.parameters()))


class RecurrentModel(SequenceModel):
    """A sequence model whose state has a fixed size and can be handed from one call to the next.

    Cutting a sequence into pieces and passing the state along gives the outputs of the whole.
    """

    carries_state = True

    @abstractmethod
    def forward(self, x: Tensor, state: State = None, return_state: bool = False) -> Any:
        """Outputs for `x`, starting from `state` (None: `initial_state`).

        With `return_state` a pair: the outputs and the state after the last input.
        """

    def _no_kernel(self, key: str, value: str) -> str:
        return (
            f"a kernel needs model.{key}=linear and model.num_layers=1, got {key}={value}, "
            f"num_layers={self.num_layers}; use impulse_response(model, length)"
        )

    def eigenvalues(self) -> list[Tensor]:
        """Per layer, the complex eigenvalues of the map h_t -> h_{t+1}, without nonlinearity.

        An empty list where there are none, as by default, or where they depend on the inputs.
        """
        return []

    def spectra(self, x: Tensor) -> list[Tensor]:
        """Per layer, the eigenvalues of the transition at each time of x: (batch, time, n)."""
        return [found.expand(*x.shape[:2], -1) for found in self.eigenvalues()]

    def rows(self, length: int) -> Iterator[Row]:
        """One row per layer, whose nodes read the node below and carry the state."""
        return self._rows(length, type(self).__name__)

    def _rows(
        self, length: int, title: str, gated: bool = False, residual: bool = False
    ) -> Iterator[Row]:
        """With the layers' title; with gates, what is forgotten is not up to the eigenvalues."""
        spectra = [] if gated else self.eigenvalues()
        for index in range(self.num_layers):
            detail = f"state of {(self.state_size or 0) // self.num_layers:,}"
            if spectra:
                detail += f", |λ| ≤ {float(spectra[index].abs().max()):.3g}"
            name = f"layer {index + 1}: {title}"
            yield Row(name, detail, np.eye(length, dtype=bool), True, int(residual))


def eigenvalues(matrix: Tensor) -> Tensor:
    """(n,), complex; nan where the matrix is not finite, with which LAPACK may end the process."""
    if not matrix.isfinite().all():
        return torch.full_like(matrix[0], math.nan, dtype=matrix.dtype.to_complex())
    return torch.linalg.eigvals(matrix)


def _numbers(state: State) -> int:
    """How many real numbers a state of one sequence holds."""
    if isinstance(state, Tensor):
        return state.numel() * (1 + state.is_complex())
    return sum(_numbers(part) for part in state)
