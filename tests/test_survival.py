"""What a run survives: damaged files, signals, kills, and the end of those that started it."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time

import numpy as np
import pytest
import torch

from seq2seq import train
from seq2seq.analysis.report.sweep import Sweep
from seq2seq.batched import train_all
from seq2seq.batched.batches import Batches
from seq2seq.files import replacing
from seq2seq.processes import serve_parent
from seq2seq.runs import LostLease, Run, find, load_checkpoint, locks
from seq2seq.runs.locks import Claims, is_held
from seq2seq.tasks import Shift
from seq2seq.training import configure

SMALL = [
    "model=rnn",
    "model.hidden_size=4",
    "task.length=8",
    "task.k=2",
    "task.train_size=64",
    "task.val_size=16",
    "task.test_size=16",
    "task.batch_size=8",
    "trainer.max_steps=30",
    "callbacks.checkpoints.every_n_steps=10",
    "callbacks.figures=null",
    "callbacks.progress=null",
    "logger=none",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing has happened to."""
    return train([*SMALL, f"paths.outputs={tmp_path_factory.mktemp('whole')}"])


@pytest.fixture
def cut(whole, tmp_path):
    """The same, as if it had been killed at its end."""
    shutil.copytree(whole.folder, tmp_path / "shift" / whole.name)
    run = Run(tmp_path / "shift" / whole.name)
    (run.folder / "result.json").unlink()
    return run


def again(run, *overrides):
    return train([*SMALL, f"paths.outputs={run.folder.parents[1]}", *overrides])


def assert_same(run, whole):
    assert run.status == "finished"
    states = [load_checkpoint(each.checkpoints[0])["state_dict"] for each in (run, whole)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])
    for name in ("history.npz", "eigenvalues.npz", "kernel.npz"):
        arrays, wanted = run.arrays(name), whole.arrays(name)
        assert all(np.array_equal(arrays[key], wanted[key]) for key in wanted), name


# ------------------------------------------------------------------------------- damaged files


def test_no_flipped_bit_of_a_checkpoint_goes_unnoticed(whole, tmp_path):
    content, draws = whole.checkpoints[0].read_bytes(), random.Random(0)
    path = tmp_path / "step=30.ckpt"
    for place in [0, len(content) - 1, len(content) - 33, *draws.sample(range(len(content)), 57)]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << draws.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"^cannot read [^\n]*step=30.ckpt: [^\n]*$"):
            load_checkpoint(path)


def test_a_run_falls_back_from_a_flipped_bit_in_a_parameter(whole, cut, caplog):
    last = cut.checkpoints[0]
    content = bytearray(last.read_bytes())
    weight = load_checkpoint(last)["state_dict"]["model.readout.weight"].numpy().tobytes()
    content[content.index(weight)] ^= 1
    last.write_bytes(content)
    caplog.set_level("INFO", "seq2seq")
    assert_same(again(cut), whole)
    assert "its checksum is wrong; falling back to an earlier one" in caplog.text
    assert "continuing from step 20" in caplog.text


def test_checkpoints_without_a_digest_are_read_and_their_parts_compared(whole, cut):
    for path in cut.checkpoints:
        stored = torch.load(path, weights_only=True)
        del stored["history"], stored["snapshots"]
        torch.save(stored, path)
    stored["state_dict"]["model.readout.weight"][:] = torch.pi
    torch.save(stored, path)
    content = path.read_bytes()
    place = content.index(np.float32(np.pi).tobytes())
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(ValueError, match="its checksum is wrong"):
        load_checkpoint(path)
    run = again(cut)
    assert run.status == "finished"
    assert np.array_equal(run.history["loss"], whole.history["loss"])


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "gone"])
def test_damaged_arrays_keep_no_run_from_going_on_and_no_report_from_being_made(whole, cut, damage):
    for name in ("history.npz", "eigenvalues.npz", "kernel.npz"):
        path = cut.folder / name
        content = path.read_bytes()
        half = len(content) // 2
        flipped = content[:half] + bytes([content[half] ^ 255]) + content[half + 1 :]
        if damage == "gone":
            path.unlink()
        else:
            new = {"cut": content[:half], "flip": flipped, "empty": b"", "text": b"no archive"}
            path.write_bytes(new[damage])
    assert np.array_equal(cut.history["loss"], whole.history["loss"])
    assert Sweep(cut.folder.parents[1]).runs
    (cut.folder / "checkpoints" / "step=30.ckpt").unlink()
    assert_same(again(cut), whole)


# ------------------------------------------------------------------------------------- signals


def interrupt(monkeypatch, number, source=Shift, method="batch"):
    """Let the data of step 13 bring a signal with them."""
    batch = getattr(source, method)

    def raising(self, at, *share):
        if at == 13:
            os.kill(os.getpid(), number)
        return batch(self, at, *share)

    monkeypatch.setattr(source, method, raising)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"])
def test_a_signal_leaves_a_checkpoint_and_the_same_command_goes_on(
    name, whole, tmp_path, monkeypatch
):
    heard = []
    number = getattr(signal, name)
    before = signal.signal(number, lambda *got: heard.append(got[0]))
    arguments = [*SMALL, f"paths.outputs={tmp_path}"]
    try:
        with monkeypatch.context() as patch:
            interrupt(patch, number)
            with pytest.raises(KeyboardInterrupt):
                train(arguments)
    finally:
        signal.signal(number, before)
    (run,) = find(tmp_path)
    assert heard == [number]  # such as what puts a job back into the queue, once all is saved
    assert run.status == "stopped"
    assert not is_held(run.folder)
    assert load_checkpoint(run.checkpoints[0])["global_step"] == 12  # which had its data before
    assert_same(train(arguments), whole)


def test_a_signal_leaves_checkpoints_of_runs_that_are_trained_together(tmp_path, monkeypatch):
    arguments = [*SMALL, f"paths.outputs={tmp_path}"]
    configs = [configure([*arguments, f"seed={seed}"]) for seed in range(2)]
    with monkeypatch.context() as patch:
        interrupt(patch, signal.SIGTERM, Batches, "__call__")
        with pytest.raises(KeyboardInterrupt):
            train_all(configs, workers=1)
    for run in find(tmp_path):
        assert run.status == "stopped"
        assert load_checkpoint(run.checkpoints[0])["global_step"] == 14
    assert {run.status for run in train_all(configs, workers=1)} == {"finished"}


def test_a_signal_in_the_last_evaluation_stops_the_run_and_the_sweep(whole, tmp_path, monkeypatch):
    arguments = [*SMALL, f"paths.outputs={tmp_path}"]
    loader = Shift.test_dataloader

    def raising(self):
        os.kill(os.getpid(), signal.SIGTERM)
        return loader(self)

    with monkeypatch.context() as patch:
        patch.setattr(Shift, "test_dataloader", raising)
        with pytest.raises(KeyboardInterrupt):
            train(arguments)
    (run,) = find(tmp_path)
    assert run.status == "stopped"
    assert_same(train(arguments), whole)


# ----------------------------------------------------------------------------------- snapshots


@pytest.mark.parametrize(
    "step", [5, *(pytest.param(s, marks=pytest.mark.slow) for s in (13, 29)), 22]
)
def test_snapshots_survive_a_kill(step, whole, tmp_path, monkeypatch):
    """On and off their schedule, with checkpoints in between and without."""
    batch = Shift.batch

    def dying(self, at, *share):
        if at == step:
            raise LostLease("killed")  # nothing more is written
        return batch(self, at, *share)

    arguments = [*SMALL, f"paths.outputs={tmp_path}"]
    with monkeypatch.context() as patch:
        patch.setattr(Shift, "batch", dying)
        run = train(arguments)
    assert run.status == "killed"
    if step > 10:
        last = load_checkpoint(run.checkpoints[0])["global_step"]
        assert run.arrays("eigenvalues.npz")["step"][-1] == last
        assert run.arrays("kernel.npz")["step"] == last
    assert_same(train(arguments), whole)


def test_snapshots_of_runs_trained_together_are_those_of_single_runs(whole, tmp_path):
    configs = [configure([*SMALL, f"paths.outputs={tmp_path}", f"trainer.max_steps={n}"])
               for n in (20, 30)]  # fmt: skip
    for cfg in configs:
        (run,) = train_all([cfg], workers=1)
    for name in ("eigenvalues.npz", "kernel.npz"):
        arrays, wanted = run.arrays(name), whole.arrays(name)
        assert all(np.allclose(arrays[key], wanted[key], atol=1e-5) for key in wanted), name
    assert run.arrays("eigenvalues.npz")["step"].tolist()[-3:] == [22, 27, 30]


# --------------------------------------------------------------------- who may write, and ends


def test_a_process_that_lost_its_run_writes_no_more_of_it(tmp_path, monkeypatch, caplog):
    batch = Shift.batch
    files = {}

    def frozen(self, at, *share):
        if at == 15:
            (lock,) = tmp_path.glob(f"*/*/{locks.NAME}")
            lock.write_text(json.dumps(["elsewhere", 1, "", "another"]))
            (lock.parent / "result.json").write_text('{"status": "finished"}')
            files.update({p: p.stat().st_mtime_ns for p in lock.parent.rglob("*") if p.is_file()})
        return batch(self, at, *share)

    monkeypatch.setattr(Shift, "batch", frozen)
    run = train([*SMALL, f"paths.outputs={tmp_path}"])
    assert run.result == {"status": "finished"}
    assert {p: p.stat().st_mtime_ns for p in run.folder.rglob("*") if p.is_file()} == files
    assert f"{run.folder} was taken over by another process" in caplog.text


def test_a_forked_worker_may_write_as_long_as_its_parent_has_the_lock(tmp_path):
    with Claims() as claims:
        claims.claim(tmp_path / "run")
        path = tmp_path / "run" / "checkpoints" / "step=1.ckpt"
        path.parent.mkdir()
        for text in ("mine", "late"):
            context = multiprocessing.get_context("fork")
            worker = context.Process(target=_write, args=(path, text))
            worker.start()
            worker.join()
            (tmp_path / "run" / locks.NAME).unlink(missing_ok=True)
        assert worker.exitcode == 1
        assert path.read_text() == "mine"
        assert [p.name for p in path.parent.iterdir()] == ["step=1.ckpt"]


def _write(path, text):
    try:
        with replacing(path) as temporary:
            temporary.write_text(text)
    except LostLease:
        raise SystemExit(1) from None


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a process of its parent's end"
)
def test_workers_end_with_their_parent():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    parent = context.Process(target=_start_worker, args=(context, queue))
    parent.start()
    worker = queue.get()
    os.kill(worker, signal.SIGTERM)  # the parent's affair
    time.sleep(0.2)
    assert locks._started(worker)
    parent.kill()
    parent.join()
    deadline = time.monotonic() + 5
    while locks._started(worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _start_worker(context, queue):
    context.Process(target=_work, args=(queue,)).start()
    time.sleep(60)


def _work(queue):
    serve_parent()
    queue.put(os.getpid())
    time.sleep(60)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[1, 2]", b"null", b"[" * 4000, b'["a", 1e999, "", ""]', b"x" * 10**7],
)
@pytest.mark.parametrize("age", [-3600, 3600])
def test_a_broken_or_skewed_lock_does_not_block_for_ever(content, age, tmp_path):
    for name in (locks.NAME, f"{locks.NAME}.takeover"):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert not is_held(tmp_path)
    with Claims() as claims:
        assert claims.claim(tmp_path) or claims.claim(tmp_path)


# ------------------------------------------------------------------------------- left by others


def test_temporary_files_of_the_dead_are_removed(cut):
    left = [".config.yaml.1234.tmp", ".history.npz.0a1b2c3d.tmp", "checkpoints/step=7.tmp"]
    left += ["checkpoints/.step=7.ckpt.0a1b2c3d.tmp"]
    for name in left:
        (cut.folder / name).touch()
    assert again(cut).status == "finished"
    assert not [*cut.folder.rglob("*.tmp")]


def test_elsewhere_they_are_removed_when_nobody_has_written_to_them_for_long(tmp_path):
    old, new = tmp_path / ".data.0a1b2c3d.tmp", tmp_path / ".data.1a1b2c3d.tmp"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    with replacing(tmp_path / "data") as temporary:
        temporary.touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "data"]
