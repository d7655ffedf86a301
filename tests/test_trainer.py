"""What a config may ask of a training: it is heeded as written, or refused before it begins."""

import inspect
import itertools
import os
from pathlib import Path
from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import shell
from composed import composed
from omegaconf import OmegaConf

from seq2seq import train
from seq2seq.build import build
from seq2seq.callbacks import stopping
from seq2seq.runs import run_folder, trajectory_hash
from seq2seq.schema import TRAINER, ConfigError, check_training
from seq2seq.sweep.jobs import plan
from seq2seq.training import configure

SMALL = [
    "model=rnn",
    "model.hidden_size=4",
    "task/input=white",
    "task.length=8",
    "task.k=2",
    "task.train_size=100",
    "task.val_size=16",
    "task.test_size=16",
    "task.batch_size=10",
    "trainer.accelerator=cpu",
    "trainer.val_check_interval=10",
    "callbacks.figures=null",
    "callbacks.progress=null",
    "logger=none",
]
ESCAPE = "+callbacks.stop_after_escape={_target_:seq2seq.callbacks.StopAfterEscape,reference:"
README = Path(__file__).parents[1] / "README.md"
LIGHTNING = "_target_:lightning.pytorch.callbacks"


def run(folder, *overrides):
    return train([*SMALL, f"paths.outputs={folder}", *overrides])


def config(*overrides):
    other = any(override.startswith("task=") for override in overrides)
    given = [o for o in SMALL if not (other and o.startswith("task"))]
    return composed(*given, *overrides)


@pytest.fixture(scope="module")
def plain_config():
    return config()


# ------------------------------------------------------------------------- A table of arguments


def test_every_argument_of_lightnings_trainer_is_decided():
    assert list(TRAINER) == list(inspect.signature(lightning.Trainer).parameters)


@pytest.mark.parametrize("name", [name for name, rule in TRAINER.items() if rule is not None])
def test_an_argument_that_is_not_heeded_is_refused_with_its_remedy(plain_config, name):
    cfg = plain_config.copy()
    usual, remedy = TRAINER[name]
    check_training(cfg)
    other = not usual if isinstance(usual, bool) else 3
    OmegaConf.update(cfg, f"trainer.{name}", other, force_add=True)
    with pytest.raises(ConfigError) as caught:
        check_training(cfg)
    assert str(caught.value) == f"trainer.{name}={other} has no effect here; use {remedy}"


# ---------------------------------------------------------------------------------------- Epochs


@pytest.mark.parametrize(
    ("epochs", "size", "batch", "steps"), [(2, 100, 10, 20), (1, 100, 30, 4), (3, 100, 30, 10)]
)
def test_epochs_are_steps_in_which_every_sequence_is_seen_that_often(epochs, size, batch, steps):
    sizes = (f"task.train_size={size}", f"task.batch_size={batch}", "scheduler=cosine")
    counted = config(*sizes, f"trainer.max_epochs={epochs}")
    assert counted.trainer.max_steps == counted.scheduler.T_max == steps
    assert run_folder(counted) == run_folder(config(*sizes, f"trainer.max_steps={steps}"))
    task, _ = build(counted)
    shown = np.bincount(np.concatenate([task._positions(i * batch, batch) for i in range(steps)]))
    assert shown.min() == epochs


def test_a_batch_may_hold_the_training_set_many_times():
    task, _ = build(config("task.train_size=1", "task.batch_size=2048"))
    assert len(task.batch(1)[0]) == 2048


def test_a_run_goes_on_by_epochs_where_one_by_steps_does(tmp_path):
    run(tmp_path, "trainer.max_epochs=1")
    longer = run(tmp_path, "trainer.max_epochs=2")
    whole = run(tmp_path / "whole", "trainer.max_steps=20")
    assert longer.name == whole.name
    assert longer.result["steps"] == 20
    assert longer.plain_config["trainer"]["max_steps"] == 20
    assert np.array_equal(longer.history["loss"], whole.history["loss"])


# -------------------------------------------------------------------------- The end of the time


def test_a_run_out_of_time_is_stopped_and_goes_on_when_asked_again(tmp_path, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    asked = (tmp_path, "trainer.max_steps=20", "trainer.max_time=00:00:00:08")
    for saved in (7, 14):
        stopped = run(*asked)
        assert stopped.status == "stopped"
        assert stopped.checkpoints[0].name == f"step={saved}.ckpt"
    ended = run(*asked)
    assert (ended.status, ended.result["steps"]) == ("finished", 20)
    whole = run(tmp_path / "whole", "trainer.max_steps=20")
    assert ended.name == whole.name
    assert np.array_equal(ended.history["loss"], whole.history["loss"])


def test_the_time_that_a_run_is_given_is_no_part_of_what_it_is():
    assert trajectory_hash(config("trainer.max_time=00:00:01:00")) == trajectory_hash(config())


# ------------------------------------------------------------------------ Refused before it begins

REFUSED = {
    "trainer.max_epochs=0": "trainer.max_epochs must be at least 1, got max_epochs=0",
    "trainer.max_epochs=3 trainer.max_steps=5": "set trainer.max_steps=30",
    "task=arrays task.path=x.npz trainer.max_epochs=2": "set trainer.max_steps",
    "trainer.log_every_n_steps=0": "trainer.log_every_n_steps must be at least 1",
    "trainer.val_check_interval=0": "trainer.val_check_interval must be at least 1",
    "trainer.val_check_interval=0.5": "trainer.val_check_interval must be a whole number",
    "trainer.deterministic=maybe": "trainer.deterministic must be one of",
    "trainer.max_time=abc": "look at trainer.max_time=abc",
    "trainer.max_time=00:00:00:00": "trainer.max_time must be positive",
    "trainer=ddp trainer.max_time=00:00:00:01": "set trainer.devices=1",
    "trainer=ddp trainer.devices=99": f"trainer.devices must be at most the {os.cpu_count()} cores",
    "trainer.devices=2": "set trainer=ddp, or trainer.devices=1",
    "trainer.precision=16-mixed": "is none of cpu; set trainer.precision=bf16-mixed",
    "trainer=ddp task.batch_size=3": "set task.batch_size to a multiple of 2",
    "threads=1000000": f"threads must be at most the {os.cpu_count()} cores here",
    "trainer.strategy=foo": "look at trainer.strategy=foo",
    "optimizer.betas=3": "optimizer.betas must be 2 numbers, got 3",
    "optimizer.betas=[0.9,0.99,0.999]": "optimizer.betas must be 2 numbers, got [0.9, 0.99, 0.999]",
    "optimizer.weight_decay=-1": "optimizer.weight_decay must not be negative",
    "scheduler=cosine scheduler.T_max=0": "look at scheduler.T_max=0",
    "scheduler=cosine scheduler.T_max=-5": "scheduler.T_max must not be negative",
    "scheduler=plateau scheduler.factor=2": "look at scheduler.factor=2",
    "scheduler=one_cycle scheduler.pct_start=5": "look at scheduler.pct_start=5.0",
    "scheduler=one_cycle scheduler.total_steps=3": "look at scheduler.total_steps=3",
    "scheduler=one_cycle scheduler.div_factor=0": "scheduler.div_factor=0.0",
    "callbacks.checkpoints=null": "callbacks.checkpoints must not be null",
    "callbacks.checkpoints.every_n_seconds=-1": "callbacks.checkpoints.every_n_seconds must be",
    "callbacks.progress={_target_:seq2seq.callbacks.ProgressReport,refresh_per_second:0}": (
        "callbacks.progress.refresh_per_second must be positive"
    ),
    "callbacks.stop_at_target.monitor=val/foo": "set callbacks.stop_at_target.monitor=val/loss",
    ESCAPE + "taps_3}": "callbacks.stop_after_escape.reference must be one of zero, memoryless",
    f"+callbacks.early={{{LIGHTNING}.EarlyStopping,monitor:val/foo}}": (
        "callbacks.early.monitor must be one of val/loss, val/nmse"
    ),
    f"+callbacks.mean={{{LIGHTNING}.StochasticWeightAveraging,swa_lrs:0.1}}": "callbacks.mean: ",
    f"+callbacks.own={{{LIGHTNING}.ModelCheckpoint}}": "look at trainer.enable_checkpointing=False",
    "model=lru trainer.precision=bf16-true": "set trainer.precision=32-true",
    f"task=text task.path={README} task.cache=null task.batch_size=2000 model=lstm": (
        "lower task.batch_size or task.length"
    ),
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_what_would_fail_or_have_no_effect_is_refused(overrides):
    with pytest.raises(ConfigError) as caught:
        plan([((), config(*overrides.split()))])
    assert REFUSED[overrides] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("run.dir", "x"), ("sweep.dir", "x"), ("sweep.subdir", "x"), ("job.chdir", "true")],
)
def test_hydras_own_folders_are_refused(key, value, tmp_path):
    override = f"hydra.{key}={value}"
    with pytest.raises(ConfigError, match=rf"hydra\.{key}=.*use paths\.outputs and name"):
        configure([*SMALL, override])


def test_hydras_own_folders_are_refused_before_anything_is_written(tmp_path):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nhydra:\n  sweep:\n    dir: elsewhere\n"
    (tmp_path / "conf" / "experiment" / "moved.yaml").write_text(text)
    for arguments in (["--config-dir=conf", "experiment=moved"], ["hydra.mode=RUN"]):
        done = shell.run(shell.TRAIN, *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("train.py: hydra.")
        assert done.stderr.count("\n") == 1
        assert os.listdir(tmp_path) == ["conf"]


# ----------------------------------------------------------------------- What is known of a task

TASKS = {
    "shift": ["task.length=9"],
    "convolution": ["task.length=20"],
    "lorenz96": ["task.length=8", "task.cache=null"],
    "lorenz96_published": ["task.length=8", "task.skip=2", "task.cache=null"],
    "lorenz96_forecast": ["task.length=8", "task.burn_in=1"],
    "text": [f"task.path={README}", "task.cache=null", "task.length=16"],
    "parity": ["task.length=4"],
    "adding": ["task.length=4"],
}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_knows_the_names_of_what_it_measures(name):
    sizes = [] if name == "text" else [f"task.{s}_size=4" for s in ("train", "val", "test")]
    task, module = build(config(f"task={name}", *TASKS[name], *sizes))
    x, y = next(iter(task.val_dataloader()))
    counts = module.counts(module.model(x), y).tolist()
    assert [f"val/{key}" for key in task.metric_names] == [*module.evaluation("val", 1.0, counts)]
    assert [*task.reference_names] == [*task.reference_losses()]


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_half_precision_trains_and_leaves_snapshots_and_pictures(tmp_path, precision):
    arguments = ["trainer.max_steps=2", "logger=tensorboard", f"trainer.precision={precision}"]
    figures = "callbacks.figures={_target_:seq2seq.callbacks.Figures}"
    ended = run(tmp_path, *arguments, figures)
    assert ended.status == "finished"
    with np.load(ended.folder / "eigenvalues.npz") as stored:
        assert stored["step"].tolist() == [0, 1, 2]
