"""A dictionary: the delta rule with orthonormal keys."""

from typing import Any

import numpy as np

from seq2seq.models.constructions.assign import SATURATED, assign, need, only
from seq2seq.models.constructions.stream import Stream, added_by, delta_rule, matrix_mixer
from seq2seq.models.matrix_state import MatrixMixer, MatrixState
from seq2seq.models.token import TokenModel
from seq2seq.theory.machines import Dictionary

#: Length of a key at which SiLU leaves it alone; the rounding of what is no key stays below what is
#: added to the square of its length before it is divided by that, and more so of a query.
KEY, QUERY = 100.0, 10.0


def dictionary_of_matrix(model: TokenModel, inner: MatrixState, machine: Dictionary) -> None:
    """At a value, β = 1 and the token before it as the key; at a key, the query is the key."""
    first = inner.layers[0].mixer
    assert isinstance(first, MatrixMixer)
    count, (_, K, V) = len(machine.keys), first.sizes
    only(first.convolution is not None and first.convolution.taps > 1, "model.conv ≥ 2")
    only(not first.negative, "model.eigenvalues=[0,1]")
    need("model.key_dim", K, count)
    d = min(V, len(machine.values), max(2, (inner.hidden_size - 3 - count) // 2))
    need("model.value_dim", d, min(2, len(machine.values)))
    codes = np.zeros((machine.tokens, count + d + 1))
    codes[machine.keys, :count] = np.eye(count)
    codes[machine.values, count:-1] = values = _apart(len(machine.values), d)
    codes[:, -1] = 1
    stream = Stream(model, inner, codes, d)
    constant, of_values = stream.reader[-1], stream.reader[count:-1]
    mixer, rows = matrix_mixer(stream, constant)
    delta_rule(mixer)
    assert mixer.convolution is not None
    assign(rows["q"][:count], QUERY * stream.reader[:count])
    assign(rows["k"][0, :count], KEY * stream.reader[:count])
    assign(rows["v"][0, :d], of_values)
    assign(rows["strength"], -SATURATED * constant)
    assign(rows["strength"][0], SATURATED * (2 * of_values.sum(0) - constant))
    assign(rows["out"][:, :d], stream.writer)
    keys = slice(mixer.widths[0], sum(mixer.widths[:2]))
    mixer.convolution.weight[-1] = 1.0
    mixer.convolution.weight[-1, keys] = 0.0
    mixer.convolution.weight[-2, keys] = 1.0
    silu = values / (1 + np.exp(-values))
    read = mixer.scale * np.vstack([np.zeros(d), silu])
    nothing = np.setdiff1d(np.arange(machine.tokens), np.r_[machine.keys, machine.values])[:1]
    added = added_by(stream, mixer, read[1 - len(nothing) :])
    stream.tell(added, np.r_[nothing, machine.values])


def _apart(count: int, dimension: int) -> Any:
    """Unit vectors without negative numbers, (count, dimension), far apart by some tries."""
    if dimension >= count:
        return np.eye(count, dimension)
    angle = np.linspace(0, np.pi / 2, count)
    tries = [np.pad(np.stack([np.cos(angle), np.sin(angle)], 1), ((0, 0), (0, dimension - 2)))]
    random = np.random.default_rng(0)
    for _ in range(64):
        drawn = random.exponential(size=(count, dimension)) ** 2
        tries.append(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
    return min(tries, key=lambda one: float((one @ one.T - 3 * np.eye(count)).max()))
