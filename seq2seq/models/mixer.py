"""Residual blocks around a layer that mixes times, and what such layers share."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.graph import Row
from seq2seq.models.model import RecurrentModel, SequenceModel, State, eigenvalues
from seq2seq.models.state_space import log_uniform

RANGES = ([0, 1], [-1, 1])

#: Of a short convolution, whose taps are added one after the other.
MOST_TAPS = 64


def has_negative(eigenvalues: Sequence[int]) -> bool:
    """Whether the range is [-1, 1] instead of [0, 1]; raise ValueError for any other."""
    given = list(eigenvalues) if isinstance(eigenvalues, Sequence) else eigenvalues
    checks.one_of("model.eigenvalues", given, RANGES)
    return given == RANGES[1]


def spread(gate: Tensor, negative: bool) -> Tensor:
    """A gate in [0, 1], or stretched to [−1, 1]: Grazzi et al. 2025, sec. 4."""
    return 2 * gate - 1 if negative else gate


def step_bias(count: int, low: float = 1e-3, high: float = 0.1) -> Tensor:
    """b with softplus(b) log-uniform in [low, high]: Gu and Dao 2023, sec. 3.6."""
    return torch.expm1(log_uniform(low, high, count)).log()


class Mixer(nn.Module, ABC):
    """A causal layer with a state."""

    @abstractmethod
    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(time, batch, width) -> outputs, from `state` (None: the initial one), and the last."""

    @abstractmethod
    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """The state before the first input."""


class Recurrence(Mixer):
    """A mixer whose state has a fixed size."""

    #: As in `SequenceModel`.
    has_nonnegative_eigenvalues = False
    has_real_eigenvalues = False
    is_diagonal = False

    @abstractmethod
    def spectrum(self, x: Tensor) -> Tensor:
        """The eigenvalues of each time's transition: (time, batch, width) -> (time, batch, n)."""


class Cell(Mixer):
    """A mixer whose state a matrix would advance, were it not for a nonlinearity."""

    @abstractmethod
    def linearised(self) -> Tensor:
        """That matrix, (n, n)."""


class ShortConvolution(nn.Module):
    """SiLU(b + Σ_{s<k} w_s ⊙ x_{t−s}), channel by channel; it starts as torch's Conv1d."""

    def __init__(self, width: int, taps: int, bias: bool, activated: bool = True) -> None:
        super().__init__()
        if taps > MOST_TAPS:
            rule = f"be at most {MOST_TAPS}, as a short convolution adds tap by tap"
            checks.refuse("model.conv", taps, rule, 4)
        self.width, self.taps, self.activated = width, taps, activated
        bound = 1 / math.sqrt(taps)
        self.weight = nn.Parameter(torch.empty(taps, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound)) if bias else None

    def forward(self, x: Tensor, queue: Tensor | None) -> tuple[Tensor, Tensor]:
        """(time, batch, width) after the inputs in `queue` (taps − 1, batch, width; None: 0)."""
        T = len(x)
        if queue is None:
            queue = x.new_zeros(self.taps - 1, *x.shape[1:])
        joined = torch.cat([queue, x])
        y = x * self.weight[-1]
        for tap in range(self.taps - 1):
            y = torch.addcmul(y, joined[tap : tap + T], self.weight[tap])
        if self.bias is not None:
            y = y + self.bias
        return F.silu(y) if self.activated else y, joined[T:]

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        return torch.zeros(self.taps - 1, batch_size, self.width, device=device, dtype=dtype)


class MixerBlock(nn.Module):
    """x + Mixer(LN x), then, with an MLP of a positive width, x + MLP(LN x)."""

    def __init__(self, mixer: Mixer, hidden_size: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.mixer = mixer
        self.dropout = nn.Dropout(dropout)
        self.mlp = None
        if mlp:
            self.mlp = nn.Sequential(
                nn.LayerNorm(hidden_size),
                nn.Linear(hidden_size, mlp * hidden_size),
                nn.GELU(),
                nn.Linear(mlp * hidden_size, hidden_size),
            )

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        z, state = self.mixer(self.norm(x), state)
        x = x + self.dropout(z)
        return x if self.mlp is None else x + self.dropout(self.mlp(x)), state


class MixerStack(SequenceModel):
    """An embedding, layers that mix times, a norm and a linear readout; time leads inside."""

    embedding: nn.Module
    layers: nn.ModuleList
    norm: nn.Module
    readout: nn.Linear
    title = ""  # as a drawing names the layers, if not as the class

    def _build(self, mixer: Callable[[], Mixer], mlp: int, dropout: float) -> None:
        """Residual blocks between linear maps, the last one after a norm."""
        checks.integer("model.mlp", mlp, 0)
        checks.within("model.dropout", dropout, "[0, 1)", 0.0)
        self.embedding = nn.Linear(self.input_dim, self.hidden_size)
        self.layers = nn.ModuleList(
            MixerBlock(mixer(), self.hidden_size, mlp, dropout) for _ in range(self.num_layers)
        )
        self.norm = nn.LayerNorm(self.hidden_size)
        self.readout = nn.Linear(self.hidden_size, self.output_dim)

    def forward(self, x: Tensor, state: State = None, return_state: bool = False) -> Any:
        z = self.embedding(x.transpose(0, 1))
        final = []
        for layer, before in zip(self.layers, state or [None] * self.num_layers, strict=True):
            z, after = layer(z, before)
            final.append(after)
        y = self.readout(self.norm(z)).transpose(0, 1)
        return (y, tuple(final)) if return_state else y

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.forward(x_t[:, None], state, True)
        return y[:, 0], state

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """Per layer that of its mixer."""
        mixers = (module for module in self.modules() if isinstance(module, Mixer))
        return tuple(mixer.initial_state(batch_size, device, dtype) for mixer in mixers)


class MixerModel(MixerStack, RecurrentModel):
    """Residual blocks whose mixers have states of fixed size."""

    @property
    def has_nonnegative_eigenvalues(self) -> bool:
        return all(mixer.has_nonnegative_eigenvalues for mixer in self._recurrences())

    @property
    def has_real_eigenvalues(self) -> bool:
        return all(mixer.has_real_eigenvalues for mixer in self._recurrences())

    @property
    def is_diagonal(self) -> bool:
        return all(mixer.is_diagonal for mixer in self._recurrences())

    def _recurrences(self) -> list[Recurrence]:
        return [module for module in self.modules() if isinstance(module, Recurrence)]

    @torch.no_grad()
    def spectra(self, x: Tensor) -> list[Tensor]:
        z = self.embedding(x.transpose(0, 1))
        found = []
        for layer in self.layers:
            assert isinstance(layer, MixerBlock)
            assert isinstance(layer.mixer, Recurrence)
            found.append(layer.mixer.spectrum(layer.norm(z)).transpose(0, 1))
            z, _ = layer(z, None)
        return found

    def rows(self, length: int) -> Iterator[Row]:
        return self._rows(length, self.title or type(self).__name__, residual=True)


class LayeredRNN(MixerStack, RecurrentModel):
    """Cells, each of which reads the one below, and a linear readout."""

    def _stack(self, cell: Callable[[int], Cell]) -> None:
        """`cell` makes one for a width of its inputs."""
        widths = [self.input_dim] + [self.hidden_size] * (self.num_layers - 1)
        self.embedding = self.norm = nn.Identity()
        self.layers = nn.ModuleList(map(cell, widths))
        self.readout = nn.Linear(self.hidden_size, self.output_dim)

    @torch.no_grad()
    def eigenvalues(self) -> list[Tensor]:
        cells = (layer for layer in self.layers if isinstance(layer, Cell))
        return [eigenvalues(cell.linearised()) for cell in cells]

    def rows(self, length: int) -> Iterator[Row]:
        return self._rows(length, self.title or type(self).__name__)
