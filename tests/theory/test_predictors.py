import itertools

import numpy as np
import pytest
from scipy.linalg import toeplitz

from seq2seq.theory import predictors

RNG = np.random.default_rng(0)


def random_covariance(length):
    root = RNG.standard_normal((length, length))
    return root @ root.T


def gp_covariance(length, scale=1.0):
    return scale**2 * np.exp(-0.5 * (0.1 * np.subtract.outer(*[np.arange(length)] * 2)) ** 2)


def brute_force_losses(operator, covariance, taps):
    """Losses by writing out E[features featuresᵀ] at each time and averaging over the horizon."""
    length = len(covariance)
    gram, cross = np.zeros((taps, taps)), np.zeros(taps)
    for t in range(length):
        window = np.zeros((taps, length))
        for s in range(min(taps, t + 1)):
            window[s, t - s] = 1
        gram += window @ covariance @ window.T / length
        cross += window @ covariance @ operator[t] / length
    power = np.trace(operator @ covariance @ operator.T) / length
    return power - cross @ np.linalg.solve(gram, cross)


def lagged(x, taps):
    """(N·L, taps·D) regressors, zero before the start."""
    n, length, _ = x.shape
    columns = [np.pad(x, ((0, 0), (s, 0), (0, 0)))[:, :length] for s in range(taps)]
    return np.concatenate(columns, axis=2).reshape(n * length, -1)


def test_gram_is_the_average_over_the_horizon():
    c = random_covariance(6)
    gram = predictors.horizon_gram(c)
    for s in range(6):
        for r in range(6):
            expected = sum(c[t - s, t - r] for t in range(max(s, r), 6)) / 6
            assert gram[s, r] == pytest.approx(expected)


def test_gram_of_white_input():
    expected = np.diag(4.0 * (10 - np.arange(10)) / 10)
    np.testing.assert_allclose(predictors.horizon_gram(4.0 * np.eye(10)), expected)


@pytest.mark.parametrize("taps", [1, 2, 4, 8])
def test_exact_losses_match_brute_force(taps):
    kernel, c = RNG.standard_normal(8), random_covariance(8)
    operator = np.tril(toeplitz(kernel))
    expected = brute_force_losses(operator, c, taps)
    key = "memoryless" if taps == 1 else f"taps_{taps}"
    losses = predictors.tap_losses(predictors.kernel_moments(kernel, c))
    assert losses[key] == pytest.approx(expected, abs=1e-9)
    losses = predictors.tap_losses(predictors.operator_moments(operator, c))
    assert losses[key] == pytest.approx(expected, abs=1e-9)
    varying = np.tril(RNG.standard_normal((8, 8)))
    losses = predictors.tap_losses(predictors.operator_moments(varying, c))
    assert losses[key] == pytest.approx(brute_force_losses(varying, c, taps), abs=1e-9)


@pytest.mark.parametrize("length", [1, 2, 9, 128, 256])
@pytest.mark.parametrize("correlation", ["white", "ar1", "gp"])
def test_an_autocovariance_stands_for_its_matrix(length, correlation):
    lag = np.arange(length)
    autocovariance = {"white": 1.0 * (lag == 0), "ar1": 0.9**lag, "gp": np.exp(-(lag**2) / 200)}
    c = 1.7 * autocovariance[correlation]
    for kernel in (
        np.exp(-0.1 * lag),
        (1 + lag) ** -0.7 * np.cos(lag),
        RNG.standard_normal(length),
    ):
        dense, by_lag = (predictors.kernel_moments(kernel, of) for of in (toeplitz(c), c))
        np.testing.assert_allclose(by_lag.gram, dense.gram, rtol=1e-12)
        scale = np.abs(dense.cross).max()
        np.testing.assert_allclose(by_lag.cross, dense.cross, atol=1e-13 * scale)
        expected, losses = predictors.tap_losses(dense), predictors.tap_losses(by_lag)
        # What is left after more taps than the input has freedoms is rounding of the whole.
        assert losses == pytest.approx(expected, rel=1e-10, abs=1e-11 * expected["zero"])


def test_a_long_horizon_keeps_the_lags_of_the_largest_predictor():
    lag = np.arange(2000)
    kernel, c = np.exp(-0.003 * lag), 0.9**lag
    moments = predictors.kernel_moments(kernel, c)
    assert moments.gram.shape == (predictors.MAX_FEATURES,) * 2
    dense = predictors.kernel_moments(kernel, toeplitz(c))
    assert moments.power == pytest.approx(dense.power, rel=1e-12)
    np.testing.assert_allclose(moments.cross[:, 0], dense.cross[:1024, 0], rtol=1e-12)


def test_smooth_shift_in_closed_form():
    losses = predictors.tap_losses(
        predictors.kernel_moments(np.eye(32)[8], gp_covariance(32, scale=0.2))
    )
    mean_square = 0.04 * 24 / 32
    assert losses["zero"] == pytest.approx(mean_square)
    # E[x_t x_{t−8}] vanishes for t < 8, so the one weight is 24/32 of the correlation at 0.8.
    expected = mean_square - (mean_square * np.exp(-0.32)) ** 2 / 0.04
    assert losses["memoryless"] == pytest.approx(expected)
    assert expected == pytest.approx(0.0181, abs=1e-4)
    assert losses["taps_16"] == pytest.approx(0, abs=1e-12)


def test_white_shift_needs_every_tap():
    losses = predictors.tap_losses(predictors.kernel_moments(np.eye(32)[8], np.eye(32)))
    assert losses["taps_8"] == losses["zero"] == pytest.approx(24 / 32)
    assert losses["taps_16"] == pytest.approx(0)


def test_more_taps_never_hurt():
    kernel = np.exp(-0.1 * np.arange(128))
    losses = predictors.tap_losses(predictors.kernel_moments(kernel, gp_covariance(128)))
    values = list(losses.values())
    assert list(losses) == ["zero", "memoryless", *[f"taps_{2**i}" for i in range(1, 8)]]
    assert all(a >= b >= 0 for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("skip", [0, 1, 4, 6])
@pytest.mark.parametrize("taps", [1, 2, 3, 7])
def test_data_moments_match_the_design_matrix(taps, skip):
    x, y = RNG.standard_normal((5, 7, 2)), RNG.standard_normal((5, 7, 3))
    moments = predictors.data_moments(x, y, taps, skip)
    rows = 5 * (7 - skip)
    design = lagged(x, taps).reshape(5, 7, -1)[:, skip:].reshape(rows, -1)
    answer = y[:, skip:].reshape(rows, 3)
    np.testing.assert_allclose(moments.gram, design.T @ design / rows, atol=1e-12)
    np.testing.assert_allclose(moments.cross, design.T @ answer / rows, atol=1e-12)
    assert moments.power == pytest.approx((answer**2).mean())


def test_estimated_predictor_is_judged_on_other_data():
    mixing = RNG.standard_normal((2, 2))
    kernel = np.array([0.5, -1.0, 0.3, 0.8])

    def data(n):
        x = RNG.standard_normal((n, 16, 2))
        y = lagged(x, 4).reshape(n, 16, 4, 2).transpose(0, 1, 3, 2) @ kernel @ mixing
        return x, y + 0.1 * RNG.standard_normal(y.shape)

    (x, y), (x_other, y_other) = data(40), data(30)
    losses = predictors.tap_losses(
        predictors.data_moments(x, y, 8), predictors.data_moments(x_other, y_other, 8)
    )
    for taps in (2, 4, 8):
        solution = np.linalg.lstsq(lagged(x, taps), y.reshape(-1, 2), rcond=None)[0]
        residual = lagged(x_other, taps) @ solution - y_other.reshape(-1, 2)
        assert losses[f"taps_{taps}"] == pytest.approx((residual**2).mean(), rel=1e-8)
    assert losses["taps_4"] == pytest.approx(0.01, rel=0.3)


def test_regression_has_its_own_weights_at_each_time():
    (x, x_other), (y, y_other) = RNG.standard_normal((2, 2, 40, 5))
    errors = []
    for t in range(2, 5):
        design, other = (np.c_[np.ones(40), part[:, : t + 1]] for part in (x, x_other))
        weights = np.linalg.pinv(design) @ y[:, t]
        errors.append(np.mean((other @ weights - y_other[:, t]) ** 2))
    loss = predictors.regression_loss((x, y), (x_other, y_other), skip=2)
    assert loss == pytest.approx(np.mean(errors))
    few = predictors.regression_loss((x[:3], y[:3]), (x[:3], y[:3]))
    assert few < np.mean(y[:3] ** 2), "fewer sequences than weights"


def test_weights_leave_out_singular_directions():
    x = RNG.standard_normal((50, 6, 1))
    x = np.concatenate([x, x], axis=2)  # the same channel twice
    moments = predictors.data_moments(x, 3 * x[..., :1], 1)
    weights = predictors.tap_weights(moments, taps=1)
    np.testing.assert_allclose(weights, [[1.5], [1.5]], rtol=1e-6)


def test_exact_losses_match_simulation():
    kernel, length = np.array([0.2, 0.5, 0.1, 0.7, 0, 0, 0, 0]), 8
    c = gp_covariance(length) + 0.3 * np.eye(length)
    x = RNG.standard_normal((200_000, length)) @ np.linalg.cholesky(c).T
    y = x @ np.tril(toeplitz(kernel)).T
    exact = predictors.tap_losses(predictors.kernel_moments(kernel, c))
    moments = predictors.data_moments(x[..., None], y[..., None], length)
    for key, value in predictors.tap_losses(moments).items():
        assert value == pytest.approx(exact[key], rel=0.02, abs=1e-9)


def test_channels_equal_to_float32_share_their_weight():
    """Their difference is rounding, however well the target follows it."""
    x = RNG.standard_normal((50, 20, 1))
    both = np.concatenate([x, x.astype(np.float32)], axis=2)
    weights = predictors.tap_weights(predictors.data_moments(both, x, taps=1), taps=1)
    assert weights[:, 0] == pytest.approx([0.5, 0.5], abs=1e-6)
