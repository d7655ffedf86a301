"""The residual stream of a mixer model, in which tokens and what is known of them do not mix."""

from typing import Any

import numpy as np
import torch
from scipy.linalg import helmert
from torch import Tensor, nn

from seq2seq.models.constructions.assign import SATURATED, SURE, assign, need, only
from seq2seq.models.matrix_state import MatrixMixer
from seq2seq.models.mixer import MixerBlock, MixerModel
from seq2seq.models.token import TokenModel


class Stream:
    """The residual stream of a mixer model around its first layer, which does the work.

    Tokens are vectors of mean 0 and mean square 1, which a layer norm leaves alone; what the mixer
    adds is orthogonal to all of them. The layers above, whose parameters are 0, pass it on.

    Args:
        codes: what the mixer must know of each token, (tokens, m).
        added: numbers that the mixer adds.

    Raises:
        NoConstruction: the width does not suffice.
    """

    def __init__(self, model: TokenModel, inner: MixerModel, codes: Any, added: int) -> None:
        D, m = inner.hidden_size, codes.shape[1]
        need("model.hidden_size", D, m + added + 2)
        need("task.embedding_size", inner.input_dim, m + 1)
        square = (codes**2).sum(1)
        scale = np.sqrt(D / square.max())
        rest = np.sqrt(square.max() - square)
        basis = helmert(D).T  # of the vectors of mean 0
        assign(model.embedding.weight[:, : m + 1], scale * np.column_stack([codes, rest]))
        assert isinstance(inner.embedding, nn.Linear)
        assign(inner.embedding.weight[:, : m + 1], basis[:, : m + 1])
        for module in inner.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.fill_(1.0)
        block = inner.layers[0]
        assert isinstance(block, MixerBlock)
        block.norm.weight.fill_((1 + block.norm.eps) ** 0.5)
        self.model, self.inner, self.block, self.D = model, inner, block, D
        #: By which the mixer reads the codes, (m, D), and writes what it adds, (D, added).
        self.reader, self.writer = basis[:, :m].T / scale, basis[:, m + 1 : m + 1 + added]

    def tokens(self, count: int) -> Tensor:
        """A token as it stands in the stream, (count, D)."""
        return self.inner.embedding(self.model.embedding.weight[:1]).expand(count, -1)

    def tell(self, added: Tensor, answers: Any) -> None:
        """Score answers by how near what reaches the readout is to what `added` gives for each."""
        writer = added.new_tensor(self.writer)
        found = self.inner.norm(self.tokens(len(added)) + added) @ writer @ writer.T
        found = found.double()
        distances = torch.cdist(found, found, compute_mode="donot_use_mm_for_euclid_dist")
        least = float(distances.fill_diagonal_(np.inf).min()) if len(found) > 1 else 1.0
        only(least > 1e-6, "states that the readout can tell apart")
        factor = 2 * SURE / least**2
        scores = -factor / 2 * found.square().sum(1)
        self.inner.readout.bias.fill_(float(scores.min()) - 10 * factor)
        self.inner.readout.weight[answers] = (factor * found).to(added.dtype)
        self.inner.readout.bias[answers] = scores.to(added.dtype)


def matrix_mixer(stream: Stream, constant: Any) -> tuple[MatrixMixer, dict[str, Tensor]]:
    """The first mixer, whose output gate is open; the rows of its map, of the first head, by name.

    Args:
        constant: by which it reads what all tokens have.
    """
    mixer = stream.block.mixer
    assert isinstance(mixer, MatrixMixer)
    only(mixer.normaliser == "none", "model.normaliser=none")
    if isinstance(mixer.norm, nn.RMSNorm):
        mixer.norm.weight.fill_(1.0)
    if mixer.output is not None:
        assign(mixer.output.weight, np.tile(constant, (len(mixer.output.weight), 1)))
    H, K, V = mixer.sizes
    q, k, v = mixer.project.weight.split(mixer.widths)
    rows = {
        "q": q.unflatten(0, (mixer.key_heads, K))[0],
        "k": k.unflatten(0, (mixer.writes, mixer.key_heads, K))[:, 0],
        "v": v.unflatten(0, (mixer.writes, H, V))[:, 0],
        "out": mixer.mixing.weight.unflatten(1, (H, V))[:, 0],
    }
    if mixer.delta:
        rows["strength"] = mixer.strength.weight.unflatten(0, (mixer.writes, H))[:, 0]
    return mixer, rows


def delta_rule(mixer: MatrixMixer) -> None:
    """Let nothing fade but what is written over."""
    only(mixer.delta, "model.delta=true")
    only(mixer.gate in ("none", "head", "channel"), "model.gate=none, head or channel")
    if mixer.gate == "head":
        mixer.step_bias.fill_(-SATURATED)
    elif mixer.gate == "channel":
        last = mixer.fading[-1]
        assert isinstance(last, nn.Linear)
        last.bias.fill_(SATURATED)


def added_by(stream: Stream, mixer: MatrixMixer, read: Any) -> Tensor:
    """What the mixer adds to the stream where its first head reads this, (states, d)."""
    weight = mixer.mixing.weight
    H, _, V = mixer.sizes
    o = weight.new_zeros(len(read), H, V)
    assign(o[:, 0, : read.shape[1]], read)
    x = stream.block.norm(stream.tokens(len(read)))
    return mixer.mixing(mixer.normed(o[None], x[None]))[0]
