"""Memory kernels ρ(t): the families that linear functionals are posed with.

A kernel family is a frozen dataclass whose fields are its parameters. `sample(length, dt)` gives
its values on the grid 0, dt, 2dt, … in float64; those given by a formula can also be called at any
real t. Time t is in the units of dt; a task with dt = 1 measures it in steps.

Families and where they are studied: exponentials, the power law and the plateau family in Li, Han,
E and Li, "Approximation and Optimization Theory for Linear Continuous-Time Recurrent Neural
Networks", JMLR 23 (2022); sparse and bump-like memory in Jiang, Li and Li, "Approximation Theory of
Convolutional Architectures for Time Series Modelling", ICML 2021.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import yaml
from numpy.typing import NDArray

from seq2seq.errors import nearest

Array = NDArray[np.float64]


class Kernel(ABC):
    """One memory kernel ρ on t ≥ 0."""

    #: Parameters that must be positive and finite.
    positive: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in self.positive:
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(
                    f"{name} must be positive, got {name}={value}; raise task.filter.{name}"
                )

    @abstractmethod
    def sample(self, length: int, dt: float = 1.0) -> Array:
        """ρ(s·dt) for s = 0 … length−1, shape (length,), float64."""


class Function(Kernel):
    """A kernel given by a formula, defined for every real t so that it can be shifted."""

    @abstractmethod
    def __call__(self, t: Array) -> Array:
        """ρ(t), elementwise, in float64."""

    def sample(self, length: int, dt: float = 1.0) -> Array:
        return self(dt * np.arange(length, dtype=np.float64))


@dataclass(frozen=True)
class Impulse(Kernel):
    """ρ(t) = δ(t − k·dt): everything of one past, k steps ago. On the grid its mass is 1/dt."""

    k: int = 8

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ValueError(f"k must be at least 0 steps, got k={self.k}; raise it")

    def sample(self, length: int, dt: float = 1.0) -> Array:
        values = np.zeros(length)
        values[self.k : self.k + 1] = 1 / dt
        return values


@dataclass(frozen=True)
class Exponential(Function):
    """ρ(t) = e^{−λt} for t ≥ 0, with λ = `rate` per unit of time."""

    rate: float = 1.0

    positive = ("rate",)

    def __call__(self, t: Array) -> Array:
        return _decay(self.rate, t)


@dataclass(frozen=True)
class ExponentialSum(Function):
    """ρ(t) = Σ_i a_i e^{−λ_i t} for t ≥ 0, with a_i = `weights` and λ_i = `rates`."""

    weights: Sequence[float] = (0.5, 0.5)
    rates: Sequence[float] = (1.0, 0.1)

    def __post_init__(self) -> None:
        # Configs hand in lists of their own kind; tuples keep the kernel hashable.
        object.__setattr__(self, "weights", tuple(self.weights))
        object.__setattr__(self, "rates", tuple(self.rates))
        if not self.weights or len(self.weights) != len(self.rates):
            raise ValueError(
                f"weights and rates must be non-empty and equally long, got weights={self.weights},"
                f" rates={self.rates}; give one rate for each weight"
            )
        if not all(rate > 0 for rate in self.rates):
            raise ValueError(f"rates must be positive, got rates={self.rates}; raise them")

    def __call__(self, t: Array) -> Array:
        total = np.zeros_like(t, dtype=np.float64)
        for weight, rate in zip(self.weights, self.rates, strict=True):
            total += weight * _decay(rate, t)
        return total


@dataclass(frozen=True)
class PowerLaw(Function):
    """ρ(t) = (1 + rate·t)^{−exponent} for t ≥ 0: decay slower than any exponential."""

    rate: float = 0.1
    exponent: float = 1.1

    positive = ("rate", "exponent")

    def __call__(self, t: Array) -> Array:
        return np.where(t >= 0, (1 + self.rate * np.maximum(t, 0)) ** -self.exponent, 0.0)


@dataclass(frozen=True)
class Gaussian(Function):
    """ρ(t) = exp(−(t − centre)² / (2·width²)): a bump of memory around one past."""

    centre: float = 4.0
    width: float = 1.0

    positive = ("width",)

    def __call__(self, t: Array) -> Array:
        return np.exp(-0.5 * ((t - self.centre) / self.width) ** 2)


@dataclass(frozen=True)
class Airy(Function):
    """ρ(t) = Ai(s₀(t − 1/ω)), s₀ = `s0`, 1/ω = `delay`: oscillates up to 1/ω, then dies fast."""

    s0: float = 2.25
    delay: float = 4.0

    positive = ("s0", "delay")

    def __call__(self, t: Array) -> Array:
        from scipy.special import airy  # scipy's import is slow and only this family needs it

        return airy(self.s0 * (t - self.delay))[0]


@dataclass(frozen=True)
class DampedCosine(Function):
    """ρ(t) = e^{−λt} cos(φt) for t ≥ 0, λ = `rate`, φ = `frequency` in radians per unit of time."""

    rate: float = 0.2
    frequency: float = 2.0

    positive = ("rate", "frequency")

    def __call__(self, t: Array) -> Array:
        return _decay(self.rate, t) * np.cos(self.frequency * t)


@dataclass(frozen=True)
class TwoPart(Function):
    """ρ(t) = e^{−t} + e^{−(t − delay)²} for t ≥ 0: the recent past and a far one."""

    delay: float = 9.0

    positive = ("delay",)

    def __call__(self, t: Array) -> Array:
        return _decay(1.0, t) + np.exp(-((t - self.delay) ** 2))


@dataclass(frozen=True)
class Plateau(Function):
    """ρ_ω(t) = ρ̄(t) + ρ₀(t − 1/ω): memory of length 1/ω that training meets after a plateau.

    `delay` is 1/ω. `rho_bar` (ρ̄) and `rho_0` (ρ₀) are kernels or names of families with their
    default parameters; ρ₀ = "bump" is the Gaussian around 0 of standard deviation `width`, of mass
    ∫ρ₀² = √π·width. The construction is that of Li, Han, E and Li (2022), section 5, where the time
    to learn grows exponentially in 1/ω.
    """

    delay: float = 4.0
    rho_bar: Any = "exponential"
    rho_0: Any = "bump"
    width: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rho_bar", "rho_0"):
            part = getattr(self, name)
            if isinstance(part, str):
                part = Gaussian(0.0, self.width) if part == "bump" else build(part)
                object.__setattr__(self, name, part)
            if not isinstance(part, Function):
                raise ValueError(
                    f"{name} must be a kernel given by a formula, got {name}={part!r}; "
                    "choose another family"
                )

    def __call__(self, t: Array) -> Array:
        return self.rho_bar(t) + self.rho_0(t - self.delay)


#: Every family by the name that configs use.
FAMILIES: dict[str, type[Kernel]] = {
    "impulse": Impulse,
    "exponential": Exponential,
    "exponential_sum": ExponentialSum,
    "power_law": PowerLaw,
    "gaussian": Gaussian,
    "airy": Airy,
    "damped_cosine": DampedCosine,
    "two_part": TwoPart,
    "plateau": Plateau,
}


def build(family: str, parameters: Mapping[str, Any] | None = None) -> Kernel:
    """The kernel of `family` with `parameters`; those left out keep their defaults.

    Raises:
        ValueError: an unknown family or parameter, named together with the nearest known one, or a
            value that the family refuses.
    """
    if family not in FAMILIES:
        raise ValueError(
            f"task.filter must be a kernel family, got {family!r}{nearest(family, FAMILIES)}"
        )
    kind = FAMILIES[family]
    known = [parameter.name for parameter in fields(kind)]  # type: ignore[arg-type]
    for name in parameters or {}:
        if name not in known:
            raise ValueError(
                f"filter.{name} must be a parameter of {family}, got {name!r}{nearest(name, known)}"
            )
    return kind(**(parameters or {}))


def response(name: str, length: int) -> Array:
    """ρ of `family:parameter=value:…`, or white noise for `random:seed=…`."""
    family, *settings = name.split(":")
    given = {key: yaml.safe_load(value) for key, _, value in (s.partition("=") for s in settings)}
    if family == "random":
        return np.random.default_rng(**{"seed": 0} | given).normal(size=length)
    return build(family, given).sample(length)


def _decay(rate: float, t: Array) -> Array:
    return np.where(t >= 0, np.exp(-rate * np.maximum(t, 0)), 0.0)
