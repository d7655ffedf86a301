"""Two processes sharing each batch train as one would."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from seq2seq.runs import Run, load_checkpoint

TRAIN = Path(__file__).parents[1] / "train.py"
ARGUMENTS = [
    "model=rnn",
    "model.hidden_size=4",
    "task.length=8",
    "task.k=2",
    "task.train_size=64",
    "task.val_size=21",
    "task.test_size=21",
    "task.batch_size=8",
    "trainer.max_steps=20",
    "trainer.precision=64-true",
    "callbacks.figures=null",
    "callbacks.stop_at_target.target=9.0",
    "callbacks.stop_at_target.stop=false",
    "trainer.val_check_interval=10",
]


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TRAIN, *ARGUMENTS, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_two_processes_end_where_one_does(tmp_path):
    runs = []
    for name, trainer in (("one", ["trainer=cpu"]), ("two", ["trainer=ddp"])):
        folder = tmp_path / name
        folder.mkdir()
        done = call(folder, *trainer, "trainer.accelerator=cpu")
        assert done.returncode == 0, done.stderr
        (config,) = folder.glob("outputs/*/*/config.yaml")
        runs.append(Run(config.parent))
    one, two = runs
    states = [load_checkpoint(run.checkpoints[0])["state_dict"] for run in runs]
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-9, atol=1e-12)
    assert two.result["steps"] == 20
    assert two.result["success/step"] == one.result["success/step"] == 10
    # Of every batch the first process logs its own half; validation covers every sample once.
    assert not np.allclose(one.history["loss"], two.history["loss"])
    for key in ("val/loss", "test/loss"):
        assert two.result[key] == pytest.approx(one.result[key], rel=1e-9)


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    done = call(tmp_path, "trainer=ddp", "trainer.accelerator=cpu", "task.batch_size=7")
    assert done.returncode != 0
    assert "task.batch_size" in done.stdout + done.stderr


def test_a_sweep_over_several_devices_is_refused(tmp_path):
    done = call(tmp_path, "-m", "seed=0,1", "trainer=ddp")
    assert done.returncode == 2
    assert "each job of a sweep has one device, got trainer.devices=2" in done.stderr
    assert not list(tmp_path.iterdir())
