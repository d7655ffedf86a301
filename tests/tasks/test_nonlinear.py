"""Tasks of memory on numbers: products, whole pasts, recursions, a delay equation."""

import dataclasses
import logging
import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from seq2seq.tasks import (
    AR1,
    GP,
    DelayedParity,
    MackeyGlass,
    Narma,
    Reconstruct,
    Signs,
    Volterra,
    White,
)
from seq2seq.tasks.mackey_glass import integrate

SMALL = {"train_size": 20, "val_size": 5, "test_size": 5, "batch_size": 4}


def draw(task, n, seed=0):
    return task.sample(n, torch.Generator().manual_seed(seed))


def past(x, t):
    """Of a sequence, with zeros before its first step."""
    return x[t] if t >= 0 else 0.0


@pytest.mark.parametrize(
    "task",
    [
        DelayedParity(k=3, n=2, length=12, **SMALL),
        Volterra(length=12, **SMALL),
        Reconstruct(m=3, length=12, **SMALL),
        Narma(length=12, **SMALL),
        MackeyGlass(k=2, length=12, **SMALL),
    ],
    ids=lambda task: type(task).__name__,
)
def test_data_are_those_of_the_seed(task):
    again = dataclasses.replace(task)
    assert all(map(torch.equal, task.split("val"), again.split("val")))
    assert all(map(torch.equal, task.batch(3), again.batch(3)))
    assert not torch.equal(task.split("val").x, task.split("test").x)
    x, y = task.batch(0)
    assert x.shape == (4, 12, 1)
    assert task.loss(torch.zeros(4, 12, task.output_dim), y).isfinite()
    assert [*task.reference_losses()] == [*task.reference_names]


@pytest.mark.parametrize(("k", "n"), [(0, 1), (3, 1), (2, 2), (1, 4)])
def test_delayed_parity(k, n):
    task = DelayedParity(k=k, n=n, length=9)
    x, y = draw(task, 10_000)
    assert x.unique().tolist() == [-1, 1]
    for row, answer in zip(x[:200, :, 0].tolist(), y[:200, :, 0].tolist(), strict=True):
        expected = [math.prod(past(row, t - k - i) for i in range(n)) for t in range(9)]
        assert answer == expected
    if n > 1:
        losses = task.reference_losses()
        assert set(losses.values()) == {(9 - k - n + 1) / 9}
        assert losses["zero"] == pytest.approx(float(y.square().mean()))
        best = np.linalg.lstsq(x[:, :, 0].numpy(), y[:, -1, 0].numpy(), rcond=None)[0]
        assert np.abs(best).max() < 0.05, "no input is correlated with the answer"


def test_volterra():
    products = [[2, 5, 1.5], [3, 3, -0.5], [0, 1, 2.0]]
    task = Volterra(linear=[0.5, 0.0, -2.0], products=products, length=8)
    x, y = draw(task, 300)
    for row, answer in zip(x[:, :, 0].tolist(), y[:, :, 0].tolist(), strict=True):
        expected = [
            0.5 * past(row, t)
            - 2 * past(row, t - 2)
            + sum(w * past(row, t - s) * past(row, t - r) for s, r, w in products)
            for t in range(8)
        ]
        assert answer == pytest.approx(expected, abs=1e-4)
    assert task.memory == 5


@pytest.mark.parametrize("process", [White(), AR1(coefficient=0.7), GP(dt=0.3), Signs(scale=2.0)])
def test_no_few_numbers_reconstruct_the_past_better_than_the_floor(process):
    task = Reconstruct(m=6, length=10, input=process)
    x, y = draw(task, 50_000)
    assert torch.equal(y[:, 0], torch.stack([x[:, 9 - lag, 0] for lag in range(6)], 1))
    losses = task.reference_losses()
    y = y[:, 0].double()
    weights = (y * y[:, :1]).mean(0) / y[:, 0].square().mean()
    spread = float(process.covariance(1)) / math.sqrt(len(y))
    assert losses["zero"] == pytest.approx(float(y.square().mean()), abs=8 * spread)
    best = float((y - y[:, :1] * weights).square().mean())
    assert losses["memoryless"] == pytest.approx(best, abs=8 * spread)
    directions = torch.linalg.eigh(y.T @ y).eigenvectors
    for order in (1, 2, 4):
        kept = directions[:, -order:]
        error = float((y - y @ kept @ kept.T).square().mean())
        assert losses[f"order_{order}"] == pytest.approx(error, abs=8 * spread)
    assert Reconstruct(m=16, length=16).reference_losses()["order_4"] == pytest.approx(0.75)


@pytest.mark.parametrize("n", [10, 30])
def test_narma(n):
    task = Narma(n=n, length=60)
    alpha, beta, gamma, delta = {10: (0.3, 0.05, 1.5, 0.1), 30: (0.2, 0.04, 1.5, 0.001)}[n]
    x, y = draw(task, 200)
    assert 0 <= x.min() < 0.01
    assert 0.49 < x.max() <= 0.5
    for u, answer in zip(x[:20, :, 0].tolist(), y[:20, :, 0].tolist(), strict=True):
        own = []
        for t in range(60):
            total = sum(past(own, t - i) for i in range(1, n + 1))
            last = past(own, t - 1)
            own.append(
                alpha * last + beta * last * total + gamma * u[t] * past(u, t - n + 1) + delta
            )
        assert answer == pytest.approx(own, abs=1e-6)


def test_narma_draws_again_what_diverges_and_says_so(caplog):
    task = Narma(length=200, coefficients=[0.3, 0.05, 1.5, 0.13])
    with caplog.at_level(logging.WARNING, "seq2seq"):
        _, y = draw(task, 2000)
    assert y.max() <= 10
    assert 0 < task.redrawn < 4000
    assert f"{task.redrawn} of 2000 sequences of NARMA diverged" in caplog.text
    torch.testing.assert_close(task.targets(draw(task, 2000)[0]), y)


def test_mackey_glass_is_the_solution_of_its_equation():
    tau, start = 1.7, 0.8
    pieces = [lambda t: np.full_like(np.asarray(t, float), start)]
    value = start
    for number in range(6):  # the delayed term of each stretch is known from the one before it

        def slope(t, x, late=pieces[-1]):
            delayed = late(t - tau)
            return 0.2 * delayed / (1 + delayed**10) - 0.1 * x

        span = (number * tau, (number + 1) * tau)
        solved = solve_ivp(slope, span, [value], rtol=1e-9, atol=1e-11, dense_output=True)
        pieces.append(lambda t, solved=solved: solved.sol(t)[0])
        value = solved.y[0, -1]
    times = np.arange(10)
    expected = [float(pieces[max(0, min(6, int(t / tau) + 1))](float(t))) for t in times]
    own = integrate(np.array([start, 1.2]), tau, 10)
    np.testing.assert_allclose(own[0], expected, atol=1e-6)


def test_mackey_glass_forecasts_itself():
    task = MackeyGlass(k=3, length=9, **SMALL)
    x, y = draw(task, 4)
    assert torch.equal(x[:, 3:], y[:, :-3])


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (DelayedParity, {"k": 31}, "k \\+ n must be at most length, got k=31, n=2, length=32"),
        (DelayedParity, {"n": 0}, "task.n must be at least 1"),
        (Volterra, {"length": 8}, "length must exceed the largest lag, got lag 8, length=8"),
        (Volterra, {"products": [[1, 2]]}, "task.products must be lags and a weight"),
        (Volterra, {"products": [[1, -2, 1.0]]}, "task.products must be at least 0"),
        (Volterra, {"linear": [0.0], "products": []}, "task.linear must not be zero"),
        (Reconstruct, {"m": 65}, "m must be at most length, got m=65, length=64"),
        (Narma, {"n": 7}, "coefficients must be four numbers where n is not 10 or 30, got n=7"),
        (Narma, {"coefficients": [1.0, 1.0, 1.5, 1.0]}, "keep most sequences bounded"),
        (MackeyGlass, {"tau": 0.5}, "task.tau must lie in"),
        (MackeyGlass, {"tau": 1.23}, "task.tau must be a multiple of 0.1"),
        (MackeyGlass, {"k": 0}, "task.k must be at least 1"),
    ],
)
def test_bad_parameters_are_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**arguments)
