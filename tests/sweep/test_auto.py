"""`hydra/launcher=auto`, the default: jobs that gain as one program, the others side by side."""

import re
import signal

import numpy as np
import pytest
from test_launchers import TINY, call, checkpoints, kill_tree, start, until

import seq2seq
from seq2seq.batched import chunk, grouping
from seq2seq.runs import Run, find
from seq2seq.sweep import multirun
from seq2seq.training import configure

#: Largest difference of losses in float32 from those of `hydra/launcher=basic`.
TOLERANCE = 1e-5
MIXED = ["-m", "model.dropout=0,0.1", "task.k=1,2", "seed=0,1"]
MIXED += ["model.num_layers=2", "trainer.max_steps=16", "callbacks.checkpoints.every_n_steps=2"]
MIXED += ["hydra.launcher.workers=2"]
LINE = (
    "4 runs in 1 group as one program; "
    "4 runs one by one, as vmap cannot reproduce the dropout of single runs; "
    "at most 2 processes side by side\n"
)
QUIET = [*TINY, "callbacks.progress=null", "trainer.max_steps=12"]


def assert_like(run: Run, basic: Run, tolerance: float) -> None:
    """With a tolerance of 0, bit for bit."""
    assert run.status == basic.status == "finished"
    np.testing.assert_allclose(run.history["loss"], basic.history["loss"], rtol=0, atol=tolerance)
    expected = pytest.approx(basic.result["val/nmse"], abs=tolerance, rel=tolerance)
    assert run.result["val/nmse"] == expected
    names = [{path.name for path in (one.folder / ".hydra").glob("*")} for one in (run, basic)]
    assert names[0] == names[1]


def test_a_mixed_sweep_killed_and_completed_is_that_of_one_job_after_another(tmp_path, capfd):
    with start(tmp_path, *MIXED) as process:
        until(lambda: checkpoints(tmp_path))
        kill_tree(process)
        assert process.errors().count(LINE) == 1
    begun = {path.parents[1] for path in checkpoints(tmp_path)}
    assert any(Run(folder).status == "killed" for folder in begun)
    code, output, error = call(tmp_path, *MIXED)
    assert code == 0, error
    assert output.count("finished") == 8
    here = [*TINY, *MIXED[1:-1], "callbacks.progress=null", f"paths.outputs={tmp_path}/basic"]
    basic = seq2seq.multirun(here, "basic")
    for one in basic:
        run = Run(tmp_path / "outputs" / one.folder.relative_to(tmp_path / "basic"))
        assert_like(run, one, 0 if one.config.model.dropout else TOLERANCE)

    capfd.readouterr()
    written = [(run.folder / "result.json").stat().st_mtime_ns for run in basic]
    assert seq2seq.multirun(here)  # what another launcher has trained is done
    assert capfd.readouterr() == ("", "")
    assert written == [(run.folder / "result.json").stat().st_mtime_ns for run in basic]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_group_that_cannot_be_one_program_is_trained_one_by_one(
    workers, tmp_path, monkeypatch, capfd
):
    advance = chunk.Chunk._advance

    def breaks(self, x, y):
        if self.step == 5:
            raise RuntimeError("no rule for this\nat all")
        return advance(self, x, y)

    monkeypatch.setattr(chunk.Chunk, "_advance", breaks)
    sweep = [*QUIET, "seed=0,1,2"]
    own = [f"paths.outputs={tmp_path}/auto", f"hydra.launcher.workers={workers}"]
    runs = seq2seq.multirun([*sweep, *own])
    told = capfd.readouterr().err
    assert "3 runs in 1 group as one program" in told
    line = r"(\d) runs? cannot be trained as one program \(no rule for this\); training them one by"
    chunks = [int(number) for number in re.findall(line, told)]
    assert sum(chunks) == 3
    assert len(chunks) == workers
    basic = seq2seq.multirun([*sweep, f"paths.outputs={tmp_path}/basic"], "basic")
    for run, one in zip(runs, basic, strict=True):
        assert_like(run, one, 0)  # as there was no checkpoint yet
    assert not [*tmp_path.rglob(".lock")]


def test_a_single_job_is_run_here_and_two_on_two_cores_side_by_side(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(grouping, "divided", None)  # which a single job does without
    here = []
    run_job = multirun.run_job
    monkeypatch.setattr(multirun, "run_job", lambda cfg: here.append(cfg.seed) or run_job(cfg))
    seq2seq.multirun([*QUIET, "seed=0", f"paths.outputs={tmp_path}/auto"])
    assert here == [0]
    assert capfd.readouterr().err == ""
    monkeypatch.undo()

    pair = [*QUIET, "task.k=1", "seed=0,1"]
    runs = seq2seq.multirun([*pair, f"paths.outputs={tmp_path}/auto", "hydra.launcher.workers=2"])
    assert capfd.readouterr().err == (
        "2 runs one by one, as vmap gains nothing when every run has a core; "
        "at most 2 processes side by side\n"
    )
    basic = seq2seq.multirun([*pair, f"paths.outputs={tmp_path}/basic"], "basic")
    for run, one in zip(runs, basic, strict=True):
        assert_like(run, one, 0)


def test_what_gains_nothing_is_trained_one_by_one(tmp_path, monkeypatch):
    def reasons(*swept, workers=1):
        configs = [configure([*QUIET, f"paths.outputs={tmp_path}", *one]) for one in swept]
        groups, apart = grouping.divided(configs, workers)
        return [len(group) for group in groups], {k: len(v) for k, v in apart.items()}

    seeds = [[f"seed={seed}"] for seed in range(3)]
    lonely = ["model.hidden_size=5"]
    assert reasons(*seeds, lonely) == ([3], {"no other run has their shape": 1})
    assert reasons(*seeds, workers=2) == ([3], {})
    assert reasons(*seeds, workers=3) == ([], {"vmap gains nothing when every run has a core": 3})
    monkeypatch.setattr(grouping, "CACHE", 1.0)
    assert reasons(*seeds) == ([], {"vmap gains nothing when one run fills the cache": 3})


def test_no_more_processes_than_there_is_memory_for(tmp_path, monkeypatch):
    cfg = configure([*QUIET, f"paths.outputs={tmp_path}"])
    singles = grouping.divided([cfg], 4)[1].popitem()[1]
    needed = sum(grouping.footprint(cfg, singles[0].task))
    for share, workers in ((9.5, 4), (2.5, 2), (0.5, 1)):
        monkeypatch.setattr(grouping.memory, "available", lambda share=share: share * needed)
        assert grouping.side_by_side(singles, 4) == workers


@pytest.mark.slow
def test_ctrl_c_leaves_checkpoints_of_all_and_the_same_command_goes_on(tmp_path):
    arguments = ["-m", "model.dropout=0,0.1", "seed=0,1,2", "trainer.max_steps=300"]
    arguments += ["hydra.launcher.workers=2", "callbacks.checkpoints.every_n_seconds=0.2"]
    with start(tmp_path, *arguments) as process:
        until(lambda: any("dropout" in path.parents[1].name for path in checkpoints(tmp_path)))
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in error
    statuses = [run.status for run in find(tmp_path / "outputs")]
    assert set(statuses) <= {"stopped", "finished"}
    assert "stopped" in statuses
    assert not [*tmp_path.glob("outputs/*/*/.lock")]
    code, output, error = call(tmp_path, *arguments)
    assert code == 0, error
    assert output.count("finished") == 6
