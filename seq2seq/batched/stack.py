"""One model for many: the parameters of all members stacked, one call for all of them.

`torch.func.vmap` turns a plain module into its batched form. Where it has no rule, or a slow one,
the rule is here: recurrences (see `recurrence`), causal convolutions and attention.

Shapes: M members, B sequences, T times, C channels in, O channels out, k taps.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from seq2seq.batched.recurrence import Network, Recurrent
from seq2seq.models.rnn import RNN
from seq2seq.models.ssm import DiagonalRNN
from seq2seq.models.tcn import CausalConvolution

#: Times per hidden unit up to which a convolution as a matrix is cheaper than a recurrence.
LONGEST = 64


def batchable(model: nn.Module) -> nn.Module:
    """A copy of `model` whose modules run under `torch.func.vmap` at the speed of the hardware."""
    template = copy.deepcopy(model)
    forward: Callable[[Tensor], Tensor]
    for module in template.modules():
        if isinstance(module, RNN):
            forward = functools.partial(_recurrent, module, Network.of(module))
            linear = module.cell == "linear"
        elif isinstance(module, DiagonalRNN):
            forward = module.forward
            linear = module.activation == "linear"
        elif isinstance(module, CausalConvolution):
            module.forward = functools.partial(_convolution, module)  # type: ignore[method-assign]
            continue
        else:
            continue
        if linear:
            forward = functools.partial(_superposed, module, forward)
        module.forward = forward  # type: ignore[method-assign]
    return template


def _recurrent(model: RNN, network: Network, x: Tensor) -> Tensor:
    return Recurrent.apply(network, x, *model.parameters())


def _convolution(module: CausalConvolution, x: Tensor) -> Tensor:
    y: Tensor = Convolution.apply(x, module.filter(), module.dilation)
    return y if module.bias is None else y + module.bias


def _superposed(model: RNN | DiagonalRNN, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A linear model's outputs for x (B, T, D) as its kernel's convolution with x.

    The recurrence is gone through for D impulses instead of B sequences, or not at all where the
    kernel is known in closed form; the rest is one product with the matrix of the convolution,
    (T·D, T·O), as long as that costs less.
    """
    B, T, D = x.shape
    if B <= D + 1 or LONGEST * model.hidden_size < T:
        return forward(x)
    if isinstance(model, DiagonalRNN) and model.has_kernel:
        return Superposition.apply(x, model.kernel(T)) + model.readout.bias
    probes = x.new_zeros(D + 1, T, D)
    probes[1:, 0] = torch.eye(D, dtype=x.dtype, device=x.device)
    rest, *answers = forward(probes).unbind(0)  # (T, O) each
    kernel = torch.stack([answer - rest for answer in answers], -1)
    return Superposition.apply(x, kernel) + rest


class StackedSuperposition(torch.autograd.Function):
    """y_t = Σ_s κ_{t−s} x_s for M members: x (M, B, T, D), κ (M, T, O, D) -> (M, B, T, O).

    With the inputs last first, row j of the matrix is κ delayed by the T − 1 − j steps before
    input j: every row is a window into one sequence, T − 1 zeros and then κ.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        M, B, T, D = x.shape
        padded = F.pad(kernel, (0, 0, 0, 0, T - 1, 0))
        rows = padded.unfold(1, T, 1).permute(0, 1, 3, 2, 4)  # (M, T, D, O, T): κ at row + time
        matrix = rows.reshape(M, T * D, -1)
        late = x.flip(2).reshape(M, B, T * D)
        ctx.save_for_backward(late, matrix)
        ctx.sizes = kernel.shape
        return torch.bmm(late, matrix).unflatten(2, (-1, T)).transpose(2, 3)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Any:
        late, matrix = ctx.saved_tensors
        M, T, outputs, D = ctx.sizes
        slopes = dy.transpose(2, 3).reshape(M, -1, outputs * T)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = torch.bmm(slopes, matrix.mT).unflatten(2, (T, D)).flip(2)
        # Row + time is the place in the padded kernel: with T zeros after each row and one row's
        # length less to a line, equal places stand below each other.
        rows = F.pad(torch.bmm(late.mT, slopes).view(M, T, D * outputs, T), (0, T))
        rows = rows.transpose(1, 2).flatten(2)[:, :, : T * (2 * T - 1)]
        dkernel = rows.unflatten(2, (T, 2 * T - 1)).sum(2)[:, :, T - 1 :]
        return dx, dkernel.view(M, D, outputs, T).permute(0, 3, 2, 1)


class Superposition(torch.autograd.Function):
    """`StackedSuperposition` for one member: the form that `torch.func.vmap` batches."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, kernel: Tensor) -> Tensor:
        return StackedSuperposition.apply(x[None], kernel[None])[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Only the batched form is differentiated."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, kernel: Tensor) -> Any:
        return StackedSuperposition.apply(*lead(info.batch_size, in_dims, x, kernel)), 0


class StackedConvolution(torch.autograd.Function):
    """Causal convolutions of M members: x (M, B, T, C), weight (M, O, C, k) -> (M, B, T, O).

    Time leads in memory, (M, T, B, C), so that a delay of the input is an offset, and each tap one
    product per member that is added in place; nothing is padded or unfolded.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        M, B, T, C = x.shape
        rows = x.transpose(1, 2).reshape(M, T * B, C)
        taps = weight.permute(3, 0, 2, 1).contiguous()
        y = torch.bmm(rows, taps[-1])
        for tap, lag in _lags(len(taps), dilation, T):
            y[:, lag * B :].baddbmm_(rows[:, : (T - lag) * B], taps[tap])
        ctx.save_for_backward(rows, weight)
        ctx.sizes = (B, T, dilation)
        return y.view(M, T, B, -1).transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Any:
        rows, weight = ctx.saved_tensors
        B, T, dilation = ctx.sizes
        M, N, C = rows.shape
        slopes = dy.transpose(1, 2).reshape(M, N, -1)
        taps = weight.permute(3, 0, 1, 2).contiguous()
        dtaps = torch.zeros_like(taps)
        torch.bmm(slopes.mT, rows, out=dtaps[-1])
        dx = torch.bmm(slopes, taps[-1]) if ctx.needs_input_grad[0] else None
        for tap, lag in _lags(len(taps), dilation, T):
            late, early = slopes[:, lag * B :], rows[:, : (T - lag) * B]
            torch.bmm(late.mT, early, out=dtaps[tap])
            if dx is not None:
                dx[:, : (T - lag) * B].baddbmm_(late, taps[tap])
        if dx is not None:
            dx = dx.view(M, T, B, C).transpose(1, 2)
        return dx, dtaps.permute(1, 2, 3, 0), None


def _lags(kernel_size: int, dilation: int, T: int) -> list[tuple[int, int]]:
    """(tap, delay in steps) of all taps but the latest that see a sequence of T steps."""
    lags = [(tap, (kernel_size - 1 - tap) * dilation) for tap in range(kernel_size - 1)]
    return [(tap, lag) for tap, lag in lags if lag < T]


class Convolution(torch.autograd.Function):
    """`StackedConvolution` for one member: the form that `torch.func.vmap` batches."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        return StackedConvolution.apply(x[None], weight[None], dilation)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Only the batched form is differentiated."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, weight: Tensor, dilation: int) -> Any:
        x, weight = lead(info.batch_size, in_dims, x, weight)
        return StackedConvolution.apply(x, weight, dilation), 0


class Attention(torch.autograd.Function):
    """Scaled dot-product attention, members and sequences being one batch for it."""

    generate_vmap_rule = False

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, **options)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Only the batched form is differentiated."""

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]
    ) -> Any:
        q, k, v = (part.flatten(0, 1) for part in lead(info.batch_size, in_dims, q, k, v))
        z = F.scaled_dot_product_attention(q, k, v, **options)
        return z.unflatten(0, (info.batch_size, -1)), 0


class AttentionRule(TorchFunctionMode):
    """Route attention to `Attention`: torch's kernel for CPUs has no batching rule.

    Attributes:
        used: whether there has been any.
    """

    used = False

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self.used = True
            return Attention.apply(*args, kwargs)
        return func(*args, **kwargs)


def lead(size: int, in_dims: Sequence[int | None], *parts: Tensor) -> list[Tensor]:
    """The parts with the axis of the members in front, repeated where they have none."""
    return [
        part.expand(size, *part.shape) if dim is None else part.movedim(dim, 0)
        for part, dim in zip(parts, in_dims, strict=False)
    ]
