"""The page of the atlas: what is stored of it, and the runs that are there."""

import json

import numpy as np
import pytest

from seq2seq.analysis.report import atlas
from seq2seq.explorer import build
from seq2seq.explorer.page import Figure, Note, Table, settle

CONFIG = """\
task: {_target_: seq2seq.tasks.Parity, length: 16}
model: {_target_: seq2seq.models.RNN, cell: lstm}
"""


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Two groups: an LSTM finds parity in five runs of eight, and nobody was asked for shift."""
    monkeypatch.setattr(atlas, "STORED", tmp_path / "results")
    atlas.STORED.mkdir()
    row = {
        "set": "first",
        "model": "lstm",
        "runs": 8,
        "success": {"mean": 5 / 8, "low": 0.24, "high": 0.91},
        "success/step": {"median": 350, "low": 50, "high": None},
        "budget": 800,
    }
    for task, rows in (("parity", [row]), ("shift", [])):
        (atlas.STORED / f"{task}.json").write_text(json.dumps({"rows": rows}))


def shown(outputs, **values):
    return [*build("atlas", outputs).update(values, 1, 700)]


def test_it_shows_what_is_stored_of_all_tasks_and_of_one(stored, tmp_path):
    every, task, note = shown(tmp_path, task="parity", model="lstm")
    assert (every.columns[1:], every.rows) == (("parity", "shift"), [("lstm", "5/8", "")])
    assert task.rows == [("lstm", "5/8", "0.24 to 0.91", "350 (50 to >800)")]
    assert "python train.py -m experiment=atlas/parity model=lstm trains them" in note.text


def test_it_draws_the_runs_of_the_chosen_cell_and_no_others(stored, tmp_path):
    for name in ("lstm-seed=0", "lstm-seed=1", "lstm_wide-seed=0", "rnn-seed=0"):
        folder = tmp_path / "atlas" / "parity" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(CONFIG)
        (folder / "result.json").write_text('{"status": "finished", "reference/uniform": 0.69}')
        step = np.arange(1, 101)
        np.savez(folder / "history.npz", step=step, loss=1 / step, lr=0.001 * np.ones(100))
    blocks = shown(tmp_path, task="parity", model="lstm")
    assert [type(block) for block in blocks] == [Table, Table, Figure, Table]
    assert [row[0] for row in blocks[-1].rows] == ["lstm-seed=0", "lstm-seed=1"]


def test_both_tables_name_the_models_in_one_order_and_say_what_they_count(tmp_path):
    every, task, _ = shown(tmp_path, task="modular_arithmetic", model="lstm")
    models = [row[0] for row in task.rows]
    assert models == [row[0] for row in every.rows if row[0] in models]
    assert models != sorted(models)
    assert (every.columns[0], task.columns[:2]) == (
        "runs that found it",
        ("modular arithmetic", "runs that found it"),
    )


def test_it_opens_on_a_pair_that_has_runs(tmp_path):
    folder = tmp_path / "atlas" / "parity" / "lstm-seed=0"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    assert settle(build("atlas", tmp_path), {})[1] == {"task": "parity", "model": "lstm"}
    chosen = {"task": "mqar", "model": "gru"}
    assert settle(build("atlas", tmp_path), chosen)[1] == chosen


def test_it_says_what_trains_all_where_nothing_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(atlas, "STORED", tmp_path / "none")
    told = shown(tmp_path, task="shift", model="rnn")
    assert [type(block) for block in told] == [Note, Note]
    assert "python train.py -m 'experiment=glob(atlas/*)' trains all of it" in told[0].text


def test_its_choices_are_the_experiments_of_the_atlas_and_their_models():
    controls = build("atlas").controls()
    tasks = next(controls)
    models = controls.send(tasks.options[0])
    assert {"parity", "mqar", "copy_memory"} <= {*tasks.options}
    assert "_base" not in tasks.options
    assert models.options[0] == "rnn"
    assert len(models.options) >= 12


@pytest.mark.parametrize("width", [1400, 420])
def test_names_stay_beside_a_table_that_scrolls_and_break_after_a_word(visit, width):
    page = visit("atlas", viewport={"width": width, "height": 800})
    table = page.locator("[data-block=atlas]")
    name = table.get_by_role("cell", name="linear_attention")
    place = name.bounding_box()["x"]
    table.evaluate("table => table.scrollLeft = 200")
    assert name.bounding_box()["x"] == place
    lines = """cell => {
        const range = document.createRange();
        return [...cell.childNodes].filter(part => part.data).map(part => {
            range.selectNodeContents(part);
            return range.getClientRects().length;
        });
    }"""
    assert name.evaluate(lines) == [1, 1]  # each word lies on one line
