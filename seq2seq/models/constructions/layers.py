"""Layers of the recurrent network, with weights set by hand."""

from typing import Any

import numpy as np

from seq2seq.models.constructions.assign import SATURATED, assign
from seq2seq.models.rnn import RNN


def layer(rnn: RNN, index: int, inputs: Any, recurrent: Any, bias: Any) -> None:
    """Make a layer h' = σ(R h + U x + b); gates stay wide open, so that σ(z) of an LSTM with
    |z| ≫ 1 is ±tanh 1.
    """
    H, layer = rnn.hidden_size, rnn.layers[index]
    U, R, *biases = layer.parameters()
    place = {"lstm": 2, "gru": 2}.get(rnn.cell, 0)
    rows = slice(place * H, (place + 1) * H)
    assign(R[rows], recurrent)
    if not biases:
        assign(U, np.column_stack([inputs, bias]))
        return
    assign(U[rows], inputs)
    assign(biases[0][rows], bias)
    open_gates = {"lstm": (1, -1, 0, 1), "gru": (1, -1, 0)}[rnn.cell]
    for gate, sign in enumerate(open_gates):
        biases[0][gate * H : (gate + 1) * H] += sign * SATURATED


def pass_on(rnn: RNN, factor: float) -> None:
    """Let the layers above repeat the first."""
    H = rnn.hidden_size
    for index in range(1, rnn.num_layers):
        layer(rnn, index, factor * np.eye(H), np.zeros((H, H)), np.zeros(H))
