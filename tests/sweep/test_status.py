"""How far a sweep has come, read from its folders."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import shell

from seq2seq.runs import Run
from seq2seq.runs.locks import Claims
from seq2seq.sweep import status

SCRIPT = Path(__file__).parents[2] / "scripts" / "runs.py"


def make_run(folder: Path, **result: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\n")
    if result:
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return shell.run(SCRIPT, *arguments)


def test_a_damaged_list_of_jobs_still_tells_the_others(tmp_path):
    (tmp_path / "jobs.txt").write_bytes(b"\xff\xfe\n" + b"k=1\ttask.k=1\nk=2\ttask.k=2\n")
    assert [e.folder.name for e in status.read(tmp_path) if "k=" in e.folder.name] == ["k=1", "k=2"]


def test_every_job_is_told_and_failures_last(tmp_path):
    root = tmp_path / "sweep"
    make_run(root / "k=12", **{"status": "finished", "steps": 30, "val/nmse": 0.25, "seconds": 2.0})
    make_run(root / "k=4", status="diverged", steps=7)
    failed = make_run(root / "k=5", status="failed", error="no targets")
    (failed / "traceback.txt").write_text(
        "Traceback\n  File x\n    y\nRuntimeError: no targets\n\n"
    )
    killed = make_run(root / "k=6")
    (killed / "checkpoints").mkdir()
    (killed / "checkpoints" / "step=500.ckpt").touch()
    running = make_run(root / "k=7")
    (root / "jobs.txt").write_text("k=12\ttask.k=12\nk=8\ttask.k=8\nk=9\ttask.k=9\n")
    with Claims() as claims:
        assert claims.claim(running)
        Run(running).note_progress(200, 1000, 0, 40_000.0, 0.5)
        assert claims.claim(root / "k=9")  # its process has not got to write the config
        done = call(root)
        listed = json.loads(call(root, "--json").stdout)
    assert done.returncode == 1
    rows = [line.split() for line in done.stdout.splitlines()]
    told = [(row[0], row[-1]) for row in rows[1:8]]
    assert told == [
        ("finished", "k=12"),
        ("diverged", "k=4"),
        ("missing", "k=8"),
        ("running", "k=7"),
        ("running", "k=9"),
        ("killed", "k=6"),
        ("failed", "k=5"),
    ]
    assert rows[1][1:] == ["0.25", "30", "2.0", "s", "k=12"]
    assert rows[4][1:4] == ["200/1,000", "11", "h"]
    assert "500" in rows[6]
    told = {Path(run["folder"]).name: run for run in listed}
    assert (told["k=12"]["job"], told["k=12"]["val/nmse"]) == ("task.k=12", 0.25)
    assert {key: told["k=7"][key] for key in ("status", "step", "of")} == {
        "status": "running",
        "step": 200,
        "of": 1000,
    }
    assert told["k=6"]["step"] == 500
    assert "RuntimeError: no targets" in done.stdout
    assert done.stdout.splitlines()[-1] == (
        "7 runs: 1 finished, 1 diverged, 1 missing, 2 running, 1 killed, 1 failed"
    )


def test_errors_of_tasks_of_tokens_are_called_losses(tmp_path):
    make_run(tmp_path / "a", **{"status": "finished", "steps": 3, "val/loss": 2.25})
    heading, row, *_ = status.report(status.read(tmp_path)).splitlines()
    assert (heading.split()[1:3], row.split()[1]) == (["val", "loss"], "2.25")


def test_a_sweep_that_has_just_begun_has_no_empty_columns_and_whole_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    sweep = tmp_path / "outputs" / "shift"
    sweep.mkdir(parents=True)
    names = [f"gru-hidden_size=16-k={k}-steps=3000-a0a0a46{k}" for k in (2, 3)]
    plan = "".join(f"{name}\tmodel=gru task.k=2 model.hidden_size=16\n" for name in names)
    (sweep / "jobs.txt").write_text(plan)
    told = status.report(status.read(tmp_path)).splitlines()
    assert [line.split() for line in told] == [
        ["status", "folder"],
        *(["missing", name] for name in names),
        ["folders:", "below", str(sweep)],
        ["2", "runs:", "2", "missing"],
    ]


def test_a_folder_of_sweeps_is_read_as_a_whole(tmp_path):
    make_run(tmp_path / "a" / "k=1", status="finished")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "jobs.txt").write_text("k=2\ttask.k=2\n")
    (tmp_path / "atlas" / "shift").mkdir(parents=True)
    (tmp_path / "atlas" / "shift" / "jobs.txt").write_text("k=3\ttask.k=3\n")
    done = call(tmp_path)
    assert done.returncode == 0
    assert "a/k=1" in done.stdout
    assert "b/k=2" in done.stdout
    assert "atlas/shift/k=3" in done.stdout
    assert call(tmp_path / "typo").returncode == 2


def test_watching_ends_when_nothing_is_left(tmp_path):
    make_run(tmp_path / "k=1", status="finished")
    make_run(tmp_path / "k=2")
    done = call(tmp_path, "--watch")
    assert done.returncode == 0
    assert "1 of 2 complete" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 runs: 1 finished, 1 killed"
    assert "\x1b" not in done.stdout


@pytest.mark.slow
def test_ten_thousand_runs_are_read_in_seconds_of_processor_time(tmp_path):
    result = json.dumps({"status": "finished", "steps": 6000, "val/nmse": 0.1, "seconds": 1.5})
    for number in range(10_000):
        folder = tmp_path / "sweep" / f"shift-k={number % 50}-rnn-seed={number}-steps=6000"
        os.makedirs(folder / "checkpoints")
        (folder / "config.yaml").write_text("seed: 0\n")
        if number % 10:
            (folder / "result.json").write_text(result)
    start = time.process_time()
    entries = status.read(tmp_path)
    text = status.report(entries)
    assert time.process_time() - start < 4
    assert text.endswith("10000 runs: 9000 finished, 1000 killed")
