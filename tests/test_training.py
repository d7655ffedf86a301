"""What runs, whole and interrupted, leave in TensorBoard."""

import errno

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seq2seq import train
from seq2seq.runs import Run
from seq2seq.tasks import Shift

SMALL = [
    "model=rnn",
    "model.hidden_size=4",
    "task.length=8",
    "task.k=2",
    "task.train_size=64",
    "task.val_size=16",
    "task.test_size=16",
    "task.batch_size=8",
    "callbacks.figures=null",
    "callbacks.progress=null",
]


def test_every_step_is_logged_once_however_often_it_was_trained(tmp_path, monkeypatch):
    """Interrupted at step 13, two after the last that was logged; continued from step 9."""
    arguments = [*SMALL, f"paths.outputs={tmp_path}", "trainer.max_steps=20"]
    arguments += ["trainer.log_every_n_steps=3", "callbacks.checkpoints.every_n_steps=9"]
    batch = Shift.batch

    def stop(self, step, *share):
        if step == 13:
            raise RuntimeError("power cut")
        return batch(self, step, *share)

    with monkeypatch.context() as patch:
        patch.setattr(Shift, "batch", stop)
        assert train(arguments).status == "failed"
    run = train(arguments)
    assert run.status == "finished"
    events = EventAccumulator(str(run.folder)).Reload()
    logged = [event.step for event in events.Scalars("train/loss")]
    assert logged == [1, 3, 6, 9, 12, 15, 18]


def test_a_full_disk_is_told_with_its_place_and_the_run_goes_on(tmp_path, monkeypatch):
    arguments = [*SMALL, f"paths.outputs={tmp_path}", "trainer.max_steps=20"]
    batch = Shift.batch

    def full(self, step, *share):
        if step == 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return batch(self, step, *share)

    with monkeypatch.context() as patch:
        patch.setattr(Shift, "batch", full)
        run = train(arguments)
    assert run.status == "failed"
    told = f"No space left on device, while writing below {run.folder}; free space there"
    assert told in run.result["error"]
    assert train(arguments).status == "finished"


def test_a_run_that_has_lost_its_config_is_made_whole_by_the_same_command(tmp_path):
    arguments = [*SMALL, f"paths.outputs={tmp_path}", "trainer.max_steps=20"]
    first = train(arguments)
    (first.folder / "config.yaml").unlink()
    again = train(arguments)
    assert again.folder == first.folder
    assert again.status == "finished"
    assert again.plain_config["trainer"]["max_steps"] == 20
    for key in ("steps", "test/nmse"):
        assert again.result[key] == first.result[key]


def test_pictures_are_drawn_after_every_nth_validation_and_at_the_end(tmp_path):
    arguments = [o for o in SMALL if o != "callbacks.figures=null"]
    arguments += ["callbacks.figures.every_n_validations=2", "trainer.val_check_interval=5"]
    for steps, drawn in ((20, [10, 20]), (15, [10, 15])):
        own = [f"trainer.max_steps={steps}", f"paths.outputs={tmp_path}/{steps}"]
        events = EventAccumulator(str(train([*arguments, *own]).folder)).Reload()
        assert [event.step for event in events.Images("view/predictions")] == drawn


def test_a_longer_run_counts_and_tells_what_the_shorter_one_took(tmp_path):
    """Time and provenance; `force` begins anew and has neither."""
    arguments = [*SMALL, "logger=none", f"paths.outputs={tmp_path}"]
    shorter = train([*arguments, "trainer.max_steps=20"])
    checkpoint = torch.load(shorter.checkpoints[0], weights_only=True)
    assert 0 < checkpoint["taken"]["seconds"] <= shorter.result["seconds"]
    provenance = shorter.provenance
    longer = train([*arguments, "trainer.max_steps=40"])
    assert longer.result["seconds"] > checkpoint["taken"]["seconds"]
    assert longer.provenance["before"] == [{k: v for k, v in provenance.items() if k != "before"}]
    anew = train([*arguments, "trainer.max_steps=40", "force=true"])
    assert anew.provenance["before"] == []
    assert anew.history["loss"].tolist() == longer.history["loss"].tolist()


def test_a_shorter_run_that_is_not_at_its_end_is_left_alone(tmp_path):
    arguments = [*SMALL, "logger=none", f"paths.outputs={tmp_path}"]
    shorter = train([*arguments, "trainer.max_steps=20"])
    longer = Run(str(shorter.folder).replace("steps=20", "steps=40"))
    assert longer.shorter().folder == shorter.folder
    (shorter.folder / "result.json").unlink()
    assert longer.shorter() is None


def test_a_run_in_double_precision_goes_on_without_rounding(tmp_path):
    arguments = [*SMALL, "trainer.precision=64-true", "logger=none"]
    train([*arguments, f"paths.outputs={tmp_path}/parts", "trainer.max_steps=5"])
    parts, whole = (
        train([*arguments, f"paths.outputs={tmp_path}/{name}", "trainer.max_steps=10"])
        for name in ("parts", "whole")
    )
    assert parts.history["loss"].tolist() == whole.history["loss"].tolist()
