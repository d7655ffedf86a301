"""Many models of one shape as one program: rules for what `torch.func.vmap` has none, or slow ones.

A module may have a method `batched_forward()`: a function that gives what its `forward` gives and
that vmap turns into that of many members at the speed of the hardware. For what any model may use,
attention and some of torch's modules, the rules are here.

Shapes: M members, B sequences, T times, D inputs, O outputs.
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

from seq2seq.models.impulse import Responses, probe

_gelu_backward = torch.ops.aten.gelu_backward.grad_input

#: Times per hidden unit up to which a convolution as a matrix is cheaper than a recurrence.
LONGEST = 64


def for_vmap(stacked: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function of one member that `torch.func.vmap` turns into `stacked`, that of all of them.

    The tensors of `stacked` begin with the axis of the members; it is what is differentiated.
    """

    class One(torch.autograd.Function):
        @staticmethod
        def forward(*arguments: Any) -> Tensor:
            lone = [a.detach()[None] if isinstance(a, Tensor) else a for a in arguments]
            return stacked(*lone)[0]

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            """Only the batched form is differentiated."""

        @staticmethod
        def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[Tensor, int]:
            return stacked(*members_first(info, in_dims, arguments)), 0

    return One.apply  # type: ignore[no-any-return]


def members_first(info: Any, in_dims: Sequence[int | None], arguments: Sequence[Any]) -> list[Any]:
    """The arguments of a rule for vmap, its tensors with the axis of the members as the first."""
    leading = []
    for a, dim in zip(arguments, in_dims, strict=True):
        if isinstance(a, Tensor):
            a = a.expand(info.batch_size, *a.shape) if dim is None else a.movedim(dim, 0)
        leading.append(a)
    return leading


def batchable(model: nn.Module) -> nn.Module:
    """A copy of `model` whose modules run under `torch.func.vmap` at the speed of the hardware."""
    template = copy.deepcopy(model)
    for module in template.modules():
        if hasattr(type(module), "batched_forward"):
            module.forward = module.batched_forward()  # type: ignore[method-assign, operator]
        elif (rule := RULES.get(type(module))) is not None:
            module.forward = functools.partial(rule, module)  # type: ignore[method-assign]
    return template


def _keep(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
    """x as (M, rows, D), kept with the weight and the shape for the backward pass."""
    rows = x.flatten(1, -2)
    ctx.save_for_backward(rows, weight)
    ctx.shape = x.shape
    return rows


class StackedLinear(torch.autograd.Function):
    """x Wᵀ + b of M members: x (M, …, D), W (M, O, D), b (M, O) or None -> (M, …, O)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = _keep(ctx, x, weight)
        y = torch.bmm(rows, weight.mT)
        if bias is not None:
            y += bias[:, None]
        return y.unflatten(1, x.shape[1:-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Any:
        rows, weight = ctx.saved_tensors
        slopes = dy.flatten(1, -2)
        dx = torch.bmm(slopes, weight).view(ctx.shape) if ctx.needs_input_grad[0] else None
        dbias = slopes.sum(1) if ctx.needs_input_grad[2] else None
        return dx, torch.bmm(slopes.mT, rows), dbias


class StackedGELULinear(torch.autograd.Function):
    """GELU(x) Wᵀ + b of M members: x (M, …, D), W (M, O, D), b (M, O) -> (M, …, O).

    Member by member, so that what lies between x and the outputs stays in the cache; it is computed
    again for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rows = _keep(ctx, x, weight)
        y = rows.new_empty(*rows.shape[:2], weight.shape[1])
        for own, w, b, out in zip(rows, weight, bias, y, strict=True):
            torch.addmm(b, F.gelu(own), w.T, out=out)
        return y.unflatten(1, x.shape[1:-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Any:
        rows, weight = ctx.saved_tensors
        slopes = dy.flatten(1, -2)
        dx, dweight = torch.empty_like(rows), torch.empty_like(weight)
        for own, w, out, dw, slope in zip(rows, weight, dx, dweight, slopes, strict=True):
            torch.mm(slope.T, F.gelu(own), out=dw)
            _gelu_backward(slope @ w, own, grad_input=out)
        return dx.view(ctx.shape), dweight, slopes.sum(1)


class StackedNorm(torch.autograd.Function):
    """γ (x − mean)/deviation + β over the last axis: x (M, …, D), γ and β (M, D)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        rows = x.flatten(1, -2)
        normal, mean, scale = torch.native_layer_norm(rows, rows.shape[-1:], None, None, eps)
        ctx.save_for_backward(rows, normal, mean, scale, weight)
        return torch.addcmul(bias[:, None], normal, weight[:, None]).view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Any:
        rows, normal, mean, scale, weight = ctx.saved_tensors
        slopes = dy.reshape(rows.shape)
        dx, _, _ = torch.ops.aten.native_layer_norm_backward(
            slopes * weight[:, None],
            rows,
            rows.shape[-1:],
            mean,
            scale,
            None,
            None,
            [True] + [False] * 2,
        )
        return dx.view(dy.shape), (slopes * normal).sum(1), slopes.sum(1), None


linear = for_vmap(StackedLinear.apply)
gelu_linear = for_vmap(StackedGELULinear.apply)
normalise = for_vmap(StackedNorm.apply)


def _linear(module: nn.Linear, x: Tensor) -> Tensor:
    return linear(x, module.weight, module.bias)


def _norm(module: nn.LayerNorm, x: Tensor) -> Tensor:
    if len(module.normalized_shape) > 1 or module.weight is None or module.bias is None:
        return nn.LayerNorm.forward(module, x)
    return normalise(x, module.weight, module.bias, module.eps)


def _sequence(module: nn.Sequential, x: Tensor) -> Tensor:
    """One after another, a linear map together with the GELU before it."""
    parts = list(module)
    while parts:
        part = parts.pop(0)
        if type(part) is nn.GELU and part.approximate == "none" and parts:
            after = parts[0]
            if type(after) is nn.Linear and after.bias is not None:
                x = gelu_linear(x, after.weight, after.bias)
                parts.pop(0)
                continue
        x = part(x)
    return x


#: Forward passes of torch's own modules.
RULES: dict[type, Callable[..., Tensor]] = {
    nn.Linear: _linear,
    nn.LayerNorm: _norm,
    nn.Sequential: _sequence,
}


@for_vmap
def attention(q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
    """Scaled dot-product attention, members and sequences being one batch for it."""
    together = (part.flatten(0, 1) for part in (q, k, v))
    z: Tensor = F.scaled_dot_product_attention(*together, **options)  # type: ignore[arg-type]
    return z.unflatten(0, q.shape[:2])


class AttentionRule(TorchFunctionMode):
    """Route attention to the rule above: torch's kernel for CPUs has no batching rule.

    Attributes:
        used: whether there has been any.
    """

    used = False

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            self.used = True
            return attention(*args, kwargs or {})
        return func(*args, **(kwargs or {}))


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


superpose = for_vmap(StackedSuperposition.apply)


def superposed(
    forward: Callable[[Tensor], Tensor],
    hidden_size: int,
    closed: Callable[[int], Responses] | None = None,
) -> Callable[[Tensor], Tensor]:
    """`forward` of a linear model on x (B, T, D), as its kernel's convolution with x.

    The recurrence is gone through for D impulses instead of B sequences, or not at all where a
    `closed` form of `responses` for T times is known; the rest is one product with the matrix of
    the convolution, (T·D, T·O), as long as that costs less.
    """

    def batched(x: Tensor) -> Tensor:
        B, T, D = x.shape
        if B <= D + 1 or LONGEST * hidden_size < T:
            return forward(x)
        kernel, rest = closed(T) if closed else probe(forward, T, D, x)
        return superpose(x, kernel) + rest

    return batched
