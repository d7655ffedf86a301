"""States of few bits: what a model carries from step to step, rounded.

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
from seq2seq.analysis.stepping import batch_axes, each

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
    if not (x.is_floating_point() or x.is_complex()) or not x.numel():
        return x
    others = [axis for axis in range(x.ndim) if axis != batch_axis % x.ndim]
    group_axis = others[0] if len(others) > 1 else None
    if x.is_complex():
        parts = torch.view_as_real(x.resolve_conj())
        return torch.view_as_complex(_rounded(parts, bits, group_axis).contiguous())
    return _rounded(x, bits, group_axis)


def quantiser(model: Any, bits: int) -> Callable[[Any], Any]:
    """Rounds all numbers of a state of that model, as `stepping.stepwise` asks."""
    checks.integer("bits", bits)
    axes = batch_axes(model)
    return lambda state: each(state, axes, lambda x, axis: quantise(x, bits, axis))


def _rounded(x: Tensor, bits: int, group_axis: int | None) -> Tensor:
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
    top = x.abs().amax(1, keepdim=True).clamp(min=1e-30)
    errors = []
    for share in SHARES.tolist():
        scale = top * (share / most)
        errors.append((few - (few / scale).round_().clamp_(-most, most) * scale).square().sum(1))
    return top * SHARES.to(x)[torch.stack(errors).argmin(0)][:, None] / most
