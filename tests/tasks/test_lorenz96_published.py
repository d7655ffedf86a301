"""The published Lorenz 96 data: a plain Euler loop, paths that go on, what cannot be known."""

import numpy as np
import pytest
import torch

from seq2seq.seeds import generator
from seq2seq.tasks import GP, Lorenz96Published, White


def by_loops(task, y, z, forcing):
    """One trajectory from y (K,) and z (J, K), index by index: y after each step, and the end."""
    K, J, h = task.K, task.J, task.dt / task.euler_steps
    path = []
    for x in forcing:
        for _ in range(task.euler_steps):
            dy, dz = np.empty(K), np.empty((J, K))
            for k in range(K):
                advection = -y[(k - 1) % K] * (y[(k - 2) % K] - y[(k + 1) % K])
                coupling = task.h_x * sum(z[j, k] for j in range(J)) / J
                dy[k] = advection - y[k] + x[k] + coupling
                for j in range(J):
                    advection = -z[(j + 1) % J, k] * (z[(j + 2) % J, k] - z[(j - 1) % J, k])
                    dz[j, k] = (advection - z[j, k] + task.h_y * y[k]) / task.epsilon
            y, z = y + h * dy, z + h * dz
        path.append(y)
    return np.array(path), y, z


@pytest.mark.parametrize(
    "settings",
    [
        {"J": 10},
        {"K": 3, "J": 4, "epsilon": 0.7, "h_x": -0.6, "h_y": 1.3, "input": White()},
        {"K": 2, "J": 1, "dt": 0.06, "euler_steps": 3, "offset": 0.0, "unit": 2.0},
    ],
    ids=str,
)
def test_paths_are_those_of_a_plain_euler_loop(settings):
    task = Lorenz96Published(length=6, trajectories=2, burn_in=4, **settings)
    K, J = task.K, task.J
    x, y = task.sample(5, generator(0, "oracle"))
    draws = generator(0, "oracle")
    state = torch.randn(K * (J + 1), 2, generator=draws, dtype=torch.float64).numpy()
    before = task.input.sample(2, 4, K, draws, torch.float64).numpy()
    for copy in range(2):
        slow, fast = state[:K, copy], state[K:, copy].reshape(J, K)
        _, slow, fast = by_loops(task, slow, fast, before[copy])
        for number in range(copy, 5, 2):
            shown = x[number].double().numpy() * task.unit + task.offset
            np.testing.assert_allclose(shown[0], slow, atol=1e-6)
            np.testing.assert_allclose(y[number, 0] * task.scale, slow, atol=1e-6)
            path, slow, fast = by_loops(task, slow, fast, shown[1:])
            np.testing.assert_allclose(y[number, 1:] * task.scale, path, atol=3e-6)


def test_each_path_begins_where_the_one_of_its_trajectory_ended():
    task = Lorenz96Published(length=9, trajectories=20)
    x, y = (part.double() for part in task.sample(65, generator(1, "chain")))
    begun = (x[:, 0] * 0.6 + 0.6) / task.scale
    torch.testing.assert_close(begun, y[:, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(begun[20:], y[:-20, -1], rtol=0, atol=1e-6)
    assert (begun[19:] - y[:-19, -1]).abs().median() > 0.01
    assert task.scale == task.input.sample(32, 9, 1, generator(0, "scale")).abs().max()


def residuals(x, y, t):
    """What a linear regression on x_0 … x_t leaves of y_t, per degree of freedom."""
    design = np.c_[np.ones(len(x)), x[:, : t + 1]]
    left = np.linalg.lstsq(design, y[:, t], rcond=1e-9)
    free = len(x) - left[2]
    return float(((y[:, t] - design @ left[0]) ** 2).sum() / free)


def test_no_regression_beats_the_irreducible_error_and_a_plain_one_reaches_it():
    task = Lorenz96Published(length=32, trajectories=1500)
    x, y = (part[..., 0].double().numpy() for part in task.sample(1500, generator(2, "paths")))
    exact = task.irreducible().numpy() / np.mean(y**2)
    assert exact[0] == 0
    for t in (1, 3, 5, 8, 12):
        assert residuals(x, y, t) / np.mean(y**2) == pytest.approx(exact[t], rel=0.15)
    assert residuals(x, y, 31) / np.mean(y**2) < 1e-5


def test_irreducible_error_of_paired_paths():
    """Two copies under one forcing that begin at one slow state: half their squared difference."""
    task = Lorenz96Published(length=12, input=White())
    n = 6000
    forcing = task.input.sample(n, 40, 1, generator(3, "unseen"), torch.float64)
    start = np.zeros((11, n))
    _, end = task._advance(start, forcing)
    slow, fast = end[0], end[1]
    slope = (slow @ fast) / (slow @ slow)
    noise = np.std(fast - slope * slow)
    draws = np.random.default_rng(4).standard_normal((2, n)) * noise
    same = task.input.sample(n, 11, 1, generator(5, "seen"), torch.float64)
    pair = []
    for unknown in draws:
        state = np.concatenate([slow[None], np.tile(slope * slow + unknown, (10, 1))])
        pair.append(task._advance(state, same)[0][..., 0].numpy())
    measured = ((pair[0] - pair[1]) ** 2).mean(0) / 2 / task.scale**2
    np.testing.assert_allclose(measured, task.irreducible()[1:], rtol=0.1)


def test_published_figures_of_the_task():
    task = Lorenz96Published(train_size=600, test_size=600, trajectories=300)
    losses = task.reference_losses()
    share = {name: loss / losses["zero"] for name, loss in losses.items()}
    assert list(losses) == list(task.reference_names)
    assert share["memoryless"] == pytest.approx(0.108, abs=0.01)
    assert share["irreducible"] == pytest.approx(4.4e-4, rel=0.05)
    assert share["linear"] == pytest.approx(share["irreducible"], rel=0.2)
    task.skip = 20
    late = task.reference_losses()
    assert late["linear"] / late["zero"] < 2e-6


def test_skipped_steps_count_in_no_loss():
    settings = {"length": 24, "train_size": 200, "test_size": 100, "trajectories": 100}
    task, late = Lorenz96Published(**settings), Lorenz96Published(**settings, skip=10)
    x, y = late.split("test")
    assert torch.equal(task.split("test").y, y)
    wrong = y.clone()
    wrong[:, :10] += 1
    assert late.loss(wrong, y) == 0
    assert task.loss(wrong, y) == pytest.approx(10 / 24)
    assert late.loss(wrong[:, -1:], y[:, -1:] + 1) == 1, "the last step alone"
    power = float(y[:, 10:].square().mean())
    assert late.metrics("test", power)["nmse"] == pytest.approx(1)
    losses = late.reference_losses()
    assert losses["zero"] == pytest.approx(power)
    assert losses["irreducible"] == pytest.approx(float(task.irreducible()[10:].mean()))
    best = late.memoryless_prediction(x)
    assert float(late.loss(best, y)) == pytest.approx(losses["memoryless"], rel=1e-4)


def test_slow_nonlinearity_has_no_known_floor():
    assert "irreducible" not in Lorenz96Published(K=4).reference_names


def test_sets_are_kept(tmp_path, monkeypatch):
    settings = {"length": 8, "train_size": 5, "val_size": 5, "cache": str(tmp_path)}
    first = Lorenz96Published(**settings).split("train")
    for changed in (
        {"trajectories": 3},
        {"burn_in": 7},
        {"euler_steps": 5},
        {"unit": 1.0},
        {"seed": 1},
    ):
        assert not torch.equal(Lorenz96Published(**settings, **changed).split("train").x, first.x)
    assert len(list(tmp_path.iterdir())) == 6
    monkeypatch.setattr(Lorenz96Published, "_advance", None)
    again = Lorenz96Published(**settings, skip=3).split("train")
    assert torch.equal(again.y, first.y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 1}, "length must be at least 2"),
        ({"trajectories": 0}, "trajectories must be at least 1"),
        ({"burn_in": 0}, "burn_in must be at least 1"),
        ({"euler_steps": 0}, "euler_steps must be at least 1"),
        ({"unit": 0.0}, "unit must be positive"),
        ({"skip": -1}, "skip must be at least 0"),
        ({"skip": 128}, r"skip must be below task\.length=128, got skip=128; set task\.skip=0"),
        ({"J": 10**6}, r"lower task\.J=1000000"),
        ({"trajectories": 10**10}, r"lower task\.trajectories=10000000000"),
    ],
)
def test_bad_parameters_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Lorenz96Published(**change)


def test_explosion_is_reported():
    with pytest.raises(ValueError, match=r"lower task\.input\.scale"):
        Lorenz96Published(K=4, input=GP(scale=1e8), length=32).sample(2, torch.Generator())
