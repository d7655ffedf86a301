"""What a command says of its jobs before it trains them."""

import io
import re
import sys

import pytest

from seq2seq import times
from seq2seq.runs import Run
from seq2seq.sweep import jobs, progress, table

NODES = {
    "task": {"_target_": "seq2seq.tasks.LinearFunctional"},
    "model": {"_target_": "seq2seq.models.RNN"},
    "callbacks": {"progress": {"_target_": "seq2seq.callbacks.ProgressReport"}},
    "command": {"choices": {"task": "linear_functional", "model": "lstm"}},
}
LINE = "preparing 2 jobs: linear_functional, lstm"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "sound", "said"),
    [
        (Terminal, True, f"{LINE}\r\x1b[K{LINE}\n"),
        (Terminal, False, f"{LINE}\r\x1b[K"),
        (io.StringIO, True, f"{LINE}\n"),
        (io.StringIO, False, ""),
    ],
)
def test_what_is_prepared_is_said_unless_it_is_refused(tmp_path, monkeypatch, stream, sound, said):
    monkeypatch.setattr(sys, "stderr", stream())
    missing = [jobs.Job((), NODES, tmp_path)] * 2
    try:
        with jobs._telling(missing):
            if not sound:
                raise ValueError("refused")
    except ValueError:
        assert not sound
    assert sys.stderr.getvalue() == said


@pytest.mark.parametrize("callbacks", [None, {"progress": None}, {}])
def test_jobs_without_a_progress_bar_are_prepared_in_silence(tmp_path, capsys, callbacks):
    with jobs._telling([jobs.Job((), NODES | {"callbacks": callbacks}, tmp_path)]):
        pass
    assert capsys.readouterr().err == ""


def some_jobs(tmp_path, number):
    nodes = {"trainer": {"max_steps": 100}, "force": False}
    return [
        jobs.Job(("model=rnn", f"task.k={k}"), nodes, tmp_path / f"k={k}", f"rnn-k={k}")
        for k in range(number)
    ]


def test_a_sweep_tells_how_many_jobs_are_done_and_run_and_when_all_will_end(tmp_path, monkeypatch):
    clock = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock)
    made = some_jobs(tmp_path, 4)
    for job in made:
        job.folder.mkdir()
    (made[0].folder / "config.yaml").touch()
    Run(made[0].folder).write_result({"status": "finished"})
    watch = progress.Watch(made)
    assert watch.line() == ""
    Run(made[1].folder).note_progress(0, 100, 0, 0.0, float("nan"))
    assert watch.line() == "1 of 4 jobs done, 1 running: rnn-k=1  step 0/100"
    Run(made[1].folder).note_progress(20, 100, 0, 8.0, 0.25)
    clock += 10
    # 280 steps are left at 2 a second.
    assert re.fullmatch(
        r"1 of 4 jobs done, 1 running: rnn-k=1  step 20/100  loss 0\.25  "
        r"2 min left, until \d\d:\d\d",
        watch.line(),
    )
    for job in made[2:]:
        Run(job.folder).note_progress(60, 100, 50, 8.0, 0.25)
    clock += 10
    # 40 taken, 160 left
    line = watch.line()
    told = "1 of 4 jobs done, 3 running  step 60/100 (2 runs)  step 20/100  80 s left, until "
    assert line.startswith(told)
    Run(made[1].folder).write_result({"status": "failed"})
    assert watch.line().startswith("1 of 4 jobs done, 2 running  step 60/100 (2 runs)  ")
    assert watch.line().endswith("  1 did not finish")
    for job in made[2:]:
        Run(job.folder).write_result({"status": "finished"})
    assert watch.line() == "3 of 4 jobs done  1 did not finish"


def test_runs_that_go_on_are_told_as_running(tmp_path):
    made = some_jobs(tmp_path, 2)
    for job in made:
        job.folder.mkdir()
        Run(job.folder).note_progress(30, 100, 0, 8.0, 0.25)
    Run(made[0].folder).write_result({"status": "stopped"})
    watch = progress.Watch(made)
    assert watch.line() == ""
    (made[0].folder / "result.json").unlink()
    assert watch.line() == ""
    Run(made[0].folder).note_progress(40, 100, 30, 8.0, 0.25)
    line = watch.line()
    assert line.startswith("0 of 2 jobs done, 1 running: rnn-k=0  step 40/100  loss 0.25  ")
    assert "did not finish" not in line


def test_what_is_noted_of_progress_may_be_damaged(tmp_path):
    (job,) = some_jobs(tmp_path, 1)
    job.folder.mkdir()
    watch = progress.Watch([job])
    (job.folder / ".progress").write_text('{"step": 0, "of": 9, "first": 0, "loss": 1}')
    assert "left" not in watch.line()
    for text in ("", "{", "[]", '{"step": 1}', '{"step": NaN, "of": 1, "first": 0, "left": 1}'):
        (job.folder / ".progress").write_text(text)
        assert watch.line() == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(3.2, "3 s"), (760, "13 min"), (12_000, "3 h 20 min")]
)
def test_times_are_said_as_one_says_them(seconds, said):
    assert times.duration(seconds) == said


def test_a_table_fits_and_keeps_what_tells_a_run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    row = ("model.hidden_size=16 " * 3, "finished", "0.1", f"outputs/{'k=4-' * 30}0123abcd")
    heading, line = table.lines(("job", "status", "error", "folder"), [row], ("error",))
    assert len(line) == 100
    assert line.endswith("…-0123abcd")
    assert line.startswith("model.hidden_size=16")
    assert heading.index("folder") == line.index("outputs/")
    (_, long) = table.lines(("job", "folder"), [("x" * 300, "y" * 300)])
    assert len(long) == 100
    (_, short) = table.lines(("job", "folder"), [("x", "y")])
    assert short == "x    y"


@pytest.mark.parametrize(("width", "folder"), [(120, True), (72, True), (50, False)])
def test_a_table_shortens_no_number_and_leaves_out_the_folder_instead(width, folder, monkeypatch):
    columns, numbers = ("job", "steps", "time", "folder"), ("steps", "time")
    row = ("gru-hidden_size=16-k=2", "3,000", "8.1 s (7.1 to 75)", "gru-k=2-steps=3000-a0a0a466")
    monkeypatch.setenv("COLUMNS", str(width))
    heading, line = table.lines(columns, [row], numbers)
    assert len(line) <= width
    assert "3,000  8.1 s (7.1 to 75)" in line
    assert ("folder" in heading) == folder
    assert line.startswith(row[0]) == (width != 72)
