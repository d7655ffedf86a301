"""Long convolutions whose filters are a network of the lag, between gates."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.convolution import causal_convolution
from seq2seq.models.graph import Row
from seq2seq.models.mixer import Mixer, MixerStack, ShortConvolution
from seq2seq.models.model import State

SLOW, FAST, REMAINDER = 1.5, 0.3, 0.01  # a filter falls to 1/100 at these multiples of max_length


class Sine(nn.Module):
    """sin(ω ⊙ z)."""

    def __init__(self, width: int, frequency: float) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.full((width,), frequency))

    def forward(self, z: Tensor) -> Tensor:
        return (self.frequency * z).sin()


class ImplicitFilters(nn.Module):
    """κ(lag) = e^{−δ·lag} MLP(lag/L, cos and sin of its waves), one row of them per lag."""

    rates: Tensor

    def __init__(
        self, filters: int, width: int, layers: int, bands: int, frequency: float, length: int
    ) -> None:
        super().__init__()
        self.bands, self.length = bands, length
        sine = Sine(width, frequency)  # all layers have one
        parts: list[nn.Module] = [nn.Linear(1 + 2 * bands, width), sine]
        for _ in range(layers):
            parts += [nn.Linear(width, width), sine]
        self.network = nn.Sequential(*parts, nn.Linear(width, filters, bias=False))
        rates = -math.log(REMAINDER) / length * torch.linspace(1 / SLOW, 1 / FAST, filters)
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, T: int) -> Tensor:
        """(lag, filters) for the lags below T."""
        lags = torch.arange(T, dtype=torch.float64, device=self.rates.device)[:, None]
        waves = torch.linspace(1e-4, max(self.bands - 1, 1e-4), self.bands, device=lags.device)
        phases = 2 * math.pi / self.length * lags * waves
        seen = torch.cat([lags / self.length, phases.cos(), -phases.sin()], 1).to(self.rates.dtype)
        filters: Tensor = self.network(seen) * (-self.rates * lags.to(seen.dtype)).exp()
        return filters


class HyenaMixer(Mixer):
    """x_1 ⊙ (κ_1 ∗ (x_2 ⊙ (κ_2 ∗ … v))), mapped back; see `Hyena`."""

    def __init__(self, hidden_size: int, order: int, conv: int, *filter_sizes: Any) -> None:
        super().__init__()
        self.parts = order + 1
        self.project = nn.Linear(hidden_size, self.parts * hidden_size)
        self.convolution = ShortConvolution(self.parts * hidden_size, conv, True, activated=False)
        self.filters = ImplicitFilters((order - 1) * hidden_size, *filter_sizes)
        self.skip = nn.Parameter(torch.randn(order - 1, hidden_size))
        self.mixing = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        queue, *pasts = state or (None, *[None] * (self.parts - 2))
        joint, queue = self.convolution(self.project(x), queue)
        *gates, v = joint.chunk(self.parts, -1)
        T = len(x) + (0 if pasts[0] is None else len(pasts[0]))
        kernels = self.filters(T).chunk(self.parts - 2, -1)
        kept = []
        for gate, kernel, skip, past in zip(gates[:0:-1], kernels, self.skip, pasts, strict=True):
            v = v * gate
            written = v if past is None else torch.cat([past, v])
            v = self._read(written, kernel, len(x)) + skip * v
            kept.append(written)
        return self.mixing(v * gates[0]), (queue, *kept)

    def _read(self, written: Tensor, kernel: Tensor, latest: int) -> Tensor:
        """The convolution of (time, batch, width) and (time, width) at the latest times."""
        if latest == 1:
            return torch.einsum("tbc,tc->bc", written.flip(0), kernel)[None]
        y = causal_convolution(written.permute(1, 2, 0), kernel.T)
        return y.permute(2, 0, 1)[-latest:]

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """The inputs that the short convolution keeps, and all that the long ones have read."""
        queue = self.convolution.initial_state(batch_size, device, dtype)
        nothing = queue.new_zeros(0, batch_size, queue.shape[-1] // self.parts)
        return queue, *[nothing] * (self.parts - 2)


class Hyena(MixerStack):
    """Gated long convolutions in residual blocks: Poli et al. 2023 (Hyena hierarchy), sec. 3.

        v ← x_i ⊙ v,  v ← κ_i ∗ v + d_i ⊙ v    for i = order, …, 2, and y = x_1 ⊙ v

    with x_1, …, x_order and v a short causal convolution of linear maps of the input, and filters
    κ(lag) = e^{−δ·lag} MLP(lag), the MLP with sines, on lag/L and its waves; δ is fixed, so that
    filters fall to 1/100 within 0.3 to 1.5 of L = max_length. There is no state of fixed size: the
    step form keeps what the convolutions have read, and its time per step grows with it.

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        order: gates; one less is the number of long convolutions, at least 1.
        filter_width, filter_layers: of the MLP: units, and hidden layers beyond the first.
        bands: waves of the lag that the MLP sees, with 0, …, bands − 1 periods in max_length.
        frequency: of its sines at the start.
        max_length: L; sequences may be longer.
        conv: inputs that the short convolution reads.
        mlp: width of a network after each layer, in hidden_sizes; 0 for none.
        dropout: share of a branch's outputs that training leaves out.

    Raises ValueError for sizes out of range.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        order: int = 2,
        filter_width: int = 64,
        filter_layers: int = 2,
        bands: int = 2,
        frequency: float = 10.0,
        max_length: int = 1024,
        conv: int = 3,
        mlp: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.order", order, 2)
        checks.integer("model.filter_width", filter_width)
        checks.integer("model.filter_layers", filter_layers, 0)
        checks.integer("model.bands", bands)
        checks.positive("model.frequency", frequency, 10.0)
        checks.integer("model.max_length", max_length)
        checks.integer("model.conv", conv)
        sizes = filter_width, filter_layers, bands, frequency, max_length
        self._build(lambda: HyenaMixer(hidden_size, order, conv, *sizes), mlp, dropout)

    @property
    def state_size(self) -> None:
        """It grows with time."""
        return None

    def rows(self, length: int) -> Iterator[Row]:
        """One row per layer, which sees all earlier times."""
        seen = np.tri(length, dtype=bool)
        for index in range(1, self.num_layers + 1):
            yield Row(f"layer {index}: Hyena", "long convolution", seen, skip=1)
