"""Stopping after the escape, and the snapshots that reports are drawn from."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seq2seq import train
from seq2seq.analysis.plateau import find
from seq2seq.build import build_task, load_model
from seq2seq.callbacks import Pace, Snapshots, StopAfterEscape
from seq2seq.history import READ_EVERY, History
from seq2seq.processes import TOLD
from seq2seq.runs import trajectory_hash
from seq2seq.sweep.jobs import show_result
from seq2seq.training import configure

SMALL = [
    "task/input=white",
    "task.k=2",
    "task.length=8",
    "task.val_size=16",
    "task.test_size=16",
    "task.batch_size=16",
    "task.online=true",
    "model=rnn",
    "model.hidden_size=8",
    "gradient_clip_val=null",
    "optimizer.lr=1e-2",
    "logger=none",
    "callbacks.figures=null",
    "trainer.log_every_n_steps=10",
    "trainer.val_check_interval=1000",
]
STOP = "+callbacks.stop_after_escape={_target_: seq2seq.callbacks.StopAfterEscape"


def run(folder, *overrides):
    return train([*SMALL, f"paths.outputs={folder}", *overrides])


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    return run(tmp_path_factory.mktemp("runs"), "trainer.max_steps=600", STOP + ", extra: 9.0}")


def test_a_run_stops_at_its_escape_and_the_share_asked_for(stopped):
    reference = stopped.result["reference/memoryless"]
    (plateau,) = find(stopped.history, reference)
    steps = stopped.result["steps"]
    assert stopped.status == "finished"
    assert 10 * plateau.escape <= steps < 10 * plateau.escape + READ_EVERY < 600


def test_where_a_run_stops_depends_neither_on_logging_nor_on_interruptions(stopped, tmp_path):
    stop, steps = STOP + ", extra: 9.0}", stopped.result["steps"]
    run(tmp_path, stop, f"trainer.max_steps={steps - 60}")
    other = run(tmp_path, stop, "trainer.max_steps=600", "trainer.log_every_n_steps=7")
    assert other.name == stopped.name
    assert other.result["steps"] == steps
    assert np.array_equal(other.history["loss"], stopped.history["loss"])


def stopping_step(resumed_at, losses, extra):
    """Where `StopAfterEscape` ends a run with these losses that was resumed at a step."""
    module, trainer = SimpleNamespace(history=History()), SimpleNamespace(should_stop=False)
    module.history.steps, module.history.losses = [*range(1, len(losses) + 1)], losses
    callback = StopAfterEscape(reference=1.0, extra=extra)
    trainer.global_step = resumed_at
    callback.on_train_start(trainer, module)
    while not trainer.should_stop and trainer.global_step < len(losses):
        trainer.global_step += 1
        callback.on_train_batch_end(trainer, module)
    return trainer.global_step


@pytest.mark.parametrize("extra", [0.0, 0.02])
@pytest.mark.parametrize("escape", [2560, 4010, 5520])
def test_a_resumed_run_looks_for_its_escape_when_the_whole_one_would(escape, extra):
    """Beyond step 2500 looks are further apart than blocks of losses, at which it may stop."""
    losses = [1.0] * escape + [0.01] * 1000
    whole = stopping_step(0, losses, extra)
    assert escape < whole < escape + 500
    for resumed_at in range(whole - 400, whole, 25):
        assert stopping_step(resumed_at, losses, extra) == whole
    assert stopping_step(whole, losses, extra) == whole  # it had only no result yet


def test_what_stops_a_run_belongs_to_its_identity():
    """What only watches it does not."""
    target = "callbacks.stop_at_target.target=0.1"
    stops = [[], [target], [target, "callbacks.stop_at_target.monitor=val/loss"]]
    stops += [[STOP + "}"], [STOP + ", extra: 2.0}"]]
    assert len({trajectory_hash(configure(stop)) for stop in stops}) == len(stops)
    names = ("progress", "figures", "snapshots", "references")
    watching = ["callbacks.checkpoints.every_n_steps=7", *(f"callbacks.{n}=null" for n in names)]
    assert trajectory_hash(configure(watching)) == trajectory_hash(configure())


@pytest.mark.parametrize(("target", "steps"), [(9.0, 10), (1e-9, 30)])
def test_a_run_ends_at_the_first_validation_that_meets_its_target(tmp_path, target, steps):
    often = ["trainer.max_steps=30", "trainer.val_check_interval=10"]
    result = run(tmp_path, *often, f"callbacks.stop_at_target.target={target}").result
    assert (result["status"], result["steps"]) == ("finished", steps)


def test_a_run_that_has_met_its_target_trains_no_further_when_it_goes_on(tmp_path):
    """Killed before its result was written, or asked for again with more steps."""
    often = ["trainer.val_check_interval=10", "callbacks.stop_at_target.target=9.0"]
    first = run(tmp_path, *often, "trainer.max_steps=30")
    result = first.result
    (first.folder / "result.json").unlink()
    again = run(tmp_path, *often, "trainer.max_steps=30").result
    longer = run(tmp_path, *often, "trainer.max_steps=50").result
    for other in (again, longer):
        for key in ("steps", "success/step", "val/nmse", "test/nmse"):
            assert other[key] == result[key], key


def test_a_run_that_has_diverged_trains_no_further_when_it_goes_on(tmp_path):
    wild = ["model=linear_rnn", "optimizer=sgd", "optimizer.lr=1e4"]
    first = run(tmp_path, *wild, "trainer.max_steps=150")
    result = first.result
    assert result["status"] == "diverged"
    (first.folder / "result.json").unlink()
    for steps in (150, 200):
        again = run(tmp_path, *wild, f"trainer.max_steps={steps}").result
        assert (again["status"], again["steps"]) == ("diverged", result["steps"])


PARITY = [
    *("task=parity", "task.length=4", "task.supervise=all", "task.val_size=64"),
    *("task.test_size=64", "task.batch_size=32", "model=rnn", "model.hidden_size=16"),
    *("optimizer.lr=1e-2", "logger=none", "callbacks.figures=null", "trainer.max_steps=120"),
    *("trainer.val_check_interval=10", "callbacks.checkpoints.every_n_steps=30"),
    *("callbacks.stop_at_target.monitor=val/accuracy", "callbacks.generalisation.values=[6,9]"),
]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """A run that learns parity, and trains on."""
    folder = tmp_path_factory.mktemp("tracked")
    stops = ["callbacks.stop_at_target.target=0.99", "callbacks.stop_at_target.stop=false"]
    return train([*PARITY, *stops, f"paths.outputs={folder}"])


def test_an_accuracy_is_reached_from_below_and_the_first_time_counts(tracked, tmp_path):
    result = tracked.result
    step = result["success/step"]
    assert (result["success"], result["steps"]) == (True, 120)
    assert (result["success/metric"], result["success/threshold"]) == ("val/accuracy", 0.99)
    assert 0 < step < 120
    stopped = train([*PARITY, "callbacks.stop_at_target.target=0.99", f"paths.outputs={tmp_path}"])
    assert stopped.result["steps"] == stopped.result["success/step"] == step
    never = ["callbacks.stop_at_target.target=1.0", "trainer.max_steps=10"]
    result = train([*PARITY, *never, f"paths.outputs={tmp_path}"]).result
    assert (result["success"], result["success/step"], result["steps"]) == (False, None, 10)


def test_success_and_other_lengths_survive_an_interruption(tracked, tmp_path):
    """The checkpoint that is left is one after the success."""
    stops = ["callbacks.stop_at_target.target=0.99", "callbacks.stop_at_target.stop=false"]
    again = train([*PARITY, *stops, f"paths.outputs={tmp_path}"])
    (again.folder / "result.json").unlink()
    (again.folder / "generalisation.npz").unlink()
    again.checkpoints[0].unlink()
    again = train([*PARITY, *stops, f"paths.outputs={tmp_path}"])
    names = [key for key in tracked.result if key.startswith(("success", "generalisation"))]
    assert {key: again.result[key] for key in names} == {key: tracked.result[key] for key in names}
    whole, resumed = (run.arrays("generalisation.npz") for run in (tracked, again))
    assert all(np.array_equal(whole[key], resumed[key]) for key in whole)


def test_other_lengths_are_validated_as_the_run_trains(tracked):
    found = tracked.arrays("generalisation.npz")
    assert found["step"].tolist() == [*range(10, 121, 10)]
    assert found["values"].tolist() == ["6", "9"]
    assert found["accuracy"].shape == (12, 2)
    model = load_model(tracked)
    task = build_task(configure([*PARITY, "task.length=9"]))
    x, y = task.split("val")
    with torch.no_grad():
        right = (model(x).argmax(-1) == y).float().mean()
    assert found["accuracy"][-1, 1] == pytest.approx(float(right))
    assert tracked.result["generalisation/accuracy/length_9"] == found["accuracy"][-1, 1]


def test_without_an_escape_it_runs_to_the_end(tmp_path):
    result = run(tmp_path, "trainer.max_steps=40", "optimizer.lr=1e-6", STOP + "}").result
    assert (result["status"], result["steps"]) == ("finished", 40)


def test_snapshots_hold_eigenvalues_and_kernel(stopped):
    with np.load(stopped.folder / "eigenvalues.npz") as stored:
        step, eigenvalues = stored["step"], stored["eigenvalues"]
    steps = stopped.result["steps"]
    assert step[:4].tolist() == [0, 1, 2, 3]
    assert step[-1] == steps
    assert (np.diff(step[step < steps])[3:] <= 0.25 * step[step < steps][3:-1] + 1).all()
    assert eigenvalues.shape == (len(step), 1, 8)
    final = load_model(stopped).eigenvalues()[0].numpy()
    assert np.sort_complex(eigenvalues[-1, 0]) == pytest.approx(np.sort_complex(final), abs=1e-6)
    with np.load(stopped.folder / "kernel.npz") as stored:
        assert stored["step"] == steps
        assert stored["true"].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
        assert np.argmax(stored["learned"]) == 2


def test_a_longer_run_keeps_the_snapshots_of_the_shorter(tmp_path):
    run(tmp_path, "trainer.max_steps=20")
    continued = run(tmp_path, "trainer.max_steps=40")
    whole = run(tmp_path / "whole", "trainer.max_steps=40")
    with np.load(continued.folder / "eigenvalues.npz") as stored:
        steps = stored["step"]
        last = stored["eigenvalues"][-1]
    assert steps[-1] == 40
    assert (np.diff(steps) > 0).all()
    with np.load(whole.folder / "eigenvalues.npz") as stored:
        assert np.array_equal(stored["eigenvalues"][-1], last)


def test_snapshots_beyond_the_checkpoint_are_taken_again(tmp_path):
    arguments = ["trainer.max_steps=40", "callbacks.checkpoints.every_n_steps=22"]
    path = run(tmp_path, *arguments).folder / "eigenvalues.npz"
    (path.parent / "result.json").unlink()
    (path.parent / "checkpoints" / "step=40.ckpt").unlink()
    with np.load(path) as stored:
        step, eigenvalues = stored["step"], stored["eigenvalues"]
    np.savez(path, step=step, eigenvalues=eigenvalues * (step <= 22)[:, None, None])
    run(tmp_path, *arguments)
    with np.load(path) as stored:
        assert stored["step"].tolist() == step.tolist()  # 22 among them, and once
        assert stored["eigenvalues"].any((1, 2)).all()
        assert np.array_equal(stored["eigenvalues"][-1], eigenvalues[-1])


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: StopAfterEscape(extra=-1), "extra"),
        (lambda: StopAfterEscape(window=0), "callbacks.stop_after_escape: exit must .* window=0"),
        (lambda: StopAfterEscape(false_alarm=1.0), "callbacks.stop_after_escape: false_alarm"),
        (lambda: Snapshots(growth=1), "growth"),
    ],
)
def test_arguments_out_of_range_are_refused(make, key):
    with pytest.raises(ValueError, match=key):
        make()


def test_lines_of_runs_side_by_side_begin_with_their_names(tmp_path, monkeypatch, capsys):
    more = ("trainer.max_steps=20", "trainer.val_check_interval=10")
    run(tmp_path / "alone", *more)
    alone = capsys.readouterr().err
    assert "\nstep 10/20  loss " in f"\n{alone}"
    assert " s left\n" in alone
    monkeypatch.setenv(TOLD, "1")
    one = run(tmp_path / "in_a_sweep", *more)
    said = capsys.readouterr().err
    assert f"{one.name}: step 10/20  loss " in said
    assert " left" not in said  # the sweep says what is left of all


def test_steps_are_told_in_one_format(monkeypatch):
    monkeypatch.delenv(TOLD, raising=False)
    assert Pace(0, 3000).line(0, "loss 1") == "step 0/3,000  loss 1"
    assert Pace(0, 30_000).line(1500, "loss 1").startswith("step 1,500/30,000  loss 1  ")


def test_a_run_that_a_callback_ended_says_so(tmp_path, capsys):
    job = SimpleNamespace(
        folder=tmp_path,
        run=SimpleNamespace(result={"status": "finished", "steps": 70}),
        nodes={"trainer": {"max_steps": 100}, "callbacks": {"stop_at_target": {"target": None}}},
    )
    show_result(job)
    assert "ended by" not in capsys.readouterr().out
    job.nodes["callbacks"]["stop_after_escape"] = {"extra": 0.5}
    show_result(job)
    said = "ended by callbacks.stop_after_escape, before trainer.max_steps=100"
    assert said in capsys.readouterr().out
