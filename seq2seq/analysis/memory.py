"""How far back a trained model looks: what its loss is worth in taps, and what it responds to.

*Effective memory* turns a loss into a number of past inputs: the m whose best linear m-tap
predictor has that loss (`seq2seq.theory.bounds.effective_memory`). It asks how good a model is.

*Used memory* asks what the outputs depend on. Its profile is g_s ≥ 0 over lags s = 0 … L−1: the
size of the response to a unit impulse s steps ago, or of |∂y_t/∂x_{t−s}| averaged over inputs,
which also holds for nonlinear models. A linear model has one profile for both. Stable recurrences
forget exponentially (Wang, Li and Li, "Inverse Approximation Theory for Nonlinear Recurrent Neural
Networks", ICLR 2024), g_s ~ e^{−λs}.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from seq2seq.theory.bounds import effective_memory

Array = NDArray[np.float64]


def effective(result: Mapping[str, Any], loss: str = "test/loss") -> tuple[float, float] | None:
    """The effective memory of a run in taps, an open interval; None where it is undefined.

    Args:
        result: a run's `result`, with the loss and the keys `reference/zero` (no tap),
            `reference/memoryless` (one) and `reference/taps_<m>`.
        loss: which loss to translate.

    Returns:
        See `seq2seq.theory.bounds.effective_memory`. None also for a run without the loss.
    """
    curve = {}
    for key, value in result.items():
        name = key.removeprefix("reference/")
        taps = {"zero": "0", "memoryless": "1"}.get(name, name.removeprefix("taps_"))
        if name != key and value is not None and taps.isdigit():
            curve[int(taps)] = float(value)
    value = result.get(loss)
    return None if value is None or not curve else effective_memory(value, curve)


def impulse_profile(response: ArrayLike) -> Array:
    """g_s = ‖ρ̂_s‖ (Frobenius) of an impulse response (L,) or (L, outputs, inputs)."""
    values = np.asarray(response, dtype=np.float64)
    return np.sqrt((values.reshape(len(values), -1) ** 2).sum(1))


def gradient_profile(model: nn.Module, x: Tensor) -> Array:
    """g_s = mean over sequences of ‖∂y_{T−1}/∂x_{T−1−s}‖ (Frobenius), (T,).

    Args:
        model: maps (batch, time, inputs) to (batch, time, outputs).
        x: real inputs (batch, time, inputs), of the kind that the model was trained on.

    Raises:
        ValueError: integer inputs, which have no gradient.
    """
    if not x.is_floating_point():
        raise ValueError(f"x must be real to have gradients, got {x.dtype}; use a real-valued task")
    inputs = x.detach().clone().requires_grad_()
    training = model.training
    model.eval()
    last = model(inputs)[:, -1]
    squares = torch.zeros(x.shape[:2], dtype=torch.float64, device=x.device)
    for output in range(last.shape[1]):
        (gradient,) = torch.autograd.grad(last[:, output].sum(), inputs, retain_graph=True)
        squares += gradient.double().square().sum(-1)
    model.train(training)
    return squares.sqrt().mean(0).flip(0).cpu().numpy()


def radius(model: Any) -> float:
    """The spectral radius of ∂h_{t+1}/∂h_t at the initial state and no input.

    A gradient that goes back through k steps shrinks like its k-th power. h is all that the model
    carries, so that gated cells are measured like others; NaN for a model without a real state of
    fixed size.
    """
    if not getattr(model, "carries_state", False):
        return math.nan
    parameter = next(model.parameters())
    initial = model.initial_state(1, parameter.device, parameter.dtype)
    parts = initial if isinstance(initial, tuple) else (initial,)
    if not all(isinstance(one, Tensor) and one.is_floating_point() for one in parts):
        return math.nan
    nothing = parameter.new_zeros(1, model.input_dim)

    def following(*state: Tensor) -> Tensor:
        _, after = model.step(nothing, state if len(state) > 1 else state[0])
        return torch.cat([one.flatten() for one in (after if len(state) > 1 else (after,))])

    jacobian = torch.autograd.functional.jacobian(following, parts)
    matrix = torch.cat([one.reshape(one.shape[0], -1) for one in jacobian], 1)
    return float(torch.linalg.eigvals(matrix).abs().max())


def used(profile: ArrayLike, share: float = 0.99) -> int:
    """The least m such that lags 0 … m−1 hold `share` of Σ g_s²; 0 for a profile of zeros."""
    energy = np.asarray(profile, dtype=np.float64) ** 2
    beyond = energy[::-1].cumsum()[::-1]  # Σ_{r ≥ s} g_r²
    return int((beyond > (1 - share) * beyond[0]).sum()) if energy.any() else 0
