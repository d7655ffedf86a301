"""Figures that the report makes from the trained models themselves."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from seq2seq import train
from seq2seq.analysis.figures import BoundedErrors, order_bounds
from seq2seq.analysis.perturbation import perturb_run
from seq2seq.analysis.report import Sweep, figures, growth
from seq2seq.runs import find
from seq2seq.theory import bounds

COMMON = [
    "task=linear_functional",
    "task.length=16",
    "task.val_size=16",
    "task.test_size=64",
    "model=diagonal_rnn",
    "model.spectrum=real",
    "trainer.max_steps=20",
    "trainer.log_every_n_steps=20",
    "callbacks.figures=null",
    "callbacks.references=null",
    "logger=none",
]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Runs on the population loss that differ in kernel, width and parameterisation."""
    root = tmp_path_factory.mktemp("sweep")
    for kernel, width, parameterisation in (
        ("exponential", 2, "direct"),
        ("exponential", 2, "exp"),
        ("exponential", 4, "exp"),
        ("power_law", 2, "exp"),
    ):
        train(
            [
                *COMMON,
                f"task/filter={kernel}",
                "task.filter.rate=0.3",
                f"model.hidden_size={width}",
                f"model.parameterisation={parameterisation}",
                "objective=population",
                f"paths.outputs={root}",
            ]
        )
    return Sweep(root)


def test_the_perturbed_loss_is_that_of_the_run(sweep):
    found = perturb_run(sweep.runs[0], (1e-6, 1.0), draws=3)
    assert found.clean == pytest.approx(sweep.table["test/nmse"][0], rel=0.5)
    assert found.losses[:, 0] == pytest.approx(found.clean, rel=1e-3)
    assert np.ptp(found.losses[:, 1]) > 1e-3


def test_without_an_exact_loss_it_is_that_of_the_test_split(tmp_path):
    run = train([*COMMON, "task.train_size=64", f"paths.outputs={tmp_path}"])
    found = perturb_run(next(find(tmp_path)), (1e-6,), draws=1)
    assert found.clean == pytest.approx(run.result["test/nmse"], rel=1e-4)


def test_a_sweep_over_kernels_and_widths_shows_spectra_and_envelopes(sweep):
    panels = {panel.name: panel for panel in figures(sweep, growth(sweep))}
    assert {"spectra", "perturbation", "means"} <= set(panels)
    spectra = [axes.get_title(loc="left") for axes in panels["spectra"].figure.axes]
    assert set(spectra) >= {"exponential", "power_law"}
    caption = panels["perturbation"].caption
    assert caption.count("no verdict") == 3  # fewer than three models tell nothing
    assert panels["means"].figure.axes[0].get_xlabel() == sweep.label("model.hidden_size")


def test_errors_stand_beside_the_bound_of_their_number_of_states(sweep):
    panel = next(p for p in figures(sweep, growth(sweep)) if p.name == "order_bounds")
    axes = panel.figure.axes[0]
    assert axes.get_title(loc="left") == "exponential"
    rows = sweep.table[sweep.table["task.filter"] == "exponential"]
    drawn = {
        (round(n), e)
        for line in axes.lines
        if line.get_marker() not in ("None", "")
        for n, e in zip(*line.get_data(), strict=True)
    }
    assert drawn == set(zip(rows["state_size"], rows["test/nmse"], strict=True))
    assert set(rows["state_size"]) == {2, 4}


def test_the_drawn_bound_is_that_of_the_horizon_average():
    kernel, weights = np.eye(16)[8], 1 - np.arange(16) / 16
    panel = BoundedErrors(kernel, weights, {"": ([2, 8], [0.9, 0.5])})
    axes = order_bounds({"": panel}).axes[0]
    line = next(line for line in axes.lines if to_rgb(line.get_color()) == (0, 0, 0))
    n, least = line.get_data()
    expected = [bounds.order_bound(kernel, int(m), weights) / weights[8] for m in n]
    np.testing.assert_allclose(least, expected)
    assert n[0] == 2
    assert 0 < least[-1] < least[0] < 1
