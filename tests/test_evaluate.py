"""Testing a trained model on other data."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import shell

from seq2seq.evaluate import evaluate
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
    show_result(SimpleNamespace(run=run, folder=run.folder))
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
        ("task.lenght=8", "did you mean 'length'"),
        ("task.k=99", "k must be smaller than length"),
    ],
)
def test_what_cannot_be_changed_is_refused(run, override, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(run, [override])


def test_the_command_prints_numbers_or_one_line(run):
    good, bad = (shell.run(SCRIPT, f"run={f}") for f in (run.folder, run.folder / "nowhere"))
    assert good.returncode == 0
    assert "test/nmse" in good.stdout
    assert bad.returncode == 2
    assert len(bad.stderr.splitlines()) == 1
    assert "no run in" in bad.stderr
