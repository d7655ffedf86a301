"""Temporal convolutional networks: stacks of causal dilated convolutions."""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.model import SequenceModel, State

VARIANTS = ("residual", "plain")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "linear": nn.Identity,
}


class CausalConvolution(nn.Module):
    """y_t = b + Σ_{s<k} W_s x_{t−s·dilation}, with x = 0 before the first time; k = kernel_size.

    With `normalised`, weight normalisation (Salimans and Kingma 2016, eq. 2): the filter of each
    output channel is g v/‖v‖. The weight is stored as (out, in, k) with the latest time last.
    """

    def __init__(
        self, input_dim: int, output_dim: int, kernel_size: int, dilation: int, normalised: bool
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        start = nn.Conv1d(input_dim, output_dim, kernel_size)  # for torch's initialisation
        self.weight = nn.Parameter(start.weight.detach())
        self.bias = nn.Parameter(start.bias.detach()) if start.bias is not None else None
        self.gain = nn.Parameter(self.weight.detach().norm(dim=(1, 2))) if normalised else None

    @property
    def delay(self) -> int:
        """Steps back to the oldest input in reach."""
        return (self.kernel_size - 1) * self.dilation

    def filter(self) -> Tensor:
        if self.gain is None:
            return self.weight
        return self.weight * (self.gain / self.weight.norm(dim=(1, 2)))[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, in) -> (batch, time, out)."""
        # Taps older than the sequence meet only zeros. A two-dimensional convolution over a
        # channels-last image one pixel high is the same sum, and 1.6 times faster on CPU than
        # conv1d; (batch, time, channels) is that image already, so nothing is copied.
        taps = min(self.kernel_size, 1 + (x.shape[1] - 1) // self.dilation)
        padded = F.pad(x, (0, 0, (taps - 1) * self.dilation, 0))
        image = padded.permute(0, 2, 1)[:, :, None]
        weight = self.filter()[:, :, None, -taps:]
        y = F.conv2d(image, weight, self.bias, dilation=(1, self.dilation))
        return y[:, :, 0].permute(0, 2, 1)

    def step(self, x_t: Tensor, queue: Tensor) -> tuple[Tensor, Tensor]:
        """`queue` (batch, delay, in) holds the latest inputs, the oldest first."""
        window = torch.cat([queue, x_t[:, None]], 1)
        taps = window[:, :: self.dilation].transpose(1, 2)
        return F.linear(taps.flatten(1), self.filter().flatten(1), self.bias), window[:, 1:]


class TCN(SequenceModel):
    """Layers of causal dilated convolutions (dilation_base^0, dilation_base^1, …), then a readout.

    `residual` (Bai, Kolter and Koltun 2018, fig. 1): a layer is σ(x + F(x)), F being twice
    convolution, σ, dropout, all of one dilation and with weight normalisation; a linear map
    adapts x where the number of channels changes.
    `plain` (Jiang, Li and Li 2021, sec. 2): a layer is one convolution, σ, dropout. With the
    activation `linear` the model is a linear filter; with kernel_size 2, dilation_base 2 and 4
    layers it reaches 16 steps with 8 weights per path of channels.

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
        checks.integer("model.hidden_size", hidden_size)
        checks.integer("model.num_layers", num_layers)
        checks.integer("model.kernel_size", kernel_size)
        checks.integer("model.dilation_base", dilation_base)
        checks.one_of("model.variant", variant, VARIANTS)
        checks.one_of("model.activation", activation, list(ACTIVATIONS))
        checks.within("model.dropout", dropout, "[0, 1)", 0.0)
        self.input_dim, self.output_dim = input_dim, output_dim
        self.hidden_size, self.num_layers = hidden_size, num_layers
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
        return self._layers(x, lambda convolution, z: convolution(z))

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        queues, advanced = iter(state), []

        def convolve(convolution: CausalConvolution, z: Tensor) -> Tensor:
            y, queue = convolution.step(z, next(queues))
            advanced.append(queue)
            return y

        return self._layers(x_t, convolve), tuple(advanced)

    def _layers(self, x: Tensor, convolve: Callable[[Any, Tensor], Tensor]) -> Tensor:
        """The network, given how to convolve: all times at once, or one time and its queue."""
        for depth, layer in enumerate(self.layers):
            z = x
            for convolution in layer.children():
                z = self.dropout(self.activation(convolve(convolution, z)))
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
    def receptive_field(self) -> int:
        """1 + the delays of all convolutions in line."""
        return 1 + sum(convolution.delay for convolution in self._convolutions())

    @property
    def state_size(self) -> int:
        return sum(c.delay * c.weight.shape[1] for c in self._convolutions())
