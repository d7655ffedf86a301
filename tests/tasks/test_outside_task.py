"""Tasks that are a file and a YAML outside the project: trained, resumed, swept and reported on."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import shell
import torch

import seq2seq
from seq2seq.build import load_model
from seq2seq.runs import Run, load_checkpoint
from seq2seq.schema import ConfigError
from seq2seq.training import configure

ROOT = Path(__file__).parents[2]

SOURCE = '''
"""The mean of the latest inputs, and the parity of the bits so far."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from seq2seq import checks
from seq2seq.tasks import AR1, DrivenTask, SequenceTask


@dataclass(eq=False)
class MovingMean(DrivenTask):
    window: int = 3
    length: int = 16
    default_input = AR1()

    def __post_init__(self):
        checks.integer("task.window", self.window)
        super().__post_init__()

    def targets(self, x):
        padded = F.pad(x, (0, 0, self.window - 1, 0))
        return padded.unfold(1, self.window, 1).mean(-1)


@dataclass(eq=False)
class Parity(SequenceTask):
    length: int = 8
    train_size: int = 64
    val_size: int = 16
    test_size: int = 16
    batch_size: int = 16
    seed: int = 0
    vocabulary_size = 2

    def sample(self, n, generator):
        bits = torch.randint(2, (n, self.length), generator=generator)
        return bits, bits.cumsum(1) % 2

    def loss(self, output, y):
        return F.cross_entropy(output.flatten(0, 1), y.flatten())

    def metrics(self, stage, loss):
        return {}

    def reference_losses(self):
        return {"uniform": 0.6931}
'''
MEAN = """
_target_: outside_tasks.MovingMean
window: 3
length: 16
input: null
train_size: 64
val_size: 16
test_size: 16
batch_size: 16
online: false
seed: ${seed}
"""
PARITY = """
_target_: outside_tasks.Parity
seed: ${seed}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outside_tasks.py").write_text(SOURCE)
    (tmp_path / "configs" / "task").mkdir(parents=True)
    (tmp_path / "configs" / "task" / "moving_mean.yaml").write_text(MEAN)
    (tmp_path / "configs" / "task" / "parity.yaml").write_text(PARITY)
    return tmp_path


def overrides(folder: Path, task: str = "moving_mean") -> list[str]:
    return [
        f"hydra.searchpath=[file://{folder / 'configs'}]",
        "allow=[outside_tasks]",
        f"task={task}",
        "model=rnn",
        "model.hidden_size=4",
        "trainer.val_check_interval=20",
    ]


def call(folder: Path, program: str, *arguments: str) -> str:
    here = os.environ | {"PYTHONPATH": str(folder)}
    done = shell.run(ROOT / program, *arguments, cwd=folder, env=here)
    assert done.returncode == 0, done.stderr
    return done.stdout


def only_run(folder: Path, steps: int) -> Run:
    (config,) = folder.glob(f"outputs/*/*steps={steps}-*/config.yaml")
    return Run(config.parent, ["outside_tasks"])


@pytest.mark.slow
def test_a_task_from_outside_is_trained_and_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for steps in (20, 40):
        call(folder, "train.py", *overrides(folder), f"trainer.max_steps={steps}")
    run = only_run(folder, 40)
    assert run.status == "finished"
    assert {"val/nmse", "reference/memoryless"} <= run.result.keys()
    assert run.history["step"].tolist() == [*range(1, 41)]
    monkeypatch.syspath_prepend(str(folder))
    whole = seq2seq.train(
        [*overrides(folder), f"paths.outputs={folder / 'whole'}", "trainer.max_steps=40"]
    )
    np.testing.assert_array_equal(whole.history["loss"], run.history["loss"])
    one, two = (load_checkpoint(r.checkpoints[0])["state_dict"] for r in (run, whole))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert load_model(run)(torch.zeros(1, 5, 1)).shape == (1, 5, 1)


def test_a_task_from_outside_is_swept_and_reported_on(folder: Path) -> None:
    sweep = ["-m", "hydra/launcher=vmap", "task.window=2,4", "trainer.max_steps=20"]
    call(folder, "train.py", *overrides(folder), *sweep, "name=means")
    runs = [Run(path.parent) for path in sorted(folder.glob("outputs/means/*/config.yaml"))]
    assert [run.status for run in runs] == ["finished", "finished"]
    call(folder, "scripts/report.py", "outputs/means")
    (page,) = folder.glob("outputs/means/**/*.html")
    assert "window" in page.read_text()


def test_a_task_of_tokens_from_outside_is_wrapped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    run = seq2seq.train(
        [*overrides(folder, "parity"), f"paths.outputs={folder}", "trainer.max_steps=20"]
    )
    assert run.status == "finished", run.result
    assert 0 < run.result["val/loss"] < 1
    model = load_model(Run(run.folder, ["outside_tasks"]))
    assert model(torch.zeros(3, 8, dtype=torch.long)).shape == (3, 8, 2)


@pytest.mark.parametrize(
    ("targets", "complaint"),
    [
        ("x.mean(-1)", "y of 2 sequences must have the shape (2, 16, 1), got (2, 16)"),
        ("x / 0 * 0", "x and y must be finite"),
    ],
)
def test_wrong_targets_of_a_task_from_outside_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, targets: str, complaint: str
) -> None:
    source = SOURCE.replace("padded.unfold(1, self.window, 1).mean(-1)", targets)
    (folder / "wrong_tasks.py").write_text(source)
    wrong = MEAN.replace("outside_tasks", "wrong_tasks")
    (folder / "configs" / "task" / "moving_mean.yaml").write_text(wrong)
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        seq2seq.train([*overrides(folder), "allow=[wrong_tasks]", f"paths.outputs={folder}/none"])
    assert not (folder / "none").exists()
    sys.modules.pop("wrong_tasks")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("    def targets(self, x)", "    def answers(self, x)", "define targets(self, x)"),
        (".mean(-1)", ".mean(-1) + torch.randn(1)", "MovingMean draws other pairs each time"),
    ],
)
def test_targets_that_are_missing_or_random_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, complaint: str
) -> None:
    (folder / "wrong_tasks.py").write_text(SOURCE.replace(old, new, 1))
    wrong = MEAN.replace("outside_tasks", "wrong_tasks")
    (folder / "configs" / "task" / "moving_mean.yaml").write_text(wrong)
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        seq2seq.train([*overrides(folder), "allow=[wrong_tasks]", f"paths.outputs={folder}/none"])
    sys.modules.pop("wrong_tasks")


def test_the_data_of_a_task_follow_the_seed_whether_or_not_its_yaml_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    yaml = folder / "configs" / "task" / "moving_mean.yaml"
    without = MEAN.replace("seed: ${seed}\n", "")
    for text in (MEAN, f"defaults: [moving_mean_schema, _self_]\n{without}"):
        yaml.write_text(text)
        assert configure([*overrides(folder), "seed=3"]).task.seed == 3
    yaml.write_text(without)
    with pytest.raises(ConfigError, match=r"task\.seed is not set"):
        configure([*overrides(folder), "seed=3"])
