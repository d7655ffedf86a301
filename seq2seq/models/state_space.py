"""What state-space models share: diagonal linear recurrences, alone and in blocks."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.batching import linear
from seq2seq.models.graph import Row
from seq2seq.models.model import RecurrentModel, State
from seq2seq.models.scan import diagonal_scan, scan_by_time

#: Each parameterisation as the decay rate −Re λ > 0 for the weight w, and its inverse: Wang and Li
#: 2023 (StableSSM), sec. 3.
PARAMETERISATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "direct": (torch.neg, torch.neg),
    "exp": (torch.exp, torch.log),
    "softplus": (F.softplus, lambda rate: torch.log(torch.expm1(rate))),
    "stable": (lambda w: 1 / (w.square() + 0.5), lambda rate: (1 / rate - 0.5).sqrt()),
}
FASTEST_STABLE = 2.0  # 1/(w² + 0.5) at w = 0

Outputs = tuple[Tensor, Tensor | None]  # of a layer, and its state after them if it is known
SHORT = 4096  # terms × lags up to which exponential sums are faster without the splitting


def check_parameterisation(name: str, fastest: float, remedy: str) -> None:
    """Raise ValueError for an unknown one, and for one that cannot start at the `fastest` rate."""
    checks.one_of("model.parameterisation", name, list(PARAMETERISATIONS))
    if name == "stable" and fastest >= FASTEST_STABLE:
        raise ValueError(
            f"rates must be below {FASTEST_STABLE} for model.parameterisation=stable, got "
            f"{fastest:.4g}; set {remedy} or model.parameterisation=exp"
        )


def geometric_sums(coefficients: Tensor, logarithms: Tensor, length: int) -> Tensor:
    """Re Σ_n c_n exp(l·z_n) for l < length: (…, N) and (…, N) -> (…, length).

    With l = S·i + j each sum is a matrix product of exp(S·i·z) and exp(j·z): O(N·length) of
    multiplications, but only O(N·√length) exponentials and memory. Short ones take
    fewer operations as they stand.
    """
    if logarithms.ndim == 1 and len(logarithms) * length <= SHORT:
        lags = torch.arange(length, device=logarithms.device, dtype=torch.float64)
        powers = (logarithms[:, None] * lags).exp()
        return (coefficients @ powers).real if powers.is_complex() else coefficients @ powers
    S = math.isqrt(length - 1) + 1
    j = torch.arange(S, device=logarithms.device, dtype=torch.float64)[:, None]
    i = j[: -(-length // S)] * S
    fine = (j * logarithms[..., None, :]).exp()
    coarse = (i * logarithms[..., None, :]).exp() * coefficients[..., None, :]
    if logarithms.is_complex():
        fine = torch.view_as_real(fine.conj().resolve_conj()).flatten(-2)
        coarse = torch.view_as_real(coarse).flatten(-2)
    return (coarse @ fine.mT).flatten(-2)[..., :length]


def run_diagonal(logarithms: Tensor, inputs: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
    """h_t = exp(z) h_{t−1} + u_t, real numbers in and out: (batch, time, R) -> the same, and h_T.

    For complex z two neighbours among the R numbers are one complex number.
    """
    u = inputs
    if logarithms.is_complex():
        u = torch.view_as_complex(inputs.unflatten(-1, (-1, 2)))
    eigenvalues = logarithms.exp().to(u.dtype)
    if h is not None:
        u = torch.cat([u[:, :1] + (eigenvalues * h)[:, None], u[:, 1:]], 1)
    states = diagonal_scan(eigenvalues, u)
    real = torch.view_as_real(states).flatten(-2) if states.is_complex() else states
    return real, states[:, -1]


class Layer(nn.Module, ABC):
    """A causal layer around a diagonal recurrence."""

    state_shape: tuple[int, ...]  # of h, per sequence

    @abstractmethod
    def forward(self, x: Tensor, h: Tensor | None, return_state: bool) -> Outputs:
        """(batch, time, in) -> (batch, time, out), from the state h (None: zero), and the last h.

        Without `return_state` the last h may be None.
        """

    @abstractmethod
    def logarithms(self) -> Tensor:
        """z with the eigenvalues exp(z), one of each conjugate pair; real if the state is.

        In float64, as rounding would turn the phase of late powers.
        """

    def step(self, x_t: Tensor, h: Tensor) -> Outputs:
        """(batch, in) -> (batch, out), and the next h."""
        y, h_next = self(x_t[:, None], h, True)
        return y[:, 0], h_next


class SharedStateLayer(Layer):
    """h_t = λ h_{t−1} + B x_t, y_t = Re(C h_t) + D x_t: one complex state for all channels.

    Real and imaginary parts alternate in the columns of C and the rows of B.
    """

    C: nn.Parameter
    D: nn.Parameter

    @abstractmethod
    def input_map(self) -> Tensor:
        """B, (2N, channels)."""

    def forward(self, x: Tensor, h: Tensor | None, return_state: bool) -> Outputs:
        states, last = run_diagonal(self.logarithms(), F.linear(x, self.input_map()), h)
        return F.linear(states, self.C) + self.D * x, last

    def batched_forward(self) -> Callable[..., Outputs]:
        """On (time, batch, channels), as `BlockModel` wants it."""

        def forward(x: Tensor, h: None, return_state: bool) -> Outputs:
            u = torch.view_as_complex(linear(x, self.input_map(), None).unflatten(-1, (-1, 2)))
            states = scan_by_time(self.logarithms().exp().to(u.dtype), u)
            y = linear(torch.view_as_real(states).flatten(-2), self.C, None)
            return y + self.D * x, None

        return forward


class StateSpaceModel(RecurrentModel):
    """An embedding, layers around diagonal recurrences, and a readout, which subclasses provide."""

    embedding: nn.Module
    readout: nn.Linear
    layers: nn.ModuleList

    def forward(self, x: Tensor, state: State = None, return_state: bool = False) -> Any:
        z = self.embedding(x)
        final = []
        for layer, h in zip(self.layers, state or [None] * self.num_layers, strict=True):
            z, h_last = layer(z, h, return_state)
            final.append(h_last)
        y = self.readout(z)
        return (y, tuple(final)) if return_state else y

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        z = self.embedding(x_t)
        final = []
        for layer, h in zip(self._layers(), state, strict=True):
            z, h_next = layer.step(z, h)
            final.append(h_next)
        return self.readout(z), tuple(final)

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """Per layer h, (batch, N) or for S4D (batch, channels, N); complex where Λ is."""
        return tuple(
            torch.zeros(
                batch_size,
                *layer.state_shape,
                device=device,
                dtype=dtype.to_complex() if layer.logarithms().is_complex() else dtype,
            )
            for layer in self._layers()
        )

    def _layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    @property
    def has_nonnegative_eigenvalues(self) -> bool:
        return not any(layer.logarithms().is_complex() for layer in self._layers())

    @property
    def is_diagonal(self) -> bool:
        return True

    def eigenvalues(self) -> list[Tensor]:
        """With the conjugates that real arithmetic leaves unsaid."""
        found = [layer.logarithms().detach().flatten().exp() for layer in self._layers()]
        return [
            torch.cat([z, z.conj()]) if z.is_complex() else z.to(z.dtype.to_complex())
            for z in found
        ]


class Block(Layer):
    """x + Dropout(Mixing(Core(LN x))), with a `core` that keeps the width."""

    def __init__(self, core: Layer, mixing: nn.Module, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.core = core
        self.mixing = mixing
        self.dropout = nn.Dropout(dropout)
        self.state_shape = core.state_shape

    def logarithms(self) -> Tensor:
        return self.core.logarithms()

    def forward(self, x: Tensor, h: Tensor | None, return_state: bool) -> Outputs:
        z, h = self.core(self.norm(x), h, return_state)
        return x + self.dropout(self.mixing(z)), h

    def step(self, x_t: Tensor, h: Tensor) -> Outputs:
        z, h_next = self.core.step(self.norm(x_t), h)
        return x_t + self.dropout(self.mixing(z)), h_next


class BlockModel(StateSpaceModel):
    """A linear embedding, residual blocks and a linear readout."""

    def _build(
        self, core: Callable[[], Layer], mixing: Callable[[], nn.Module], dropout: float
    ) -> None:
        checks.within("model.dropout", dropout, "[0, 1)", 0.0)
        self.embedding = nn.Linear(self.input_dim, self.hidden_size)
        self.layers = nn.ModuleList(
            Block(core(), mixing(), self.hidden_size, dropout) for _ in range(self.num_layers)
        )
        self.readout = nn.Linear(self.hidden_size, self.output_dim)

    def batched_forward(self) -> Callable[[Tensor], Tensor]:
        """Time leads, as recurrences want it; whatever is not a core treats rows alike."""

        def forward(x: Tensor) -> Tensor:
            y: Tensor = StateSpaceModel.forward(self, x.transpose(0, 1))
            return y.transpose(0, 1)

        return forward

    def rows(self, length: int) -> Iterator[Row]:
        return self._rows(length, type(self).__name__, residual=True)


def log_uniform(low: float, high: float, count: int) -> Tensor:
    """`count` draws whose logarithm is uniform in [log low, log high]."""
    return low * (high / low) ** torch.rand(count)
