"""Linear functionals of the past: the family that shift and convolution belong to."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.tasks.inputs import InputProcess
from seq2seq.tasks.task import DrivenTask
from seq2seq.theory import kernels, predictors
from seq2seq.theory.bounds import order_bound
from seq2seq.theory.machines import Taps

#: Lags whose Hankel matrices are looked at for how many states a kernel needs.
MOST_LAGS = 256

#: Time steps up to which a window's bound is worked out, in the square of them.
MOST_STEPS = 1024

#: The share of Σρ² beyond `memory`: what a model loses, under white input, that sees no further.
NEGLIGIBLE = 1e-6


class LinearTask(DrivenTask):
    """y_t = Σ_{s≤t} ρ(s·dt) x_{t−s} dt, channel by channel, x = 0 before the first step.

    Args:
        filter: the kernel ρ: a `seq2seq.theory.kernels.Kernel` (the config group `task/filter`
            chooses one with its parameters), the name of a family (its default parameters), or a
            list of the values ρ(0), ρ(dt), …
        length: time steps per sequence.
        dt: time per step, in the units of ρ; 1 unless the task has it as an argument.
        channels: independent copies of the relation side by side.
        input: input process.

    Raises:
        ValueError: an empty, unknown or vanishing filter, or a size out of range.
    """

    filter: Any
    channels: int
    dt = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("task.channels", self.channels)
        checks.positive("task.dt", self.dt)
        self.input_dim = self.output_dim = self.channels
        self._kernel = self._impulse_response(self.length)
        power = self._kernel.square().sum() * self.input.autocovariance(1)[0]
        if not 1e-30 <= power <= 1e30:
            raise ValueError(
                f"task.filter must be finite and not zero on the {self.length} steps of "
                f"task.length, and with the input's scale within what float32 can square, got "
                f"filter={self.filter!r}; change task.filter or raise task.length"
            )

    def targets(self, x: Tensor) -> Tensor:
        """y = ρ ∗ x by FFT over time, in float64: (B, T, D) -> (B, T, D), exact to 1e-15 of |y|."""
        time = x.shape[1]
        size = 1 << (2 * time - 1).bit_length()  # no wrap-around, and a fast size
        kernel = self._kernel[:time] if time <= self.length else self._impulse_response(time)
        kernel = kernel.to(x.device)
        spectrum = torch.fft.rfft(kernel, size)[:, None] * torch.fft.rfft(x.double(), size, dim=1)
        return torch.fft.irfft(spectrum, size, dim=1)[:, :time].to(x.dtype)

    def kernel(self) -> Tensor:
        """The impulse response ρ(s·dt)·dt, (length,), float64: y_t = Σ_s kernel[s] x_{t−s}."""
        return self._kernel.clone()

    @property
    def memory(self) -> int:
        """The lag beyond which less than 1e-6 of Σρ² remains on the horizon."""
        beyond = self._kernel.square().flip(0).cumsum(0).flip(0)
        return int((beyond > NEGLIGIBLE * beyond[0]).sum()) - 1

    @property
    def machine(self) -> Taps:
        """Up to the last lag at which ρ is not zero, channel by channel."""
        taps = np.trim_zeros(self._kernel.numpy(), "b")
        return Taps(taps[:, None, None] * np.eye(self.channels))

    def best_within(self, window: int) -> dict[str, float]:
        """By the variance of y_t given these inputs and t, as they are Gaussian or independent.

        Nothing is said of horizons of more than `MOST_STEPS`, nor where inputs are so smooth that
        rounding hides what their differences tell.
        """
        if window >= len(self.machine.weights) or self.length > MOST_STEPS:
            return {}
        c, rho = self.input.covariance(self.length).numpy(), self._kernel.numpy()
        seen, unseen = slice(window), slice(window, None)
        if np.linalg.cond(c[seen, seen]) > 1 / predictors.RCOND:
            return {}
        told = c[unseen, seen] @ np.linalg.solve(c[seen, seen], c[seen, unseen])
        terms = (c[unseen, unseen] - told) * np.outer(rho[unseen], rho[unseen])
        at_each_time = terms.cumsum(0).cumsum(1).diagonal()  # y_t has no lags beyond t
        loss = max(float(at_each_time.sum()), 0.0) / self.length
        return {"loss": loss, "nmse": loss / self._moments().power}

    def best_with_states(self, states: int) -> dict[str, float]:
        """By the Hankel spectrum of ρ (`bounds.order_bound`), for one channel of white input."""
        correlation = self.input.autocovariance(self.length)
        if self.channels > 1 or correlation[1:].any():
            return {}
        rho, weights = self._kernel.numpy(), 1 - np.arange(self.length) / self.length
        energy = float(weights @ rho**2)
        first = slice(min(2 * len(self.machine.weights), MOST_LAGS))  # later errors add to these
        least = order_bound(rho[first], states, weights[first])
        return {"loss": least * float(correlation[0]), "nmse": least / energy}

    def reference_losses(self) -> dict[str, float]:
        """Exact mean squared errors of `zero`, `memoryless` and `taps_<m>`, zero start included."""
        return dict(_tap_losses(self._kernel.numpy().tobytes(), self.input, self.length))

    def memoryless_prediction(self, x: Tensor) -> Tensor:
        """The best linear ŷ_t = w·x_t, shape of x (batch, time, channels)."""
        return x * float(predictors.tap_weights(self._moments(), taps=1)[0, 0])

    def _moments(self) -> predictors.Moments:
        return predictors.kernel_moments(self._kernel, self.input.autocovariance(self.length))

    def _impulse_response(self, length: int) -> Tensor:
        """ρ(s·dt)·dt, zero-padded or cut to (length,)."""
        kernel = kernels.build(self.filter) if isinstance(self.filter, str) else self.filter
        if isinstance(kernel, kernels.Kernel):
            return torch.from_numpy(kernel.sample(length, self.dt) * self.dt)
        if not isinstance(kernel, Sequence):
            raise ValueError(
                "task.filter must be a list of numbers, a kernel family or a kernel, "
                f"got filter={kernel!r}; known families: {', '.join(kernels.FAMILIES)}"
            )
        if not kernel:
            raise ValueError("task.filter must have at least one number, got filter=[]; set it")
        if not all(isinstance(value, int | float) for value in kernel):
            raise ValueError(
                f"task.filter must hold numbers only, got filter={list(kernel)}; correct it"
            )
        response = torch.zeros(length, dtype=torch.float64)
        taps = torch.tensor(list(kernel[:length]), dtype=torch.float64)
        response[: len(taps)] = taps * self.dt
        return response


@dataclass(eq=False)
class LinearFunctional(LinearTask):
    """The setting of Li, Han, E and Li, JMLR 23 (2022), on a grid; arguments as of `LinearTask`."""

    filter: Any = "exponential"
    length: int = 128
    dt: float = 0.1
    channels: int = 1


@functools.lru_cache(maxsize=64)
def _tap_losses(kernel: bytes, process: InputProcess, length: int) -> dict[str, float]:
    """The runs of a sweep that differ only in their seeds share this, as it takes many a step."""
    moments = predictors.kernel_moments(np.frombuffer(kernel), process.autocovariance(length))
    return predictors.tap_losses(moments)
