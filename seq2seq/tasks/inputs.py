"""Input processes: the random sequences x that generated tasks are posed on.

Every process is stationary with mean zero, independent across sequences and across channels.
`sample` gives (n, length, channels); `autocovariance` is that of one channel at each lag,
(length,), and `covariance` the same as a matrix over time, (length, length), both float64.
"""

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq import checks

Shape = tuple[int, int, int]  # sequences, time, channels

#: Most steps that a Gaussian process is drawn for by a dense factor: from there on its eigenvectors
#: (1 s at 1,024 steps, growing with the cube) cost more than all sequences by FFT.
MOST_FACTORED = 1024

#: Length scales, or frequencies times length scale, beyond which exp(−z²/2) is below rounding.
REACH = 9.0

#: Most numbers of a block of sequences that is transformed at once.
BLOCK = 2**22


@dataclass(frozen=True)
class InputProcess(ABC):
    """A stationary random input; `scale` multiplies every sample.

    Args:
        scale: factor of every sample.

    Raises:
        ValueError: a parameter out of range, named by its config key.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        checks.positive("task.input.scale", self.scale)
        checks.within("task.input.scale", self.scale, checks.MAGNITUDES, 1.0)

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

    def autocovariance(self, length: int) -> Tensor:
        """E[x_t x_{t+s}] at the lags s = 0 … length−1, (length,), float64."""
        return self.scale**2 * self._correlation(torch.arange(length, dtype=torch.float64))

    def covariance(self, length: int) -> Tensor:
        """E[x_t x_t'], (length, length), float64."""
        time = torch.arange(length)
        return self.autocovariance(length)[(time[:, None] - time).abs()]

    @abstractmethod
    def _draw(self, shape: Shape, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Samples of scale 1."""

    @abstractmethod
    def _correlation(self, lag: Tensor) -> Tensor:
        """E[x_t x_{t+lag}] at scale 1; lag ≥ 0 in steps."""


@dataclass(frozen=True)
class White(InputProcess):
    """x_t = scale·ξ_t with ξ_t independent standard normal."""

    def _draw(self, shape: Shape, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    def _correlation(self, lag: Tensor) -> Tensor:
        return (lag == 0).to(lag.dtype)


@dataclass(frozen=True)
class Uniform(InputProcess):
    """x_t independent and uniform on (−scale, scale); its variance is scale²/3."""

    def _draw(self, shape: Shape, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=dtype).mul_(2).sub_(1)

    def _correlation(self, lag: Tensor) -> Tensor:
        return (lag == 0).to(lag.dtype) / 3


@dataclass(frozen=True)
class Signs(InputProcess):
    """x_t independent, +scale or −scale with the same probability."""

    def _draw(self, shape: Shape, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        return torch.randint(2, shape, generator=generator, dtype=dtype).mul_(2).sub_(1)

    def _correlation(self, lag: Tensor) -> Tensor:
        return (lag == 0).to(lag.dtype)


@dataclass(frozen=True)
class GP(InputProcess):
    """Zero-mean Gaussian process with E[x_t x_t'] = scale² exp(−(t−t')²dt² / (2·length_scale²)).

    Args:
        length_scale: over which it changes, in the unit of time of dt.
        dt: time between samples.
    """

    length_scale: float = 1.0
    dt: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("task.input.length_scale", self.length_scale)
        checks.positive("task.input.dt", self.dt)

    def _draw(self, shape: Shape, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        n, length, channels = shape
        step = self.dt / self.length_scale
        if length <= MOST_FACTORED or length * step < REACH:
            factor = (_factor if length <= MOST_FACTORED else _series)(length, step).to(dtype)
            paths = torch.randn(n * channels, len(factor), generator=generator, dtype=dtype)
            paths = paths @ factor
        else:
            amplitude, period = _spectrum(length, step)
            paths = torch.empty(n * channels, length, dtype=dtype)
            for part in paths.split(max(1, BLOCK // period)):
                noise = torch.randn(
                    len(part), len(amplitude), generator=generator, dtype=torch.complex128
                )
                noise *= amplitude
                part.copy_(torch.fft.irfft(noise, period, norm="ortho")[:, :length])
        return paths.view(n, channels, length).transpose(1, 2).contiguous()

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


@functools.lru_cache(maxsize=4)
def _spectrum(length: int, step: float) -> tuple[Tensor, int]:
    """Amplitudes (frequencies,) of the RBF correlation made periodic, and the period in steps.

    The circulant embedding of Dietrich and Newsam, "Fast and Exact Simulation of Stationary
    Gaussian Processes through Circulant Embedding of the Covariance Matrix", SIAM J. Sci. Comput.
    18 (1997). A path that goes on for REACH length scales after `length` before it closes has the
    stated covariance to rounding, and no eigenvalue is negative by more. As in `_factor`, those
    below 1e-14 of the largest are left out: they are the last frequencies.
    """
    period = 1 << math.ceil(length + REACH / step - 1).bit_length()
    lag = torch.arange(period, dtype=torch.float64)
    lag = step * torch.minimum(lag, period - lag)
    values = torch.fft.rfft(torch.exp(-0.5 * lag**2)).real
    amplitude = values[: int((values > 1e-14 * values[0]).sum())].sqrt()
    # Frequencies 0 and period/2 are real: half of their complex noise has no effect.
    amplitude[:: period // 2] *= math.sqrt(2)
    return amplitude, period


@functools.lru_cache(maxsize=4)
def _series(length: int, step: float) -> Tensor:
    """`_factor` of paths shorter than REACH length scales, (rows, length) with at most 51 rows.

    They are one period, REACH length scales longer than the path, of a Fourier series whose power
    at the frequency ω (per length scale) is √(2π)/period · exp(−ω²/2), on either side of 0.
    """
    period = length * step + REACH
    omega = torch.arange(int(REACH * period / (2 * math.pi)) + 1, dtype=torch.float64)
    omega *= 2 * math.pi / period
    power = 2 * math.sqrt(2 * math.pi) / period * torch.exp(-0.5 * omega**2)
    power[0] /= 2
    angle = omega[:, None] * step * torch.arange(length, dtype=torch.float64)
    waves = torch.cat([angle.cos(), angle.sin()[1:]])
    return waves * torch.cat([power, power[1:]]).sqrt()[:, None]


@dataclass(frozen=True)
class AR1(InputProcess):
    """x_t = a·x_{t−1} + scale·√(1 − a²)·ξ_t, stationary, with a = `coefficient` in (−1, 1)."""

    coefficient: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        # A larger one has no stationary process.
        checks.within("task.input.coefficient", self.coefficient, "(-1, 1)", 0.9)

    def _draw(self, shape: Shape, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        n, length, channels = shape
        x = torch.randn(length, n, channels, generator=generator, dtype=dtype)
        x[1:] *= math.sqrt(1 - self.coefficient**2)
        for t in range(1, length):
            x[t].add_(x[t - 1], alpha=self.coefficient)
        return x.transpose(0, 1).contiguous()

    def _correlation(self, lag: Tensor) -> Tensor:
        return self.coefficient**lag
