"""`hydra/sweeper=boundary`: its rounds, going on after a stop, and what it refuses."""

import time
from pathlib import Path

import pytest
import shell

from seq2seq.runs import Run
from seq2seq.sweep.boundary import Contour
from seq2seq.sweep.design import Point

#: Runs of a few steps, whose targets lie so that k decides: all of k = 1 succeed, of 8 none.
TINY = [
    "model=rnn",
    "task=shift",
    "task.length=12",
    "task.train_size=64",
    "task.val_size=16",
    "task.test_size=16",
    "task.batch_size=8",
    "callbacks.figures=null",
    "logger=none",
    "trainer.max_steps=4",
    "trainer.val_check_interval=2",
    "name=phases",
]
GRID = ["-m", "task.k=1,2,4,6,8,10", "model.hidden_size=2,3,4", "seed=range(4)"]
AXES = ["hydra.sweeper.memory=task.k", "hydra.sweeper.size=model.hidden_size"]
NOT_A_NUMBER = [
    AXES[0],
    "model.initialisation=default,orthogonal",
    "hydra.sweeper.size=model.initialisation",
]
TARGET = ["callbacks.stop_at_target.target=1.02"]


def call(folder: Path, *arguments: str):
    return shell.run(shell.TRAIN, *TINY, "hydra/sweeper=boundary", *arguments, cwd=folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*GRID, *TARGET], "set hydra.sweeper.memory=task.k"),
        ([*GRID, *TARGET, AXES[0]], "set hydra.sweeper.size=model.hidden_size"),
        ([*GRID, *AXES], "they have no target; set callbacks.stop_at_target.target=0.1"),
        ([*GRID, *AXES, *TARGET, "task.k=4"], "hydra.sweeper.memory=task.k is not swept"),
        ([*GRID, *AXES, *TARGET, "seed=0"], "add 'seed=range(8)'"),
        ([*GRID, *TARGET, AXES[0], "hydra.sweeper.size=task.k"], "are both task.k"),
        ([*GRID, *TARGET, AXES[0], "hydra.sweeper.size=model.hiden_size"], "model.hidden_size"),
        (
            [*GRID, *TARGET, *NOT_A_NUMBER],
            "hydra.sweeper.size=model.initialisation must be positive numbers, got 'default'",
        ),
        ([*GRID, *AXES, *TARGET, "hydra.sweeper.n_runs=5"], "must be at least 24, the runs of"),
        ([*GRID, *AXES, *TARGET, "hydra.sweeper.per_round=0"], "hydra.sweeper.per_round"),
        ([*GRID, *AXES, *TARGET, "hydra.sweeper.half_width=-1"], "hydra.sweeper.half_width"),
        ([*GRID, *AXES, *TARGET, "hydra.sweeper.n_run=5"], "hydra.sweeper.n_run"),
    ],
)
def test_what_has_no_boundary_is_refused_in_one_line_before_any_folder(tmp_path, arguments, said):
    done = call(tmp_path, *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert said in line
    assert [*tmp_path.iterdir()] == []


def ran(folder: Path) -> dict[str, dict[str, object]]:
    """The results below a folder, by the name of the run."""
    return {path.parent.name: Run(path.parent).result for path in folder.rglob("result.json")}


def test_the_same_command_goes_through_its_rounds_again_and_trains_what_is_missing(tmp_path):
    arguments = [*GRID, *AXES, *TARGET, "hydra.sweeper.per_round=6"]
    first = call(tmp_path, *arguments, "hydra.sweeper.n_runs=24")
    assert first.returncode == 0, first.stderr
    outcomes = ran(tmp_path)
    assert len(outcomes) == 24
    assert {result["success"] for result in outcomes.values()} == {True, False}
    assert "24 of the grid's 72 runs: 24 finished" in first.stdout
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}

    more = call(tmp_path, *arguments, "hydra.sweeper.n_runs=30")
    assert more.returncode == 0, more.stderr
    assert len(ran(tmp_path)) == 30
    assert all(path.stat().st_mtime_ns == then for path, then in times.items())

    for path in [*times][:3]:  # as of runs that were killed before their end
        path.unlink()
    again = call(tmp_path, *arguments, "hydra.sweeper.n_runs=30")
    assert again.returncode == 0, again.stderr
    assert again.stdout == more.stdout
    assert len(ran(tmp_path)) == 30


def test_of_a_contour_beyond_the_grid_nothing_is_said_but_that():
    contour = Contour("", [Point(memory, 4, 0) for memory in (2, 4, 8)])
    told = [contour.told(memory) for memory in (-7.6e14, 3.14159, 8.0, 9.0)]
    assert told == ["<2", "3.14", "8", ">8"]


def test_that_there_is_no_boundary_is_said_once(tmp_path):
    grid = ["-m", "task.k=1,2", "model.hidden_size=2,3", "seed=0,1"]
    done = call(tmp_path, *grid, *AXES, "callbacks.stop_at_target.target=1e-9")
    assert done.returncode == 0, done.stderr
    said = "runs failed, so there is no boundary; lower the memory, raise trainer.max_steps or ease"
    assert done.stdout.count(said) == 1


@pytest.mark.slow
def test_a_killed_sweep_goes_on_with_its_round(tmp_path):
    arguments = [*GRID, *AXES, *TARGET, "hydra.sweeper.per_round=6", "hydra.sweeper.n_runs=30"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    expected = call(whole, *arguments)
    command = [shell.TRAIN, *TINY, "hydra/sweeper=boundary", *arguments]
    with shell.Program(*command, cwd=cut) as process:
        deadline = time.monotonic() + 240
        while len(ran(cut)) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    assert len(ran(cut)) < 30
    done = call(cut, *arguments)
    assert done.returncode == 0, done.stderr
    assert ran(cut).keys() == ran(whole).keys()
    assert done.stdout == expected.stdout
