"""The report's figure of what runs were tested at beside their own task."""

import numpy as np
import pytest
import yaml
from scipy.stats import ttest_1samp
from test_report import write_run

from seq2seq.analysis.report import generalised
from seq2seq.analysis.report.sweep import Sweep

#: Accuracies of three seeds at each length.
ACCURACIES = {16: (0.9, 0.8, 1.0), 128: (0.2, 0.4, 0.3)}


def sweep(root, groups, accuracies):
    for k in range(1, groups + 1):
        for seed in range(3):
            told = {f"generalisation/accuracy/length_{n}": a[seed] for n, a in accuracies.items()}
            told |= {"generalisation/loss/length_16": 0.5, "reference_accuracy/uniform": 0.25}
            write_run(root, k, seed, 20.0, steps=30, **told)
    return Sweep(root)


def test_a_curve_has_the_means_over_seeds_and_the_intervals_of_scipy(tmp_path):
    # as a callback logs them, the longer first
    (panel,) = generalised.figures(sweep(tmp_path, 2, dict(reversed(ACCURACIES.items()))))
    ax = panel.figure.axes[0]
    for line in ax.lines[:2]:
        np.testing.assert_allclose(line.get_xdata(), [16, 128])
        np.testing.assert_allclose(line.get_ydata(), [0.9, 0.3])
    np.testing.assert_allclose(ax.lines[2].get_ydata(), 0.25)
    for value, row in zip(ACCURACIES.values(), panel.data.itertuples(), strict=False):
        ends = ttest_1samp(value, 0).confidence_interval()
        assert (row.low, row.high) == pytest.approx((max(ends.low, 0), min(ends.high, 1)))


def test_many_settings_are_a_map_of_trained_and_tested(tmp_path):
    (panel,) = generalised.figures(sweep(tmp_path, 8, ACCURACIES))
    image = panel.figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(image, [[0.9, 0.3]] * 8)


def test_bounds_of_a_length_are_columns_of_a_map(tmp_path):
    (panel,) = generalised.figures(sweep(tmp_path, 2, {"40-256": (0.5, 0.5, 0.5)}))
    ax = panel.figure.axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["40-256"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.5]] * 2)


def test_runs_that_were_tested_at_nothing_else_have_none(tmp_path):
    write_run(tmp_path, 4, 0, 20.0, steps=30)
    assert not [*generalised.figures(Sweep(tmp_path))]


def test_values_may_have_the_sign_between_key_and_value_in_them(tmp_path):
    """And each setting is drawn at the values that it was tested at."""
    for k, values in ((1, {"ABC_DEF": 0.7, "in_context": 0.1}), (2, {"in_context": 0.4})):
        told = {f"generalisation/accuracy/states_{name}": one for name, one in values.items()}
        folder = write_run(tmp_path, k, 0, 20.0, steps=30, **told)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        callback = {"_target_": "seq2seq.callbacks.Generalisation", "key": "states"}
        config["callbacks"]["generalisation"] = callback | {"values": [*values]}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (panel,) = generalised.figures(Sweep(tmp_path))
    ax = panel.figure.axes[0]
    assert {tick.get_text() for tick in ax.get_xticklabels()} == {"ABC_DEF", "in_context"}
    assert ax.get_xlabel() == "states tested at"
    drawn = ax.images[0].get_array().filled(np.nan)
    assert sorted(drawn[np.isfinite(drawn)].tolist()) == [0.1, 0.4, 0.7]
    assert panel.data["states"].tolist() == ["ABC_DEF", "in_context", "in_context"]
