"""Legendre memory units against SciPy's hold of an input, and against the delay that they are."""

import numpy as np
import pytest
import torch
from scipy.signal import cont2discrete
from scipy.special import eval_legendre

from seq2seq.models import LMU
from seq2seq.models.lmu import LegendreMixer, legendre


def continuous(order: int, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """A and B as the paper prints them, entry by entry."""
    A = np.empty((order, order))
    for i in range(order):
        for j in range(order):
            A[i, j] = (2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1)) / theta
    B = np.array([[(2 * i + 1) * (-1) ** i / theta] for i in range(order)])
    return A, B


@pytest.mark.parametrize(("order", "theta"), [(1, 3.0), (6, 20.0), (16, 64.0), (24, 7.5)])
def test_the_matrices_are_those_of_an_input_that_is_held(order: int, theta: float) -> None:
    A, B = continuous(order, theta)
    held = cont2discrete((A, B, np.eye(order), np.zeros((order, 1))), 1.0)
    for own, other in zip(legendre(order, theta), held[:2], strict=True):
        np.testing.assert_allclose(own, other.reshape(own.shape), rtol=0, atol=1e-12)


def scanned(u: torch.Tensor, order: int, theta: float) -> torch.Tensor:
    """m (time, order) of one channel."""
    torch.set_default_dtype(torch.float64)
    try:
        mixer = LegendreMixer(1, 1, order, theta)
    finally:
        torch.set_default_dtype(torch.float32)
    return mixer._scan(u[:, None, None], torch.zeros(1, 1, order, dtype=torch.float64))[:, 0, 0]


def test_a_memory_follows_its_recurrence() -> None:
    u = torch.randn(101, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (A, B), m = legendre(6, 20.0), torch.zeros(6, dtype=torch.float64)
    for u_t, found in zip(u, scanned(u, 6, 20.0), strict=True):
        m = A @ m + B * u_t
        torch.testing.assert_close(found, m, rtol=0, atol=1e-12)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_it_holds_the_window(share: float) -> None:
    """A slow input s steps ago, s up to theta, is read off by Legendre polynomials.

    An input that is held over a step lags by half of one.
    """
    theta, order = 200.0, 12
    t = np.arange(1200)
    past = np.sin(2 * np.pi * (t + 0.5 - share * theta) / theta)
    m = scanned(torch.from_numpy(np.sin(2 * np.pi * t / theta)), order, theta).numpy()
    # m holds what was there at the end of step t, which is the time t + 1
    read = m @ eval_legendre(np.arange(order), 2 * share - 1)
    assert np.abs(read - past)[600:].max() < 2e-3


def test_bad_values_are_refused() -> None:
    for options, message in (
        ({"order": 0}, "model.order must be at least 1"),
        ({"order": 100_000}, r"model.order must lie in \[1, 1024\]"),
        ({"theta": 0.5}, r"model.theta must lie in \[1, 1e\+9\]"),
        ({"memories": 0}, "model.memories must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            LMU(1, 1, **options)
