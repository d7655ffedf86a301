"""Diagonal structured state spaces."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.convolution import causal_convolution, convolve_channels
from seq2seq.models.state_space import (
    PARAMETERISATIONS,
    BlockModel,
    Layer,
    Outputs,
    check_parameterisation,
    geometric_sums,
    log_uniform,
)

S4D_INITIALISATIONS = ("lin", "inv", "real")
LONGEST = 256  # sequences for which the matrix of a convolution is cheaper than FFTs


class S4DLayer(Layer):
    """One diagonal system per channel, h' = A h + u, y = 2 Re(C h) + D u, held over steps of Δ.

    Gu et al. 2022 (S4D), sec. 3 and 4: zero-order hold, h_t = e^{ΔA} h_{t−1} + (e^{ΔA} − 1)/A u_t,
    with −Re A = exp(·) or another rate, and C of unit variance; B = 1, as only C·B matters. With
    real A the factor 2 Re, which stands for the conjugates, is 1.
    """

    def __init__(
        self,
        hidden_size: int,
        state_dim: int,
        initialisation: str,
        dt_min: float,
        dt_max: float,
        parameterisation: str,
    ) -> None:
        super().__init__()
        self.rate, inverse = PARAMETERISATIONS[parameterisation]
        real = initialisation == "real"
        N = state_dim if real else state_dim // 2
        n = torch.arange(N)
        decay = (n + 1.0 if real else torch.full((N,), 0.5)).repeat(hidden_size, 1)
        self.decay = nn.Parameter(inverse(decay))
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
        A, C = -self.rate(self.decay.double()), self.C.double()
        if self.frequency is not None:
            A = torch.complex(A, self.frequency.double())
            C = 2 * torch.view_as_complex(C)
        logarithms = self.dt.double().exp()[:, None] * A
        return logarithms, torch.expm1(logarithms) / A, C

    def logarithms(self) -> Tensor:
        return self._system()[0]

    def forward(self, x: Tensor, h: Tensor | None, return_state: bool) -> Outputs:
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

    def batched_forward(self) -> Callable[..., Outputs]:
        """On (time, batch, channels), as `BlockModel` wants it."""

        def forward(x: Tensor, h: None, return_state: bool) -> Outputs:
            T = len(x)
            logarithms, B, C = self._system()
            kernel = geometric_sums(B * C, logarithms, T).to(x.dtype)
            if T > LONGEST:
                y = causal_convolution(x.permute(1, 2, 0), kernel).permute(2, 0, 1).contiguous()
                return y + self.D * x, None
            now = torch.arange(T, device=x.device) == 0
            return convolve_channels(x, kernel + now * self.D[:, None]), None

        return forward

    def step(self, x_t: Tensor, h: Tensor) -> Outputs:
        logarithms, B, C = self._system()
        eigenvalues, B, C = (z.to(h.dtype) for z in (logarithms.exp(), B, C))
        h = eigenvalues * h + B * x_t[..., None]
        return (C * h).sum(-1).real + self.D * x_t, h


class S4D(BlockModel):
    """Diagonal structured state spaces in residual blocks: Gu, Gupta, Goel and Ré 2022.

    Each block is x + Dropout(Linear(GELU(S4D(LN x)))); before them a linear embedding, after them
    a linear readout. `state_dim` N counts the eigenvalues of each channel, conjugates included.
    `initialisation` (sec. 4): `lin` A_n = −1/2 + iπn, `inv` A_n = −1/2 + i(N/π)(N/(2n+1) − 1),
    `real` A_n = −(n+1). The step Δ of each channel starts log-uniform in [dt_min, dt_max], so its
    memory is of the order 1/Δ.

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        state_dim: eigenvalues of each channel, conjugates included.
        initialisation: of the eigenvalues, complex (lin, inv) or real.
        dt_min, dt_max: between which the step Δ of each channel starts.
        dropout: share of a block's outputs that training leaves out.
        parameterisation: how a weight gives −Re A, as in `DiagonalRNN`; stable: not for real.

    Raises ValueError for an unknown initialisation or parameterisation, an odd state_dim, steps not
    positive and in order, and sizes or dropout out of range.
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
        parameterisation: Literal["direct", "exp", "softplus", "stable"] = "exp",
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.state_dim", state_dim)
        checks.even("model.state_dim", state_dim)
        checks.one_of("model.initialisation", initialisation, S4D_INITIALISATIONS)
        checks.ordered("model.dt_min", dt_min, "model.dt_max", dt_max)
        fastest = state_dim if initialisation == "real" else 0.5
        check_parameterisation(parameterisation, fastest, "model.initialisation=lin")
        self._build(
            lambda: S4DLayer(
                hidden_size, state_dim, initialisation, dt_min, dt_max, parameterisation
            ),
            lambda: nn.Sequential(nn.GELU(), nn.Linear(hidden_size, hidden_size)),
            dropout,
        )
