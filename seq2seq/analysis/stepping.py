"""Models run step by step, and what lies in their states: any nesting of tensors and tuples."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor


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


def numbers(model: Any, x: Tensor) -> int:
    """How many real numbers the state of one sequence holds after x, (1, time, …)."""
    count = 0

    def counting(state: Any) -> Any:
        nonlocal count
        count = sum(part.numel() * (1 + part.is_complex()) for part in real(state))
        return state

    stepwise(model, x[:1], counting)
    return count


def real(state: Any) -> Iterator[Tensor]:
    """The tensors of a state that hold real or complex numbers; positions do not count."""
    if isinstance(state, tuple | list):
        for part in state:
            yield from real(part)
    elif isinstance(state, Tensor) and (state.is_floating_point() or state.is_complex()):
        yield state


def batch_axes(model: Any) -> Any:
    """The axis of the sequences of each tensor in a model's states, nested like them.

    It is the one in which the states of two and of three sequences differ; None where none does.
    """
    device = torch.device("cpu")
    return _differing(*(model.initial_state(n, device, torch.float32) for n in (2, 3)))


def _differing(two: Any, three: Any) -> Any:
    if isinstance(two, tuple | list):
        return [_differing(*pair) for pair in zip(two, three, strict=True)]
    if not isinstance(two, Tensor):
        return None
    found = (axis for axis in range(two.ndim) if two.shape[axis] != three.shape[axis])
    return next(found, None)


def each(state: Any, axes: Any, change: Callable[[Tensor, int], Tensor]) -> Any:
    """A state with what `change` makes of each of its tensors and the axis of their sequences."""
    if isinstance(state, tuple | list):
        return tuple(each(part, axis, change) for part, axis in zip(state, axes, strict=True))
    return state if axes is None else change(state, axes)
