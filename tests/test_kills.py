"""Kills, signals and flipped bits at random moments and places: what is left is what would be."""

import contextlib
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import shell
import torch

from seq2seq.runs import Run, find, load_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

TINY = [
    "model.hidden_size=4",
    "task.length=12",
    "task.k=2",
    "task.train_size=64",
    "task.val_size=16",
    "task.test_size=16",
    "task.batch_size=8",
    "trainer.max_steps=400",
    "trainer.val_check_interval=150",
    "trainer.precision=64-true",
    "callbacks.checkpoints.every_n_steps=50",
    "callbacks.figures=null",
    "callbacks.progress=null",
    "logger=none",
]
LAUNCHERS = {
    "auto": ["seed=range(3)", "model.dropout=0,0.1"],
    "basic": ["seed=0,1", "hydra/launcher=basic"],
    "joblib": ["seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "vmap": ["seed=range(9)", "hydra/launcher=vmap"],
}
MODELS = ["rnn", "lru", "tcn", "transformer"]


def begin(folder: Path, *arguments: str) -> shell.Program:
    """`train.py -m ...` in a session of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    return shell.Program(shell.TRAIN, "-m", *TINY, *arguments, cwd=folder)


def complete(folder: Path, *arguments: str) -> None:
    with begin(folder, *arguments) as program:
        _, errors = program.communicate()
    assert program.returncode == 0, errors


def alive(session: int) -> list[int]:
    """The processes that `begin` has led to; workers may have groups of their own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its = stat.read_text().rpartition(")")[2].split()[:4]
            if int(its) == session and state not in "ZX":
                found.append(int(stat.parent.name))
    return found


def until(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def assert_equal(folder: Path, whole: Path) -> None:
    """Weights, history and snapshots of all runs, bit for bit, and no file that nobody wants."""
    for one in find(whole):
        run = Run(folder / one.folder.relative_to(whole))
        assert run.status == "finished"
        states = [load_checkpoint(each.checkpoints[0])["state_dict"] for each in (run, one)]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])
        names = {path.name for path in one.folder.glob("*.npz")}
        assert {"history.npz", "kernel.npz"} <= names
        for name in names:
            arrays, wanted = run.arrays(name), one.arrays(name)
            assert all(np.array_equal(arrays[key], wanted[key]) for key in wanted), name
    assert not [*folder.rglob("*.tmp")]


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("model", MODELS)
def test_runs_that_were_killed_end_where_others_do(model, launcher, tmp_path):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = [f"model={model}", *LAUNCHERS[launcher]]
    whole = tmp_path / "whole"
    start = time.monotonic()
    complete(whole, *arguments)
    duration = time.monotonic() - start
    draws, kills, folder = random.Random(f"{model} {launcher}"), 0, tmp_path / "cut0"
    while kills < 4:
        with begin(folder, *arguments) as program:
            deadline = time.monotonic() + draws.uniform(0.1, 0.7) * duration
            while program.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            program.kill()  # its workers end with it
        if program.returncode == 0:
            folder = tmp_path / f"cut{kills}"
            continue
        until(lambda session=program.pid: not alive(session), 60)
        kills += 1
    for cut in tmp_path.glob("cut*"):
        complete(cut, *arguments)
        assert_equal(cut, whole)


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_leaves_a_checkpoint_from_which_the_same_command_goes_on(name, launcher, tmp_path):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = ["model=rnn", *LAUNCHERS[launcher], "callbacks.checkpoints.every_n_steps=100000"]
    arguments += ["trainer.max_steps=2000", "callbacks.checkpoints.every_n_seconds=0.2"]
    with begin(tmp_path, *arguments) as program:
        until(lambda: [*tmp_path.glob("outputs/*/*/checkpoints/*.ckpt")], 900)
        program.send_signal(getattr(signal, name))
        _, errors = program.communicate()
    assert program.returncode == 130
    until(lambda: not alive(program.pid), 10)
    runs = [*find(tmp_path / "outputs")]
    assert runs
    for run in runs:
        assert run.status == "stopped"
        assert not (run.folder / ".lock").exists()
    steps = {load_checkpoint(run.checkpoints[0])["global_step"] for run in runs}
    assert all(step < 2000 for step in steps)
    assert "the same command continues" in errors
    complete(tmp_path, *arguments)
    assert {run.status for run in find(tmp_path / "outputs")} == {"finished"}


def test_no_flipped_bit_is_loaded(tmp_path):
    complete(tmp_path, "model=rnn", "seed=0")
    (run,) = find(tmp_path / "outputs")
    path, draws = run.checkpoints[0], random.Random(0)
    content = path.read_bytes()
    unnoticed = 0
    for _ in range(200):
        place, bit = draws.randrange(len(content)), draws.randrange(8)
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
        )
        with contextlib.suppress(ValueError):
            load_checkpoint(path)
            unnoticed += 1
    assert unnoticed == 0
