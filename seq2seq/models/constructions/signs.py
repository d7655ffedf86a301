"""Automata of two states that alternate, h = 0 and 1: a token that turns them has a = −1.

It writes 1, so that h_t = 1 − h_{t−1} from the state 0 on; others have a = 1 and write nothing.
"""

from typing import Any

import numpy as np
from torch import Tensor, nn

from seq2seq.models.constructions.assign import SATURATED, assign, only
from seq2seq.models.constructions.stream import Stream, matrix_mixer
from seq2seq.models.mamba import Mamba, MambaMixer
from seq2seq.models.matrix_state import MatrixState
from seq2seq.models.minimal import MinimalMixer, MinimalRNN
from seq2seq.models.mixer import MixerModel
from seq2seq.models.token import TokenModel
from seq2seq.theory.machines import Automaton

SILU = 1 / (1 + np.exp(-1.0))  # of 1


class Turns(Stream):
    """The stream of a task whose tokens turn a state or keep it, with one number added.

    Attributes:
        turn: by which the mixer reads whether a token does, (D,); 1 or 0.
        constant: by which it reads 1.
        token: one that does.
    """

    def __init__(self, model: TokenModel, inner: MixerModel, machine: Automaton) -> None:
        matrices = machine.matrices
        only(
            matrices is not None and matrices.shape[-1] == 1, "a task of two states that alternate"
        )
        assert matrices is not None
        turns = (matrices[:, 0] < 0).astype(float)
        super().__init__(model, inner, np.hstack([turns, np.ones_like(turns)]), 1)
        self.turn, self.constant = self.reader
        self.token = int(turns[:, 0].argmax())

    def finish(self) -> None:
        """Read off the states, by a token that turns them twice."""
        x = self.inner.embedding(self.model.embedding.weight[self.token]).expand(2, 1, -1)
        added: Tensor = self.block.mixer(self.block.norm(x), None)[0][:, 0]
        self.tell(added.flip(0), np.arange(2))


def sign_of_minimal(model: TokenModel, inner: MinimalRNN, machine: Automaton) -> None:
    """a = 2(1 − z) − 1 and z = 1."""
    stream = Turns(model, inner, machine)
    mixer = stream.block.mixer
    assert isinstance(mixer, MinimalMixer)
    only(mixer.negative, "model.eigenvalues=[-1,1]")
    logit = SATURATED * (2 * stream.turn - stream.constant)
    signs = (-1, 1) if mixer.cell == "lstm" else (1,)
    for gate, sign in enumerate(signs):
        assign(mixer.gates.weight[gate * mixer.state_dim], sign * logit)
    mixer.input.bias[0] = 0.5 if mixer.candidate == "positive" else 1.0
    assign(mixer.mixing.weight[:, 0], stream.writer[:, 0])
    stream.finish()


def sign_of_matrix(model: TokenModel, inner: MatrixState, machine: Automaton) -> None:
    """Gates G = 2g − 1 with g = 0, and v that is there at such tokens alone."""
    stream = Turns(model, inner, machine)
    mixer, rows = matrix_mixer(stream, stream.constant)
    only(mixer.negative, "model.eigenvalues=[-1,1]")
    only(mixer.gate in ("head", "channel"), "model.gate=head or channel")
    only(not mixer.rotation, "model.rotation=false")
    logit: Any = SATURATED * (2 * stream.turn - stream.constant)
    if mixer.gate == "head":
        assign(mixer.step.weight[0], logit)
    else:
        first, last = mixer.fading
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        assign(first.weight[0], -logit)
        last.weight[:, 0] = 1.0
    assign(rows["q"][0], stream.constant)
    assign(rows["k"][0, 0], stream.constant)
    assign(rows["v"][0, 0], stream.turn)
    assign(rows["out"][:, 0], stream.writer[:, 0])
    if mixer.convolution is not None:
        mixer.convolution.weight[-1] = 1.0
    stream.finish()


def sign_of_mamba(model: TokenModel, inner: Mamba, machine: Automaton) -> None:
    """a = 2 exp(−Δ) − 1 in the first channel, its step Δ, `SATURATED` or 0, told by the second."""
    stream = Turns(model, inner, machine)
    mixer = stream.block.mixer
    assert isinstance(mixer, MambaMixer)
    only(mixer.negative, "model.eigenvalues=[-1,1]")
    width, (rank, N, _) = len(mixer.skip), mixer.sizes
    assign(mixer.project.weight[0], stream.constant)
    assign(mixer.project.weight[1], stream.turn)
    assign(mixer.project.weight[width], stream.constant)
    mixer.convolution.weight[-1] = 1.0
    select = mixer.select.weight
    select[0, 0], select[0, 1] = -SATURATED / SILU, 2 * SATURATED / SILU
    select[rank, 0], select[rank + N, 0] = 1 / (SATURATED * SILU**2), 1 / SILU
    mixer.step.weight[0, 0] = 1.0
    assign(mixer.mixing.weight[:, 0], stream.writer[:, 0])
    stream.finish()
