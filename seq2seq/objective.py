"""What is minimised: the loss on samples, or its exact expectation."""

import copy
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.around import Around
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


class Ridge:
    """Ridge regression of a readout (C, d) on fixed states, which one step of size 1 solves.

    The gradient is θ − θ*, θ being (C, d) and θ* the minimum of Σ w (o − y)² + ridge·|C|² over the
    batch, so that `optimizer=sgd optimizer.lr=1` arrives in one step; w is 1 where the task's
    squared error counts the output and 0 elsewhere. The value is the task's loss before the step.
    The normal equations are solved in float64.

    Args:
        ridge: weight of |C|² beside a sum over sequences and times.
    """

    uses_samples = True
    #: The gradient is the way to the minimum, whose size other optimizers would change.
    takes_whole_steps = True

    def __init__(self, ridge: float = 1e-6) -> None:
        checks.positive("objective.ridge", ridge, 1e-6)
        self.ridge = ridge

    def bind(self, model: Any, task: Any) -> None:
        """Raise ValueError unless the states of the model are fixed and the task has numbers."""
        inner = getattr(model, "model", model)
        if not hasattr(inner, "states"):
            raise ValueError(
                f"objective=ridge needs a model with fixed states, got {type(inner).__name__}; "
                "choose model=esn, or objective=sampled"
            )
        if task.vocabulary_size is not None:
            raise ValueError(
                "objective=ridge needs targets that are numbers, got "
                f"{type(task).__name__}; choose task=narma or another such, or objective=sampled"
            )

    def __call__(self, model: Any, batch: Batch, loss: Callable[..., Tensor]) -> Tensor:
        """The loss of `model` on `batch`, whose gradient is θ − θ*."""
        x, y = batch
        inner: Any = model
        leave: Callable[[Tensor], Tensor] = nn.Identity()
        if isinstance(model, Around):
            x, inner, leave = model.enter(x), model.model, model.leave
        readout = inner.readout
        output, beside = _Regression.apply(
            inner.states(x), readout.weight, readout.bias, self.ridge
        )
        further = loss(leave(beside), y)
        return loss(leave(output), y) + (further - further.detach())


class _Regression(torch.autograd.Function):
    """o = C φ + d for states φ (batch, time, N), and o + 1; the derivative by (C, d) is θ − θ*.

    A squared error has the slopes 2w(o − y) and 2w(o + 1 − y) there, which tell w and y.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(states: Tensor, weight: Tensor, bias: Tensor, ridge: float) -> Any:
        output = F.linear(states, weight, bias)
        return output, output + 1

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.ridge = inputs
        ctx.save_for_backward(*tensors, output[0])

    @staticmethod
    def backward(ctx: Any, slope: Tensor, beside: Tensor) -> Any:
        states, weight, bias, output = (z.double() for z in ctx.saved_tensors)
        slope, beside = (z.double().flatten(0, 1) for z in (slope, beside))
        weights = (beside - slope) / 2
        target = output.flatten(0, 1) - torch.where(weights > 0, slope / (2 * weights), 0.0)
        states = F.pad(states.flatten(0, 1), (0, 1), value=1.0)
        counted = states * (weights.amax(-1, keepdim=True) > 0)
        penalty = F.pad(torch.full_like(states[0, 1:], ctx.ridge), (0, 1)).diag()
        wanted = torch.linalg.solve(counted.T @ states + penalty, counted.T @ target)
        way = weight - wanted[:-1].T, bias - wanted[-1]
        return (
            None,
            *(z.to(p.dtype) for z, p in zip(way, ctx.saved_tensors[1:3], strict=True)),
            None,
        )


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
