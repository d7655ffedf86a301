"""How well a state tells the inputs of the past: memory curves, and how many states are used.

**Memory curve** (Jaeger, "Short term memory in echo state networks", 2001). MC_k is the squared
correlation of x_{t−k} with its best linear readout from the state, for white inputs; Σ_k MC_k ≤ n
for n real states. Of a linear state h_t = A h_{t−1} + B x_t,

    MC_k = (A^k B)ᵀ Σ⁻¹ A^k B,    Σ = Σ_k A^k B Bᵀ (A^k)ᵀ,

whatever B is if all states are reached: then Σ_k MC_k = n. The total tells nothing, then, but the
curve does. Powers A^k B make Σ singular to rounding from some ten states on, so it is not inverted
here: MC_k = Σ_j |φ_j(k)|² for any orthonormal basis φ of the span of the modes λ_j^k, and that of
Takenaka and Malmquist is a cascade of all-pass filters,

    φ_j(z) = √(1 − |λ_j|²)/(1 − λ_j z) · Π_{i<j} (z − λ̄_i)/(1 − λ_i z),

exact for whatever eigenvalues inside the unit circle, equal ones too.

**From data** the squared correlation on the very steps that the readout was fitted to is n/T too
large for lags beyond all memory, and regularisation or rounding lose what is there at others
(Ballarin, Grigoryeva and Ortega, "Memory of recurrent networks: do we compute it right?", JMLR 25
(2024)). Other steps than those fitted to are free of the first.

**States used.** The response ρ of a linear model has the Hankel matrix H[i, j] = ρ_{i+j}, whose
rank is the least number of states with that response; its singular values say how much each is
worth. `reduced` is the balanced truncation of Kung, "A new identification and model reduction
algorithm via singular value decomposition" (1978).
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import lstsq
from scipy.signal import lfilter
from torch import Tensor

from seq2seq.analysis.stepping import batch_axes, each, real, stepwise
from seq2seq.theory.bounds import hankel

Array = NDArray[np.float64]

#: The share of the energy of a response that a reduced model may lose.
LOST = 0.01


def curve(eigenvalues: ArrayLike, length: int) -> Array:
    """MC_k for k < length of a linear state with these eigenvalues, (length,).

    Args:
        eigenvalues: complex, those of all real states: of complex ones λ̄ is added beside λ.
        length: lags.

    Raises:
        ValueError: one lies on the unit circle or outside, where the state has no stationary
            distribution.
    """
    modes = closed(eigenvalues)
    if len(modes) and not np.abs(modes).max() < 1:
        raise ValueError(
            "the eigenvalues must lie inside the unit circle for a curve to exist, got one of "
            f"size {np.abs(modes).max():.6g}"
        )
    passed = np.zeros(length, complex)
    passed[:1] = 1
    found = np.zeros(length)
    for mode in modes:
        poles = [1, -mode]
        found += (1 - abs(mode) ** 2) * np.abs(lfilter([1], poles, passed)) ** 2
        passed = lfilter([-np.conj(mode), 1], poles, passed)
    return found


def closed(eigenvalues: ArrayLike) -> NDArray[np.complex128]:
    """The eigenvalues of a real state: as they are if they come in conjugate pairs, else both."""
    modes = np.asarray(eigenvalues, dtype=np.complex128).ravel()
    apart = np.abs(modes.imag) > 1e-12
    upper = np.sort_complex(modes[apart & (modes.imag > 0)])
    lower = np.sort_complex(modes[apart & (modes.imag < 0)].conj())
    if len(upper) == len(lower) and np.allclose(upper, lower, rtol=1e-6, atol=1e-9):
        return modes
    return np.concatenate([modes, modes.conj()])


def estimated(states: ArrayLike, x: ArrayLike, lags: int) -> tuple[Array, Array]:
    """MC_k from what a state was, (lags,): on the steps fitted to, and on others.

    The readout, with a constant, is fitted to the first half of the steps.

    Args:
        states: (time, n), h_t having seen x_t.
        x: the inputs, (time,).
        lags: as many, k = 0 … lags − 1.

    Raises:
        ValueError: half of the steps are no more than states.
    """
    inputs, h = np.asarray(x, np.float64), np.asarray(states, np.float64)
    past = np.lib.stride_tricks.sliding_window_view(inputs, lags)[:, ::-1]  # (time, lags)
    h = np.column_stack([h[lags - 1 :], np.ones(len(past))])
    half = len(past) // 2
    if half <= h.shape[1]:
        raise ValueError(
            f"a readout of {h.shape[1]} weights needs more steps than {half}; "
            "drive the model longer"
        )
    weights = lstsq(h[:half], past[:half], lapack_driver="gelsy")[0]
    parts = (slice(None, half), slice(half, None))
    seen, others = (_squared_correlation(h[part] @ weights, past[part]) for part in parts)
    return seen, others


def driven(
    model: Any,
    lags: int,
    generator: torch.Generator,
    steps: int = 4000,
    washout: int = 200,
    scale: float = 1.0,
) -> tuple[Array, Array]:
    """MC_k of a model of any kind with one input, driven by white noise; see `estimated`.

    A nonlinear state's depends on the size of its inputs.

    Args:
        model: with a state of fixed size.
        lags: as many.
        generator: of the inputs.
        steps: kept.
        washout: left out before these, in which the initial state is forgotten.
        scale: standard deviation of the inputs.
    """
    parameter = next(model.parameters())
    x = scale * torch.randn(washout + steps, generator=generator, dtype=torch.float64)
    states = visited(model, x.to(parameter)[None, :, None])[0]
    return estimated(states[washout:], x[washout:], lags)


def _squared_correlation(a: Array, b: Array) -> Array:
    """Of columns; 0 where one is constant."""
    a, b = a - a.mean(0), b - b.mean(0)
    power = (a**2).sum(0) * (b**2).sum(0)
    return np.divide((a * b).sum(0) ** 2, power, out=np.zeros_like(power), where=power > 0)


@torch.inference_mode()
def visited(model: Any, x: Tensor) -> Array:
    """The states of a model after each of its inputs, as real numbers: (batch, time, n).

    Args:
        model: with a state of fixed size.
        x: (batch, time, inputs).
    """
    axes, found = batch_axes(model), []

    def keep(state: Any) -> Any:
        moved = each(state, axes, lambda part, axis: part.movedim(axis, 0))
        parts = (torch.view_as_real(one) if one.is_complex() else one for one in real(moved))
        found.append(torch.cat([one.flatten(1).double() for one in parts], 1).cpu().numpy())
        return state

    stepwise(model, x, keep)
    return np.stack(found, 1)


def hankel_values(response: ArrayLike) -> Array:
    """Singular values of the largest square Hankel matrix of a response (L,), in falling order."""
    rho = np.asarray(response, np.float64)
    size = (len(rho) + 1) // 2
    return np.asarray(np.linalg.svd(hankel(rho, size, size), compute_uv=False))


def reduced(response: ArrayLike, order: int) -> Array:
    """The response (L,) of the balanced truncation to that many states of a response (L,).

    With the singular value decomposition U S Vᵀ of the Hankel matrix of ρ_0 … ρ_{L−2}, and H' that
    of ρ_1 … ρ_{L−1}: A = S^{−½} Uᵀ H' V S^{−½}, B = S^{½} Vᵀ e_1, cᵀ = e_1ᵀ U S^{½}, cut.
    """
    rho = np.asarray(response, np.float64)
    rows = len(rho) // 2
    columns = len(rho) - rows
    u, s, vt = np.linalg.svd(hankel(rho, rows, columns))
    kept = min(order, int((s > s[0] * 1e-13).sum()) if len(s) and s[0] > 0 else 0)
    root = np.sqrt(s[:kept])
    left, right = u[:, :kept], vt[:kept]
    A = left.T @ hankel(rho[1:], rows, columns) @ right.T / np.outer(root, root)
    state, readout, found = root * right[:, 0], left[0] * root, np.zeros(len(rho))
    for lag in range(len(rho)):
        found[lag] = readout @ state
        state = A @ state
    return found


def states_used(response: ArrayLike, lost: float = LOST) -> int:
    """The fewest states to which a response can be cut by losing that share of Σ ρ_s² or less."""
    rho = np.asarray(response, np.float64)
    energy = float((rho**2).sum())
    for order in range(len(rho) // 2):
        if float(((reduced(rho, order) - rho) ** 2).sum()) <= lost * energy:
            return order
    return len(rho) // 2
