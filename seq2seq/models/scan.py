"""The linear recurrence h_t = λ h_{t−1} + u_t for all times at once."""

from typing import Any

import torch
from torch import Tensor

RADIX = 32  # times worked through one after another; fastest of 8, 16, 32, 64 on one CPU thread


def diagonal_scan(eigenvalues: Tensor, inputs: Tensor) -> Tensor:
    """h_t = λ ⊙ h_{t−1} + u_t with h_{−1} = 0: (time, …, N) -> (time, …, N), real or complex.

    `eigenvalues` λ is (N,), or broadcasts against one time of `inputs`. An associative scan
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
        later, earlier = (g[:-1], h[1:]) if ctx.reverse else (g[1:], h[:-1])
        return (later * earlier.conj()).sum_to_size(eigenvalues.shape), g, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, int | None, None],
        eigenvalues: Tensor,
        inputs: Tensor,
        reverse: bool,
    ) -> tuple[Tensor, int]:
        """Members become one more axis after time."""
        members = info.batch_size
        if in_dims[1] is None:
            inputs = inputs.unsqueeze(1).expand(-1, members, *inputs.shape[1:])
        else:
            inputs = inputs.movedim(in_dims[1], 1)
        if in_dims[0] is not None:
            eigenvalues = eigenvalues.movedim(in_dims[0], 0)
            missing = inputs.ndim - 1 - eigenvalues.ndim
            eigenvalues = eigenvalues.reshape(members, *[1] * missing, *eigenvalues.shape[1:])
        return _Scan.apply(eigenvalues, inputs, reverse), 1


def _scan(eigenvalues: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
    T = len(inputs)
    pieces = -(-T // RADIX)
    length = -(-T // pieces)
    if pieces * length > T:
        padding = inputs.new_zeros(pieces * length - T, *inputs.shape[1:])
        inputs = torch.cat([inputs, padding])
    u = inputs.reshape(pieces, length, *inputs.shape[1:])
    h = torch.empty_like(u)
    us, hs = u.unbind(1), h.unbind(1)
    if reverse:
        us, hs = us[::-1], hs[::-1]
    hs[0].copy_(us[0])
    for t in range(1, length):
        torch.addcmul(us[t], eigenvalues, hs[t - 1], out=hs[t])
    if pieces > 1:
        ends = _scan(eigenvalues**length, hs[-1], reverse)
        before, after = (ends[1:], slice(-1)) if reverse else (ends[:-1], slice(1, None))
        power = eigenvalues
        for h_t in hs:
            h_t[after].addcmul_(power, before)
            power = power * eigenvalues
    return h.flatten(0, 1)[:T]
