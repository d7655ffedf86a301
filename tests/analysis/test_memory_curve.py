"""Memory curves and Hankel spectra against Gramians, explicit matrices and simulated states."""

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_lyapunov

from seq2seq.analysis.memory_curve import (
    closed,
    curve,
    driven,
    estimated,
    hankel_values,
    reduced,
    states_used,
    visited,
)
from seq2seq.analysis.report import linear
from seq2seq.analysis.report.sweep import Sweep
from seq2seq.models.diagonal_rnn import DiagonalRNN
from seq2seq.models.lru import LRU
from seq2seq.models.rnn import RNN
from seq2seq.training import train


def reservoir(n: int, radius: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed)
    A = draws.standard_normal((n, n))
    A *= radius / np.abs(np.linalg.eigvals(A)).max()
    return A, draws.standard_normal(n)


def response(A: np.ndarray, B: np.ndarray, c: np.ndarray, length: int) -> np.ndarray:
    found, state = [], B
    for _ in range(length):
        found.append(c @ state)
        state = A @ state
    return np.array(found)


@pytest.mark.parametrize(("n", "radius"), [(1, 0.5), (4, 0.9), (6, 0.8)])
def test_the_curve_is_that_of_the_gramian(n, radius):
    A, B = reservoir(n, radius)
    inverse = np.linalg.inv(solve_discrete_lyapunov(A, np.outer(B, B)))
    expected, state = [], B
    for _ in range(40):
        expected.append(state @ inverse @ state)
        state = A @ state
    np.testing.assert_allclose(curve(np.linalg.eigvals(A), 40), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("n", [1, 10, 100])
def test_the_lags_of_all_states_add_up_to_their_number(n):
    A, _ = reservoir(n, 0.95, seed=n)
    assert curve(np.linalg.eigvals(A), 4000).sum() == pytest.approx(n, rel=1e-9)


def test_of_a_hundred_states_gramian_and_data_find_a_part_only():
    """Why the curve comes from the eigenvalues: powers of A leave rounding's reach."""
    A, B = reservoir(100, 0.9, seed=1)
    inverse = np.linalg.pinv(solve_discrete_lyapunov(A, np.outer(B, B)), rcond=1e-14)
    powers = [B]
    while len(powers) < 400:
        powers.append(A @ powers[-1])
    assert sum(state @ inverse @ state for state in powers) < 80
    x = np.random.default_rng(2).standard_normal(6000)
    states = np.zeros((6000, 100))
    for t in range(1, 6000):
        states[t] = A @ states[t - 1] + B * x[t]
    _, others = estimated(states[300:], x[300:], 150)
    assert others.sum() < 90
    assert curve(np.linalg.eigvals(A), 4000).sum() == pytest.approx(100)


def test_a_shift_register_keeps_its_cells_and_equal_eigenvalues_are_no_matter():
    np.testing.assert_allclose(curve(np.zeros(5), 8), [1, 1, 1, 1, 1, 0, 0, 0], atol=1e-12)
    leaky = 0.75 * 0.25 ** np.arange(6)
    np.testing.assert_allclose(curve([0.5], 6), leaky, rtol=1e-12)


def test_complex_states_count_both_of_their_numbers():
    assert len(closed([0.5 + 0.1j])) == 2
    assert len(closed([0.5 + 0.1j, 0.5 - 0.1j, 0.2])) == 3
    assert curve([0.5j], 200).sum() == pytest.approx(2)


def test_an_unstable_state_has_no_curve():
    with pytest.raises(ValueError, match="inside the unit circle"):
        curve([1.0], 4)


def test_the_usual_estimate_is_too_large_and_other_steps_tell_the_truth():
    A, B = reservoir(20, 0.8, seed=3)
    draws = np.random.default_rng(0)
    x, states = draws.standard_normal(800), np.zeros((800, 20))
    for t in range(1, 800):
        states[t] = A @ states[t - 1] + B * x[t]
    lags = 100
    true = curve(np.linalg.eigvals(A), lags)
    seen, others = estimated(states[200:], x[200:], lags)
    beyond = true < 1e-3
    assert beyond.sum() > 20
    half = (600 - lags + 1) // 2
    assert seen[beyond].mean() == pytest.approx(20 / half, rel=0.3)
    assert others[beyond].mean() < 3 / half
    assert abs(others.sum() - true.sum()) < abs(seen.sum() - true.sum()) / 4
    with pytest.raises(ValueError, match="drive the model longer"):
        estimated(states[:60], x[:60], 30)


def test_the_states_of_models_have_the_curve_of_their_eigenvalues():
    torch.manual_seed(0)
    for model in (
        RNN(1, 1, cell="linear", hidden_size=4),
        DiagonalRNN(1, 1, hidden_size=4, num_layers=1),
        LRU(1, 1, hidden_size=4, num_layers=1),
    ):
        model.double()
        x = torch.zeros(1, 5, 1, dtype=torch.float64)
        assert visited(model, x).shape == (1, 5, model.state_size)
        if not isinstance(model, LRU):  # whose states read what other maps make of the inputs
            _, others = driven(model, 12, torch.Generator().manual_seed(1), steps=6000)
            (modes,) = model.eigenvalues()
            np.testing.assert_allclose(others, curve(modes, 12), atol=0.05)


def test_hankel_values_are_those_of_the_explicit_matrix():
    A, B = reservoir(5, 0.9)
    rho = response(A, B, B, 21)
    explicit = [[rho[i + j] for j in range(11)] for i in range(11)]
    expected = np.linalg.svd(explicit, compute_uv=False)
    np.testing.assert_allclose(hankel_values(rho), expected, rtol=1e-10, atol=1e-12)
    assert (hankel_values(rho)[5:] < 1e-9).all()


def test_a_response_is_reduced_to_the_states_it_needs():
    A, B = reservoir(3, 0.9, seed=2)
    rho = response(A, B, np.ones(3), 60)
    np.testing.assert_allclose(reduced(rho, 3), rho, atol=1e-9)
    assert states_used(rho, lost=1e-12) == 3
    assert states_used(np.zeros(8)) == 0
    impulse = np.eye(12)[3]
    assert states_used(impulse) == 4  # a register of four cells


def test_small_modes_are_not_used():
    lags = np.arange(60)
    rho = 0.9**lags + 1e-3 * (-0.8) ** lags
    assert states_used(rho) == 1
    assert states_used(rho, lost=1e-12) == 2


def test_a_saturated_state_remembers_less_than_a_linear_one():
    torch.manual_seed(0)
    model = RNN(1, 1, cell="tanh", hidden_size=8, initialisation="orthogonal", gain=0.9)
    totals = []
    for scale in (0.01, 3.0):
        _, others = driven(model, 30, torch.Generator().manual_seed(2), scale=scale)
        totals.append(others.sum())
    assert totals[0] > 6
    assert totals[1] < totals[0] - 1


def test_a_report_shows_what_linear_states_remember_and_use(tmp_path):
    own = ["model=rnn", "model.cell=linear", "model.hidden_size=4", "task=shift", "task.k=1"]
    own += ["task.length=12", "task.train_size=64", "task.val_size=16", "task.test_size=16"]
    own += ["task.batch_size=16", "trainer.max_steps=4", "logger=none"]
    own += ["callbacks.figures=null", "callbacks.progress=null", f"paths.outputs={tmp_path}"]
    run = train(own)
    with np.load(run.folder / "eigenvalues.npz") as stored:
        responses, steps = stored["responses"], stored["step"]
        modes = stored["eigenvalues"][-1]
    with np.load(run.folder / "kernel.npz") as stored:
        np.testing.assert_array_equal(responses[-1], stored["learned"])
    sweep = Sweep(tmp_path)
    shown = {panel.name: panel.data for panel in linear.figures(sweep)}
    assert set(shown) == {"memory_curves", "hankel"}
    np.testing.assert_allclose(shown["memory_curves"]["after"], curve(modes, 12))
    assert shown["hankel"]["step"].tolist() == steps.tolist()
    np.testing.assert_allclose(
        shown["hankel"]["sigma_1"], [hankel_values(one)[0] for one in responses]
    )
    assert (shown["hankel"]["states_used"] <= 4).all()
    responses[-1, 0] = np.nan  # as of a run that diverged
    told = {"step": steps, "eigenvalues": np.zeros((len(steps), 1, 4))}
    np.savez(run.folder / "eigenvalues.npz", **told, responses=responses)
    assert [*linear.figures(sweep)] == []
    np.savez(run.folder / "eigenvalues.npz", **told, responses=responses[:1])
    with pytest.raises(ValueError, match="differ in length"):
        run.arrays("eigenvalues.npz")
