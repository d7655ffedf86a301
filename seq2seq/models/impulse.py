"""What a model answers to an impulse: for a linear model its kernel."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Responses = tuple[Tensor, Tensor]


def impulse_response(model: nn.Module, length: int) -> Tensor:
    """ρ̂_s for s < length: (length, output_dim, input_dim), differentiable in the parameters.

    Column i is the response to x_0 = e_i, x_t = 0 for t > 0, minus the response to zero input,
    which removes biases. For a linear time-invariant model it is the kernel ρ̂ in
    y_t = Σ_s ρ̂_s x_{t−s} + y(0)_t; for any other, its reaction to a unit impulse.
    """
    return responses(model, length)[0]


def responses(model: nn.Module, length: int) -> Responses:
    """`impulse_response`, and what it leaves out: y(0)_t for t < length, (length, output_dim).

    A model may have a method `responses(length)` that knows them in closed form.
    """
    if (own := getattr(type(model), "responses", None)) is not None:
        found: Responses = own(model, length)
        return found
    return probe(model, length, model.input_dim, next(model.parameters()))  # type: ignore[arg-type]


def probe(
    answer: Callable[[Tensor], Tensor], length: int, input_dim: int, like: Tensor
) -> Responses:
    """The responses of any map, by giving it each impulse, and nothing."""
    x = like.new_zeros(input_dim + 1, length, input_dim)
    x[1:, 0] = torch.eye(input_dim, dtype=like.dtype, device=like.device)
    rest, *answers = answer(x).unbind(0)
    return torch.stack([one - rest for one in answers], -1), rest
