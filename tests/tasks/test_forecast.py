"""Forecasting Lorenz 96: trajectories against scipy, one step ahead."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from seq2seq.seeds import generator
from seq2seq.tasks import Lorenz96Forecast

SMALL = {"length": 20, "burn_in": 100, "train_size": 40, "val_size": 5, "test_size": 5}


def test_trajectories_follow_the_equations() -> None:
    """Without coupling to the fast variables the slow ones obey Lorenz' (1996) equation 1."""
    task = Lorenz96Forecast(h_x=0.0, J=2, **SMALL)
    x, y = task.sample(3, generator(0, "test"))

    def slope(_: float, s: np.ndarray) -> np.ndarray:
        return np.roll(s, 1) * (np.roll(s, -1) - np.roll(s, 2)) - s + task.forcing

    times = task.dt * np.arange(21)
    for start, following in zip(x[:, 0], y, strict=True):
        start = start.double().numpy() * task.forcing
        path = solve_ivp(slope, (0, 1), start, t_eval=times, rtol=1e-9, atol=1e-9).y.T
        np.testing.assert_allclose(following.numpy() * task.forcing, path[1:], atol=2e-3)


def test_targets_are_the_next_states_of_different_starts() -> None:
    task = Lorenz96Forecast(**SMALL)
    x, y = task.split("train")
    assert x.shape == y.shape == (40, 20, 8)
    assert torch.equal(x[:, 1:], y[:, :-1])
    assert x[:, 0].std(0).min() > 0.1, "the starts have nothing in common"
    with pytest.raises(ValueError, match="no rule for new inputs"):
        task.targets(x)


def test_forcing_is_checked() -> None:
    with pytest.raises(ValueError, match=r"got forcing=0\.0; set task\.forcing"):
        Lorenz96Forecast(forcing=0.0)
