"""Input processes: the random sequences x that generated tasks are posed on.

Every process is stationary with mean zero, independent across sequences and across channels.
`sample` gives (n, length, channels); `covariance` is that of one channel over time, (length,
length), float64.
"""

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class InputProcess(ABC):
    """A stationary random input; `scale` multiplies every sample.

    Raises:
        ValueError: a parameter out of range, named by its config key.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        self._positive("scale")

    def _positive(self, name: str) -> None:
        value = getattr(self, name)
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(
                f"{name} must be positive, got {name}={value}; raise task.input.{name}"
            )

    def sample(
        self,
        n: int,
        length: int,
        channels: int,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """n sequences, (n, length, channels), drawn from `generator`."""
        return self._draw((n, length, channels), generator, dtype).mul_(self.scale)

    def covariance(self, length: int) -> Tensor:
        """E[x_t x_t'], (length, length), float64."""
        lag = torch.arange(length, dtype=torch.float64)
        lag = (lag[:, None] - lag).abs()
        return self.scale**2 * self._correlation(lag)

    @abstractmethod
    def _draw(
        self, shape: tuple[int, int, int], generator: torch.Generator, dtype: torch.dtype
    ) -> Tensor:
        """Samples of scale 1."""

    @abstractmethod
    def _correlation(self, lag: Tensor) -> Tensor:
        """E[x_t x_{t+lag}] at scale 1; lag ≥ 0 in steps."""


@dataclass(frozen=True)
class White(InputProcess):
    """x_t = scale·ξ_t with ξ_t independent standard normal."""

    def _draw(
        self, shape: tuple[int, int, int], generator: torch.Generator, dtype: torch.dtype
    ) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    def _correlation(self, lag: Tensor) -> Tensor:
        return (lag == 0).to(lag.dtype)


@dataclass(frozen=True)
class Uniform(InputProcess):
    """x_t independent and uniform on (−scale, scale); its variance is scale²/3."""

    def _draw(
        self, shape: tuple[int, int, int], generator: torch.Generator, dtype: torch.dtype
    ) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=dtype).mul_(2).sub_(1)

    def _correlation(self, lag: Tensor) -> Tensor:
        return (lag == 0).to(lag.dtype) / 3


@dataclass(frozen=True)
class GP(InputProcess):
    """Zero-mean Gaussian process with E[x_t x_t'] = scale² exp(−(t−t')²dt² / (2·length_scale²)).

    `length_scale` and `dt`, the time between samples, are in the same unit of time.
    """

    length_scale: float = 1.0
    dt: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("length_scale")
        self._positive("dt")

    def _draw(
        self, shape: tuple[int, int, int], generator: torch.Generator, dtype: torch.dtype
    ) -> Tensor:
        n, length, channels = shape
        factor = _factor(length, self.dt / self.length_scale).to(dtype)
        noise = torch.randn(n * channels, len(factor), generator=generator, dtype=dtype)
        return (noise @ factor).view(n, channels, length).transpose(1, 2).contiguous()

    def _correlation(self, lag: Tensor) -> Tensor:
        return torch.exp(-0.5 * (lag * self.dt / self.length_scale) ** 2)


@functools.lru_cache(maxsize=4)
def _factor(length: int, step: float) -> Tensor:
    """A (rank, length) factor F of the RBF correlation, FᵀF, for grid step / length scale `step`.

    Smooth paths have few degrees of freedom: eigenvalues below 1e-14 of the largest are rounding
    noise and left out, which also makes sampling several times cheaper than a Cholesky factor.
    """
    time = step * torch.arange(length, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(torch.exp(-0.5 * (time[:, None] - time) ** 2))
    kept = values > 1e-14 * values[-1]
    return (vectors[:, kept] * values[kept].sqrt()).T.contiguous()


@dataclass(frozen=True)
class AR1(InputProcess):
    """x_t = a·x_{t−1} + scale·√(1 − a²)·ξ_t, stationary, with a = `coefficient` in (−1, 1)."""

    coefficient: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -1 < self.coefficient < 1:
            raise ValueError(
                f"coefficient must lie in (-1, 1), got coefficient={self.coefficient}; "
                "a larger one has no stationary process, lower task.input.coefficient"
            )

    def _draw(
        self, shape: tuple[int, int, int], generator: torch.Generator, dtype: torch.dtype
    ) -> Tensor:
        n, length, channels = shape
        x = torch.randn(length, n, channels, generator=generator, dtype=dtype)
        x[1:] *= math.sqrt(1 - self.coefficient**2)
        for t in range(1, length):
            x[t].add_(x[t - 1], alpha=self.coefficient)
        return x.transpose(0, 1).contiguous()

    def _correlation(self, lag: Tensor) -> Tensor:
        return self.coefficient**lag
