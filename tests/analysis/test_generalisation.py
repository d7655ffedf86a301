"""What is drawn of trained models on other data than they were trained on."""

from test_report import write_run

from seq2seq.analysis import generalisation
from seq2seq.analysis.report import Sweep


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
