"""Temporal convolutional networks: stacks of causal dilated convolutions."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.convolution import CausalConvolution
from seq2seq.models.graph import Row
from seq2seq.models.model import SequenceModel, State

VARIANTS = ("residual", "plain")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "linear": nn.Identity,
}


#: A convolution spans at most 2^LARGEST steps.
LARGEST = 62


class TCN(SequenceModel):
    """Layers of causal dilated convolutions (dilation_base^0, dilation_base^1, …), then a readout.

    `residual` (Bai, Kolter and Koltun 2018, fig. 1): a layer is σ(x + F(x)), F being twice
    convolution, σ, dropout, all of one dilation and with weight normalisation; a linear map
    adapts x where the number of channels changes.
    `plain` (Jiang, Li and Li 2021, sec. 2): a layer is one convolution, σ, dropout. With the
    activation `linear` the model is a linear filter; with kernel_size 2, dilation_base 2 and 4
    layers it reaches 16 steps with 8 weights per path of channels.

    Args:
        hidden_size: channels of each layer.
        num_layers: layers; the dilation grows from one to the next.
        kernel_size: inputs that a convolution reads.
        dilation_base: factor by which the dilation grows.
        variant: residual blocks of two convolutions, or plain layers of one.
        activation: σ of each layer.
        dropout: share of a layer's channels that training leaves out.

    Raises ValueError for an unknown variant or activation, and for sizes or dropout out of range.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 5,
        kernel_size: int = 3,
        dilation_base: int = 2,
        variant: Literal["residual", "plain"] = "residual",
        activation: Literal["relu", "tanh", "linear"] = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.kernel_size", kernel_size)
        checks.integer("model.dilation_base", dilation_base)
        if math.log2(kernel_size) + (num_layers - 1) * math.log2(dilation_base) > LARGEST:
            raise ValueError(
                f"model.dilation_base={dilation_base} leads to convolutions over more than "
                f"2^{LARGEST} steps; lower it or model.num_layers"
            )
        checks.one_of("model.variant", variant, VARIANTS)
        checks.one_of("model.activation", activation, list(ACTIVATIONS))
        checks.within("model.dropout", dropout, "[0, 1)", 0.0)
        residual = variant == "residual"
        self.layers = nn.ModuleList()
        for layer in range(num_layers):
            width = input_dim if layer == 0 else hidden_size
            widths = [width, hidden_size] if residual else [width]
            self.layers.append(
                nn.ModuleList(
                    CausalConvolution(w, hidden_size, kernel_size, dilation_base**layer, residual)
                    for w in widths
                )
            )
        self.residual = residual
        adapts = residual and input_dim != hidden_size
        self.adapt = nn.Linear(input_dim, hidden_size) if adapts else nn.Identity()
        self.activation = ACTIVATIONS[activation]()
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(hidden_size, output_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self._layers(x, lambda convolution, z: self.activation(convolution(z)))

    def batched_forward(self) -> Callable[[Tensor], Tensor]:
        """Time leads and activations are part of convolutions, see `StackedConvolution`."""

        def convolve(convolution: CausalConvolution, z: Tensor) -> Tensor:
            return convolution.by_time(z, type(self.activation))

        return lambda x: self._layers(x.transpose(0, 1), convolve).transpose(0, 1)

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        queues, advanced = iter(state), []

        def convolve(convolution: CausalConvolution, z: Tensor) -> Tensor:
            y, queue = convolution.step(z, next(queues))
            advanced.append(queue)
            return self.activation(y)

        return self._layers(x_t, convolve), tuple(advanced)

    def _layers(self, x: Tensor, convolve: Callable[[Any, Tensor], Tensor]) -> Tensor:
        """The network, given how to convolve and activate: all times at once, or one time."""
        for depth, layer in enumerate(self.layers):
            z = x
            for convolution in layer.children():
                z = self.dropout(convolve(convolution, z))
            if self.residual:
                z = self.activation(z + (self.adapt(x) if depth == 0 else x))
            x = z
        return self.readout(x)

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """One queue of latest inputs per convolution: (batch, delay, channels)."""
        return tuple(
            torch.zeros(batch_size, c.delay, c.weight.shape[1], device=device, dtype=dtype)
            for c in self._convolutions()
        )

    def _convolutions(self) -> list[CausalConvolution]:
        return [module for module in self.modules() if isinstance(module, CausalConvolution)]

    @property
    def is_linear(self) -> bool:
        return isinstance(self.activation, nn.Identity)

    @property
    def receptive_field(self) -> int:
        """1 + the delays of all convolutions in line."""
        return 1 + sum(convolution.delay for convolution in self._convolutions())

    def rows(self, length: int) -> Iterator[Row]:
        """One row per convolution."""
        age = np.subtract.outer(np.arange(length), np.arange(length))
        for index, layer in enumerate(self.layers, 1):
            parts = [part for part in layer.children() if isinstance(part, CausalConvolution)]
            for number, part in enumerate(parts, 1):
                taps = part.dilation * np.arange(part.kernel_size)
                detail = f"dilation {part.dilation}, kernel {part.kernel_size}"
                skip = number if self.residual and number == len(parts) else 0
                yield Row(f"layer {index}", detail, np.isin(age, taps), skip=skip)
