"""States of few bits: a model run step by step, its state rounded between any two steps.

A state is any nesting of tensors (see `seq2seq.models.model`). Its real and complex numbers are
rounded to symmetric levels, zero among them,

    Q(x) = Δ·clip(round(x/Δ), −n, n),  n = 2^(b−1) − 1,        or with one bit Q(x) = Δ·sign(x).

Whole numbers in it, such as positions, stay as they are. Δ is the one of least squared error, for
each slice along the first axis beside the batch's, which are the heads of a layer or the layers of
a network; for the whole tensor where that is the only axis. All sequences of a batch share it, so
that it tells nothing of any one.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seq2seq import checks

#: What a scale is chosen from: at most so many numbers, and shares of the largest one.
SAMPLE, SHARES = 2**14, 2.0 ** (-torch.arange(17) / 4)


def quantise(x: Tensor, bits: int, batch_axis: int = 0) -> Tensor:
    """x on 2^bits − 1 levels, or with one bit on two; the shape and type of x.

    Args:
        x: real or complex, of which both parts count; others come back as they are.
        bits: of a number, at least 1.
        batch_axis: the axis of the sequences.

    Raises:
        ValueError: `bits` is no whole number of 1 or more.
    """
    checks.integer("bits", bits)
    if x.is_complex():
        parts = torch.view_as_real(x.resolve_conj())
        others = [axis for axis in range(x.ndim) if axis != batch_axis % x.ndim]
        rounded = _rounded(parts, bits, others[0] if len(others) > 1 else None)
        return torch.view_as_complex(rounded.contiguous())
    if not x.is_floating_point():
        return x
    others = [axis for axis in range(x.ndim) if axis != batch_axis % x.ndim]
    return _rounded(x, bits, others[0] if len(others) > 1 else None)


def _rounded(x: Tensor, bits: int, group_axis: int | None) -> Tensor:
    if not x.numel():
        return x
    grouped = x[None] if group_axis is None else x.movedim(group_axis, 0)
    flat = grouped.flatten(1)
    if bits == 1:
        rounded = flat.abs().mean(1, keepdim=True).copysign(flat)
    else:
        most = 2 ** (bits - 1) - 1
        scale = _scale(flat, most)
        rounded = (flat / scale).round_().clamp_(-most, most).mul_(scale)
    rounded = rounded.view(grouped.shape)
    return rounded[0] if group_axis is None else rounded.movedim(0, group_axis)


def _scale(x: Tensor, most: int) -> Tensor:
    """Δ of each row, of some that let its largest number be the highest level, or beyond it."""
    few = x[:, :: -(-x.shape[1] // SAMPLE)]
    top = x.abs().amax(1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny * most)
    errors = []
    for share in SHARES.tolist():
        scale = top * (share / most)
        errors.append((few - (few / scale).round_().clamp_(-most, most) * scale).square().sum(1))
    return top * SHARES.to(x)[torch.stack(errors).argmin(0)][:, None] / most


@torch.inference_mode()
def stepwise(model: Any, x: Tensor, between: Callable[[Any], Any]) -> Tensor:
    """Outputs of a model's step form, (batch, time, outputs), its state changed after each step.

    Args:
        model: with `initial_state` and `step`, such as a SequenceModel.
        x: (batch, time, inputs), or tokens (batch, time).
        between: what a step leaves -> what the next one is given.
    """
    parameter = next(model.parameters())
    state = model.initial_state(len(x), parameter.device, parameter.dtype)
    outputs = []
    for x_t in x.unbind(1):
        output, state = model.step(x_t, state)
        outputs.append(output)
        state = between(state)
    return torch.stack(outputs, 1)


def quantiser(model: Any, bits: int) -> Callable[[Any], Any]:
    """Rounds all numbers of a state of that model; see `stepwise`."""
    checks.integer("bits", bits)
    axes = _batch_axes(
        *(model.initial_state(n, torch.device("cpu"), torch.float32) for n in (2, 3))
    )
    return lambda state: _each(state, axes, lambda x, axis: quantise(x, bits, axis))


def numbers(model: Any, x: Tensor) -> int:
    """How many real numbers the state of one sequence holds after x, (1, time, …)."""
    count = 0

    def counting(state: Any) -> Any:
        nonlocal count
        count = _count(state)
        return state

    stepwise(model, x[:1], counting)
    return count


def _count(state: Any) -> int:
    if isinstance(state, Tensor):
        real = state.is_floating_point() or state.is_complex()
        return state.numel() * (1 + state.is_complex()) if real else 0
    return sum(map(_count, state)) if isinstance(state, tuple | list) else 0


def _batch_axes(two: Any, three: Any) -> Any:
    """Of each tensor in the states of two and of three sequences, the axis in which they differ."""
    if isinstance(two, tuple | list):
        return [_batch_axes(*pair) for pair in zip(two, three, strict=True)]
    if not isinstance(two, Tensor):
        return None
    differing = [axis for axis in range(two.ndim) if two.shape[axis] != three.shape[axis]]
    return differing[0] if differing else None


def _each(state: Any, axes: Any, change: Callable[[Tensor, int], Tensor]) -> Any:
    """A state with what `change` makes of each of its tensors that has an axis for sequences."""
    if isinstance(state, tuple | list):
        return tuple(_each(part, axis, change) for part, axis in zip(state, axes, strict=True))
    return state if axes is None else change(state, axes)
