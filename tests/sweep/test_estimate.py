"""What `dry_run=true` says of time, and that it looks at every job."""

import itertools
import json
import re

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from seq2seq import schema
from seq2seq.schema import ConfigError
from seq2seq.sweep import estimate
from seq2seq.sweep.jobs import plan

TINY = ["task.k=1", "task.length=8", "task.batch_size=4", "callbacks.figures=null", "logger=none"]


def jobs(tmp_path, *choices):
    schema.register()
    common = [*TINY, f"paths.outputs={tmp_path}"]
    with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
        return plan(
            (one, compose("train", overrides=[*common, *one]))
            for one in itertools.product(*choices)
        )


@pytest.mark.parametrize(
    ("choices", "named"),
    [
        ([("task.k=1", "task.k=2"), ("seed=0", "seed=1"), ("task.k=1", "task.k=9")], "task.length"),
        ([("model=rnn",), ("model.hidden_size=2", "model.hidden_size=0")], "hidden_size"),
        ([("model=rnn", "model=transformer"), ("model.hidden_size=6",)], "num_heads"),
        (
            [("task.k=1", "task.k=2"), ("optimizer.betas=[0.9,0.9]", "optimizer.betas=[2,2]")],
            "beta",
        ),
        (
            [("seed=0", "seed=1"), ("trainer.precision=32-true", "trainer.precision=7")],
            "precision",
        ),
        (
            [
                ("model=esn", "task=shift"),
                ("optimizer.lr=1",),
                ("objective=sampled", "objective=ridge"),
                ("optimizer=sgd", "optimizer=adam"),
            ],
            "objective=ridge needs plain steps",
        ),
        ([("seed=0",), ("gradient_clip_val=1", "gradient_clip_val=-1")], "gradient_clip_val"),
        ([("seed=0",), ("trainer.max_steps=9", "trainer.max_steps=0")], "trainer.max_steps"),
        ([("seed=0", "seed=-1")], "seed must not be negative"),
        ([("seed=0",), ("seed=0", "callbacks.stop_at_target.monitor=val/x")], "monitor"),
    ],
)
def test_a_job_that_cannot_be_run_is_refused_wherever_it_stands(tmp_path, choices, named):
    with pytest.raises(ConfigError, match=named):
        jobs(tmp_path, *choices)
    assert not list(tmp_path.iterdir())


def test_each_shape_is_timed_once_and_others_lie_between(tmp_path, monkeypatch, capsys):
    timed = []

    def measure(cfg, limit):
        timed.append((cfg.model.hidden_size, limit))
        return np.array([1.0, 0.5, 2.0]) * cfg.model.hidden_size

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(estimate, "_timed", measure)
    monkeypatch.setattr(estimate, "MOST", 2)
    sizes = [f"model.hidden_size={n}" for n in (2, 4, 8)]
    wanted = ["model=rnn"], sizes, ["task.k=1", "task.k=2"], ["trainer.max_steps=3"]
    found = jobs(tmp_path, *wanted)
    found[0].folder.mkdir(parents=True)
    (found[0].folder / "config.yaml").touch()
    found[0].run.write_result({"status": "finished"})
    estimate.show_estimate(jobs(tmp_path, *wanted))
    assert sorted(timed) == [(2, 1.0), (8, 1.0)]
    *rows, last, less = capsys.readouterr().out.splitlines()
    assert "0.0 s  " in rows[1]
    assert "6.0 s (3.0 to 12)" in rows[2]
    between = float(rows[3].split(" s (")[0].split()[-1])
    assert 6 < between < 24
    assert "24 s (12 to 48)" in rows[5]
    total = 6 + 2 * between + 2 * 24
    told = re.fullmatch(r"6 jobs, about (\d+) s \(\d+ s to \d min\) one after another;", last)
    assert float(told[1]) == pytest.approx(total, abs=1)
    assert less == "less where runs are trained together or end early"
    estimate.show_estimate(jobs(tmp_path, *wanted), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [one["already_done"] for one in told] == [True] + [False] * 5
    assert [told[1][f"{which}seconds"] for which in ("", "least_", "most_")] == [6, 3, 12]
    assert told[1]["parameters"] == 2 * (1 + 2 + 1) + 2 + 1


def test_the_times_are_whole_on_a_narrow_terminal(tmp_path, monkeypatch, capsys):
    measured = np.array([0.0123, 0.0101, 0.0456])
    monkeypatch.setattr(estimate, "_timed", lambda cfg, limit: measured)
    monkeypatch.setenv("COLUMNS", "80")
    seeds = ["seed=10", "seed=11"]
    estimate.show_estimate(jobs(tmp_path, ["trainer.max_steps=8000"], ["task.k=3"], seeds))
    heading, *rows, last, less = capsys.readouterr().out.splitlines()
    assert heading.split() == ["job", "parameters", "memory", "steps", "status", "time"]
    for row, job in zip(rows, seeds, strict=True):
        assert row.startswith(job)
        assert row.endswith(" 8,000  to do   98 s (81 to 365)")
    assert max(map(len, [heading, *rows])) <= 80
    assert last == "2 jobs, about 3 min (3 min to 12 min) one after another;"
    assert less.startswith("less where")


def test_a_short_time_is_told_in_seconds(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(estimate, "_timed", lambda cfg, limit: np.array([0.024, 0.012, 0.048]))
    estimate.show_estimate(jobs(tmp_path, ["trainer.max_steps=1000"]))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "1 job, about 24 s (12 s to 48 s); less if it ends early"


def test_a_step_is_timed_for_as_long_as_it_is_told(tmp_path):
    (job,) = jobs(tmp_path, ["model=rnn"], ["model.hidden_size=2"])
    middle, least, most = estimate._timed(job.config, 0.05)
    assert 0 < least <= middle <= most < 1
