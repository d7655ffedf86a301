"""State-space models: diagonal linear recurrences, alone and in blocks."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.model import RecurrentModel, State
from seq2seq.models.scan import diagonal_scan

# Each parameterisation as the decay rate −Re λ > 0 for the weight w, and its inverse.
PARAMETERISATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "direct": (torch.neg, torch.neg),
    "exp": (torch.exp, torch.log),
    "softplus": (F.softplus, lambda rate: torch.log(torch.expm1(rate))),
    "stable": (lambda w: 1 / (w.square() + 0.5), lambda rate: (1 / rate - 0.5).sqrt()),
}
FASTEST_STABLE = 2.0  # 1/(w² + 0.5) at w = 0
SPECTRA = ("real", "complex")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
}
S4D_INITIALISATIONS = ("lin", "inv", "real")
SHORT = 4096  # terms × lags up to which exponential sums are faster without the splitting


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


def causal_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """y_t = Σ_{s≤t} κ_s x_{t−s} by FFT: (…, time) and (…, time) -> (…, time)."""
    T = x.shape[-1]
    spectrum = torch.fft.rfft(x, 2 * T) * torch.fft.rfft(kernel, 2 * T)
    return torch.fft.irfft(spectrum, 2 * T)[..., :T]


def eigenvalue_pairs(logarithms: Tensor) -> Tensor:
    """The complex eigenvalues exp(z), with the conjugates that real arithmetic leaves unsaid."""
    eigenvalues = logarithms.detach().flatten().exp()
    if eigenvalues.is_complex():
        return torch.cat([eigenvalues, eigenvalues.conj()])
    return torch.complex(eigenvalues, torch.zeros_like(eigenvalues))


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
    def forward(
        self, x: Tensor, h: Tensor | None, return_state: bool
    ) -> tuple[Tensor, Tensor | None]:
        """(batch, time, in) -> (batch, time, out), from the state h (None: zero), and the last h.

        Without `return_state` the last h may be None.
        """

    @abstractmethod
    def logarithms(self) -> Tensor:
        """z with the eigenvalues exp(z), one of each conjugate pair; real if the state is.

        In float64, as rounding would turn the phase of late powers.
        """

    def step(self, x_t: Tensor, h: Tensor) -> tuple[Tensor, Tensor | None]:
        """(batch, in) -> (batch, out), and the next h."""
        y, h_next = self(x_t[:, None], h, True)
        return y[:, 0], h_next


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
    def state_size(self) -> int:
        return sum(
            math.prod(layer.state_shape) * (2 if layer.logarithms().is_complex() else 1)
            for layer in self._layers()
        )

    def eigenvalues(self) -> list[Tensor]:
        return [eigenvalue_pairs(layer.logarithms()) for layer in self._layers()]


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

    def forward(
        self, x: Tensor, h: Tensor | None, return_state: bool
    ) -> tuple[Tensor, Tensor | None]:
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

    Raises ValueError for an unknown spectrum, parameterisation or activation, an odd hidden_size
    with a complex spectrum, rates the parameterisation cannot reach, and sizes out of range.
    """

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
        checks.integer("model.hidden_size", hidden_size)
        checks.integer("model.num_layers", num_layers)
        checks.one_of("model.spectrum", spectrum, SPECTRA)
        checks.one_of("model.parameterisation", parameterisation, list(PARAMETERISATIONS))
        checks.positive("model.dt", dt)
        checks.ordered("model.min_decay", min_decay, "model.max_decay", max_decay)
        checks.one_of("model.activation", activation, list(ACTIVATIONS))
        if spectrum == "complex":
            checks.even("model.hidden_size", hidden_size)
        if max_frequency < 0:
            raise ValueError(
                f"model.max_frequency must not be negative, got {max_frequency}; "
                f"set model.max_frequency=3.14"
            )
        if parameterisation == "stable" and max_decay >= FASTEST_STABLE:
            raise ValueError(
                f"model.max_decay must be below {FASTEST_STABLE} for model.parameterisation=stable,"
                f" got {max_decay}; set model.max_decay=1.0 or model.parameterisation=exp"
            )
        self.input_dim, self.output_dim = input_dim, output_dim
        self.hidden_size, self.num_layers = hidden_size, num_layers
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
            raise ValueError(
                f"a kernel needs model.activation=linear and model.num_layers=1, got "
                f"activation={self.activation}, num_layers={self.num_layers}; "
                f"use impulse_response(model, length)"
            )
        c, U = self.readout.weight.double(), layer.input.weight.T.double()
        logarithms = layer.logarithms()
        if logarithms.is_complex():  # c₁ Re h + c₂ Im h = Re((c₁ − i c₂) h)
            c, U = (torch.view_as_complex(z.unflatten(1, (-1, 2)).contiguous()) for z in (c, U))
            c = c.conj()
        sums = geometric_sums(self.dt * c[:, None] * U, logarithms, length)
        return sums.permute(2, 0, 1).to(self.readout.weight.dtype)


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

    def forward(
        self, x: Tensor, h: Tensor | None, return_state: bool
    ) -> tuple[Tensor, Tensor | None]:
        z, h = self.core(self.norm(x), h, return_state)
        return x + self.dropout(self.mixing(z)), h

    def step(self, x_t: Tensor, h: Tensor) -> tuple[Tensor, Tensor | None]:
        z, h_next = self.core.step(self.norm(x_t), h)
        return x_t + self.dropout(self.mixing(z)), h_next


class LRULayer(Layer):
    """h_t = λ h_{t−1} + γ B x_t, y_t = Re(C h_t) + D x_t: Orvieto et al. 2023, sec. 3 and app. A.

    λ = exp(−e^ν + i e^θ) starts uniform, by area, on the ring between the two radii and up to
    max_phase, γ at √(1 − |λ|²), which keeps h of order one under white input.
    """

    def __init__(
        self,
        hidden_size: int,
        state_dim: int,
        min_radius: float,
        max_radius: float,
        max_phase: float,
    ) -> None:
        super().__init__()
        N = state_dim // 2
        squared = min_radius**2 + torch.rand(N) * (max_radius**2 - min_radius**2)
        # Away from 0 and 1, where the logarithms below are infinite.
        squared = squared.clamp(1e-6, 1 - 1e-6)
        self.nu = nn.Parameter((-squared.log() / 2).log())
        self.theta = nn.Parameter((max_phase * (1 - torch.rand(N))).log())
        self.gamma = nn.Parameter((1 - squared).log() / 2)  # its logarithm
        # Real and imaginary parts of B and C alternate.
        self.B = nn.Parameter(torch.randn(2 * N, hidden_size) / math.sqrt(2 * hidden_size))
        self.C = nn.Parameter(torch.randn(hidden_size, 2 * N) / math.sqrt(N))
        self.D = nn.Parameter(torch.randn(hidden_size))
        self.state_shape = (N,)

    def logarithms(self) -> Tensor:
        return torch.complex(-self.nu.double().exp(), self.theta.double().exp())

    def forward(
        self, x: Tensor, h: Tensor | None, return_state: bool
    ) -> tuple[Tensor, Tensor | None]:
        B = self.gamma.exp().repeat_interleave(2)[:, None] * self.B
        states, last = run_diagonal(self.logarithms(), F.linear(x, B), h)
        return F.linear(states, self.C) + self.D * x, last


class LRU(StateSpaceModel):
    """Linear recurrent units in residual blocks: Orvieto et al. 2023, fig. 1.

    Each block is x + Dropout(GLU(GELU(LRU(LN x)))); before them a linear embedding, after them a
    linear readout. `state_dim` counts the real numbers in a layer's state, which are state_dim/2
    complex ones. The eigenvalues start on the ring min_radius ≤ |λ| ≤ max_radius with phases up to
    max_phase, all of them trained: |λ| < 1 always.

    Raises ValueError for an odd state_dim, radii not in order within [0, 1], and sizes, phase or
    dropout out of range.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        state_dim: int = 64,
        min_radius: float = 0.9,
        max_radius: float = 0.999,
        max_phase: float = math.pi,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        checks.integer("model.hidden_size", hidden_size)
        checks.integer("model.num_layers", num_layers)
        checks.integer("model.state_dim", state_dim)
        checks.even("model.state_dim", state_dim)
        if not 0 <= min_radius <= max_radius <= 1:
            raise ValueError(
                f"0 <= model.min_radius <= model.max_radius <= 1 must hold, got {min_radius}, "
                f"{max_radius}; set model.min_radius=0.9 model.max_radius=0.999"
            )
        checks.positive("model.max_phase", max_phase)
        checks.within("model.dropout", dropout, "[0, 1)", 0.0)
        self.input_dim, self.output_dim = input_dim, output_dim
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.embedding = nn.Linear(input_dim, hidden_size)
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            core = LRULayer(hidden_size, state_dim, min_radius, max_radius, max_phase)
            mixing = nn.Sequential(nn.GELU(), nn.Linear(hidden_size, 2 * hidden_size), nn.GLU())
            self.layers.append(Block(core, mixing, hidden_size, dropout))
        self.readout = nn.Linear(hidden_size, output_dim)


class S4DLayer(Layer):
    """One diagonal system per channel, h' = A h + u, y = 2 Re(C h) + D u, held over steps of Δ.

    Gu et al. 2022 (S4D), sec. 3 and 4: zero-order hold, h_t = e^{ΔA} h_{t−1} + (e^{ΔA} − 1)/A u_t,
    with Re A = −exp(·) and C of unit variance; B = 1, as only C·B matters. With real A the factor
    2 Re, which stands for the conjugates, is 1.
    """

    def __init__(
        self, hidden_size: int, state_dim: int, initialisation: str, dt_min: float, dt_max: float
    ) -> None:
        super().__init__()
        real = initialisation == "real"
        N = state_dim if real else state_dim // 2
        n = torch.arange(N)
        decay = (n + 1.0 if real else torch.full((N,), 0.5)).repeat(hidden_size, 1)
        self.decay = nn.Parameter(decay.log())
        if real:
            self.frequency = None
            self.C = nn.Parameter(torch.randn(hidden_size, N))
        else:
            lin = math.pi * n
            inv = state_dim / math.pi * (state_dim / (2 * n + 1) - 1)
            frequency = lin if initialisation == "lin" else inv
            self.frequency = nn.Parameter(frequency.repeat(hidden_size, 1))
            self.C = nn.Parameter(torch.randn(hidden_size, N, 2) / math.sqrt(2))
        self.dt = nn.Parameter(log_uniform(dt_min, dt_max, hidden_size).log())  # its logarithm
        self.D = nn.Parameter(torch.randn(hidden_size))
        self.state_shape = (hidden_size, N)

    def _system(self) -> tuple[Tensor, Tensor, Tensor]:
        """In float64, (channels, N) each: ΔA, (e^{ΔA} − 1)/A, and the coefficients of h in y."""
        A, C = -self.decay.double().exp(), self.C.double()
        if self.frequency is not None:
            A = torch.complex(A, self.frequency.double())
            C = 2 * torch.view_as_complex(C)
        logarithms = self.dt.double().exp()[:, None] * A
        return logarithms, torch.expm1(logarithms) / A, C

    def logarithms(self) -> Tensor:
        return self._system()[0]

    def forward(
        self, x: Tensor, h: Tensor | None, return_state: bool
    ) -> tuple[Tensor, Tensor | None]:
        T = x.shape[1]
        u = x.transpose(1, 2)  # (batch, channels, time)
        logarithms, B, C = self._system()
        kernel = geometric_sums(B * C, logarithms, T).to(x.dtype)
        y = causal_convolution(u, kernel)
        last = None
        if h is not None or return_state:
            t = torch.arange(T + 1, device=x.device, dtype=torch.float64)
            powers = (logarithms[..., None] * t).exp()  # (channels, N, time)
            complex_or_real = x.dtype.to_complex() if powers.is_complex() else x.dtype
            if return_state:
                response = (B[..., None] * powers[..., :-1].flip(-1)).to(complex_or_real)
                last = torch.einsum("hnt,bht->bhn", response, u.to(complex_or_real))
            if h is not None:
                free = (C[..., None] * powers[..., 1:]).to(complex_or_real)
                y = y + torch.einsum("hnt,bhn->bht", free, h).real
                if last is not None:
                    last = last + powers[..., -1].to(complex_or_real) * h
        # Back in the order of memory that x has, or all that follows would be slow.
        return y.transpose(1, 2).contiguous() + self.D * x, last

    def step(self, x_t: Tensor, h: Tensor) -> tuple[Tensor, Tensor | None]:
        logarithms, B, C = self._system()
        eigenvalues, B, C = (z.to(h.dtype) for z in (logarithms.exp(), B, C))
        h = eigenvalues * h + B * x_t[..., None]
        return (C * h).sum(-1).real + self.D * x_t, h


class S4D(StateSpaceModel):
    """Diagonal structured state spaces in residual blocks: Gu, Gupta, Goel and Ré 2022.

    Each block is x + Dropout(Linear(GELU(S4D(LN x)))); before them a linear embedding, after them
    a linear readout. `state_dim` N counts the eigenvalues of each channel, conjugates included.
    `initialisation` (sec. 4): `lin` A_n = −1/2 + iπn, `inv` A_n = −1/2 + i(N/π)(N/(2n+1) − 1),
    `real` A_n = −(n+1). The step Δ of each channel starts log-uniform in [dt_min, dt_max], so its
    memory is of the order 1/Δ.

    Raises ValueError for an unknown initialisation, an odd state_dim, steps not positive and in
    order, and sizes or dropout out of range.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        state_dim: int = 64,
        initialisation: Literal["lin", "inv", "real"] = "lin",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        checks.integer("model.hidden_size", hidden_size)
        checks.integer("model.num_layers", num_layers)
        checks.integer("model.state_dim", state_dim)
        checks.even("model.state_dim", state_dim)
        checks.one_of("model.initialisation", initialisation, S4D_INITIALISATIONS)
        checks.ordered("model.dt_min", dt_min, "model.dt_max", dt_max)
        checks.within("model.dropout", dropout, "[0, 1)", 0.0)
        self.input_dim, self.output_dim = input_dim, output_dim
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.embedding = nn.Linear(input_dim, hidden_size)
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            core = S4DLayer(hidden_size, state_dim, initialisation, dt_min, dt_max)
            mixing = nn.Sequential(nn.GELU(), nn.Linear(hidden_size, hidden_size))
            self.layers.append(Block(core, mixing, hidden_size, dropout))
        self.readout = nn.Linear(hidden_size, output_dim)


def log_uniform(low: float, high: float, count: int) -> Tensor:
    """`count` draws whose logarithm is uniform in [log low, log high]."""
    return low * (high / low) ** torch.rand(count)
