"""Let a trained model go on by itself: texts from a prompt, trajectories from a prefix."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.build import load_model
from seq2seq.models.model import SequenceModel
from seq2seq.models.token import TokenModel
from seq2seq.models.token import draw as draw
from seq2seq.runs import Run
from seq2seq.seeds import generator
from seq2seq.tasks.vocabulary import Vocabulary


def load(run: Run | str | Path) -> tuple[TokenModel, Vocabulary]:
    """The model and the vocabulary of a run on text; its corpus is not needed.

    Raises:
        ValueError: the folder is no run on text, or has no readable checkpoint.
    """
    run = run if isinstance(run, Run) else Run(run)
    if not run.vocabulary.exists():
        raise ValueError(f"run must be the folder of a run on text, got {run.folder}")
    model = cast(TokenModel, load_model(run))
    return model, Vocabulary.read(run.vocabulary)


def needs_step(model: nn.Module) -> None:
    """Refuse a model that only maps whole sequences.

    Raises:
        ValueError: it has no step form.
    """
    # One of tokens says whether what it wraps can.
    if not getattr(model, "has_step", hasattr(type(model), "step")):
        raise ValueError(
            f"{type(model).__name__} has no step form; give it initial_state(batch_size, device, "
            "dtype) and step(x_t, state)"
        )


def stream(
    model: TokenModel,
    vocabulary: Vocabulary,
    prompt: str = "",
    length: int = 600,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> Iterator[str]:
    """Continue `prompt` by `length` tokens, each given out as soon as it is drawn.

    See `TokenModel.stream`; `<unk>` is never drawn. Without a prompt the text starts as a line
    does, `Vocabulary.beginning` being the only thing that the model has seen. The same arguments
    give the same text.

    Raises:
        ValueError: no step form, or a number out of range.
    """
    needs_step(model)
    checks.integer("length", length, 0)
    checks.integer("seed", seed, 0)
    checks.within("temperature", temperature, "[0, inf)", 1.0)
    if top_k is not None:
        checks.integer("top_k", top_k)
    if top_p is not None:
        checks.within("top_p", top_p, "(0, 1]", 0.9)
    numbers = vocabulary.encode(prompt).tolist() or [vocabulary.beginning]
    draws = generator(seed, "sample")
    drawn = model.stream(numbers, length, draws, temperature, top_k, top_p)
    return (vocabulary.tokens[number] for number in drawn)


def write(
    model: TokenModel,
    vocabulary: Vocabulary,
    prompt: str = "",
    length: int = 600,
    temperature: float = 1.0,
    seed: int = 0,
) -> str:
    """The prompt and what `stream` adds to it."""
    return prompt + "".join(stream(model, vocabulary, prompt, length, temperature, seed=seed))


@torch.inference_mode()
def rollout(model: SequenceModel, prefix: Tensor, steps: int) -> Tensor:
    """Feed o_t back as x_{t+1}: (batch, time, D) -> (batch, steps, D).

    The model has been trained to predict x_{t+1}. It reads the prefix as it is (teacher forcing)
    and runs freely from its last output on; the first output returned is the prediction of the
    value that follows the prefix.

    Raises:
        ValueError: the model's outputs cannot be its inputs, or the prefix is empty.
    """
    needs_step(model)
    if model.input_dim != model.output_dim:
        raise ValueError(
            "a rollout needs a model whose outputs are its inputs, got "
            f"input_dim={model.input_dim}, output_dim={model.output_dim}; train on next values"
        )
    B, T, _ = prefix.shape
    if T < 1 or steps < 1:
        raise ValueError(f"a rollout needs a prefix and steps of at least 1, got {T} and {steps}")
    model.eval()
    if getattr(model, "carries_state", False) is True:
        output, state = model(prefix, return_state=True)
        o_t = output[:, -1]
    else:
        state = model.initial_state(B, prefix.device, prefix.dtype)
        for x_t in prefix.unbind(1):
            o_t, state = model.step(x_t, state)
    outputs = [o_t]
    for _ in range(steps - 1):
        o_t, state = model.step(o_t, state)
        outputs.append(o_t)
    return torch.stack(outputs, 1)


def horizon(prediction: Tensor, truth: Tensor, dt: float, threshold: float = 0.5) -> Tensor:
    """How long a prediction holds, (batch,) in time units, for (batch, steps, D).

    The time before the first step at which |ŷ_t − y_t| exceeds `threshold` times the root mean
    square of y about its mean over all of `truth`; at most steps·dt.
    """
    spread = (truth - truth.mean((0, 1))).square().sum(-1).mean().sqrt()
    error = (prediction - truth).square().sum(-1).sqrt() / spread
    # `not <=` rather than `>`: a prediction that left the numbers does not hold.
    held = (error <= threshold).long().cumprod(1)
    return held.sum(1) * dt
