"""What is drawn of trained models on other data than they were trained on."""

from test_report import write_run

from seq2seq.analysis import generalisation
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
    assert found == {("4", None): 0.1, ("4", 8): 0.2, ("8", None): 1.1, ("8", 8): 1.2}
    assert grid.figure().axes[0].images[0].get_array().tolist() == [[0.1, 0.2], [1.1, 1.2]]


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
        assert drawn[name].tolist() == [run + 8, run + 16]
