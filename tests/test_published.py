"""The published losses beside one's own."""

import json
import shutil

import pytest
import shell
import torch

from seq2seq.analysis import published
from seq2seq.build import build, load_model
from seq2seq.programs import published as program
from seq2seq.training import train

SMALL = ["task.train_size=40", "task.val_size=4", "task.test_size=8", "trainer.max_steps=2"]


def test_published_losses_are_on_the_scale_of_their_own_data():
    """A shift keeps (L − k)/L of the mean square of its input, which was 1 or 1/25."""
    shares = {}
    for task in ({"k": 8, "length": 32}, {"k": 32, "length": 128}):
        node = {"_target_": "seq2seq.tasks.Shift", "input": {"_target_": "seq2seq.tasks.GP"}} | task
        for one in published.on_task(node):
            shares[one.model] = one.nmse
    assert shares["LSTM, 2 × 256"] == pytest.approx(0.605, abs=1e-3)
    assert shares["TCN, 7 × 10"] == pytest.approx(1.5e-5, rel=0.02)
    assert shares["Transformer, 5 × 32"] == pytest.approx(0.38, rel=0.01)


def test_a_sweep_stands_beside_what_was_published(tmp_path, capsys):
    common = [f"paths.outputs={tmp_path}", "task=lorenz96_published", "model=tcn", "name=both"]
    common += ["model.num_layers=1", "model.hidden_size=4", "logger=none", *SMALL]
    runs = [train([*common, f"seed={seed}"]) for seed in (0, 1)]
    program.main(tmp_path / "both", json=tmp_path / "both.json")
    (row,) = json.loads((tmp_path / "both.json").read_text())["rows"]
    assert (row["model"], row["seeds"], row["steps"]) == ("TCN, 1 × 4", [0, 1], 2)
    assert row["published_model"] == "TCN, 7 × 30"
    assert row["published_loss"] == pytest.approx(2.68e-5, rel=1e-3)
    errors = []
    for run in runs:
        task, _ = build(run.config)
        x, y = task.split("test")
        with torch.no_grad():
            wrong = load_model(run)(x) - y
        errors.append(float(wrong[:, 20:].square().mean() / y[:, 20:].square().mean()))
    low, high = sorted(errors)
    assert low < row["late_nmse"]["mean"] < high
    assert row["late_nmse"]["mean"] ** 2 == pytest.approx(low * high, rel=1e-4)
    assert row["irreducible"] < row["linear"] < row["memoryless"]
    told = capsys.readouterr().out
    assert "from t = 20" in told
    assert "TCN, 1 × 4" in told
    shutil.rmtree(runs[0].folder)
    program.main(tmp_path / "both", json=tmp_path / "one.json")
    (row,) = json.loads((tmp_path / "one.json").read_text())["rows"]
    assert (row["nmse"]["low"], row["nmse"]["high"]) == (None, None)  # one seed has no interval
    assert "NaN" not in capsys.readouterr().out


def test_what_is_no_sweep_is_refused_in_one_line(tmp_path):
    done = shell.run(shell.ROOT / "scripts" / "published.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "published.py: no sweep given; add outputs/published_lorenz_tcn\n"
