"""Recurrent networks: tanh, relu, linear, LSTM and GRU cells."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.batching import superposed
from seq2seq.models.graph import Row
from seq2seq.models.impulse import Responses
from seq2seq.models.model import RecurrentModel, State, eigenvalues
from seq2seq.models.recurrence import Network, joint_weight, run_network

#: The cells, as a drawing names them.
CELLS = {
    "tanh": "tanh RNN",
    "relu": "ReLU RNN",
    "linear": "linear RNN",
    "lstm": "LSTM",
    "gru": "GRU",
}
INITIALISATIONS = ("default", "orthogonal", "identity")


class LinearRecurrence(nn.RNN):
    """h_{t+1} = W h_t + U x_t: torch's RNN layer without its nonlinearity, which has no kernel.

    The same parameters and shapes as a one-layer, batch-first `nn.RNN` without bias.
    """

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        # One addmm per time is all the work there is; U x_t is done for all times at once.
        input_weight, recurrent_weight = self.parameters()
        h_t = h[0]
        visited = []
        for input_t in F.linear(x, input_weight).unbind(1):
            h_t = torch.addmm(input_t, h_t, recurrent_weight.T)
            visited.append(h_t)
        return torch.stack(visited, 1), h_t[None]


class RNN(RecurrentModel):
    """A stack of recurrent layers and a linear readout.

    For the cells tanh, relu and linear, with the activation σ of that name (linear: σ(z) = z),

        h_{t+1} = σ(W h_t + U x_t + b),    o_t = cᵀ h_{t+1} + d,

    so the output at t has seen x_t. Layer l+1 reads the states of layer l. torch's RNN has two
    biases where the formula has one; here [U b] is one matrix acting on (x_t, 1), and W has none.
    The LSTM (Hochreiter and Schmidhuber 1997) and the GRU (Cho et al. 2014) are torch's own, with
    two biases per gate.

    `initialisation` chooses W (for gated cells: the block of each gate): `default` draws from
    U(-1/√hidden_size, 1/√hidden_size) as torch does, `orthogonal` a Haar-distributed orthogonal
    matrix, `identity` the unit matrix (Le, Jaitly and Hinton 2015). `gain` multiplies it. An LSTM's
    `forget_bias` is added to the biases of its forget gates, which so begin open (Gers, Schmidhuber
    and Cummins 2000; 1 by Jozefowicz, Zaremba and Sutskever 2015). All other parameters are torch's
    defaults. `dropout` acts on each layer's output, never along time
    (Zaremba, Sutskever and Vinyals 2014).

    The state is h of shape (num_layers, batch, hidden_size), for the LSTM the pair (h, c).

    Args:
        cell: activation of each layer, or its gates.
        hidden_size: units of each layer.
        num_layers: layers, each reading the states of the one below.
        initialisation: of the recurrent weights; identity: the unit matrix.
        gain: factor of these weights.
        dropout: share of a layer's outputs that training leaves out.
        forget_bias: added to the initial bias of an LSTM's forget gates.

    Raises ValueError for an unknown cell or initialisation, for sizes, gain, forget_bias or dropout
    out of range, and for a forget_bias of another cell than the LSTM.
    """

    start = ("initialisation", "gain", "forget_bias")

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        cell: Literal["tanh", "relu", "linear", "lstm", "gru"] = "tanh",
        hidden_size: int = 64,
        num_layers: int = 1,
        initialisation: Literal["default", "orthogonal", "identity"] = "default",
        gain: float = 1.0,
        dropout: float = 0.0,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        checks.one_of("model.cell", cell, list(CELLS))
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.one_of("model.initialisation", initialisation, INITIALISATIONS)
        checks.positive("model.gain", gain)
        checks.within("model.forget_bias", forget_bias, "[-100, 100]", 1.0)
        if forget_bias and cell != "lstm":
            checks.refuse("model.forget_bias", forget_bias, f"be 0 for cell={cell}", 0.0)
        checks.within("model.dropout", dropout, "[0, 1)", 0.0)
        self.cell = cell
        self.layers = nn.ModuleList(
            _layer(cell, input_dim if layer == 0 else hidden_size, hidden_size)
            for layer in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(hidden_size, output_dim)
        with torch.no_grad():
            for block in self._recurrent_blocks():
                if initialisation == "orthogonal":
                    nn.init.orthogonal_(block)
                elif initialisation == "identity":
                    nn.init.eye_(block)
                block.mul_(gain)
            if cell == "lstm":  # whose gates are input, forget, cell, output
                for layer in self.layers:
                    bias = layer.get_parameter("bias_ih_l0")
                    bias[hidden_size : 2 * hidden_size] += forget_bias

    def _recurrent_blocks(self) -> list[Tensor]:
        """Views of each layer's square recurrent matrices, one per gate."""
        weights = [layer.get_parameter("weight_hh_l0") for layer in self.layers]
        return [block for weight in weights for block in weight.split(self.hidden_size)]

    def forward(self, x: Tensor, state: State = None, return_state: bool = False) -> Any:
        if state is None:
            state = self.initial_state(len(x), x.device, x.dtype)
        final = []
        for layer, layer_state in zip(self.layers, _per_layer(state), strict=True):
            if self.cell in ("tanh", "relu", "linear"):
                x = F.pad(x, (0, 1), value=1.0)  # the constant input that b multiplies
            x, layer_state = layer(x, layer_state)
            x = self.dropout(x)
            final.append(layer_state)
        y = self.readout(x)
        return (y, _joined(final)) if return_state else y

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        # torch's cells, not its layers: those repack the weights at every call, which for a
        # sequence of length one is most of the work.
        h, c = state if self.cell == "lstm" else (state, state)
        hs, cs = [], []
        for layer, h_t, c_t in zip(self.layers, h.unbind(0), c.unbind(0), strict=True):
            if self.cell == "lstm":
                h_t, c_t = torch.lstm_cell(x_t, (h_t, c_t), *layer.parameters())
            elif self.cell == "gru":
                h_t = torch.gru_cell(x_t, h_t, *layer.parameters())
            else:
                input_weight, recurrent_weight = layer.parameters()
                h_t = F.linear(F.pad(x_t, (0, 1), value=1.0), input_weight) + F.linear(
                    h_t, recurrent_weight
                )
                if self.cell != "linear":
                    h_t = torch.tanh(h_t) if self.cell == "tanh" else torch.relu(h_t)
            hs.append(h_t)
            cs.append(c_t)
            x_t = self.dropout(h_t)
        h = torch.stack(hs)
        return self.readout(x_t), (h, torch.stack(cs)) if self.cell == "lstm" else h

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        h = torch.zeros(self.num_layers, batch_size, self.hidden_size, device=device, dtype=dtype)
        return (h, torch.zeros_like(h)) if self.cell == "lstm" else h

    def rows(self, length: int) -> Iterator[Row]:
        return self._rows(length, CELLS[self.cell], gated=self.cell in ("lstm", "gru"))

    def batched_forward(self) -> Callable[[Tensor], Tensor]:
        """The recurrence of all members, or for a linear one the convolution with its kernel."""
        network = Network(self.cell, self.hidden_size, self.num_layers)

        def forward(x: Tensor) -> Tensor:
            weights = [joint_weight(self.cell, *layer.parameters()) for layer in self.layers]
            return run_network(network, x, *self.readout.parameters(), *weights)

        return superposed(forward, self.hidden_size) if self.cell == "linear" else forward

    @property
    def is_linear(self) -> bool:
        return self.cell == "linear"

    @property
    def has_kernel(self) -> bool:
        """Whether `kernel` exists: for one linear layer."""
        return self.cell == "linear" and self.num_layers == 1

    def kernel(self, length: int) -> Tensor:
        """cᵀ W^s U for s < length: (length, output_dim, input_dim), the response to an impulse.

        By doubling, in log₂(length) products. Raises ValueError unless `has_kernel`.
        """
        if not self.has_kernel:
            raise ValueError(self._no_kernel("cell", self.cell))
        input_weight, recurrent_weight = self.layers[0].parameters()
        states = input_weight[None, :, :-1]  # W^s U; the last column of the weight is b
        power: Tensor = recurrent_weight
        while len(states) < length:
            states = torch.cat([states, power @ states])
            power = power @ power
        return self.readout.weight @ states[:length]

    def responses(self, length: int) -> Responses:
        if not self.has_kernel:
            return super().responses(length)
        nothing = self.readout.weight.new_zeros(1, length, self.input_dim)
        return self.kernel(length), self(nothing)[0]

    def eigenvalues(self) -> list[Tensor]:
        """Eigenvalues of W per layer; for gated cells, of the block that proposes a new state.

        They are nan where W is not finite.
        """
        gates = {"lstm": (4, 2), "gru": (3, 2)}  # how many, and which: g of i,f,g,o; n of r,z,n
        count, candidate = gates.get(self.cell, (1, 0))
        blocks = self._recurrent_blocks()[candidate::count]
        return [eigenvalues(block.detach()) for block in blocks]


def _layer(cell: str, input_dim: int, hidden_size: int) -> nn.Module:
    """One layer whose forward is (x, state) -> (outputs, state), as in torch."""
    if cell == "lstm":
        return nn.LSTM(input_dim, hidden_size, batch_first=True)
    if cell == "gru":
        return nn.GRU(input_dim, hidden_size, batch_first=True)
    if cell == "linear":
        return LinearRecurrence(input_dim + 1, hidden_size, bias=False, batch_first=True)
    return nn.RNN(input_dim + 1, hidden_size, nonlinearity=cell, bias=False, batch_first=True)


def _per_layer(state: State) -> list[Any]:
    """Split a state into one per layer, each with a leading axis of one as torch's layers want."""
    if isinstance(state, tuple):
        return list(zip(*(part.split(1) for part in state), strict=True))
    return list(state.split(1))


def _joined(states: list[Any]) -> State:
    """The inverse of `_per_layer`."""
    if isinstance(states[0], tuple):
        return tuple(torch.cat(part) for part in zip(*states, strict=True))
    return torch.cat(states)
