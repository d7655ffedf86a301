"""What is drawn of trained models on other data than they were trained on."""

import numpy as np
import pytest
from test_report import write_run

from seq2seq.analysis import generalisation
from seq2seq.analysis.intervals import average
from seq2seq.analysis.report import Sweep
from seq2seq.programs import evaluate as program


def test_a_key_that_may_be_null_is_a_column(tmp_path):
    """In the numbers as in the map."""
    for size in (4, 8):
        write_run(tmp_path, 4, 0, 50.0, steps=100, hidden_size=size)
    sweep = Sweep(tmp_path)
    tested = [
        generalisation.Tested(run, {"task.window": window}, {"test/nmse": error + run}, None)
        for run in (0, 1)
        for window, error in ((None, 0.1), (8, 0.2))
    ]
    grid = generalisation.Grid(tested, sweep, [None, None])
    found = {(cell["group"][-1], cell["task.window"]): cell["mean"] for cell in grid.cells()}
    expected = {("4", None): 0.1, ("4", 8): 0.2, ("8", None): 1.1, ("8", 8): 1.2}
    assert found == pytest.approx(expected)
    drawn = grid.figure().axes[0].images[0].get_array()
    np.testing.assert_allclose(drawn, [[0.1, 0.2], [1.1, 1.2]])


def test_values_that_look_alike_in_short_have_a_column_each(tmp_path):
    write_run(tmp_path, 4, 0, 50.0, steps=100)
    sweep = Sweep(tmp_path)
    tested = [
        generalisation.Tested(0, {"task.rate": rate}, {"test/nmse": error}, None)
        for rate, error in ((0.1231, 0.4), (0.1234, 0.7))
    ]
    grid = generalisation.Grid(tested, sweep, [None])
    _, head, row = program._table(grid, alone=False)
    assert head.split() == ["0.1231", "0.1234"]
    assert row.split()[-2:] == ["0.4", "0.7"]


def test_each_row_of_a_map_is_named_after_its_runs(tmp_path):
    """Whatever the order of the runs' folders."""
    for model in ("RNN", "GRU"):
        for k in (4, 10):
            for size in (8, 16):
                write_run(tmp_path, k, 0, 50.0, steps=100, hidden_size=size, model=model)
    sweep = Sweep(tmp_path)
    tested = [
        generalisation.Tested(run, {"task.length": length}, {"test/nmse": run + length}, None)
        for run in range(len(sweep.runs))
        for length in (8, 16)
    ]
    grid = generalisation.Grid(tested, sweep, [8.0] * len(sweep.runs))
    ax = grid.figure().axes[0]
    names = [label.get_text() for label in ax.get_yticklabels()]
    drawn = dict(zip(names, ax.images[0].get_array(), strict=True))
    assert names != [*grid.table["group"].unique()]  # in the order of the runs
    for name in names:
        run = grid.table[grid.table["group"] == name]["run"].iloc[0]
        np.testing.assert_allclose(drawn[name], [run + 8, run + 16])


def test_errors_have_geometric_means_and_lone_runs_no_interval(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, 4, seed, 50.0, steps=100)
    tested = [
        generalisation.Tested(run, {"task.length": length}, {"test/nmse": error}, None)
        for length, run, error in ((8, 0, 0.01), (8, 1, 0.04), (16, 0, 0.5))
    ]
    several, alone = generalisation.Grid(tested, Sweep(tmp_path), [None] * 2).cells()
    assert several["mean"] == pytest.approx(0.02)
    assert 0 < several["low"] < 0.02 < several["high"]
    assert (alone["mean"], alone["low"], alone["high"]) == (pytest.approx(0.5), None, None)


def test_the_reach_of_a_group_counts_the_runs_that_are_right_nowhere(tmp_path):
    for seed in range(3):
        write_run(tmp_path, 4, seed, 50.0, steps=100)
    accuracy = {0: (1.0, 1.0), 1: (0.5, 0.5), 2: (0.5, 0.5)}
    tested = [
        generalisation.Tested(run, {"task.length": 8 * (i + 1)}, {"test/accuracy": right}, 0.5)
        for run, both in accuracy.items()
        for i, right in enumerate(both)
    ]
    (told,) = generalisation.Grid(tested, Sweep(tmp_path), [None] * 3).scored()
    assert (told["solved"], told["reach"]) == (1, None)


def test_the_interval_of_a_share_ends_at_one():
    mean, low, high = average([0.9, 1.0, 1.0], "test/accuracy")
    assert low < 0.9 < mean < high == 1.0
    assert average([0.9, 1.0, 1.0], "test/nmse")[2] > 1
