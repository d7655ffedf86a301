"""Bounds against models built and optimised by brute force."""

import itertools
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
import shell
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from torch.nn.functional import conv1d, pad

from seq2seq.theory import bounds
from seq2seq.theory.population import weights as population_weights

ROOT = Path(__file__).resolve().parents[2]


def shift(k: int, length: int | None = None) -> np.ndarray:
    return np.eye(length or k + 1)[k]


def response(a: np.ndarray, b: np.ndarray, c: np.ndarray, length: int) -> np.ndarray:
    """cᵀA^s b by stepping the recurrence."""
    values, state = [], b
    for _ in range(length):
        values.append(c @ state)
        state = a @ state
    return np.array(values)


# ---------------------------------------------------------------------------------- recurrences


@pytest.mark.parametrize(("k", "n"), [(4, 1), (12, 6), (12, 0), (20, 3), (7, 7), (5, 6), (5, 9)])
def test_shift_has_the_closed_form(k, n):
    expected = max(0.0, 1 - n / (k + 1))
    assert bounds.order_bound(shift(k), n) == pytest.approx(expected, abs=1e-12)
    assert bounds.window_bound(shift(k), n, k + 1, k + 1) == pytest.approx(expected, abs=1e-12)
    # Zeros behind the kernel change nothing, nor does a horizon long enough, relative to w_k.
    assert bounds.order_bound(shift(k, 3 * k), n) == pytest.approx(expected, abs=1e-12)
    for horizon in ("average", "last"):
        w = population_weights(3 * k, 2.0, horizon).numpy()
        assert bounds.order_bound(shift(k, 3 * k), n, w) == pytest.approx(
            expected * w[k], abs=1e-12
        )


@settings(max_examples=60, deadline=None)
@given(
    order=st.integers(1, 4),
    length=st.integers(5, 24),
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["infinite", "average", "last", "falling"]),
    rows=st.integers(1, 24),
)
def test_no_recurrence_is_below_the_bound(order, length, seed, kind, rows):
    """Random recurrences near random kernels, the first of them the recurrence plus noise."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(order, order))
    a *= rng.uniform(0.3, 0.95) / np.abs(np.linalg.eigvals(a)).max()
    learned = response(a, rng.normal(size=order), rng.normal(size=order), 400)
    rho = learned[:length] + rng.choice([0.1, 1.0]) * rng.normal(size=length)
    error = np.append(rho, np.zeros(400 - length)) - learned
    if kind == "infinite":
        w, loss = None, float(error @ error)
    else:
        lags = np.arange(length)
        w = np.exp(-0.2 * lags) if kind == "falling" else None
        w = population_weights(length, 1.0, kind).numpy() if w is None else w
        loss = float(w @ error[:length] ** 2)
    assert bounds.order_bound(rho, order, w) <= loss * (1 + 1e-9)
    columns = max(1, min(length, 2 * length - rows) - rows + 1) if w is not None else length
    if w is None or rows + columns - 1 <= length:
        assert bounds.window_bound(rho, order, rows, columns, w) <= loss * (1 + 1e-9)


def test_the_best_window_is_found():
    rho = 1 / (1 + 0.3 * np.arange(40)) ** 1.1
    for order in (1, 3):
        every = max(bounds.window_bound(rho, order, p, 40) for p in range(1, 41))
        assert bounds.order_bound(rho, order) == pytest.approx(every, rel=1e-9)
        square = max(bounds.window_bound(rho, order, p, p) for p in range(1, 41))
        assert bounds.order_bound(rho, order) >= square
    w = population_weights(16, 1.0).numpy()
    every = max(
        bounds.window_bound(rho[:16], 2, p, q, w) for p in range(1, 17) for q in range(1, 18 - p)
    )
    assert bounds.order_bound(rho[:16], 2, w) == pytest.approx(every, rel=1e-9)


def test_the_optimum_of_shift_12_with_6_states_is_near_the_bound():
    bound = bounds.order_bound(shift(12), 6)
    found = bounds.best_recurrences(shift(12), 6, starts=2)[6]
    assert bound == pytest.approx(7 / 13)
    assert bound < found.error < 1.25 * bound
    assert found.error == pytest.approx(0.6490, abs=2e-4)
    assert (np.abs(found.eigenvalues) < 1).all()


def test_one_state_against_a_search_over_its_eigenvalue():
    rho = np.array([0.2, 1.0, 0.7, -0.3, 0.1])

    def error(eigenvalue: float) -> float:
        powers = eigenvalue ** np.arange(400)
        c = powers[:5] @ rho * (1 - eigenvalue**2)
        return float(((np.pad(rho, (0, 395)) - c * powers) ** 2).sum())

    grid = np.linspace(-0.99, 0.99, 199)
    start = grid[np.argmin([error(value) for value in grid])]
    best = minimize_scalar(error, bounds=(start - 0.01, start + 0.01), options={"xatol": 1e-9})
    found = bounds.best_recurrences(rho, 1)[1]
    assert found.error == pytest.approx(best.fun, rel=1e-6)
    assert found.eigenvalues.real == pytest.approx([best.x], abs=1e-3)


@pytest.mark.parametrize("horizon", ["infinite", "average"])
def test_two_states_against_dense_matrices(horizon):
    """All numbers of A, b and c optimised at once, from many starts, on a long horizon."""
    rho, length = shift(4, 12), 12 if horizon == "average" else 150
    w = population_weights(12, 1.0).numpy() if horizon == "average" else None
    target = np.pad(rho, (0, length - 12))
    rng = np.random.default_rng(0)

    def cost(p: np.ndarray) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            e = (target - response(p[:4].reshape(2, 2), p[4:6], p[6:], length)) ** 2
            total = float(e.sum() if w is None else w @ e)
        return min(total, 1e3) if np.isfinite(total) else 1e3

    runs = [minimize(cost, 0.6 * rng.normal(size=8), method="BFGS").fun for _ in range(12)]
    found = bounds.best_recurrences(rho, 2, w)[2].error
    assert found == pytest.approx(min(runs), rel=1e-3)
    assert found > bounds.order_bound(rho, 2, w)


def test_a_kernel_of_low_order_is_found_exactly():
    a = np.array([[0.6, 0.5], [-0.5, 0.6]])
    rho = response(a, np.array([1.0, 0.2]), np.array([0.5, -1.0]), 120)
    none, one, two = bounds.best_recurrences(rho, 2)
    assert none.error == pytest.approx(rho @ rho)
    assert one.error > 0.05 * none.error
    assert two.error < 1e-10
    assert two.response == pytest.approx(rho, abs=1e-5)
    assert sorted(two.eigenvalues.imag) == pytest.approx([-0.5, 0.5], abs=1e-4)
    assert bounds.order_bound(rho, 2) < 1e-20
    spectrum = np.linalg.svd(bounds.hankel(rho, 120, 120), compute_uv=False)
    assert spectrum[2:].max() < 1e-12


def test_windows_that_leave_the_weights_are_refused():
    with pytest.raises(ValueError, match="must not exceed the 5 weighted lags"):
        bounds.window_bound(np.ones(5), 1, 3, 4, np.ones(5))
    with pytest.raises(ValueError, match="at least 1 × 1"):
        bounds.window_bound(np.ones(5), 1, 0, 4)


# --------------------------------------------------------------------------------- convolutions


def dilated_response(widths: list[int], size: int, seed: int) -> np.ndarray:
    """The impulse response of a linear network of dilated causal convolutions, by running it."""
    random = torch.Generator().manual_seed(seed)
    layers = len(widths) - 1
    x = torch.zeros(1, 1, size**layers, dtype=torch.float64)
    x[..., 0] = 1
    for layer in range(layers):
        shape = (widths[layer + 1], widths[layer], size)
        weight = torch.randn(shape, generator=random, dtype=torch.float64)
        dilation = size**layer
        x = conv1d(pad(x, ((size - 1) * dilation, 0)), weight, dilation=dilation)
    return x[0, 0].numpy()


@pytest.mark.parametrize(
    ("widths", "size"), [([1, 2, 2, 2, 1], 2), ([1, 2, 3, 1], 3), ([1, 1, 1, 1, 1, 1], 2)]
)
def test_a_dilated_network_is_a_tensor_train_of_its_widths(widths, size):
    rho = dilated_response(widths, size, seed=0)
    spectra = bounds.train_spectra(rho, size)
    ranks = [int((values > 1e-10 * values[0]).sum()) for values in spectra]
    assert ranks == [min(w, len(s)) for w, s in zip(widths[1:-1], spectra, strict=True)]
    assert bounds.tail_bounds(spectra, widths[1:-1])[1] < 1e-20 * (rho @ rho)
    found = bounds.train_approximation(rho, widths[1:-1], size)
    assert found == pytest.approx(rho, abs=1e-10 * np.abs(rho).max())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(2, 40), size=st.integers(2, 4))
def test_tensor_train_errors_lie_between_the_bounds(seed, length, size):
    rng = np.random.default_rng(seed)
    rho = rng.normal(size=length) * np.exp(-rng.uniform(0, 0.3) * np.arange(length))
    spectra = bounds.train_spectra(rho, size)
    widths = [int(r) for r in rng.integers(1, 4, len(spectra))]
    found = bounds.train_approximation(rho, widths, size)
    error = float(((np.pad(rho, (0, len(found) - length)) - found) ** 2).sum())
    low, high = bounds.tail_bounds(spectra, widths)
    assert low * (1 - 1e-9) - 1e-20 <= error <= high * (1 + 1e-9) + 1e-20
    again = bounds.train_spectra(found, size)
    assert bounds.tail_bounds(again, widths)[1] < 1e-20 * (rho @ rho) + 1e-25


def test_no_dilated_network_is_below_the_lower_bound():
    rho = np.random.default_rng(0).normal(size=8)
    low, high = bounds.tail_bounds(bounds.train_spectra(rho), 1)

    def error(p: np.ndarray) -> float:
        cores = p.reshape(3, 2)
        train = np.einsum("a,b,c->cba", *cores).ravel()
        return float(((rho - train) ** 2).sum())

    rng = np.random.default_rng(1)
    best = min(minimize(error, rng.normal(size=6)).fun for _ in range(20))
    assert low < best < high


def test_mode_spectra_are_those_of_the_higher_order_svd():
    rho = np.random.default_rng(0).normal(size=27)
    digits = [(s % 3, s // 3 % 3, s // 9) for s in range(27)]
    for mode, values in enumerate(bounds.mode_spectra(rho, 3)):
        gram = np.zeros((3, 3))
        for s, first in enumerate(digits):
            for r, second in enumerate(digits):
                others = [k for k in range(3) if k != mode]
                if all(first[k] == second[k] for k in others):
                    gram[first[mode], second[mode]] += rho[s] * rho[r]
        assert values**2 == pytest.approx(np.linalg.eigvalsh(gram)[::-1])


def test_ranks_of_the_wrong_number_are_refused():
    with pytest.raises(ValueError, match="K layers has K - 1 widths"):
        bounds.tail_bounds(bounds.train_spectra(np.ones(8)), [1, 1, 1])
    with pytest.raises(ValueError, match="filter_size"):
        bounds.tensorise(np.ones(8), 1)


def test_the_table_tells_which_architecture_suits_which_memory():
    t = np.arange(8)
    kernels = {"shift": shift(3, 8), "exponential": np.exp(-0.3 * t), "slow": (1 + t) ** -1.1}
    table = bounds.compare(kernels, (6, 8), starts=0).set_index(["kernel", "parameters"])
    assert (table["recurrence_bound"] <= table["recurrence_found"] + 1e-12).all()
    assert (table["convolution_bound"] <= table["convolution_found"] + 1e-12).all()
    assert table["states"].tolist() == [3, 4] * 3
    # A shift is one path through the filters but needs 4 states; exponentials suit both.
    assert table.loc[("shift", 6), "convolution_found"] < 1e-20
    assert table.loc[("shift", 6), "recurrence_bound"] == pytest.approx(1 / 4)
    assert table.loc[("exponential", 6), "recurrence_found"] < 1e-20
    # What is asked of the lags is not spoilt by a silence behind them.
    assert table.loc[("slow", 6), "recurrence_found"] < 1e-5
    channels = tuple(map(int, table.loc[("slow", 8), "channels"].split(", ")))
    assert 2 * sum(a * b for a, b in itertools.pairwise([1, *channels, 1])) <= 8


def test_a_finite_horizon_is_filled_by_its_windows():
    """An impulse 20 of 32 lags back: the window of 17 × 16 lags has the rank 12."""
    lags = np.ones(32)
    for order in (6, 11, 12):
        every = max(
            bounds.window_bound(shift(20, 32), order, p, 33 - p, lags) for p in range(1, 33)
        )
        assert bounds.order_bound(shift(20, 32), order, lags) == pytest.approx(every)
        assert (every > 0) == (order < 12)


# -------------------------------------------------------------------------------- effective memory


def test_effective_memory_brackets_the_taps_of_a_falling_curve():
    curve = {0: 1.0, 1: 0.5, 2: 0.25, 4: 0.06, 8: 0.004}
    assert bounds.effective_memory(0.1, curve) == (2, 4)
    assert bounds.effective_memory(0.25, curve) == (1, 4)
    assert bounds.effective_memory(1.2, curve) == (-1, 0)
    assert bounds.effective_memory(1e-6, curve) == (8, math.inf)
    assert bounds.effective_memory(0.27, curve, tolerance=0.1) == (1, 4)


def test_effective_memory_is_undefined_on_a_flat_stretch():
    curve = {0: 1.0, 1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0, 16: 0.0}
    assert bounds.effective_memory(1.0, curve) is None
    assert bounds.effective_memory(0.99, curve, tolerance=0.02) is None
    assert bounds.effective_memory(0.4, curve) == (8, 16)


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return shell.run(ROOT / "scripts/bounds.py", *arguments)


def test_a_kernel_beyond_the_length_is_refused():
    done = run_script("impulse:k=12", "--length", "8")
    assert done.returncode == 2
    assert done.stderr == "bounds.py: impulse:k=12 is zero at all of length=8 lags; raise length\n"


def test_the_table_of_architectures_is_a_command():
    done = run_script("impulse:k=3", "random:seed=1", "--length", "8", "parameters=6,8")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[3:]]
    assert [row[:2] for row in rows] == [
        [name, n] for name in ("impulse:k=3", "random:seed=1") for n in "68"
    ]
    first = bounds.order_bound(np.eye(8)[3], 3, np.ones(8))
    assert float(rows[0][3]) == pytest.approx(first, rel=0.05)
    assert rows[0][-2:] == ["0", "0"]  # one channel is all that an impulse needs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gausian"], "did you mean 'gaussian'"),
        (["exponential:rate=-1"], "rate must be positive, got rate=-1"),
        (["exponential", "parameters=0"], "must be at least 1"),
        (["exponential", "parameters=8"], "parameters must be at least 10"),
    ],
)
def test_kernels_that_cannot_be_built_are_refused_in_one_line(arguments, message):
    done = run_script(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
