"""Real-gated linear recurrent units."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.mixer import MixerModel, Recurrence, ShortConvolution, has_negative, spread
from seq2seq.models.model import State
from seq2seq.models.scan import gated_scan

SHARPNESS = 8  # c, by which the recurrence gate multiplies the rate
SMALLEST = 1e-6  # of 1 − a², whose root has an infinite slope at 0


class RGLRUMixer(Recurrence):
    """GELU(W x) ⊙ RG-LRU(Conv(W' x)), mapped back; see `RGLRU`."""

    def __init__(
        self,
        hidden_size: int,
        state_dim: int,
        conv: int,
        min_radius: float,
        max_radius: float,
        negative: bool,
    ) -> None:
        super().__init__()
        self.state_dim, self.negative = state_dim, negative
        self.has_nonnegative_eigenvalues, self.has_real_eigenvalues = not negative, True
        self.project = nn.Linear(hidden_size, 2 * state_dim)
        self.convolution = ShortConvolution(state_dim, conv, True, activated=False)
        self.gates = nn.Linear(state_dim, 2 * state_dim)
        nn.init.normal_(self.gates.weight, std=state_dim**-0.5)
        nn.init.zeros_(self.gates.bias)
        squared = min_radius**2 + torch.rand(state_dim) * (max_radius**2 - min_radius**2)
        rates = -squared.log() / 2
        self.rate = nn.Parameter(torch.expm1(rates).log())  # softplus gives −log of the radius
        self.mixing = nn.Linear(state_dim, hidden_size)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        queue, h = state or (None, None)
        gate, z = self.project(x).chunk(2, -1)
        z, queue = self.convolution(z, queue)
        kept, write = self._gates(z)
        states = gated_scan(kept, write * z, h)
        return self.mixing(F.gelu(gate) * states), (queue, states[-1])

    def _gates(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """a, and √(1 − a²) i."""
        r, i = self.gates(z).sigmoid().chunk(2, -1)
        kept = spread((-SHARPNESS * F.softplus(self.rate) * r).exp(), self.negative)
        return kept, ((1 - kept) * (1 + kept)).clamp(min=SMALLEST).sqrt() * i

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """The inputs that the convolution keeps, and h."""
        h = torch.zeros(batch_size, self.state_dim, device=device, dtype=dtype)
        return self.convolution.initial_state(batch_size, device, dtype), h

    def spectrum(self, x: Tensor) -> Tensor:
        z, _ = self.convolution(self.project(x).chunk(2, -1)[1], None)
        return self._gates(z)[0].to(x.dtype.to_complex())


class RGLRU(MixerModel):
    """Real-gated linear recurrent units in residual blocks: De et al. 2024 (Griffin), sec. 2.

        h_t = a_t ⊙ h_{t−1} + √(1 − a_t²) ⊙ i_t ⊙ z_t,    a_t = exp(−8 softplus(Λ) ⊙ r_t)

    with r_t, i_t = σ(W z_t + b), W dense, and z a causal convolution of W' x; GELU(W'' x) times h
    is mapped back. exp(−softplus(Λ)) starts uniform, by area, between the two radii, W normal of
    variance 1/state_dim and b at 0. `eigenvalues` of [-1, 1] stretch a to 2a − 1 (Grazzi et al.
    2025).

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        state_dim: numbers in h; hidden_size if null.
        conv: inputs that the convolution reads.
        min_radius, max_radius: between which the decay at r = 1/8 starts, within (0, 1).
        eigenvalues: range of a, [0, 1] or [-1, 1].
        mlp: width of a network after each layer, in hidden_sizes; 0 for none.
        dropout: share of a branch's outputs that training leaves out.

    Raises ValueError for radii not in order within (0, 1), and sizes out of range.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        state_dim: int | None = None,
        conv: int = 4,
        min_radius: float = 0.9,
        max_radius: float = 0.999,
        eigenvalues: Sequence[int] = (0, 1),
        mlp: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        if state_dim is not None:
            checks.integer("model.state_dim", state_dim)
        checks.integer("model.conv", conv)
        checks.ordered("model.min_radius", min_radius, "model.max_radius", max_radius)
        checks.within("model.max_radius", max_radius, "(0, 1)", 0.999)
        negative = has_negative(eigenvalues)
        self._build(
            lambda: RGLRUMixer(
                hidden_size, state_dim or hidden_size, conv, min_radius, max_radius, negative
            ),
            mlp,
            dropout,
        )
