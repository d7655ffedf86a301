"""Automata whose state is a product of matrices, or of signs."""

from typing import Any

import numpy as np
import torch

from seq2seq.models.constructions.assign import LONG, SATURATED, assign, need, only
from seq2seq.models.constructions.stream import Stream, added_by, matrix_mixer
from seq2seq.models.matrix_state import MatrixMixer, MatrixState
from seq2seq.models.minimal import MinimalMixer, MinimalRNN
from seq2seq.models.token import TokenModel
from seq2seq.theory import groups
from seq2seq.theory.machines import Automaton


def automaton_of_matrix(model: TokenModel, inner: MatrixState, machine: Automaton) -> None:
    """S = I − M in the first head; a token's matrix as reflections, v = k and β = 2 for each."""
    only(machine.matrices is not None, "a token to act as an orthogonal matrix")
    assert machine.matrices is not None
    first = inner.layers[0].mixer
    assert isinstance(first, MatrixMixer)
    d = machine.matrices.shape[-1]
    _, K, V = first.sizes
    n = first.writes
    only(first.negative, "model.eigenvalues=[-1,1]")
    need("model.key_dim", K, d)
    need("model.value_dim", V, d)
    only(first.convolution is None or d == 1, "model.conv=0")
    written = [groups.reflections(matrix)[::-1] for matrix in machine.matrices]
    need("model.householders", n, max(map(len, written)))
    keys, used = np.zeros((len(written), n, d)), np.zeros((len(written), n))
    for token, vectors in enumerate(written):
        for place, vector in enumerate(vectors):
            keys[token, place], used[token, place] = vector if d > 1 else 1.0, 1
    ones = np.ones((len(written), 1))
    stream = Stream(model, inner, np.hstack([keys.reshape(len(written), -1), used, ones]), d)
    key_readers, used_readers = stream.reader[: n * d].reshape(n, d, -1), stream.reader[n * d : -1]
    constant = stream.reader[-1]
    mixer, rows = matrix_mixer(stream, constant)
    states = machine.states()
    query = _generic(states)
    assign(rows["q"][:d], LONG * query[:, None] * constant)
    assign(rows["k"][:, :d], LONG * key_readers)
    assign(rows["v"][:, :d], key_readers)
    assign(rows["strength"], SATURATED * (2 * used_readers - constant))
    assign(rows["out"][:, :d], stream.writer)
    scale = mixer.scale
    if mixer.convolution is not None:
        mixer.convolution.weight[-1] = 1.0
        scale *= 1 / (1 + np.exp(-1.0))  # SiLU of v = 1
    read = scale * (np.eye(d) - states).transpose(0, 2, 1) @ query
    stream.tell(added_by(stream, mixer, read), np.arange(len(states)))


def _generic(states: Any) -> Any:
    """A unit vector q that tells the products apart by (I − M)ᵀ q: the best of some, (d,)."""
    d = states.shape[-1]
    if d == 1:
        return np.ones(1)
    draws = np.random.default_rng(0).normal(size=(64, d))
    draws /= np.linalg.norm(draws, axis=1, keepdims=True)

    def least(query: Any) -> float:
        read = (np.eye(d) - states[1:]).transpose(0, 2, 1) @ query
        read /= np.maximum(np.linalg.norm(read, axis=1, keepdims=True), 1e-9)
        near = read @ read.T - 3 * np.eye(len(read))
        return -float(near.max())

    return max(draws, key=least)


def automaton_of_minimal(model: TokenModel, inner: MinimalRNN, machine: Automaton) -> None:
    """h = (1 − M)/2 for a sign M: a token that turns it has a = −1 and writes 1, others a = 1."""
    matrices = machine.matrices
    only(matrices is not None and matrices.shape[-1] == 1, "a task of two states that alternate")
    assert matrices is not None
    turns = (matrices[:, 0] < 0).astype(float)
    stream = Stream(model, inner, np.hstack([turns, np.ones_like(turns)]), 1)
    mixer = stream.block.mixer
    assert isinstance(mixer, MinimalMixer)
    only(mixer.negative, "model.eigenvalues=[-1,1]")
    logit = SATURATED * (2 * stream.reader[0] - stream.reader[1])
    signs = (-1, 1) if mixer.cell == "lstm" else (1,)
    for gate, sign in enumerate(signs):
        assign(mixer.gates.weight[gate * mixer.state_dim], sign * logit)
    mixer.input.bias[0] = 0.5 if mixer.candidate == "positive" else 1.0
    assign(mixer.mixing.weight[:, 0], stream.writer[:, 0])
    h = torch.as_tensor((1 - machine.states()[:, 0]) / 2).to(mixer.mixing.weight)
    stream.tell(h * mixer.mixing.weight[:, 0], np.arange(len(h)))
