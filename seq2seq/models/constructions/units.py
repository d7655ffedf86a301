"""Automata whose state is which unit is on."""

import numpy as np

from seq2seq.models.constructions.assign import SATURATED, SURE, assign, need, only
from seq2seq.models.constructions.layers import layer, pass_on
from seq2seq.models.rnn import RNN
from seq2seq.models.token import TokenModel
from seq2seq.theory.machines import Automaton


def automaton_of_rnn(model: TokenModel, rnn: RNN, machine: Automaton) -> None:
    """A unit for each pair of a state and a kind of token, and one that says that time has begun.

    Of the state 0 there is no sign but that no other state is on, so that it is where h = 0 is.
    """
    only(rnn.cell != "linear", "a nonlinear model.cell")
    kinds, kind = np.unique(machine.moves, axis=0, return_inverse=True)
    states, count = machine.moves.shape[1], machine.moves.shape[1] * len(kinds)
    saturating, H = rnn.cell != "relu", rnn.hidden_size
    need("model.hidden_size", H, count + saturating)
    need("task.embedding_size", rnn.input_dim, len(kinds))
    assign(model.embedding.weight[:, : len(kinds)], np.eye(len(kinds))[kind])
    on = np.zeros((states, H))  # whether a state is on, as a sum over units
    on[kinds.T.flatten(), np.arange(count)] = 1  # pairs in the order of their states
    one = np.tanh(1.0) if rnn.cell == "lstm" else 1.0  # what a unit says, or minus that
    if saturating:
        on[:, count] = on.sum(1)
        on /= 2 * one
    constant = np.eye(states)[0]
    on[0] = -on[1:].sum(0)
    gain, threshold = (SATURATED, 1.5) if saturating else (1.0, 1.0)
    inputs, recurrent, bias = np.zeros((H, rnn.input_dim)), np.zeros((H, H)), np.zeros(H)
    inputs[:count, : len(kinds)] = gain * np.tile(np.eye(len(kinds)), (states, 1))
    recurrent[:count] = gain * np.repeat(on, len(kinds), 0)
    bias[:count] = gain * np.repeat(constant - threshold, len(kinds))
    if saturating:
        bias[count] = gain
    layer(rnn, 0, inputs, recurrent, bias)
    pass_on(rnn, gain)
    rnn.readout.bias.fill_(-SURE)
    assign(rnn.readout.weight[:states], SURE * on)
    assign(rnn.readout.bias[:states], SURE * constant)
