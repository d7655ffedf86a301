"""Minimal gated recurrent networks, whose gates do not read the state."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.mixer import MixerModel, Recurrence, has_negative, spread
from seq2seq.models.model import State
from seq2seq.models.scan import gated_scan

CELLS = {"gru": "minGRU", "lstm": "minLSTM"}


class MinimalMixer(Recurrence):
    """The recurrence between two linear maps; see `MinimalRNN`."""

    def __init__(
        self,
        hidden_size: int,
        state_dim: int,
        cell: str,
        candidate: str,
        negative: bool,
        forget_bias: float,
    ) -> None:
        super().__init__()
        self.state_dim, self.cell, self.candidate = state_dim, cell, candidate
        self.negative = negative
        self.has_nonnegative_eigenvalues = not negative
        self.has_real_eigenvalues = self.is_diagonal = True
        self.gates = nn.Linear(hidden_size, state_dim * (2 if cell == "lstm" else 1))
        self.input = nn.Linear(hidden_size, state_dim)
        self.mixing = nn.Linear(state_dim, hidden_size)
        with torch.no_grad():  # towards a kept state
            self.gates.bias[:state_dim] += forget_bias if cell == "lstm" else -forget_bias

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        kept, write = self._gates(x)
        h = self.input(x)
        if self.candidate == "positive":
            h = torch.where(h >= 0, h + 0.5, h.sigmoid())
        states = gated_scan(kept, write * h, state)
        return self.mixing(states), states[-1]

    def _gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """How much is kept, and how much is written."""
        z = self.gates(x)
        if self.cell == "lstm":  # σ(f)/(σ(f) + σ(i)), also where both vanish
            f, i = z.chunk(2, -1)
            z = F.softplus(-f) - F.softplus(-i)
        return spread((-z).sigmoid(), self.negative), z.sigmoid()

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        return torch.zeros(batch_size, self.state_dim, device=device, dtype=dtype)

    def spectrum(self, x: Tensor) -> Tensor:
        return self._gates(x)[0].to(x.dtype.to_complex())


class MinimalRNN(MixerModel):
    """Residual blocks around a minGRU or minLSTM: Feng et al. 2024 (Were RNNs all we needed?).

        minGRU:  h_t = (1 − z_t) ⊙ h_{t−1} + z_t ⊙ h̃_t,                  z_t = σ(W x_t + b)
        minLSTM: h_t = (f_t ⊙ h_{t−1} + i_t ⊙ h̃_t)/(f_t + i_t),   f_t, i_t = σ(W x_t + b)

    with h̃_t = g(W' x_t + b'), g being the identity (sec. 3) or, `positive`, g(z) = z + 1/2 for
    z ≥ 0 and σ(z) below (app. B). `eigenvalues` of [-1, 1] stretch the factor a of h_{t−1} to
    2a − 1 (Grazzi et al. 2025).

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        cell: gru or lstm.
        state_dim: numbers in the state of a block; hidden_size if null.
        candidate: g.
        eigenvalues: range of a, [0, 1] or [-1, 1].
        forget_bias: added to what keeps the state, in the argument of σ, at the start.
        mlp: width of a network after each layer, in hidden_sizes; 0 for none.
        dropout: share of a branch's outputs that training leaves out.

    Raises ValueError for unknown choices and sizes out of range.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        cell: Literal["gru", "lstm"] = "gru",
        state_dim: int | None = None,
        candidate: Literal["linear", "positive"] = "linear",
        eigenvalues: Sequence[int] = (0, 1),
        forget_bias: float = 0.0,
        mlp: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.one_of("model.cell", cell, list(CELLS))
        if state_dim is not None:
            checks.integer("model.state_dim", state_dim)
        checks.one_of("model.candidate", candidate, ["linear", "positive"])
        negative = has_negative(eigenvalues)
        self.title = CELLS[cell]
        self._build(
            lambda: MinimalMixer(
                hidden_size, state_dim or hidden_size, cell, candidate, negative, forget_bias
            ),
            mlp,
            dropout,
        )
