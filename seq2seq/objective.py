"""What is minimised: the loss on samples, or its exact expectation."""

import copy
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.impulse import responses
from seq2seq.seeds import generator
from seq2seq.theory.population import PopulationLoss

HORIZONS = ("average", "last")

Batch = tuple[Tensor, Tensor]

#: Relative deviation from linearity at which a probe in float64 calls a map nonlinear.
ROUNDING = 1e-8


class Sampled:
    """The task's loss on the batch of each step, averaged over the horizon or at its last time.

    Args:
        horizon: `average`, (1/L) Σ_t of the loss at t, or `last`, the loss at t = L−1 only.
    """

    uses_samples = True

    def __init__(self, horizon: Literal["average", "last"] = "average") -> None:
        checks.one_of("objective.horizon", horizon, HORIZONS)
        self.horizon = horizon

    def __call__(
        self, model: Callable[[Tensor], Tensor], batch: Batch, loss: Callable[..., Tensor]
    ) -> Tensor:
        """The loss of `model` on `batch` = (x, y), both `(batch, time, channels)`."""
        x, y = batch
        output = model(x)
        if self.horizon == "last":
            output, y = output[:, -1:], y[:, -1:]
        return loss(output, y)


class Population:
    """The expectation of `Sampled` over all inputs, for a linear model on a linear functional.

    With e = ρ − ρ̂ the difference of the kernels, ŷ(0) the model's answer to no input and G the
    form of `seq2seq.theory.population`, it is Σ_{s,r} G[s, r] e_s e_r plus the mean of ŷ(0)_t² over
    the horizon, or its last value: biases count, and a zero-mean input leaves no cross term. No
    samples are drawn for training; validation and test go on using theirs.

    Args:
        horizon: as for `Sampled`.
    """

    uses_samples = False

    def __init__(self, horizon: Literal["average", "last"] = "average") -> None:
        checks.one_of("objective.horizon", horizon, HORIZONS)
        self.horizon: Literal["average", "last"] = horizon

    def bind(self, model: Any, task: Any) -> None:
        """Take the target's kernel and the input's covariance from `task`.

        Raises:
            ValueError: the task is not a linear functional of an input of known covariance, or the
                model is not linear and the same at all times.
        """
        kernel, process = task.kernel(), getattr(task, "input", None)
        if kernel is None or process is None or not _is_convolution(task, kernel):
            raise ValueError(
                "objective=population needs a task that convolves its input with a kernel, got "
                f"{type(task).__name__}; choose task=linear_functional, convolution or shift, or "
                "objective=sampled"
            )
        if not _is_linear(model, task.input_dim):
            raise ValueError(
                f"objective=population needs a linear model, got {type(model).__name__}; choose "
                "model=diagonal_rnn or linear_rnn, or objective=sampled"
            )
        covariance = process.autocovariance(task.length)
        self._error = PopulationLoss(kernel, covariance, self.horizon)
        self._length = task.length

    def __call__(self, model: nn.Module, batch: Any, loss: Any) -> Tensor:
        """The expected loss of `model`, a float64 scalar; `batch` and `loss` are not looked at."""
        kernel, rest = responses(model, self._length)
        rest = rest if self.horizon == "average" else rest[-1:]
        return self._error(kernel) + rest.double().square().mean()


def _is_convolution(task: Any, kernel: Tensor) -> bool:
    """Whether the targets of a random input are its convolution with `kernel`."""
    length = min(len(kernel), 32)
    x = _probe(1, length, task.input_dim)
    lags = torch.arange(length)[:, None] - torch.arange(length)
    operator = torch.where(lags >= 0, kernel[lags.clamp(min=0)], 0.0)
    return _close(task.targets(x), operator @ x)


def _is_linear(model: nn.Module, input_dim: int) -> bool:
    """Whether a random input, large enough to bend any activation, is answered by superposition."""
    length = 16
    x = 10 * _probe(2, length, input_dim)
    delayed = torch.cat([torch.zeros_like(x[:1, :1]), x[:1, :-1]], 1)
    inputs = torch.cat([0 * x[:1], x, x[:1] - 2 * x[1:], delayed])
    with torch.no_grad():
        rest, first, second, combined, late = copy.deepcopy(model).double().eval()(inputs)
    first, second, combined, late = (y - rest for y in (first, second, combined, late))
    return _close(combined, first - 2 * second) and _close(late[1:], first[:-1])


def _probe(count: int, length: int, channels: int) -> Tensor:
    stream = generator(0, "probe")
    return torch.randn(count, length, channels, generator=stream, dtype=torch.float64)


def _close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= ROUNDING * (1 + a.abs().max()))
