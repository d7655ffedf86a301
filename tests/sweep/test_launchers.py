"""Launchers other than Hydra's own, and processes that share a sweep, as their users call them."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shell
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seq2seq import train
from seq2seq.runs import Run, collect, locks

TRAIN = Path(__file__).parents[2] / "train.py"
TINY = [
    "model=rnn",
    "model.hidden_size=4",
    "task.length=12",
    "task.k=2",
    "task.train_size=64",
    "task.val_size=16",
    "task.test_size=16",
    "task.batch_size=8",
    "callbacks.figures=null",
    "logger=none",
]
#: Ray asks nobody and tells nobody; where little memory is left it would end its workers.
ENVIRONMENT = os.environ | {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
}


def descendants(pid: int) -> list[int]:
    """The processes that `pid` started, and those that they started."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def kill_tree(process: subprocess.Popen[Any] | shell.Program) -> None:
    if process.poll() is not None:
        return
    for pid in descendants(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def start(folder: Path, *arguments: str, **environment: str) -> Iterator[shell.Program]:
    here = ENVIRONMENT | environment
    with shell.Program(shell.TRAIN, *TINY, *arguments, cwd=folder, env=here) as process:
        try:
            yield process
        finally:
            kill_tree(process)


def call(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    with start(folder, *arguments, **environment) as process:
        output, error = process.communicate()
        return process.wait(), output, error


def until(condition: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("outputs/*/*/checkpoints/step=*.ckpt"))


def broken_task(folder: Path) -> None:
    (folder / "elsewhere.py").write_text(
        "from seq2seq.tasks import Shift\n"
        "class Broken(Shift):\n"
        "    def targets(self, x):\n"
        "        raise RuntimeError('no targets today')\n"
    )
    group = folder / "conf" / "task"
    group.mkdir(parents=True)
    (group / "broken.yaml").write_text(
        "defaults:\n  - shift\n  - _self_\n_target_: elsewhere.Broken\n"
    )


@pytest.mark.parametrize(
    "launcher", ["auto", "basic", pytest.param("joblib", marks=pytest.mark.slow), "vmap"]
)
def test_runs_go_on_wherever_paths_outputs_leads(launcher, tmp_path, monkeypatch, caplog):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    monkeypatch.setenv("HOME", str(tmp_path / 'it\'s "home"'))
    folder = """paths.outputs="~/a=b [c] {d} it's, $e (f)\""""
    arguments = ["-m", "seed=0,1", "trainer.max_steps=6", f"hydra/launcher={launcher}", folder]
    code, _, error = call(tmp_path, *arguments, HOME=os.environ["HOME"])
    assert code == 0, error
    caplog.set_level(logging.INFO, "seq2seq")
    longer = train([*TINY, "trainer.max_steps=9", folder])
    assert "continuing from step 6" in caplog.text
    assert longer.folder.parents[1] == Path.home() / "a=b [c] {d} it's, $e (f)"
    assert sorted(collect(longer.folder.parents[1])["steps"]) == [6, 6, 9]
    assert os.listdir(tmp_path) == [Path.home().name]


@pytest.mark.parametrize(
    ("launcher", "package"),
    [
        ("joblib", "hydra_plugins.hydra_joblib_launcher"),
        ("submitit_local", "hydra_plugins.hydra_submitit_launcher"),
        pytest.param("ray", "ray", marks=pytest.mark.slow),
    ],
)
def test_a_launcher_gives_the_numbers_and_failures_of_a_single_run(launcher, package, tmp_path):
    pytest.importorskip(package)
    broken_task(tmp_path)
    arguments = ["-m", "task=broken,shift", "trainer.max_steps=12", "allow=[elsewhere]"]
    arguments += [f"hydra.searchpath=[file://{tmp_path}/conf]", f"hydra/launcher={launcher}"]
    code, output, error = call(tmp_path, *arguments, PYTHONPATH=str(tmp_path))
    if launcher == "ray" and "finished" not in output:
        # Its processes have seconds to start, too few on a busy machine; the same command goes on.
        code, output, error = call(tmp_path, *arguments, PYTHONPATH=str(tmp_path))
    assert code == 1, error
    rows = [line.split()[:2] for line in output.splitlines()[1:3]]
    assert rows == [["broken/rnn", "failed"], ["shift/rnn", "finished"]], error
    (traceback,) = tmp_path.glob("outputs/*/*/traceback.txt")
    assert "RuntimeError: no targets today" in traceback.read_text()

    frame = collect(tmp_path / "outputs").set_index("status")
    done = Run(tmp_path / frame.loc["finished", "folder"])
    alone = train([*TINY, "trainer.max_steps=12", f"paths.outputs={tmp_path}/alone"])
    assert np.array_equal(done.history["loss"], alone.history["loss"])
    assert done.result["val/nmse"] == alone.result["val/nmse"]
    assert not list(tmp_path.glob(f"outputs/*/*/{locks.NAME}"))


@pytest.mark.slow
def test_a_ray_worker_trains_a_group_as_one_program(tmp_path):
    pytest.importorskip("ray")
    arguments = ["-m", "seed=0,1", "trainer.max_steps=12", "hydra/launcher=ray_vmap"]
    arguments += ["trainer.val_check_interval=12"]
    code, output, error = call(tmp_path, *arguments)
    assert code == 0, error
    assert output.count("finished") == 2
    (run, _) = (Run(path.parent) for path in sorted(tmp_path.glob("outputs/*/*/config.yaml")))
    assert " and 1 other: step 12/12" in output + error
    alone = train([*TINY, "trainer.max_steps=12", f"paths.outputs={tmp_path}/alone"])
    assert np.allclose(run.history["loss"], alone.history["loss"], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "code"), [("SIGUSR2", 0), pytest.param("SIGTERM", 1, marks=pytest.mark.slow)]
)
def test_a_task_of_submitit_trains_a_group_and_leaves_checkpoints(name, code, tmp_path):
    """Queued again when its time is up, as submitit's signal tells; when it is cancelled, not."""
    pytest.importorskip("submitit")
    arguments = ["-m", "seed=0,1,2", "hydra/launcher=submitit_vmap", "hydra.launcher.cluster=local"]
    arguments += ["trainer.max_steps=600", "callbacks.checkpoints.every_n_steps=100000"]
    arguments += ["callbacks.checkpoints.every_n_seconds=0.2", "hydra.launcher.inner.workers=2"]
    with start(tmp_path, *arguments) as process:
        until(lambda: len(checkpoints(tmp_path)) == 3)
        (pid,) = owners(tmp_path)
        os.kill(pid, getattr(signal, name))
        until(lambda: not owners(tmp_path))
        folders = sorted({path.parents[1] for path in checkpoints(tmp_path)})
        steps = {Run(folder).checkpoints[0].stem for folder in folders}
        output, error = process.communicate()
    assert process.returncode == code, error
    (log,) = tmp_path.glob("outputs/.submitit/*/*_log.err")
    told = log.read_text()
    assert told.count("3 runs in 1 group as one program") == 2 - code
    assert len(steps) < len(folders)  # those trained together left at the same step
    assert {Run(folder).status for folder in folders} == {"stopped" if code else "finished"}
    if code:
        code, output, error = call(tmp_path, *arguments)
        assert code == 0, error
    assert output.count("finished") == 3
    alone = train([*TINY, "seed=2", "trainer.max_steps=600", f"paths.outputs={tmp_path}/alone"])
    run = next(Run(f) for f in folders if f.name.endswith(alone.folder.name[-8:]))
    assert np.allclose(run.history["loss"], alone.history["loss"], rtol=1e-4)


def test_two_processes_share_a_sweep_and_train_no_job_twice(tmp_path):
    arguments = ["-m", "seed=0,1,2,3", "trainer.max_steps=300", "trainer.val_check_interval=300"]
    arguments += ["hydra/launcher=basic"]
    with start(tmp_path, *arguments) as one, start(tmp_path, *arguments) as other:
        ended = [process.communicate() for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0)
    assert [output.count("finished") for output, _ in ended] == [4, 4]
    assert sum(error.count("step 300/300") for _, error in ended) == 4


def test_the_job_of_a_killed_process_is_taken_over_by_one_that_waits(tmp_path):
    arguments = ["trainer.max_steps=200", "callbacks.checkpoints.every_n_steps=10"]
    with start(tmp_path, *arguments) as first:
        until(lambda: checkpoints(tmp_path))
        first.send_signal(signal.SIGSTOP)  # it lives, and does not end before the other looks
        with start(tmp_path, *arguments) as second:
            until(lambda: "waiting for 1 job" in second.errors())
            (folder,) = tmp_path.glob("outputs/*/*")
            assert Run(folder).status == "running"
            first.kill()
            first.wait()
            _, error = second.communicate()
    assert second.returncode == 0
    assert "continuing from step" in error
    assert Run(folder).status == "finished"


@pytest.mark.slow
def test_a_killed_vmap_sweep_ends_where_it_would_have(tmp_path):
    arguments = ["-m", "seed=range(18)", "trainer.max_steps=400", "hydra/launcher=vmap"]
    arguments += ["callbacks.checkpoints.every_n_steps=50", "trainer.precision=64-true"]
    arguments += ["logger=tensorboard"]
    killed, whole = (tmp_path / name for name in ("killed", "whole"))
    killed.mkdir()
    whole.mkdir()
    with start(killed, *arguments) as process:
        until(lambda: checkpoints(killed))
        kill_tree(process)
    assert not list(killed.glob("outputs/*/*/result.json"))
    for folder in (killed, whole):
        code, output, error = call(folder, *arguments)
        assert code == 0, error
        assert output.count("finished") == 18
    for folder in whole.glob("outputs/*/seed=*"):
        run, again = Run(folder), Run(killed / folder.relative_to(whole))
        np.testing.assert_allclose(run.history["loss"], again.history["loss"], rtol=0, atol=1e-9)
        assert run.result["test/nmse"] == pytest.approx(again.result["test/nmse"], rel=1e-6)
        assert logged(run) == logged(again)


def logged(run: Run) -> dict[str, list[int]]:
    """The steps at which each number was logged."""
    events = EventAccumulator(str(run.folder))
    events.Reload()
    return {tag: sorted(e.step for e in events.Scalars(tag)) for tag in events.Tags()["scalars"]}


@pytest.mark.slow
def test_ctrl_c_stops_the_workers_and_the_same_command_goes_on(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = ["-m", "seed=0,1,2", "trainer.max_steps=3000", "hydra/launcher=joblib"]
    arguments += ["hydra.launcher.n_jobs=2", "callbacks.checkpoints.every_n_steps=100"]
    with start(tmp_path, *arguments) as process:
        until(lambda: len({path.parents[1] for path in checkpoints(tmp_path)}) == 2)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in error
    begun = {path.parents[1] for path in checkpoints(tmp_path)}
    until(lambda: all(Run(folder).status in ("stopped", "killed") for folder in begun))
    code, output, error = call(tmp_path, *arguments)
    assert code == 0, error
    assert output.count("finished") == 3
    assert "continuing from step" in error


@contextlib.contextmanager
def node(*arguments: str) -> Iterator[subprocess.Popen[Any]]:
    """A node of a Ray cluster with one core."""
    ray = Path(sys.executable).with_name("ray")
    command = [ray, "start", "--block", "--num-cpus=1", "--object-store-memory=80000000"]
    process = subprocess.Popen(
        [*command, "--node-ip-address=127.0.0.1", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        kill_tree(process)


@contextlib.contextmanager
def node_when_reachable(address: str) -> Iterator[subprocess.Popen[Any]]:
    host, _, port = address.rpartition(":")

    def reachable() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    until(reachable)
    with node(f"--address={address}") as process:
        yield process


def owners(folder: Path) -> dict[int, Path]:
    """Who is at which run."""
    found = {}
    for path in folder.glob(f"outputs/*/*/{locks.NAME}"):
        owner, _ = locks._read(path)
        if owner is not None:
            found[owner.pid] = path.parent
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sweep_on_two_ray_nodes_survives_the_death_of_one(tmp_path):
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    port = address.rpartition(":")[2]
    arguments = ["-m", "seed=0,1,2,3", "trainer.max_steps=3000", "hydra/launcher=ray"]
    arguments += [f"hydra.launcher.address={address}", "callbacks.checkpoints.every_n_steps=100"]
    with (
        node("--head", f"--port={port}", "--include-dashboard=false") as head,
        node_when_reachable(address) as second,
        start(tmp_path, *arguments) as process,
    ):

        def spread() -> bool:
            at = owners(tmp_path)
            nodes = [set(descendants(one.pid)) & set(at) for one in (head, second)]
            return all(Run(at[pid]).checkpoints for pids in nodes for pid in pids) and all(nodes)

        until(spread)
        at = owners(tmp_path)
        (lost,) = (at[pid] for pid in descendants(second.pid) if pid in at)
        kill_tree(second)
        output, error = process.communicate()
    assert process.returncode == 0, error
    assert output.count("finished") == 4
    assert f"of {lost.relative_to(tmp_path)}" in error  # continuing from step ... of ...
    config = Run(lost).config
    alone = train(
        [*TINY, "trainer.max_steps=3000", f"seed={config.seed}", f"paths.outputs={tmp_path}/a"]
    )
    assert np.array_equal(Run(lost).history["loss"], alone.history["loss"])
