import warnings

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from seq2seq.tasks import GP, Lorenz96, SequenceTask, White
from seq2seq.theory import predictors


def by_scipy(task, x):
    """The equations, index by index, through an adaptive solver of order 8."""
    K, J = task.K, task.J

    def slope(t, state, before, after, start):
        y, z = state[:K], state[K:].reshape(J, K)
        share = (t - start) / task.dt
        force = (1 - share) * before + share * after
        dy, dz = np.empty(K), np.empty((J, K))
        for k in range(K):
            advection = -y[(k - 1) % K] * (y[(k - 2) % K] - y[(k + 1) % K])
            dy[k] = advection - y[k] + force[k] + task.h_x * z[:, k].mean()
            for j in range(J):
                advection = -z[(j + 1) % J, k] * (z[(j + 2) % J, k] - z[(j - 1) % J, k])
                dz[j, k] = (advection - z[j, k] + task.h_y * y[k]) / task.epsilon
        return np.concatenate([dy, dz.ravel()])

    state = np.concatenate([task.y0.numpy(), task.z0.numpy().ravel()])
    path = [state[:K]]
    for t in range(len(x) - 1):
        span = (t * task.dt, (t + 1) * task.dt)
        arguments = (x[t], x[t + 1], span[0])
        solution = solve_ivp(slope, span, state, "DOP853", rtol=1e-10, atol=1e-12, args=arguments)
        state = solution.y[:, -1]
        path.append(state[:K])
    return np.array(path)


@pytest.mark.parametrize(
    ("settings", "length"),
    [
        ({}, 128),
        ({"perturbation": 1.0, "input": White()}, 128),
        ({"epsilon": 0.5, "perturbation": 1.0}, 128),
        ({"epsilon": 0.1, "perturbation": 0.5}, 32),
        ({"K": 4, "J": 3, "perturbation": 1.0, "input": White()}, 128),
        ({"K": 5, "J": 4, "perturbation": 1.0, "h_x": -0.7, "h_y": 1.3, "epsilon": 0.5}, 64),
        ({"K": 2, "J": 1, "perturbation": 1.0, "dt": 0.05}, 64),
        ({"initial_state": "burn_in", "burn_in": 20, "perturbation": 1.0, "K": 3, "J": 2}, 32),
        ({"initial_state": "zero"}, 32),
    ],
)
def test_paths_follow_an_adaptive_solver(settings, length):
    task = Lorenz96(length=length, **settings)
    x = task.sample(3, torch.Generator().manual_seed(1))[0]
    expected = by_scipy(task, x[1].double().numpy())
    assert np.abs(task.targets(x.double())[1].numpy() - expected).max() < 1e-6
    assert np.abs(task.targets(x)[1].numpy() - expected).max() < 1e-6 * (1 + np.abs(expected).max())


@pytest.mark.parametrize(("K", "J", "epsilon"), [(1, 10, 0.5), (2, 3, 1.0), (5, 1, 0.3), (8, 8, 1)])
def test_one_trajectory_takes_the_steps_of_the_targets(K, J, epsilon):
    task = Lorenz96(K=K, J=J, epsilon=epsilon, length=40, input=GP(scale=2.0))
    x = task.input.sample(1, 40, K, torch.Generator().manual_seed(3), torch.float64)
    y, z = task.trajectory(x[0])
    assert y.shape == (40, K)
    assert z.shape == (40, J, K)
    torch.testing.assert_close(y, task.targets(x)[0], rtol=0, atol=1e-10)
    assert torch.equal(z[0], task.z0)
    # z drives y: a start from a later state of both goes on the same path.
    later = Lorenz96(K=K, J=J, epsilon=epsilon, length=20, input=GP(scale=2.0))
    later.__dict__["_start"] = y[20], z[20]
    torch.testing.assert_close(later.targets(x[:, 20:])[0], y[20:], rtol=0, atol=1e-10)


def test_oracle_sees_the_fast_nonlinearity():
    """From the asymmetric states above, dropping a term would show."""
    task = Lorenz96(perturbation=1.0, length=32)
    x = torch.zeros(1, 32, 1, dtype=torch.float64)
    linear = Lorenz96(initial_state="zero", length=32)
    linear._start = (task.y0, task.z0.mean(0, keepdim=True).expand(10, 1))
    assert (task.targets(x) - linear.targets(x)).abs().max() > 1e-3


def test_every_path_starts_from_the_same_state():
    task = Lorenz96(K=3, J=4)
    y = task.sample(5, torch.Generator())[1]
    torch.testing.assert_close(y[:, 0], task.y0.float().expand(5, 3))
    assert task.y0.shape == (3,)
    assert task.z0.shape == (4, 3)
    assert len(task.z0.unique()) == 12
    assert torch.equal(Lorenz96(K=3, J=4).z0, task.z0)
    assert not torch.equal(Lorenz96(K=3, J=4, seed=1).z0, task.z0)
    assert not Lorenz96(initial_state="zero").z0.any()


@pytest.mark.parametrize("epsilon", [1.0, 0.5, 3.0])
def test_zero_state_is_linear_with_the_known_kernel(epsilon):
    task = Lorenz96(initial_state="zero", epsilon=epsilon, length=128)
    x = torch.zeros(1, 128, 1, dtype=torch.float64)
    x[0, 20] = 1
    response = task.targets(x)[0, :, 0]
    assert not response[:20].any()
    torch.testing.assert_close(response[20:], task.kernel()[:108], rtol=0, atol=2e-7)
    # Any other input: the convolution, less the ramp that the first sample does not have.
    x = GP().sample(2, 128, 1, torch.Generator().manual_seed(0), torch.float64)
    x[:, 0] = 0
    for path, y in zip(x[..., 0], task.targets(x)[..., 0], strict=True):
        expected = np.convolve(path.numpy(), task.kernel().numpy())[:128]
        np.testing.assert_allclose(y, expected, rtol=0, atol=5e-7)


def test_kernel_exists_only_where_the_system_is_linear():
    assert Lorenz96().kernel() is None
    assert Lorenz96(K=2, initial_state="zero").kernel() is None


def test_exact_references_agree_with_estimates():
    task = Lorenz96(initial_state="zero", length=32, train_size=2000, test_size=20_000)
    exact, estimated = task.reference_losses(), SequenceTask.reference_losses(task)
    assert list(exact) == list(estimated)
    for key in ("zero", "memoryless", "taps_2", "taps_4"):
        assert estimated[key] == pytest.approx(exact[key], rel=0.1)
    # The linear map, column by column, from paths under one unit input each.
    operator = task.targets(torch.eye(32, dtype=torch.float64)[..., None])[..., 0].T
    moments = predictors.operator_moments(operator, GP().covariance(32))
    for key, value in predictors.tap_losses(moments).items():
        assert exact[key] == pytest.approx(value, rel=1e-4, abs=1e-9)


def test_preset_is_genuinely_nonlinear():
    task = Lorenz96(K=8, J=8, input=GP(scale=5.0), length=64, train_size=400, test_size=100)
    losses = task.reference_losses()
    assert min(losses.values()) > 0.3 * losses["zero"]


# ------------------------------------------------------------------------------- the cache


def cached_task(folder, **changes):
    return Lorenz96(**{"length": 8, "train_size": 5, "val_size": 2, "cache": str(folder)} | changes)


def test_cached_data_are_the_computed_ones(tmp_path, monkeypatch):
    plain = cached_task(None, cache=None).split("train")
    first = cached_task(tmp_path / "new").split("train")
    # From here on nothing can be computed, only read.
    monkeypatch.setattr(Lorenz96, "_integrate", None)
    second = cached_task(tmp_path / "new").split("train")
    for x, y in (first, second):
        assert torch.equal(x, plain.x)
        assert torch.equal(y, plain.y)
    assert len(list((tmp_path / "new").iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"K": 2},
        {"J": 3},
        {"epsilon": 0.5},
        {"h_x": -0.5},
        {"h_y": 0.5},
        {"dt": 0.05},
        {"length": 9},
        {"initial_state": "zero"},
        {"perturbation": 0.2},
        {"initial_state": "burn_in", "burn_in": 7},
        {"input": White()},
        {"input": GP(scale=0.5)},
        {"train_size": 6},
        {"seed": 1},
    ],
    ids=str,
)
def test_every_parameter_has_its_own_cache(tmp_path, change):
    cached_task(tmp_path).split("train")
    x, y = cached_task(tmp_path, **change).split("train")
    assert len(list(tmp_path.iterdir())) == 2
    plain = cached_task(None, **change | {"cache": None}).split("train")
    assert torch.equal(y, plain.y)
    assert torch.equal(x, plain.x)


def test_splits_of_one_size_have_their_own_caches(tmp_path):
    task = cached_task(tmp_path, test_size=2)
    assert not torch.equal(task.split("val").x, task.split("test").x)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        lambda content: b"0" * 64 + content[64:],
    ],
    ids=["truncated", "empty", "flipped bit", "wrong digest"],
)
def test_damaged_cache_is_rebuilt_with_a_warning(tmp_path, damage):
    intact = cached_task(tmp_path).split("train")
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    file.write_bytes(damage(content))
    with pytest.warns(UserWarning, match="damaged"):
        rebuilt = cached_task(tmp_path).split("train")
    assert torch.equal(rebuilt.y, intact.y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cached_task(tmp_path).split("train")


def test_another_sets_file_is_not_taken_for_this_one(tmp_path):
    cached_task(tmp_path).split("train")
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    file.unlink()
    cached_task(tmp_path, seed=1).split("train")
    (other,) = tmp_path.iterdir()
    other.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        cached_task(tmp_path, seed=1).split("train")


def test_unwritable_cache_costs_only_a_warning(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="not cached"):
        pairs = cached_task(tmp_path / "file").split("train")
    assert torch.equal(pairs.y, cached_task(None, cache=None).split("train").y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"K": 0}, "K must be at least 1, got K=0"),
        ({"J": -1}, "J must be at least 1"),
        ({"burn_in": 0}, "burn_in must be at least 1"),
        ({"epsilon": 0.0}, "epsilon must be positive, got epsilon=0.0"),
        ({"dt": -0.1}, "task.dt"),
        ({"perturbation": float("nan")}, "perturbation must be positive"),
        ({"initial_state": "random"}, "initial_state must be perturbed, zero or burn_in"),
        ({"length": 0}, "length must be at least 1"),
    ],
)
def test_bad_parameters_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Lorenz96(**change)


def test_explosion_is_reported():
    task = Lorenz96(K=4, input=White(scale=1e4), length=64)
    with pytest.raises(ValueError, match=r"lower task\.input\.scale"):
        task.sample(2, torch.Generator())
    with pytest.raises(ValueError, match=r"lower task\.input\.scale"):
        task.trajectory(torch.full((64, 4), 1e5))
