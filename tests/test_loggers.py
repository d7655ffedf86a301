"""Loggers beside TensorBoard, with the packages themselves: W&B offline, MLflow in files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import shell

TINY = ["-m", "model=rnn,lstm", "model.hidden_size=4", "task.k=2", "task.length=8"]
TINY += ["task.train_size=64", "task.val_size=16", "task.test_size=16", "task.batch_size=8"]
TINY += ["trainer.max_steps=4", "trainer.val_check_interval=2"]


def train(outputs: Path, *arguments: str) -> list[Path]:
    done = shell.run(shell.TRAIN, *TINY, *arguments, f"paths.outputs={outputs}", cwd=outputs)
    assert done.returncode == 0, done.stderr
    return sorted(path.parent for path in outputs.glob("shift/*/result.json"))


def test_wandb_keeps_every_run_by_itself(tmp_path):
    pytest.importorskip("wandb")
    folders = train(tmp_path, "logger=wandb")
    assert [folder.name.partition("-steps")[0] for folder in folders] == ["lstm", "rnn"]
    for folder, other in (folders, folders[::-1]):
        (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
        record = file.read_bytes()
        for text in (folder.name, "shift", "model.cell", "train/loss", "val/nmse", "test/nmse"):
            assert text.encode() in record, text
        assert other.name.encode() not in record
        assert any((file.parent / "files/media/images").glob("view/predictions*.png"))


def test_mlflow_has_an_experiment_per_folder(tmp_path):
    pytest.importorskip("mlflow")
    folders = train(tmp_path, "logger=mlflow")
    code = (
        "import mlflow\n"
        f"client = mlflow.MlflowClient('file:{tmp_path}/.mlflow')\n"
        "(experiment,) = [e for e in client.search_experiments() if e.name == 'shift']\n"
        "for run in client.search_runs([experiment.experiment_id]):\n"
        "    files = [f.path for f in client.list_artifacts(run.info.run_id)]\n"
        "    print(run.info.run_name, run.info.status, run.data.params['model'],\n"
        "          'test/nmse' in run.data.metrics, 'view' in files)\n"
    )
    env = os.environ | {"MLFLOW_ALLOW_FILE_STORE": "true"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    lines = sorted(told.stdout.splitlines())
    assert lines == [f"{f.name} FINISHED {f.name.partition('-')[0]} True True" for f in folders]
