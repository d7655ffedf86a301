"""Plateaus of synthetic histories with known answers, and of a network's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from seq2seq.analysis import plateau
from seq2seq.analysis.plateau import Rule, escaped, find, smoothed
from seq2seq.benchmark.plateau import falling, noise
from seq2seq.callbacks import StopAfterEscape


def history(loss: np.ndarray) -> dict[str, np.ndarray]:
    return {"step": np.arange(1, len(loss) + 1), "loss": loss}


def stairs(
    lengths: list[int], levels: list[float], noise: float = 0.0, fall: int = 20, seed: int = 0
) -> np.ndarray:
    """Flat stretches joined by falls of `fall` steps, straight in the logarithm, times noise."""
    logs = []
    for index, (length, level) in enumerate(zip(lengths, levels, strict=True)):
        if index:
            logs.append(np.linspace(np.log(levels[index - 1]), np.log(level), fall))
        logs.append(np.full(length, np.log(level)))
    loss = np.exp(np.concatenate(logs))
    return loss * np.exp(noise * np.random.default_rng(seed).normal(size=loss.size))


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("length", [100, 1000, 10_000])
def test_one_plateau_with_and_without_its_level(length, noise):
    loss = stairs([length, 2 * length], [0.5, 0.01], noise)
    # A step is known to within the smoothing window and the fall itself.
    slack = max(10, 0.05 * length) + 20
    for level in (None, 0.5):
        found = find(history(loss), level)[0]
        assert found.start <= slack
        assert found.escape is not None
        assert length <= found.escape <= length + slack
        assert abs(found.end - length) <= slack
        assert found.level == pytest.approx(0.5, rel=0.05)
        assert not found.censored


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_staircase_has_one_plateau_per_stair(noise):
    lengths, levels = [300, 500, 900, 2000], [1.0, 0.6, 0.2, 0.05]
    found = find(history(stairs(lengths, levels, noise)))
    assert [p.level for p in found] == pytest.approx(levels, rel=0.05)
    ends = np.cumsum(lengths[:3]) + 20 * np.arange(3)
    for one, end in zip(found, ends, strict=False):
        assert end <= one.escape <= end * 1.05 + 20
    assert [p.censored for p in found] == [False, False, False, True]
    assert found[3].end == len(stairs(lengths, levels))


def test_a_plateau_may_begin_where_the_one_before_is_left():
    loss = np.repeat([1.0, 0.5, 0.01], [100, 200, 400])
    first, second, last = find(history(loss), rule=Rule(window=1, smoothing=0.0))
    assert (first.start, first.escape) == (1, 101)
    assert (second.start, second.escape) == (101, 301)
    assert last.start == 301


def test_of_stretches_left_at_once_the_longest_is_the_plateau():
    """From the first level 400 steps are flat, from the second, less than a tenth lower, 450."""
    loss = np.repeat([0.335, 0.31, 0.30, 0.001], [100, 300, 150, 300])
    found = find(history(loss))[0]
    assert (found.start, found.end) == (101, 550)
    assert found.level == pytest.approx((0.31**300 * 0.30**150) ** (1 / 450), rel=5e-3)


def test_a_level_picks_the_stair_at_it():
    loss = stairs([300, 500, 900], [1.0, 0.6, 0.1], 0.03)
    (found,) = find(history(loss), level=0.6)
    assert found.start == pytest.approx(320, abs=40)
    assert found.escape == pytest.approx(835, abs=50)


def test_a_plateau_after_a_descent_starts_where_it_flattens():
    t = np.arange(1, 4001)
    loss = 0.3 + 2 * np.exp(-t / 50)
    loss[3000:] *= np.exp(-(t[3000:] - 3000) / 100)
    (found, *rest) = find(history(loss))
    # Within the tolerance of 0.1 from 2·exp(−t/50) = 0.03·(10/9), smoothed over 10 steps.
    assert found.start == pytest.approx(50 * np.log(60), rel=0.1)
    assert found.level == pytest.approx(0.3, rel=0.02)
    assert found.end == pytest.approx(3010, rel=0.02)
    assert found.escape is not None
    assert all(p.level < 0.1 for p in rest)


def test_a_level_approached_from_above_is_met_within_the_tolerance():
    t = np.arange(1, 2001)
    (found,) = find(history(0.3 + 2 * np.exp(-t / 50)), level=0.3)
    assert found.start == pytest.approx(50 * np.log(2 / 0.03), rel=0.1)
    assert found.censored


@pytest.mark.parametrize(
    "loss",
    [
        np.exp(-np.arange(1, 3001) / 300),
        np.exp(-np.arange(1, 3001) / 30_000),
        np.arange(1, 3001) ** -0.5,
        np.arange(1, 30_001) ** -0.2,
    ],
    ids=["exponential", "slow exponential", "power", "slow power"],
)
def test_steady_falls_have_no_plateau_that_ends(loss):
    noisy = loss * np.exp(0.03 * np.random.default_rng(0).normal(size=loss.size))
    for values in (loss, noisy):
        assert not escaped(history(values))


def test_a_falling_run_has_no_plateau_at_all():
    t = np.arange(1, 3001)
    assert find(history(np.exp(-t / 300))) == []
    assert find(history(t**-0.5)) == []


def test_saddle_escape_is_timed_by_its_growth():
    # Near a saddle the progress grows exponentially: loss = 1/(1 + e^{(t − T)/c}).
    t = np.arange(1, 6001)
    for middle, growth in ((1000, 100), (2000, 100), (4000, 300)):
        (found, *_) = find(history(1 / (1 + np.exp((t - middle) / growth))))
        quarter = middle - growth * np.log(3)
        assert quarter <= found.escape <= 1.06 * quarter


def test_censored_runs():
    short = history(stairs([1000], [0.5], 0.05))
    for level in (None, 0.5):
        (found,) = find(short, level)
        assert found.censored
        assert found.escape is None
        assert found.length >= 900
        assert not escaped(short, level)
    # On the way out, by less than the drop.
    leaving = history(np.append(np.full(1000, 0.5), 0.5 * 0.85 ** np.linspace(0, 1, 100)))
    assert find(leaving, 0.5)[0].censored
    assert find(leaving)[0].length == 1099


def test_a_level_never_met_or_already_passed():
    assert find(history(np.full(500, 1.0)), level=0.5) == []
    assert find(history(np.full(500, 0.1)), level=0.5) == []
    assert find(history(np.full(5, 0.5)), level=0.5) == []  # shorter than one window


def test_spikes_and_missing_values_change_little():
    clean = stairs([1000, 2000], [0.5, 0.01], 0.03)
    dirty = clean.copy()
    dirty[::97] *= 100
    dirty[50::301] = np.nan
    dirty[70::503] = np.inf
    for level in (None, 0.5):
        found, expected = find(history(dirty), level)[0], find(history(clean), level)[0]
        assert found.escape == pytest.approx(expected.escape, rel=0.1)


def test_a_loss_that_becomes_exactly_zero_has_escaped():
    assert escaped(history(np.append(np.full(300, 0.5), np.zeros(300))))


def test_large_noise_needs_a_larger_window():
    loss = stairs([2000, 2000], [0.5, 0.05], noise=0.8)
    found = find(history(loss), rule=Rule(window=200))[0]
    assert 2000 <= found.escape <= 2250
    assert not escaped(history(loss))  # the means of ten steps are spread too widely


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(20, 400), min_size=1, max_size=4),
    factors=st.lists(st.floats(0.1, 0.95), min_size=4, max_size=4),
    noise=st.sampled_from([0.0, 0.05, 0.3]),
    seed=st.integers(0, 1000),
    cut=st.floats(0.05, 1.0),
)
def test_stopping_at_the_escape_finds_the_same(lengths, factors, noise, seed, cut):
    levels = list(np.cumprod([1.0, *factors])[: len(lengths)])
    loss = stairs(lengths, levels, noise, seed=seed)
    prefix = loss[: max(1, int(cut * len(loss)))]
    for level in (None, 1.0):
        whole = [p for p in find(history(loss), level) if not p.censored]
        known = [p for p in whole if p.alarm <= len(prefix)]
        assert [p for p in find(history(prefix), level) if not p.censored] == known
        assert escaped(history(prefix), level) == bool(known)


@pytest.mark.parametrize(
    ("sd", "correlation", "window"),
    [(0.1, 0.0, 10), (0.3, 0.0, 10), (1.0, 0.0, 10), (1.0, 2.5, 10), (0.3, 10.0, 40)],
)
def test_noise_about_a_level_seldom_leaves_it(sd, correlation, window):
    """Lognormal noise of mean one: its median, and the mean of its logarithm, lie lower."""
    random, rule = np.random.default_rng(0), Rule(window=window, false_alarm=0.05)
    losses = [2 / 3 * noise(random, 1000, sd, correlation) for _ in range(100)]
    assert sum(escaped(history(loss), 2 / 3, rule) for loss in losses) <= 5


@pytest.mark.parametrize("drop", [0.03, 0.1, 0.25])
def test_single_low_losses_are_no_escape(drop):
    loss = np.ones(1000)
    loss[[200, 500, 520, 900]] = 0.0
    for values in (loss, loss * noise(np.random.default_rng(0), 1000, 0.01, 0.0)):
        assert not escaped(history(values), 1.0, Rule(0.02, drop))


@pytest.mark.parametrize("shape", ["sharp", "slow"])
@pytest.mark.parametrize("length", [100, 1000, 10_000])
def test_the_escape_is_timed_without_bias(shape, length):
    """At the first step below 0.75 to the step; under noise of 10% on average."""
    mean = falling(shape, length)
    (exact,) = find(history(mean), 1.0)
    assert (exact.start, exact.escape) == (1, length + 1)
    assert exact.alarm <= 1.05 * length + 30
    random = np.random.default_rng(0)
    noisy = [find(history(mean * noise(random, mean.size, 0.1, 0.0)), 1.0)[0] for _ in range(30)]
    errors = np.array([one.escape for one in noisy]) - (length + 1)
    assert abs(errors.mean()) <= 0.003 * length + 0.5
    assert errors.std() <= 0.02 * length


def test_a_loss_that_rises_again_makes_no_new_plateau_above():
    loss = np.repeat([1.0, 0.5, 1.0, 0.01], [500, 100, 800, 500])
    (known,) = find(history(loss), level=1.0)
    assert (known.start, known.escape) == (1, 501)
    found = find(history(loss))
    assert [one.level for one in found] == pytest.approx([1.0, 0.01], rel=0.02)
    assert found[0].escape < 550


def test_every_number_of_the_rule_can_be_set_by_a_config():
    rule = Rule(0.05, 0.2, 0.4, 20, 0.1, 0.01)
    assert plateau.rule({"callbacks": {"stop_after_escape": {"extra": 1.0, **vars(rule)}}}) == rule
    assert StopAfterEscape().rule == Rule()


def test_what_is_drawn_is_the_mean_loss():
    step, loss = smoothed(history(np.tile([0.1, 10.0], 100)), Rule(window=20, smoothing=0.0))
    assert len(step) == 200
    assert np.allclose(loss, 5.05)


def test_rules_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="tolerance <= drop"):
        Rule(tolerance=0.3, drop=0.2)
    with pytest.raises(ValueError, match="window at least 1"):
        Rule(window=0)
    with pytest.raises(ValueError, match="false_alarm must lie in"):
        Rule(false_alarm=0.0)
    with pytest.raises(ValueError, match="level must be a positive loss"):
        find(history(np.ones(50)), level=0.0)


def test_a_tanh_network_leaves_later_the_longer_the_shift():
    """x_{t−k} on white input: the loss rests at E[y²] = 2/3 before the network finds the past."""
    escapes = []
    for k in (2, 6):
        random = torch.Generator().manual_seed(0)
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(0)
            rnn, readout = nn.RNN(1, 16, batch_first=True), nn.Linear(16, 1)
        optimizer = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], 3e-3)
        losses = []
        for _ in range(200):
            x = torch.randn(64, 3 * k, 1, generator=random)
            y = torch.cat([torch.zeros(64, k, 1), x[:, :-k]], 1)
            loss = (readout(rnn(x)[0]) - y).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        (found,) = find(history(np.array(losses)), level=2 / 3)
        escapes.append(found.escape)
    assert 1.3 * escapes[0] < escapes[1] < 150
