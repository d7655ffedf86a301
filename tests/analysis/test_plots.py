"""Figures: what they draw, and that drawing leaves no trace."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch

from seq2seq.analysis import plots


def history(loss: np.ndarray) -> dict[str, np.ndarray]:
    return {"step": np.arange(1, len(loss) + 1), "loss": loss}


def settings() -> dict[str, object]:
    # Reading the backend chooses one.
    return {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}


def test_prediction_draws_the_first_channel_of_every_sequence():
    x, y, output = torch.randn(3, 2, 20, 2, generator=torch.Generator().manual_seed(0))
    figure = plots.prediction(x, y, output, memoryless=0 * y)
    assert len(figure.axes) == 2
    for index, ax in enumerate(figure.axes):
        drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
        assert np.allclose(drawn["target $y_t$"], y[index, :, 0])
        assert np.allclose(drawn["prediction"], output[index, :, 0])
        assert np.allclose(drawn["without memory"], 0)


def test_impulse_response_draws_one_line_per_run():
    true, learned = np.eye(12)[3], np.zeros((4, 12))
    lines = plots.impulse_response(true, learned).axes[0].lines
    assert sum(len(np.atleast_1d(line.get_ydata())) == 12 for line in lines) == 5
    assert np.array_equal(lines[1].get_ydata(), true)


def test_loss_curves_leave_out_what_a_logarithm_cannot_show():
    loss = np.array([1.0, np.nan, 0.5, np.inf, 0.0, -1.0, 0.25])
    line = plots.loss_curves({"run": history(loss)}).axes[0].lines[0]
    assert list(line.get_xdata()) == [1, 3, 7]
    assert list(line.get_ydata()) == [1.0, 0.5, 0.25]


def test_every_reference_is_named():
    references = {"zero": 0.5, "memoryless": 0.5, "taps_2": 0.3, "taps_4": 1e-9, "taps_8": 0.0}
    figure = plots.loss_curves({"run": history(np.geomspace(1, 0.1, 50))}, references)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"zero, memoryless", "taps 2", "below the axis: taps 4–8"}
    levels = [line.get_ydata()[0] for line in figure.axes[0].lines[1:]]
    assert levels == [0.5, 0.3]


def test_labels_are_spread_without_overlap_or_change_of_order():
    assert plots.spread([0.9, 0.5, 0.1], 0.1) == pytest.approx([0.9, 0.5, 0.1])
    moved = plots.spread([0.52, 0.5, 0.5, 0.48, 0.3], 0.1)
    assert np.diff(moved) == pytest.approx([-0.1] * 4)
    assert np.mean(moved) == pytest.approx(0.46)


def test_thinned_curves_keep_means_and_range():
    step, loss = plots.thin(history(np.exp(-np.arange(100_000) / 20_000)), points=200)
    assert len(step) <= 200
    assert step[0] == 1
    assert np.allclose(np.log(loss), -(step - 1) / 20_000, atol=1e-9)


def test_drawing_changes_no_global_setting_and_repeats_exactly():
    before = settings()
    documents = [plots.svg(plots.impulse_response(np.eye(9)[2], np.eye(9)[3])) for _ in range(2)]
    assert settings() == before
    assert documents[0] == documents[1]
    assert "<svg" in documents[0]


def test_pyplot_is_never_imported():
    code = "import sys, seq2seq.analysis.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
