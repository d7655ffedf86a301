"""Shift registers, cells of which each takes over the one before, and sums."""

import numpy as np
from scipy.linalg import logm
from torch import nn

from seq2seq.models.constructions.assign import SURE, NoConstruction, assign, need, only
from seq2seq.models.constructions.layers import layer, pass_on
from seq2seq.models.convolution import CausalConvolution
from seq2seq.models.orthogonal import OrthogonalCell, OrthogonalRNN
from seq2seq.models.rnn import RNN
from seq2seq.models.tcn import TCN
from seq2seq.models.token import TokenModel
from seq2seq.theory.machines import Delay, MarkedSum, Taps


def _codes(model: TokenModel, machine: Delay) -> None:
    """Each token's number on the first channel: 0 for what is not to be told from nothing."""
    codes = np.zeros(machine.tokens)
    codes[machine.answers] = np.arange(len(machine.answers))
    assign(model.embedding.weight[:, 0], codes)


def _tell(readout: nn.Linear, cell: int, machine: Delay, factor: float = 1.0) -> None:
    """Scores by how near the number in a cell, times `factor`, is to that of each answer."""
    number = np.arange(len(machine.answers))
    readout.bias.fill_(-SURE * len(number) ** 2)
    readout.weight[machine.answers, cell] = SURE * factor * readout.weight.new_tensor(number)
    readout.bias[machine.answers] = -SURE / 2 * readout.bias.new_tensor(number**2)


def _register(rnn: RNN, lags: int, channels: int) -> int:
    """Cells that hold the latest inputs, the latest first, and the next ones under ReLU the same
    with the other sign; returns how many of one sign there are.
    """
    only(rnn.cell in ("linear", "relu"), "model.cell=linear or relu")
    count, signs = lags * channels, 1 if rnn.cell == "linear" else 2
    H = rnn.hidden_size
    need("model.hidden_size", H, signs * count)
    inputs, recurrent = np.zeros((H, rnn.input_dim)), np.zeros((H, H))
    for sign in range(signs):
        first = sign * count
        inputs[first : first + channels, :channels] = (-1) ** sign * np.eye(channels)
        later = np.arange(first + channels, first + count)
        recurrent[later, later - channels] = 1
    layer(rnn, 0, inputs, recurrent, np.zeros(H))
    pass_on(rnn, 1.0)
    return count


def taps_of_rnn(model: nn.Module, rnn: RNN, machine: Taps) -> None:
    lags, _, channels = machine.weights.shape
    count = _register(rnn, lags, channels)
    weights = machine.weights.transpose(1, 0, 2).reshape(-1, count)
    assign(rnn.readout.weight[:, :count], weights)
    if rnn.cell == "relu":
        assign(rnn.readout.weight[:, count : 2 * count], -weights)


def sum_of_rnn(model: nn.Module, rnn: RNN, machine: MarkedSum) -> None:
    """h_0 = relu(u + m − 1), which is m u, and h_1 the sum of all former ones."""
    only(rnn.cell == "relu", "model.cell=relu")
    H = rnn.hidden_size
    need("model.hidden_size", H, 2)
    inputs, recurrent, bias = np.zeros((H, 2)), np.zeros((H, H)), np.zeros(H)
    inputs[0], bias[0] = 1.0, -1.0
    recurrent[1, :2] = 1.0
    layer(rnn, 0, inputs, recurrent, bias)
    pass_on(rnn, 1.0)
    rnn.readout.weight[:, :2] = 1.0


def delay_of_rnn(model: TokenModel, rnn: RNN, machine: Delay) -> None:
    _codes(model, machine)
    _register(rnn, machine.lag + 1, 1)
    _tell(rnn.readout, machine.lag, machine)


def _line(tcn: TCN, lag: int, channels: int) -> tuple[int, float]:
    """Send the channels, and their negatives, through the layers; returns where they come out and
    by which factor their difference is too large.
    """
    only(not isinstance(tcn.activation, nn.Tanh), "model.activation=relu or linear")
    stages = [
        [part for part in layer.children() if isinstance(part, CausalConvolution)]
        for layer in tcn.layers
    ]
    reach = tcn.receptive_field - 1
    if lag > reach:
        raise NoConstruction(f"the construction needs to see {lag} steps back, got {reach}")
    width = 2 * channels
    # A residual block adds to what comes in: its sum goes where nothing is yet.
    taken = channels if tcn.residual and isinstance(tcn.adapt, nn.Identity) else 0
    least = taken + width * (len(stages) if tcn.residual else 1)
    need("model.hidden_size", tcn.hidden_size, least)
    below, rest = np.vstack([np.eye(channels), -np.eye(channels)]), lag
    taps: dict[CausalConvolution, int] = {}
    for part in sorted((c for stage in stages for c in stage), key=lambda c: -c.dilation):
        taps[part] = min(part.kernel_size - 1, rest // part.dilation)
        rest -= taps[part] * part.dilation
    if rest:
        raise NoConstruction(f"no choice of one tap per convolution reaches {lag} steps back")
    start = 0
    for depth, stage in enumerate(stages):
        out = taken + depth * width if tcn.residual else 0
        for number, part in enumerate(stage):
            target = out if number == len(stage) - 1 else 0
            tap = part.kernel_size - 1 - taps[part]
            columns = slice(start, start + below.shape[1])
            part.weight.fill_(0.0)
            assign(part.weight[target : target + width, columns, tap], below)
            if part.gain is not None:  # the length of each filter, which may not be 0
                assign(part.gain, part.weight.norm(dim=(1, 2)).numpy(force=True))
                idle = part.gain == 0
                part.weight[idle] = 1.0
            start, below = target, np.eye(width)
    return start, 2.0 if isinstance(tcn.activation, nn.Identity) else 1.0


def taps_of_tcn(model: nn.Module, tcn: TCN, machine: Taps) -> None:
    lags, _, channels = machine.weights.shape
    only(not machine.weights[:-1].any(), "a task that asks for a single lag")
    start, factor = _line(tcn, lags - 1, channels)
    weights = machine.weights[-1] / factor
    assign(tcn.readout.weight[:, start : start + 2 * channels], np.hstack([weights, -weights]))


def delay_of_tcn(model: TokenModel, tcn: TCN, machine: Delay) -> None:
    _codes(model, machine)
    start, _ = _line(tcn, machine.lag, 1)
    _tell(tcn.readout, start, machine)


def delay_of_orthogonal(model: TokenModel, rnn: OrthogonalRNN, machine: Delay) -> None:
    """A ring of cells: what has gone round it once comes back, when nothing is asked any more."""
    n = rnn.hidden_size
    need("model.hidden_size", n, machine.lag + 1)
    cell = rnn.layers[0]
    assert isinstance(cell, OrthogonalCell)
    only(rnn.num_layers == 1, "model.num_layers=1")
    only(cell.radius == 1, "model.radius=1")
    ring = np.roll(np.eye(n), 1, 0)
    ring[0] *= (-1) ** (n - 1)  # a turn, of determinant 1
    if cell.parameterisation == "exponential":
        skew = np.real(logm(ring))
    else:
        skew = 2 * np.linalg.solve(np.eye(n) + ring, ring - np.eye(n))
    assign(cell.skew, skew[np.triu_indices(n, 1)])
    _codes(model, machine)
    cell.input.weight[0, 0] = 1.0
    _tell(rnn.readout, machine.lag, machine)
