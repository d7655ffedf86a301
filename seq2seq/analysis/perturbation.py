"""Whether an approximation survives small errors in its parameters, and whether width spoils it.

Each parameter tensor θ becomes θ + β·rms(θ)·ξ with ξ standard normal: noise of relative size β. The
*envelope* E_m(β) of a model of width m is the largest loss over the draws of noise up to size β.
Wang and Li, "StableSSM: Alleviating the Curse of Memory in State-space Models through Stable
Reparameterization" (2023), call an approximation by models of growing width stable if the limit
superior of E_m(β) over m is continuous at β = 0. For finitely many widths that is asked here as
follows: the *tolerated* size β*_m is the β at which the envelope passes a limit; the approximation
is stable if β* does not shrink as the width grows.
"""

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import linregress, t
from torch import Tensor, nn

from seq2seq.build import build, load_model
from seq2seq.runs import Run
from seq2seq.seeds import generator

Array = NDArray[np.float64]

#: Relative sizes of the noise.
SIZES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)

#: β* ∝ m^slope counts as not shrinking if the interval of the slope lies above this.
LEVEL = -0.25


@dataclass(frozen=True)
class Perturbed:
    """Losses of one model under noise.

    Attributes:
        clean: loss without noise.
        sizes: β, (sizes,), growing.
        losses: (draws, sizes); infinite where the model leaves the floating-point numbers.
    """

    clean: float
    sizes: Array
    losses: Array

    @property
    def envelope(self) -> Array:
        """The largest loss over the draws up to each size, (sizes,)."""
        return np.maximum.accumulate(np.maximum(self.losses.max(0), self.clean))

    def tolerated(self, limit: float) -> float:
        """The size β* at which the envelope passes `limit`, log-linear between the sizes tried.

        It is the smallest size where that one passes already, so that less is tolerated, the
        largest where none does, so that more is, and NaN where the loss lies above `limit` without
        noise.
        """
        if not self.clean <= limit:
            return math.nan
        envelope = self.envelope
        above = np.flatnonzero(envelope > limit)
        if not len(above):
            return float(self.sizes[-1])
        index = int(above[0])
        if index == 0 or not np.isfinite(envelope[index]):
            return float(self.sizes[max(index - 1, 0)])
        rise = np.log(np.maximum(envelope[index - 1 : index + 1], np.finfo(float).tiny))
        part = (np.log(limit) - rise[0]) / (rise[1] - rise[0])
        low, high = self.sizes[index - 1 : index + 1]
        return float(low * (high / low) ** part)


def perturb(
    model: nn.Module,
    loss: Callable[[nn.Module], Tensor | float],
    sizes: Sequence[float] = SIZES,
    draws: int = 20,
    seed: int = 0,
) -> Perturbed:
    """The loss of `model` under noise; the model itself is left as it is.

    A draw is one direction ξ for all parameters, scaled to each size.

    Args:
        model: any model.
        loss: its loss, such as the test loss.
        sizes: relative sizes β of the noise, positive and growing.
        draws: number of directions.
        seed: root of their random streams.

    Raises:
        ValueError: sizes that do not grow from above 0, or fewer than one draw.
    """
    if min(sizes, default=0) <= 0 or any(b <= a for a, b in itertools.pairwise(sizes)):
        raise ValueError(f"sizes must be positive and growing, got sizes={list(sizes)}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got draws={draws}")
    noisy = copy.deepcopy(model)
    parameters = list(zip(model.parameters(), noisy.parameters(), strict=True))
    losses = np.empty((draws, len(sizes)))
    with torch.no_grad():
        clean = float(loss(noisy))
        for draw in range(draws):
            random = generator(seed, "perturbation", draw)
            directions = [
                torch.randn(p.shape, generator=random, dtype=p.dtype).to(p.device)
                * p.abs().square().mean().sqrt()
                for p, _ in parameters
            ]
            for column, size in enumerate(sizes):
                for (p, changed), direction in zip(parameters, directions, strict=True):
                    changed.copy_(p + size * direction)
                value = float(loss(noisy))
                losses[draw, column] = value if math.isfinite(value) else math.inf
    return Perturbed(clean, np.asarray(sizes, dtype=np.float64), losses)


def perturb_run(
    run: Run | str | Path, sizes: Sequence[float] = SIZES, draws: int = 20
) -> Perturbed:
    """The noisy losses of a trained model, as shares of its task's mean square (NMSE).

    It is the loss that the run trained on where that is exact (`objective=population`), and the
    loss on the test split otherwise.

    Raises:
        ValueError: the run has no readable checkpoint.
    """
    run = run if isinstance(run, Run) else Run(run)
    model = load_model(run)
    task, module = build(run.config)
    parameter = next(model.parameters())
    if task.uses_samples:
        x, y = (part.to(parameter) for part in task.split("test"))
        power = float(y.double().square().mean())
    else:
        x = y = torch.empty(0)
        power = task.reference_losses()["zero"]

    def loss(noisy: nn.Module) -> Tensor:
        if task.uses_samples:
            return task.loss(noisy(x), y) / power
        return module.objective(noisy, (x, y), task.loss) / power

    return perturb(model, loss, sizes, draws)


@dataclass(frozen=True)
class Stability:
    """β* ∝ m^slope over models of different width m.

    Attributes:
        slope: by regression of log β* on log m.
        interval: its 95% confidence interval.
    """

    slope: float
    interval: tuple[float, float]

    @property
    def verdict(self) -> Literal["stable", "unstable", "cannot tell"]:
        """`stable` if the slope is surely above `LEVEL`, `unstable` if surely below zero."""
        low, high = self.interval
        if low > LEVEL:
            return "stable"
        return "unstable" if high < 0 else "cannot tell"


def stability(
    widths: ArrayLike, tolerated: ArrayLike, tried: tuple[float, float] = (0.0, math.inf)
) -> Stability:
    """Whether the tolerated noise shrinks with the width.

    Args:
        widths: m of each model, (models,); several seeds per width make the interval meaningful.
        tolerated: β* of each; models where it is NaN are left out.
        tried: the smallest and the largest noise. A β* that is one of them is only known to lie
            there or beyond, so that the interval has no end on the side to which that may turn the
            slope.

    Raises:
        ValueError: fewer than three models, or fewer than two widths, are left.
    """
    m, size = np.asarray(widths, dtype=np.float64), np.asarray(tolerated, dtype=np.float64)
    kept = np.isfinite(size) & (size > 0)
    x, y = np.log(m[kept]), np.log(size[kept])
    if len(x) < 3 or len(np.unique(x)) < 2:
        raise ValueError(
            f"stability needs three models of two widths below the limit, got {len(x)} of widths "
            f"{np.unique(m[kept]).tolist()}; train longer or raise the limit"
        )
    fit = linregress(x, y)
    error = fit.stderr if np.ptp(y) else 0.0  # NaN for a constant, whose correlation is undefined
    half = float(t.ppf(0.975, len(x) - 2) * error)
    beyond = (size[kept] >= tried[1]).astype(int) - (size[kept] <= tried[0])
    turns = beyond * (x - x.mean())
    low = -math.inf if (turns < 0).any() else float(fit.slope - half)
    high = math.inf if (turns > 0).any() else float(fit.slope + half)
    return Stability(float(fit.slope), (low, high))
