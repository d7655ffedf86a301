"""Testing a trained model on other data."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import shell

from seq2seq.evaluate import evaluate, evaluations
from seq2seq.programs.evaluate import main
from seq2seq.runs import find
from seq2seq.schema import ConfigError
from seq2seq.sweep.jobs import show_result
from seq2seq.training import train

SCRIPT = Path(__file__).parents[1] / "scripts" / "evaluate.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    return train(
        [
            "model=rnn",
            "model.hidden_size=4",
            "task.length=8",
            "task.k=2",
            "task.train_size=64",
            "task.val_size=16",
            "task.test_size=16",
            "task.batch_size=8",
            "trainer.max_steps=30",
            "callbacks.figures=null",
            "callbacks.progress=null",
            "logger=none",
            f"paths.outputs={folder}",
        ]
    )


def test_on_its_own_data_it_repeats_the_result(run):
    assert evaluate(run)["test/nmse"] == pytest.approx(run.result["test/nmse"], rel=1e-5)


def test_on_other_data_the_references_change_too(run):
    measured = evaluate(run.folder, ["task.length=32", "task.k=5"])
    assert measured["reference/zero"] == pytest.approx(27 / 32)
    assert measured["test/nmse"] != pytest.approx(run.result["test/nmse"], rel=1e-3)


def test_references_stand_in_the_unit_of_what_they_stand_beside(run, capsys):
    measured, power = evaluate(run), run.result["reference/zero"]
    show_result(SimpleNamespace(run=run, folder=run.folder, nodes=run.plain_config))
    for keys in (run.result, measured):
        shares = [key for key in keys if key.startswith("reference_nmse/")]
        assert shares[:2] == ["reference_nmse/zero", "reference_nmse/memoryless"]
        assert keys["reference_nmse/zero"] == 1
        for key in shares:
            loss = keys[key.replace("_nmse", "")]
            assert keys[key] == pytest.approx(loss / power)
    for shown in ([line.split()[0] for line in capsys.readouterr().out.splitlines()], [*measured]):
        units = ["nmse" in key for key in shown if "/" in key and not key.startswith("finished")]
        assert units == sorted(units)
        assert True in units


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.hidden_size=8", "only task"),
        ("task.lenght=8", "did you mean 'task.length'"),
        ("task.k=99", "k must be smaller than length"),
        ("task.length=range(40,10,10)", r"has no values; a range is range\(first,end,step\)"),
        ("task.channels=2", "trained with 1 channels of x, the changed task has 2"),
    ],
)
def test_what_cannot_be_changed_is_refused(run, override, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(run, [override])


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two training lengths by two seeds of a task with accuracies, whose models succeed at once."""
    folder = tmp_path_factory.mktemp("sweep")
    small = ["task=parity", "task.supervise=all", "model=rnn", "model.hidden_size=4", "logger=none"]
    small += ["task.val_size=16", "task.test_size=64", "task.batch_size=8", "name=parity"]
    small += ["trainer.max_steps=4", "trainer.val_check_interval=2", "callbacks.figures=null"]
    small += ["callbacks.progress=null", f"paths.outputs={folder}"]
    for length in (4, 8):
        for seed in (0, 1):
            train([*small, f"task.length={length}", f"seed={seed}"])
    return folder / "parity"


def test_each_value_is_what_it_is_by_itself(sweep):
    one = next(find(sweep))
    grid = evaluations(one, ["task.length=6,12", "task.supervise=all,answer"])
    assert [each.setting for each in grid] == [
        {"task.length": length, "task.supervise": told}
        for length in (6, 12)
        for told in ("all", "answer")
    ]
    assert grid[2].measured == evaluate(one, ["task.length=12"])
    assert grid[3].measured == evaluate(one, ["task.length=12", "task.supervise=answer"])
    assert grid[3].chance == 0.5
    twice = evaluations(one, ["task.length=6,12,6"])
    assert [each.setting["task.length"] for each in twice] == [6, 12]
    (bounds,) = evaluations(one, ["task.length=[3,5]"])
    assert bounds.setting == {}
    with pytest.raises(ConfigError, match="takes one value of each key, got 2"):
        evaluate(one, ["task.length=6,12"])


def test_a_sweep_is_a_map_of_trained_and_tested_lengths(sweep, tmp_path):
    done = shell.run(SCRIPT, f"run={sweep}", "task.length=range(4,17,4)", f"to={tmp_path}")
    assert done.returncode == 0, done.stderr
    title, heading, *lines = done.stdout.splitlines()
    assert "test accuracy" in title
    assert heading.split() == ["4", "8", "12", "16"]
    assert [line.split()[:3] for line in lines[:2]] == [["length", "=", n] for n in ("4", "8")]
    stored = json.loads((tmp_path / "evaluation.json").read_text())
    assert len(stored["rows"]) == 2 * 4
    assert len(stored["each"]) == 4 * 4
    for row in stored["rows"]:
        own = [
            each["test/accuracy"]
            for each in stored["each"]
            if (each["group"], each["task.length"]) == (row["group"], row["task.length"])
        ]
        assert len(own) == row["runs"] == 2
        assert row["mean"] == pytest.approx(sum(own) / 2)
        assert row["low"] <= row["mean"] <= row["high"]
    assert len((tmp_path / "evaluation.csv").read_text().splitlines()) == 1 + 16
    assert (tmp_path / "evaluation.svg").stat().st_size > 1000


def test_the_score_is_the_mean_beyond_what_was_trained(sweep):
    one = next(find(sweep))
    lengths = "task.length=3,4,5,12,500,501"
    grid = evaluations(one, [lengths, "task.test_size=8"])
    trained = one.plain_config["task"]["length"]
    beyond = [e.measured["test/accuracy"] for e in grid if trained < e.setting["task.length"] < 501]
    right = [e.setting["task.length"] for e in grid if e.measured["test/accuracy"] < 0.9]
    done = shell.run(SCRIPT, f"run={one.folder}", "score=true", lengths, "task.test_size=8")
    assert done.returncode == 0, done.stderr
    mean = sum(beyond) / len(beyond)
    scaled = max(0.0, 2 * mean - 1)
    told = done.stdout.splitlines()[-1]
    assert told.startswith(f"score {mean:.3f} ({scaled:.3f} above chance)")
    assert right[0] == 3
    assert told.endswith("right at no length")


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("task.length=2,3", "none of task.length=2,3 lies beyond 4 and up"),
        ("task.length=501,502", "none of task.length=501,502 lies beyond 4"),
        ("task.length=12", "a score needs several values of one number, got task.length=12"),
        ("task.supervise=all,answer", "a score needs several values of one number"),
    ],
)
def test_a_score_without_values_beyond_training_is_refused(sweep, listed, message):
    with pytest.raises(ConfigError, match=message):
        main(listed, run=str(sweep), score=True)


def test_runs_trained_beyond_all_values_are_told_to_have_no_score(sweep, capsys):
    main("task.length=5,6", "task.test_size=8", run=str(sweep), score=True)
    *_, none, scored = capsys.readouterr().out.splitlines()
    assert none == "length = 8: no score, no value lies beyond those in training"
    assert scored.startswith("length = 4: score ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["too=x"], "did you mean 'to'?"),
        (["score=true"], "has none"),
        (["task.length=8,32", "score=true"], "has none"),
        (["to=curve"], "make a table"),
        (["task.length=0,8"], "task.length must be at least 1"),
        (["run=nowhere"], "no run in"),
    ],
)
def test_what_makes_no_table_is_refused_in_one_line(run, tmp_path, arguments, message):
    where = [] if arguments[0].startswith("run=") else [f"run={run.folder}"]
    done = shell.run(SCRIPT, *where, *arguments, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert message in done.stderr
    assert not [*tmp_path.iterdir()]


def test_the_command_prints_numbers_or_one_line(run):
    good, bad = (shell.run(SCRIPT, f"run={f}") for f in (run.folder, run.folder / "nowhere"))
    assert good.returncode == 0
    assert "test/nmse" in good.stdout
    assert bad.returncode == 2
    assert len(bad.stderr.splitlines()) == 1
    assert "no run in" in bad.stderr
