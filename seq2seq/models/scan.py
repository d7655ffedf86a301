"""Linear recurrences for all times at once: h_t = λ h_{t−1} + u_t, with a_t or a matrix for λ."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise, repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.models.batching import for_vmap, members_first

RADIX = 32  # times worked through one after another; fastest of 8, 16, 32, 64 on one CPU thread
WIDE = 2048  # numbers of one time from which on pieces that advance side by side gain nothing


def diagonal_scan(eigenvalues: Tensor, inputs: Tensor) -> Tensor:
    """h_t = λ ⊙ h_{t−1} + u_t with h_{−1} = 0: (…, time, N) -> (…, time, N), real or complex.

    `eigenvalues` λ is (N,), or broadcasts against `inputs` with one time. An associative scan
    (Blelloch 1990) of radix 32: the sequence is cut into pieces, all pieces advance side by side,
    and their last values are scanned in turn. O(time) work in O(log time) rounds of 32 operations,
    where FFTs need O(time log time) and, in float32, lose the digits below the largest value.
    """
    return _Scan.apply(eigenvalues, inputs, False)


class _Scan(torch.autograd.Function):
    """`reverse` runs from the last time to the first, which is what a gradient does."""

    @staticmethod
    def forward(eigenvalues: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
        return _scan(eigenvalues, inputs, reverse)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
        eigenvalues, _, ctx.reverse = inputs
        ctx.save_for_backward(eigenvalues, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        eigenvalues, h = ctx.saved_tensors
        g = _Scan.apply(eigenvalues.conj(), gradient, not ctx.reverse)
        if ctx.reverse:
            g_next, h_before = g[..., :-1, :], h[..., 1:, :]
        else:
            g_next, h_before = g[..., 1:, :], h[..., :-1, :]
        return (g_next * h_before.conj()).sum_to_size(eigenvalues.shape), g, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[Tensor, int]:
        """Members become the first axis."""
        eigenvalues, inputs, reverse = members_first(info, in_dims, arguments)
        missing = [1] * (inputs.ndim - eigenvalues.ndim)
        eigenvalues = eigenvalues.reshape(len(inputs), *missing, *eigenvalues.shape[1:])
        return _Scan.apply(eigenvalues, inputs, reverse), 0


def _scan(eigenvalues: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
    *batch, T, N = inputs.shape
    pieces = -(-T // RADIX)
    length = -(-T // pieces)
    if pieces * length > T:
        inputs = torch.cat([inputs, inputs.new_zeros(*batch, pieces * length - T, N)], -2)
    u = inputs.reshape(*batch, pieces, length, N)
    h = torch.empty_like(u)
    us, hs = u.unbind(-2), h.unbind(-2)
    if reverse:
        us, hs = us[::-1], hs[::-1]
    _advance(repeat(eigenvalues), us, hs)
    if pieces > 1:
        ends = _scan(eigenvalues**length, hs[-1], reverse)
        before, after = (slice(1, None), slice(-1)) if reverse else (slice(-1), slice(1, None))
        power = eigenvalues
        for h_t in hs:
            h_t[..., after, :].addcmul_(power, ends[..., before, :])
            power = power * eigenvalues
    return h.flatten(-3, -2)[..., :T, :]


def _advance(gates: Iterable[Tensor], us: Sequence[Tensor], hs: Sequence[Tensor]) -> None:
    """Fill h_0 = u_0, h_t = a_t h_{t−1} + u_t; the first gate is a_1."""
    hs[0].copy_(us[0])
    for a, u, before, after in zip(gates, us[1:], hs, hs[1:], strict=False):
        torch.addcmul(u, a, before, out=after)


def gated_scan(gates: Tensor, inputs: Tensor, before: Tensor | None = None) -> Tensor:
    """h_t = a_t ⊙ h_{t−1} + u_t with h_{−1} = `before` or 0: (time, …) -> (time, …).

    Real or complex, with gates of any sign and size, zero included: nothing is divided and there
    are no logarithms. `gates` a has as many axes as `inputs` u and broadcasts against them. O(time)
    work; wide states go from time to time, narrow ones in pieces as in `diagonal_scan`.
    """
    if before is None:
        return _GatedScan.apply(gates[1:], inputs, False)
    return _GatedScan.apply(gates, torch.cat([before[None], inputs]), False)[1:]


class _GatedScan(torch.autograd.Function):
    """h_0 = u_0, h_t = a_t h_{t−1} + u_t, the gates being those between times, one fewer.

    So the gradient is the same scan through the same gates, in `reverse`.
    """

    @staticmethod
    def forward(gates: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
        return _gated(gates, inputs, reverse)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
        gates, _, ctx.reverse = inputs
        ctx.save_for_backward(gates, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        gates, h = ctx.saved_tensors
        g = _GatedScan.apply(gates.conj(), gradient, not ctx.reverse)
        after, before = (g[:-1], h[1:]) if ctx.reverse else (g[1:], h[:-1])
        return (after * before.conj()).sum_to_size(gates.shape), g, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[Tensor, int]:
        """Members follow the time."""
        gates, inputs, reverse = members_first(info, in_dims, arguments)
        return _GatedScan.apply(gates.transpose(0, 1), inputs.transpose(0, 1), reverse), 1


def _gated(gates: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
    T, *sizes = inputs.shape
    if T <= 2 * RADIX or math.prod(sizes) >= WIDE:
        h = torch.empty_like(inputs)
        between, us, hs = gates.unbind(0), inputs.unbind(0), h.unbind(0)
        if reverse:
            between, us, hs = between[::-1], us[::-1], hs[::-1]
        _advance(between, us, hs)
        return h
    if reverse:
        return _gated(gates.flip(0), inputs.flip(0), False).flip(0)
    pieces = -(-T // RADIX)
    others = [0, 0] * len(sizes)
    u = F.pad(inputs, (*others, 0, pieces * RADIX - T)).unflatten(0, (pieces, RADIX))
    a = F.pad(gates, (*others, 1, pieces * RADIX - T)).unflatten(0, (pieces, RADIX))
    h, product = torch.empty_like(u), a.clone()
    _advance(a.unbind(1)[1:], u.unbind(1), h.unbind(1))
    for before, after in pairwise(product.unbind(1)):
        after.mul_(before)
    ends = _gated(product[1:, -1], h[:, -1], False)
    h[1:].addcmul_(product[1:], ends[:-1, None])
    return h.flatten(0, 1)[:T]


def block_scan(matrix: Tensor, inputs: Tensor, before: Tensor | None = None) -> Tensor:
    """s_t = M s_{t−1} + u_t with s_{−1} = `before` or 0, of N small systems: M is (…, K, K, N).

    `inputs` u (time, …, K, batch, N) -> the same. As in `gated_scan`, wide states go from time to
    time, narrow ones in pieces.
    """
    if before is not None:
        first = (matrix[..., None, :] * before[..., None, :, :, :]).sum(-3) + inputs[0]
        inputs = torch.cat([first[None], inputs[1:]])
    return _BlockScan.apply(matrix, inputs, False)


class _BlockScan(torch.autograd.Function):
    """The gradient is the scan with the transpose, in `reverse`."""

    @staticmethod
    def forward(matrix: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
        return _blocks(matrix, inputs, reverse)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
        matrix, _, ctx.reverse = inputs
        ctx.save_for_backward(matrix, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        matrix, s = ctx.saved_tensors
        g = _BlockScan.apply(matrix.transpose(-3, -2), gradient, not ctx.reverse)
        after, before = (g[:-1], s[1:]) if ctx.reverse else (g[1:], s[:-1])
        slope = (after.unsqueeze(-3) * before.unsqueeze(-4)).sum(-2).sum(0)
        return slope.sum_to_size(matrix.shape), g, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[Tensor, int]:
        """Members follow the time."""
        matrix, inputs, reverse = members_first(info, in_dims, arguments)
        return _BlockScan.apply(matrix, inputs.transpose(0, 1), reverse), 1


def _blocks(matrix: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
    T = len(inputs)
    if T <= 2 * RADIX or inputs[0].numel() >= WIDE:
        s = inputs.clone()
        times = s.unbind(0)
        for earlier, now in pairwise(times[::-1] if reverse else times):
            _add_product(now, matrix, earlier)
        return s
    if reverse:
        return _blocks(matrix, inputs.flip(0), False).flip(0)
    pieces = -(-T // RADIX)
    padded = F.pad(inputs, (*[0, 0] * (inputs.ndim - 1), 0, pieces * RADIX - T))
    s = padded.unflatten(0, (pieces, RADIX)).contiguous()
    times, powers = s.unbind(1), [matrix]
    for earlier, now in pairwise(times):
        _add_product(now, matrix, earlier)
        powers.append(_add_product(torch.zeros_like(matrix), matrix, powers[-1]))
    ends = _blocks(powers[-1], times[-1], False)
    for power, now in zip(powers, times, strict=True):
        _add_product(now[1:], power, ends[:-1])
    return s.flatten(0, 1)[:T]


def _add_product(total: Tensor, matrix: Tensor, s: Tensor) -> Tensor:
    """`total` += M s, (…, K, batch, N)."""
    for column, part in zip(matrix.unbind(-2), s.split(1, -3), strict=True):
        total.addcmul_(column[..., None, :], part)
    return total


class StackedScan(torch.autograd.Function):
    """h_t = λ ⊙ h_{t−1} + u_t of M members: λ (M, N), u (M, T, B, N) -> (M, T, B, N), complex.

    The numbers of one time lie together and are many, so that going from time to time is fastest.
    """

    @staticmethod
    def forward(ctx: Any, eigenvalues: Tensor, u: Tensor) -> Tensor:
        ctx.power = eigenvalues[:, None].expand(-1, u.shape[2], -1).contiguous()
        h = torch.empty_like(u)
        _advance(repeat(ctx.power), u.unbind(1), h.unbind(1))
        ctx.save_for_backward(h)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor) -> Any:
        (h,) = ctx.saved_tensors
        g = torch.empty_like(h)
        gs, hs = g.unbind(1), h.unbind(1)
        _advance(repeat(ctx.power.conj_physical()), dh.unbind(1)[::-1], gs[::-1])
        slope, scratch = torch.zeros_like(ctx.power), torch.empty_like(ctx.power)
        for g_t, before in zip(gs[1:], hs, strict=False):
            slope.addcmul_(g_t, torch.conj_physical(before, out=scratch))
        return slope.sum(1), g


scan_by_time = for_vmap(StackedScan.apply)
