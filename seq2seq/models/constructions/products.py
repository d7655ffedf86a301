"""Automata whose state is a product of matrices."""

from typing import Any

import numpy as np

from seq2seq.models.constructions.assign import LONG, SATURATED, assign, need, only
from seq2seq.models.constructions.signs import sign_of_matrix
from seq2seq.models.constructions.stream import Stream, added_by, delta_rule, matrix_mixer
from seq2seq.models.matrix_state import MatrixMixer, MatrixState
from seq2seq.models.token import TokenModel
from seq2seq.theory import groups
from seq2seq.theory.machines import Automaton


def automaton_of_matrix(model: TokenModel, inner: MatrixState, machine: Automaton) -> None:
    """S = I − M in the first head; a token's matrix as reflections, v = k and β = 2 for each."""
    first = inner.layers[0].mixer
    assert isinstance(first, MatrixMixer)
    if not first.delta:
        sign_of_matrix(model, inner, machine)
        return
    only(machine.matrices is not None, "a token to act as an orthogonal matrix")
    assert machine.matrices is not None
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
    delta_rule(mixer)
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
