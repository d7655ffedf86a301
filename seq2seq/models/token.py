"""Tokens in, scores of the next token out, around any sequence model."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.models.around import Around
from seq2seq.models.model import SequenceModel, State


class TokenModel(Around):
    """e = E[x], o = model(e), scores o + b or, tied, E o + b.

    (batch, time) integers -> (batch, time, vocabulary_size) scores before the softmax. Untied, the
    model's own readout is the head. Tied, it returns to the width of the embedding, whose rows
    score the tokens (Press and Wolf 2017).

    Args:
        model: from embedding_size channels to vocabulary_size or, tied, to embedding_size.
        vocabulary_size: tokens.
        tied: use the embedding as the head.
    """

    def __init__(self, model: SequenceModel, vocabulary_size: int, tied: bool = False) -> None:
        super().__init__()
        self.input_dim, self.output_dim = 1, vocabulary_size
        self.embedding = nn.Embedding(vocabulary_size, model.input_dim)
        self._surround(model)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size)) if tied else None
        if tied:  # scores of unit size at the start
            nn.init.normal_(self.embedding.weight, std=model.input_dim**-0.5)

    def enter(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(x)
        return embedded

    def leave(self, output: Tensor) -> Tensor:
        return output if self.bias is None else F.linear(output, self.embedding.weight, self.bias)

    @torch.inference_mode()
    def read(self, numbers: list[int]) -> tuple[Tensor, State]:
        """Scores (1, vocabulary_size) after the tokens `numbers`, and the state."""
        weight = self.embedding.weight
        if self.carries_state:  # all at once
            scores, state = self(torch.tensor([numbers], device=weight.device), return_state=True)
            return scores[:, -1], state
        state = self.initial_state(1, weight.device, weight.dtype)
        for number in numbers:
            scores, state = self._next(number, state)
        return scores, state

    @torch.inference_mode()
    def _next(self, number: int, state: State) -> tuple[Tensor, State]:
        return self.step(torch.tensor([number], device=self.embedding.weight.device), state)

    def stream(
        self,
        numbers: list[int],
        length: int,
        draws: torch.Generator,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Iterator[int]:
        """Continue the tokens `numbers` by `length` more, each given out as soon as it is drawn.

        See `draw` for how. The model runs in its step form, in evaluation mode: the time per token
        does not grow with what is written, except for attention without a window.
        """
        self.eval()
        scores, state = self.read(numbers)
        for _ in range(length):
            number = draw(scores[0], draws, temperature, top_k, top_p)
            yield number
            scores, state = self._next(number, state)


def draw(
    scores: Tensor,
    draws: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> int:
    """One token number, never 0 (the unknown token), for scores (tokens,).

    Drawn from softmax(scores / temperature), cut down to the `top_k` likeliest tokens and then to
    the fewest that hold the share `top_p` of the probability (Holtzman et al. 2020); temperature 0
    takes the likeliest. Of equally likely ones the first count.
    """
    scores = scores[1:].cpu()
    if temperature == 0:
        top_k = 1
    if top_k is not None:
        order = scores.argsort(descending=True, stable=True)
        scores = scores.index_fill(0, order[top_k:], -math.inf)
    probability = (scores / max(temperature, 1e-30)).softmax(0)  # a smaller one would overflow
    if top_p is not None and top_p < 1:
        ordered, order = probability.sort(descending=True, stable=True)
        beyond = ordered.cumsum(0) - ordered >= top_p
        probability[order[beyond]] = 0.0
    return 1 + int(torch.multinomial(probability, 1, generator=draws))
