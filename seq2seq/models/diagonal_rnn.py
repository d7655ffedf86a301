"""The diagonal recurrent network: a linear system of independent modes, and a readout."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.batching import superposed
from seq2seq.models.impulse import Responses
from seq2seq.models.state_space import (
    PARAMETERISATIONS,
    Layer,
    Outputs,
    StateSpaceModel,
    check_parameterisation,
    geometric_sums,
    log_uniform,
    run_diagonal,
)

SPECTRA = ("real", "complex")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
}


class DiagonalLayer(Layer):
    """h_{t+1} = exp(λ dt) h_t + dt U x_t, read as the real numbers of σ(h)."""

    def __init__(
        self,
        input_dim: int,
        hidden_size: int,
        rates: Tensor,
        frequencies: Tensor | None,
        parameterisation: str,
        dt: float,
        activation: str,
    ) -> None:
        super().__init__()
        self.rate, inverse = PARAMETERISATIONS[parameterisation]
        self.decay = nn.Parameter(inverse(rates).to(torch.get_default_dtype()))
        self.frequency = None if frequencies is None else nn.Parameter(frequencies)
        self.input = nn.Linear(input_dim, hidden_size, bias=False)
        self.activation = ACTIVATIONS[activation]()
        self.dt = dt
        self.state_shape = (len(rates),)

    def logarithms(self) -> Tensor:
        rate = self.rate(self.decay.double()) * self.dt
        if self.frequency is None:
            return -rate
        return torch.complex(-rate, self.frequency.double() * self.dt)

    def forward(self, x: Tensor, h: Tensor | None, return_state: bool) -> Outputs:
        states, last = run_diagonal(self.logarithms(), self.input(x) * self.dt, h)
        return self.activation(states), last


class DiagonalRNN(StateSpaceModel):
    """The recurrent network of a diagonal continuous-time system, exact between samples.

        h_{t+1} = e^{λ·dt} h_t + dt·U x_t,    o_t = cᵀ h_{t+1} + d,

    so that with one layer and σ(z) = z the impulse response is dt Σ_n c_n U_n e^{λ_n s·dt}, the
    exponential sums of Li, Han, E and Li 2022 (JMLR 23, sec. 2). Layer l+1 reads σ(h) of layer l.
    `hidden_size` counts the real numbers in h: a `real` spectrum has as many eigenvalues, a
    `complex` one half as many, each standing for a conjugate pair.

    The decay rate −Re λ is a function of the weight w (Wang and Li 2023, StableSSM, sec. 3):
    `direct` −w, unstable where w > 0; `exp` e^w (Orvieto et al. 2023, sec. 3.3); `softplus`
    log(1 + e^w); `stable` 1/(w² + 1/2). Rates start log-uniform in [min_decay, max_decay] and
    angular frequencies Im λ uniform in [0, max_frequency], both per unit of time.

    Args:
        hidden_size: real numbers in the state of a layer.
        num_layers: layers, each reading the states of the one below.
        spectrum: real eigenvalues, or conjugate pairs.
        parameterisation: how a weight gives a decay rate; direct may become unstable.
        dt: time between samples.
        min_decay, max_decay: between which the decay rates start, per unit of time.
        max_frequency: largest angular frequency at the start, per unit of time.
        activation: σ between layers.

    Raises ValueError for an unknown spectrum, parameterisation or activation, an odd hidden_size
    with a complex spectrum, rates the parameterisation cannot reach, and sizes out of range.
    """

    start = ("min_decay", "max_decay", "max_frequency")

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        spectrum: Literal["real", "complex"] = "complex",
        parameterisation: Literal["direct", "exp", "softplus", "stable"] = "exp",
        dt: float = 1.0,
        min_decay: float = 0.01,
        max_decay: float = 1.0,
        max_frequency: float = math.pi,
        activation: Literal["linear", "tanh", "relu"] = "linear",
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.one_of("model.spectrum", spectrum, SPECTRA)
        checks.positive("model.dt", dt)
        checks.ordered("model.min_decay", min_decay, "model.max_decay", max_decay)
        check_parameterisation(parameterisation, max_decay, "model.max_decay=1.0")
        checks.one_of("model.activation", activation, list(ACTIVATIONS))
        if spectrum == "complex":
            checks.even("model.hidden_size", hidden_size)
        if max_frequency < 0:
            checks.refuse("model.max_frequency", max_frequency, "not be negative", 3.14)
        self.embedding = nn.Identity()
        self.layers = nn.ModuleList()
        count = hidden_size // 2 if spectrum == "complex" else hidden_size
        for layer in range(num_layers):
            rates = log_uniform(min_decay, max_decay, count)
            frequencies = max_frequency * torch.rand(count) if spectrum == "complex" else None
            width = input_dim if layer == 0 else hidden_size
            self.layers.append(
                DiagonalLayer(
                    width, hidden_size, rates, frequencies, parameterisation, dt, activation
                )
            )
        self.readout = nn.Linear(hidden_size, output_dim)
        self.dt, self.activation = dt, activation

    def batched_forward(self) -> Callable[[Tensor], Tensor]:
        """As a convolution where it is linear; vmap has rules for all that `forward` does."""
        if self.activation != "linear":
            return self.forward
        closed = self.responses if self.has_kernel else None
        return superposed(self.forward, self.hidden_size, closed)

    @property
    def is_linear(self) -> bool:
        return self.activation == "linear"

    @property
    def has_kernel(self) -> bool:
        """Whether `kernel` exists: for one linear layer."""
        return self.activation == "linear" and self.num_layers == 1

    def kernel(self, length: int) -> Tensor:
        """dt Σ_n c_n U_n e^{λ_n s·dt} for s < length, real part: (length, output_dim, input_dim).

        The response to an impulse. Raises ValueError unless `has_kernel`.
        """
        layer = self.layers[0]
        if not self.has_kernel or not isinstance(layer, DiagonalLayer):
            raise ValueError(self._no_kernel("activation", self.activation))
        c, U = self.readout.weight.double(), layer.input.weight.T.double()
        logarithms = layer.logarithms()
        if logarithms.is_complex():  # c₁ Re h + c₂ Im h = Re((c₁ − i c₂) h)
            c, U = (torch.view_as_complex(z.unflatten(1, (-1, 2)).contiguous()) for z in (c, U))
            c = c.conj()
        sums = geometric_sums(self.dt * c[:, None] * U, logarithms, length)
        return sums.permute(2, 0, 1).to(self.readout.weight.dtype)

    def responses(self, length: int) -> Responses:
        if not self.has_kernel:
            return super().responses(length)
        return self.kernel(length), self.readout.bias.expand(length, -1)  # at rest the state is 0
