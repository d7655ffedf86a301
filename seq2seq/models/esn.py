"""Echo state networks: fixed reservoirs whose readout alone is trained."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq import checks
from seq2seq.models.mixer import Cell, LayeredRNN
from seq2seq.models.model import State


class Reservoir(Cell):
    """h_t = (1 − a) h_{t−1} + a tanh(W h_{t−1} + V (x_t, 1)), nothing of it trained; see `ESN`."""

    weight: Tensor
    input: Tensor

    def __init__(
        self,
        input_dim: int,
        hidden_size: int,
        radius: float,
        leak: float,
        density: float,
        input_scale: float,
        bias_scale: float,
    ) -> None:
        super().__init__()
        self.hidden_size, self.leak = hidden_size, leak
        weight = torch.randn(hidden_size, hidden_size, dtype=torch.float64)
        weight *= torch.rand(hidden_size, hidden_size) < density
        largest = torch.linalg.eigvals(weight).abs().max().clamp(min=1e-12)
        self.register_buffer("weight", (radius / largest * weight).to(torch.get_default_dtype()))
        scales = torch.tensor([input_scale] * input_dim + [bias_scale])
        self.register_buffer("input", scales * (2 * torch.rand(hidden_size, input_dim + 1) - 1))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h = state
        if h is None:
            h = self.initial_state(x.shape[1], x.device, x.dtype)
        visited = []
        for u in F.linear(F.pad(x, (0, 1), value=1.0), self.input).unbind(0):
            h = torch.lerp(h, torch.addmm(u, h, self.weight.mT).tanh(), self.leak)
            visited.append(h)
        return torch.stack(visited), h

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        return torch.zeros(batch_size, self.hidden_size, device=device, dtype=dtype)

    def linearised(self) -> Tensor:
        """Where tanh(z) = z."""
        unit = torch.eye(self.hidden_size, dtype=self.weight.dtype, device=self.weight.device)
        return (1 - self.leak) * unit + self.leak * self.weight


class ESN(LayeredRNN):
    """Echo state networks: Jaeger 2001 (GMD report 148), leaky as in Jaeger et al. 2007.

        h_t = (1 − a) h_{t−1} + a tanh(W h_{t−1} + V x_t + b),    o_t = C h_t + d

    W, V and b stay as they are drawn; C and d are all there is to train, and with `objective=ridge
    optimizer=sgd optimizer.lr=1` one step makes them the solution of a ridge regression. The share
    `density` of W's entries is standard normal, the others are 0; W is then scaled to the spectral
    radius. V and b are uniform in ± their scales.

    Args:
        hidden_size: units of each reservoir.
        num_layers: reservoirs, each driven by the one below (Gallicchio et al. 2017).
        radius: spectral radius of W.
        leak: a, in (0, 1].
        density: share of W that is not 0.
        input_scale: of V.
        bias_scale: of b.

    Raises ValueError for sizes, scales and shares out of range.
    """

    title = "reservoir"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 200,
        num_layers: int = 1,
        radius: float = 0.9,
        leak: float = 1.0,
        density: float = 0.1,
        input_scale: float = 1.0,
        bias_scale: float = 0.1,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.positive("model.radius", radius, 0.9)
        checks.within("model.leak", leak, "(0, 1]", 1.0)
        checks.within("model.density", density, "(0, 1]", 0.1)
        checks.positive("model.input_scale", input_scale)
        if bias_scale < 0:
            checks.refuse("model.bias_scale", bias_scale, "not be negative", 0.1)
        self._stack(
            lambda width: Reservoir(
                width, hidden_size, radius, leak, density, input_scale, bias_scale
            )
        )

    def states(self, x: Tensor) -> Tensor:
        """What the readout reads, (batch, time, input_dim) -> (batch, time, hidden_size)."""
        z = x.transpose(0, 1)
        for layer in self.layers:
            z, _ = layer(z, None)
        return z.transpose(0, 1)
