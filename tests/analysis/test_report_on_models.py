"""Figures that the report makes from the trained models themselves."""

import numpy as np
import pytest

from seq2seq import train
from seq2seq.analysis.perturbation import perturb_run
from seq2seq.analysis.report import Sweep, figures, growth
from seq2seq.runs import find

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
    assert set(spectra) >= {"Exponential", "PowerLaw"}
    caption = panels["perturbation"].caption
    assert caption.count("no verdict") == 3  # fewer than three models tell nothing
    assert panels["means"].figure.axes[0].get_xlabel() == sweep.label("model.hidden_size")
