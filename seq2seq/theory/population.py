"""The expected loss of a linear model on a linear functional, in closed form.

Target y_t = Σ_{s≤t} ρ_s x_{t−s} and answer ŷ_t = Σ_{s≤t} ρ̂_s x_{t−s} differ by the kernel
e = ρ − ρ̂, and for a zero-mean input of covariance C[t, t'] = E[x_t x_t'] on L steps

    average    (1/L) Σ_t E[(y_t − ŷ_t)²] = Σ_{s,r} G[s, r] e_s e_r,
               G[s, r] = (1/L) Σ_{t ≥ max(s, r)} C[t−s, t−r]
    last       E[(y_{L−1} − ŷ_{L−1})²]   = Σ_{s,r} C[L−1−s, L−1−r] e_s e_r

White input of variance σ² leaves Σ_s w_s e_s² with w_s = σ²(L−s)/L for the average over the horizon
and w_s = σ² for the last time, the loss of Li, Han, E and Li, "Approximation and Optimization
Theory for Linear Continuous-Time Recurrent Neural Networks", JMLR 23 (2022), section 2. Any
stationary input, C[t, t'] = c(|t − t'|) and σ² = c(0), leaves a convolution, with the same w:
2 Σ_s (w_s/σ²) e_s (c(0) e_s/2 + Σ_{0<r≤s} c(r) e_{s−r}). Kernels are responses to a unit input at
one step: where ρ(t) is a density in time, its values times dt.
"""

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from seq2seq.theory.predictors import horizon_gram

Horizon = Literal["average", "last"]

#: Most lags for which a stationary input's form is kept as a matrix: up to some 700 its product is
#: faster than FFT, while 50,000 would take 20 GB.
MOST_DENSE = 512


class PopulationLoss:
    """The quadratic form above for one target, a differentiable function of the learned kernel.

    Args:
        true_kernel: ρ, (L,), the target's response at lags 0 … L−1, the same for each channel.
        covariance: the variance σ² of a white input, c, (L,), of a stationary one, or C, (L, L),
            of any input. Channels are independent and share it.
        horizon: `average` over the L steps, or the `last` of them.

    Raises:
        ValueError: an unknown horizon, a variance that is not positive, or shapes that disagree.
    """

    def __init__(
        self, true_kernel: Any, covariance: Any = 1.0, horizon: Horizon = "average"
    ) -> None:
        if horizon not in ("average", "last"):
            raise ValueError(f"objective.horizon must be average or last, got horizon={horizon!r}")
        self.true_kernel = torch.as_tensor(true_kernel, dtype=torch.float64)
        length = len(self.true_kernel)
        c = torch.as_tensor(covariance, dtype=torch.float64)
        self._half_spectrum: Tensor | None = None
        if c.shape == (length,):
            lag = torch.arange(length)
            if not c[1:].any():
                c = c[0]
            elif length <= MOST_DENSE:
                c = c[(lag[:, None] - lag).abs()]
            else:
                half = torch.where(lag == 0, 0.5, c / c[0])
                self._half_spectrum = torch.fft.rfft(half, 2 * length)
                c = c[0]
        self.weights = weights(length, c, horizon)

    def __call__(self, learned_kernel: Tensor) -> Tensor:
        """The loss of ρ̂, (L,), or (L, channels, channels) from each input to each output channel.

        Of several channels it is the mean over outputs. The result is a float64 scalar.

        Raises:
            ValueError: the kernel does not have L lags, or is not square in its channels.
        """
        length = len(self.true_kernel)
        square = learned_kernel.ndim == 3 and learned_kernel.shape[1] == learned_kernel.shape[2]
        if learned_kernel.shape[0] != length or not (square or learned_kernel.ndim == 1):
            raise ValueError(
                f"learned_kernel must have the shape ({length},) or ({length}, channels, channels),"
                f" got {tuple(learned_kernel.shape)}; the response must cover task.length"
            )
        true = self.true_kernel.to(learned_kernel.device)
        form = self.weights.to(learned_kernel.device)
        channels = 1 if learned_kernel.ndim == 1 else learned_kernel.shape[1]
        # (L, outputs · inputs); the target maps each channel to itself.
        target = true[:, None]
        if channels > 1:
            target = target * torch.eye(channels, dtype=true.dtype, device=true.device).flatten()
        error = target - learned_kernel.double().reshape(length, -1)
        weighted = form[:, None] * error if form.ndim == 1 else form @ error
        if self._half_spectrum is not None:
            half = self._half_spectrum.to(learned_kernel.device)[:, None]
            past = torch.fft.irfft(half * torch.fft.rfft(error, 2 * length, dim=0), dim=0)
            error = 2 * past[:length]
        return (error * weighted).sum() / channels


def weights(length: int, covariance: Any, horizon: Horizon = "average") -> Tensor:
    """The form's matrix, (L, L), or for a white input given by its variance the diagonal, (L,).

    A covariance matrix that is a multiple of the identity gives the diagonal too.

    Raises:
        ValueError: a variance that is not positive, or a covariance of another shape.
    """
    matrix = torch.as_tensor(covariance, dtype=torch.float64)
    if matrix.ndim == 2 and matrix.shape == (length, length):
        if not torch.equal(matrix, matrix[0, 0] * torch.eye(length, dtype=torch.float64)):
            if horizon == "last":
                return matrix.flip(0, 1).contiguous()
            return torch.from_numpy(np.ascontiguousarray(horizon_gram(matrix.numpy())))
        matrix = matrix[0, 0]
    if matrix.ndim or not (float(matrix) > 0 and math.isfinite(float(matrix))):
        raise ValueError(
            f"covariance must be a positive variance or a matrix ({length}, {length}), got "
            f"{float(matrix) if not matrix.ndim else tuple(matrix.shape)}; see task.input.scale"
        )
    lag = torch.arange(length, dtype=torch.float64)
    return matrix * ((length - lag) / length if horizon == "average" else torch.ones_like(lag))
