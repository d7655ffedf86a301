"""Runs trained together end as they do alone: the serial path is the oracle."""

import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from composed import composed
from lightning import Callback
from omegaconf import DictConfig, OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seq2seq import memory
from seq2seq.analysis.report import Sweep, growth
from seq2seq.batched import batches, chunk, grouping, train_all, workers
from seq2seq.batched.member import Member
from seq2seq.build import build, load_model
from seq2seq.callbacks import Pace, StopAtTarget
from seq2seq.history import READ_EVERY
from seq2seq.processes import TOLD
from seq2seq.runs import Run, run_folder
from seq2seq.schema import ConfigError
from seq2seq.training import run

MODELS = (
    "rnn",
    "linear_rnn",
    "lstm",
    "gru",
    "tcn",
    "tcn_plain",
    "transformer",
    "diagonal_rnn",
    "lru",
    "s4d",
)
OPTIMIZERS = ("adam", "adamw", "sgd", "momentum")

TINY = [
    "task=shift",
    "task.length=10",
    "task.batch_size=8",
    "task.train_size=50",
    "task.val_size=20",
    "task.test_size=20",
    "model.hidden_size=4",
    "trainer.precision=64-true",
    "trainer.accelerator=cpu",
    "trainer.max_steps=6",
    "trainer.val_check_interval=3",
    "trainer.log_every_n_steps=2",
    "callbacks.figures=null",
    "callbacks.progress=null",
    "logger=none",
]
#: What may differ inside a group.
MEMBERS: tuple[dict[str, Any], ...] = (
    {"task.k": 1, "seed": 0, "optimizer.lr": 1e-2, "gradient_clip_val": 0.05},
    {"task.k": 4, "seed": 1, "optimizer.lr": 2e-2, "gradient_clip_val": None},
    {"task.k": 4, "seed": 0, "optimizer.lr": 5e-3, "optimizer.weight_decay": 0.1},
)


def configs(
    folder: Path, *overrides: str, members: Sequence[dict[str, Any]] = MEMBERS
) -> list[DictConfig]:
    base = changed(composed(*TINY, *overrides), {"paths.outputs": str(folder)})
    return [changed(base, member) for member in members]


def changed(base: DictConfig, values: dict[str, Any]) -> DictConfig:
    cfg = base.copy()
    for key, value in values.items():
        OmegaConf.update(cfg, key, value)
    return cfg


def both(tmp_path: Path, *overrides: str, **options: Any) -> list[tuple[Run, Run]]:
    """The same runs, each alone and all together."""
    alone = [run(cfg) for cfg in configs(tmp_path / "alone", *overrides, **options)]
    together = train_all(configs(tmp_path / "together", *overrides, **options), workers=1)
    return list(zip(alone, together, strict=True))


def assert_equal(a: Run, b: Run, tolerance: float = 1e-9) -> None:
    assert a.status == b.status, b.result
    for name in ("step", "loss", "lr"):
        np.testing.assert_allclose(a.history[name], b.history[name], rtol=0, atol=tolerance)
    assert list(a.result) == list(b.result)
    for key, value in a.result.items():
        if value is None or isinstance(value, str):
            assert b.result[key] == value, key
        elif key not in ("seconds", "cpu_seconds"):
            # Lightning keeps metrics in float32.
            assert b.result[key] == pytest.approx(value, rel=max(tolerance, 1e-6)), key


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        *((model, "adam") for model in MODELS),
        # of real and of complex numbers; the others' parameters are no different
        *((model, other) for model in ("rnn", "lru") for other in OPTIMIZERS[1:]),
    ],
)
def test_members_train_as_they_do_alone(tmp_path: Path, model: str, optimizer: str) -> None:
    steps = "trainer.max_steps=3"
    for a, b in both(
        tmp_path, f"model={model}", f"optimizer={optimizer}", steps, members=MEMBERS[1:]
    ):
        assert_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_members_train_as_they_do_alone_over_200_steps(
    tmp_path: Path, model: str, optimizer: str
) -> None:
    # Adam turns rounding in a gradient of zero, such as that of a phase, into steps of 1e-8 lr.
    members = [member | {"optimizer.lr": member["optimizer.lr"] / 10} for member in MEMBERS]
    overrides = [f"model={model}", f"optimizer={optimizer}", "trainer.max_steps=200"]
    for a, b in both(tmp_path, *overrides, members=members):
        assert_equal(a, b)


LENGTHS: tuple[dict[str, Any], ...] = (
    {"task.k": 1, "seed": 0, "task.length": 7},
    {"task.k": 4, "seed": 1, "task.length": 10, "gradient_clip_val": None},
    {"task.k": 4, "seed": 1, "task.length": 8, "optimizer.lr": 2e-2},
)


#: One of each way through time: steps, a fused kernel, a scan, convolutions; `-m slow` asks all.
WAYS = ("rnn", "rnn task.online=true", "lstm", "lru", "tcn")


@pytest.mark.parametrize(
    "model",
    [*WAYS, *(pytest.param(m, marks=pytest.mark.slow) for m in MODELS if m not in WAYS)],
)
def test_sequences_of_several_lengths_train_as_they_do_alone(tmp_path: Path, model: str) -> None:
    for a, b in both(tmp_path, *f"model={model}".split(), members=LENGTHS):
        assert_equal(a, b)


VARIANTS = {
    "relu cell": ["model=rnn", "model.cell=relu", "model.num_layers=2"],
    "two lstm layers": ["model=lstm", "model.num_layers=2"],
    "rotary window": [
        "model=transformer",
        "model.positional=rotary",
        "model.window=3",
        "model.num_heads=2",
    ],
    "cosine": ["model=rnn", "scheduler=cosine"],
    "one cycle": ["model=rnn", "scheduler=one_cycle", "scheduler.cycle_momentum=true"],
    "plateau": ["model=rnn", "scheduler=plateau", "scheduler.patience=0", "trainer.max_steps=12"],
    "nesterov": ["model=rnn", "optimizer=momentum", "optimizer.nesterov=true"],
    "another rule": ["model=rnn", "optimizer.amsgrad=true"],
    "fresh batches": ["model=rnn", "task.online=true"],
    "last time": ["model=tcn", "objective.horizon=last"],
    "linear functional": ["model=rnn", "task=linear_functional"],
    "symbols": ["model=rnn", "task=parity", "task.length=[3,10]", "task.bos=true"],
    "stored symbols": ["model=rnn", "task=group_word", "task.online=false"],
    "one answer": ["model=rnn", "task=adding"],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_train_as_they_do_alone(tmp_path: Path, variant: str) -> None:
    members = [{k: v for k, v in m.items() if k != "task.k"} for m in MEMBERS[:2]]
    for a, b in both(tmp_path, *VARIANTS[variant], members=members):
        assert_equal(a, b)


def test_the_expected_loss_is_minimised_alike(tmp_path: Path) -> None:
    overrides = ["model=diagonal_rnn", "objective=population"]
    for a, b in both(tmp_path, *overrides):
        assert_equal(a, b)


def test_float32_stays_close(tmp_path: Path) -> None:
    for a, b in both(tmp_path, "model=rnn", "trainer.precision=32-true", "trainer.max_steps=60"):
        assert_equal(a, b, tolerance=1e-5)


# ---------------------------------------------------------------------------------------- folders


def test_folders_are_those_of_runs_alone(tmp_path: Path) -> None:
    overrides = ["model=rnn", "logger=tensorboard", "trainer.max_steps=7"]
    for a, b in both(tmp_path, *overrides):
        assert names(a) == names(b)
        assert scalars(a) == scalars(b)
        ours, theirs = (torch.load(r.checkpoints[0], weights_only=True) for r in (b, a))
        assert set(ours) == set(theirs)
        assert (
            ours["optimizer_states"][0]["param_groups"]
            == (theirs["optimizer_states"][0]["param_groups"])
        )
        for key, value in theirs["state_dict"].items():
            torch.testing.assert_close(ours["state_dict"][key], value, rtol=0, atol=1e-12)
            assert ours["state_dict"][key].untyped_storage().nbytes() == value.nbytes
        x = torch.randn(2, 5, 1, dtype=torch.float64)
        torch.testing.assert_close(load_model(b).double()(x), load_model(a).double()(x))


def names(one: Run) -> set[str]:
    files = (path.relative_to(one.folder).as_posix() for path in one.folder.rglob("*"))
    return {"events" if name.startswith("events") else name for name in files}


def scalars(one: Run) -> dict[str, list[int]]:
    events = EventAccumulator(str(one.folder))
    events.Reload()
    # Files opened in the same second are not read in the order in which they were written.
    return {tag: sorted(e.step for e in events.Scalars(tag)) for tag in events.Tags()["scalars"]}


# ------------------------------------------------------------------------------- leaving a chunk


@pytest.mark.parametrize(
    ("steps", "others"), [(20, 3), pytest.param(120, 15, marks=pytest.mark.slow)]
)
def test_a_diverging_member_leaves_the_others_as_they_are(
    tmp_path: Path, steps: int, others: int
) -> None:
    members = [{"seed": seed, "task.k": 1} for seed in range(others)]
    members.insert(3, {"seed": 0, "task.k": 2, "optimizer.lr": 1e3})
    made = configs(tmp_path, "model=linear_rnn", f"trainer.max_steps={steps}", members=members)
    together = train_all(made, workers=1)
    diverged = together.pop(3)
    # Losses are looked at every so many steps, and at the end.
    assert diverged.status == "diverged"
    assert diverged.result["steps"] == min(steps, READ_EVERY)
    assert run(changed(made[3], {"paths.outputs": str(tmp_path / "alone")})).status == "diverged"
    assert {one.status for one in together} == {"finished"}
    # Without it in the sweep, the others take the same slots and end at the same numbers.
    made[3] = changed(made[3], {"optimizer.lr": 1e-3, "paths.outputs": str(tmp_path / "calm")})
    calm = [changed(cfg, {"paths.outputs": str(tmp_path / "calm")}) for cfg in made]
    expected = train_all(calm, workers=1)
    expected.pop(3)
    for a, b in zip(expected, together, strict=True):
        np.testing.assert_array_equal(a.history["loss"], b.history["loss"])
        assert a.result["val/loss"] == b.result["val/loss"]


def test_a_chunk_shrinks_when_members_reach_their_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = record_sizes(monkeypatch)
    members = [
        {"seed": s, "callbacks.stop_at_target.target": t} for s, t in enumerate((9, 9, 1e-9))
    ]
    lengths = "callbacks.generalisation.values=[12,15]"
    for a, b in both(tmp_path, "model=rnn", "trainer.max_steps=9", lengths, members=members):
        assert_equal(a, b)
        assert b.result["success"] is (b.result["steps"] == 3)
        found = [run.arrays("generalisation.npz") for run in (a, b)]
        assert found[1]["step"].tolist() == [*range(3, b.result["steps"] + 1, 3)]
        np.testing.assert_allclose(found[0]["nmse"], found[1]["nmse"], rtol=1e-6)
    assert sizes == [3, 1]


def record_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    stack = chunk.Chunk._stack

    def noted(self: chunk.Chunk, members: Sequence[Member]) -> None:
        sizes.append(len(members))
        stack(self, members)

    monkeypatch.setattr(chunk.Chunk, "_stack", noted)
    return sizes


def test_a_member_that_fails_leaves_the_others_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(self: StopAtTarget, trainer: Any, module: Any) -> None:
        if trainer.datamodule.seed == 1:
            raise RuntimeError("disk full")

    alone = [run(cfg) for cfg in configs(tmp_path / "alone", "model=rnn")]
    monkeypatch.setattr(StopAtTarget, "on_validation_end", breaks)
    together = train_all(configs(tmp_path / "together", "model=rnn"), workers=1)
    assert [b.status for b in together] == ["finished", "failed", "finished"]
    assert together[1].result["error"] == "disk full"
    assert "disk full" in (together[1].folder / "traceback.txt").read_text()
    assert_equal(alone[0], together[0])
    assert_equal(alone[2], together[2])


# ------------------------------------------------------------------------------------- resumption

EVERY_FOUR = ["model=rnn", "trainer.max_steps=12", "callbacks.checkpoints.every_n_steps=4"]
SEEDS: tuple[dict[str, Any], ...] = tuple({"seed": seed} for seed in range(3))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Runs of `MEMBERS` that were trained together from their start to their end."""
    return train_all(configs(tmp_path_factory.mktemp("whole"), *EVERY_FOUR), workers=1)


@pytest.fixture(scope="module")
def whole_seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """The same of `SEEDS`."""
    made = configs(tmp_path_factory.mktemp("seeds"), *EVERY_FOUR, members=SEEDS)
    return train_all(made, workers=1)


def interrupted(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    members: Sequence[dict[str, Any]] = MEMBERS,
) -> None:
    """Train until a kill at `step`; nothing is written after it."""

    class Killed(BaseException):
        pass

    advance = chunk.Chunk._advance

    def dies(self: chunk.Chunk, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.step == step:
            raise Killed
        return advance(self, x, y)

    made = configs(folder, *EVERY_FOUR, members=members)
    with monkeypatch.context() as patch:
        patch.setattr(chunk.Chunk, "_advance", dies)
        with pytest.raises(Killed):
            train_all(made, workers=1)


def test_runs_whose_turn_had_not_come_are_stopped_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupts(self: chunk.Chunk) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        train(self)

    train = chunk.Chunk.train
    monkeypatch.setattr(workers, "chunk_size", lambda *_: 1)
    monkeypatch.setattr(chunk.Chunk, "train", interrupts)
    made = configs(tmp_path, *EVERY_FOUR, members=SEEDS)
    with pytest.raises(KeyboardInterrupt):
        train_all(made, workers=1)
    assert {Run(run_folder(cfg)).status for cfg in made} == {"stopped"}


def assert_resumed(whole: list[Run], made: list[DictConfig]) -> None:
    """What was killed ends as it would have, up to rounding, and nothing is told twice."""
    for a, b in zip(whole, train_all(made, workers=1), strict=True):
        assert_equal(a, b)
        assert names(a) == names(b)
        ours, theirs = (torch.load(r.checkpoints[0], weights_only=True) for r in (a, b))
        for key, value in ours["state_dict"].items():
            torch.testing.assert_close(value, theirs["state_dict"][key], rtol=0, atol=1e-9)


@pytest.mark.parametrize("lost", [(), (0,), (0, 2)])
def test_a_killed_chunk_ends_where_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[Run], lost: tuple[int, ...]
) -> None:
    interrupted(tmp_path / "killed", monkeypatch, 10)
    made = configs(tmp_path / "killed", *EVERY_FOUR)
    for number in lost:  # the kill came while checkpoints were being written
        (run_folder(made[number]) / "checkpoints/step=8.ckpt").unlink()
    assert_resumed(whole, made)


@pytest.mark.parametrize("lost", [(), (1,), (0, 1, 2)])
def test_a_chunk_killed_at_its_first_checkpoint_ends_where_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_seeds: list[Run], lost: tuple[int, ...]
) -> None:
    interrupted(tmp_path / "killed", monkeypatch, 5, SEEDS)
    made = configs(tmp_path / "killed", *EVERY_FOUR, members=SEEDS)
    for number in lost:
        (run_folder(made[number]) / "checkpoints/step=4.ckpt").unlink()
    monkeypatch.setattr(workers, "chunk_size", lambda *_: 1)  # there is less memory now
    assert_resumed(whole_seeds, made)


@pytest.mark.parametrize("members", [MEMBERS, LENGTHS[1:]], ids=["equal", "padded"])
def test_a_killed_chunk_goes_on_without_those_that_had_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: Sequence[dict[str, Any]]
) -> None:
    def made(folder: str) -> list[DictConfig]:
        return configs(tmp_path / folder, *EVERY_FOUR, members=members)

    whole = train_all(made("whole"), workers=1)
    interrupted(tmp_path / "killed", monkeypatch, 10, members)
    # One run, of the longest sequences, has ended and stays so; the others are a step behind it.
    ended = run_folder(made("killed")[0])
    shutil.rmtree(ended)
    shutil.copytree(run_folder(made("whole")[0]), ended)
    sizes = record_sizes(monkeypatch)
    assert_resumed(whole, made("killed"))
    assert sizes == [len(members) - 1]


def test_a_checkpoint_that_names_the_runs_beside_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[Run]
) -> None:
    """Version 0.1 noted with whom a run shared its chunk, and how far sequences were padded."""
    interrupted(tmp_path / "killed", monkeypatch, 10)
    made = configs(tmp_path / "killed", *EVERY_FOUR)
    folders = [run_folder(cfg) for cfg in made]
    for folder in folders:
        (folder / ".slots").write_text(json.dumps([other.name for other in folders]))
        path = folder / "checkpoints/step=8.ckpt"
        stored = torch.load(path, weights_only=True)
        torch.save(stored | {"slots": [other.name for other in folders], "length": 10}, path)
    for a, b in zip(whole, train_all(made, workers=1), strict=True):
        assert_equal(a, b)


def test_alone_and_together_resume_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [run(cfg) for cfg in configs(tmp_path / "alone", *EVERY_FOUR)]
    interrupted(tmp_path / "killed", monkeypatch, 10)
    for a, cfg in zip(alone, configs(tmp_path / "killed", *EVERY_FOUR), strict=True):
        assert_equal(a, run(cfg))
    shorter = [o.replace("=12", "=6") for o in EVERY_FOUR]
    for cfg in configs(tmp_path / "extended", *shorter):
        run(cfg)
    extended = train_all(configs(tmp_path / "extended", *EVERY_FOUR), workers=1)
    for a, b in zip(alone, extended, strict=True):
        assert_equal(a, b)


def test_out_of_memory_halves_the_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = chunk.Chunk._advance

    def limited(self: chunk.Chunk, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if len(self.rows) > 1 and self.step == 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return advance(self, x, y)

    sizes = record_sizes(monkeypatch)
    monkeypatch.setattr(chunk.Chunk, "_advance", limited)
    for a, b in both(tmp_path, *EVERY_FOUR):
        assert_equal(a, b)
    assert sizes == [3, 1, 2, 1, 1]


@pytest.mark.parametrize(
    ("losses", "told"),
    [([0.25], "0.25"), ([0.5, 0.25], "0.25 to 0.5"), ([3, 1, 1.5], "1 to 3, median 1.5")],
)
def test_the_losses_of_several_runs_are_told_by_name(
    losses: list[float], told: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv(TOLD, "1")
    members = [SimpleNamespace(run=Run(Path(f"run-{n}"))) for n in range(len(losses))]
    group = SimpleNamespace(rows=members, _tells=True, _pace=Pace(0, 3000), step=1500)
    chunk.Chunk._report(group, losses)  # type: ignore[arg-type]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("run-0")
    assert f": step 1,500/3,000  val loss {told}  " in line
    assert line.endswith(" steps/s")


def test_a_complete_run_is_left_alone(tmp_path: Path) -> None:
    first = train_all(configs(tmp_path, "model=rnn"), workers=1)
    before = [(r.folder / "result.json").stat().st_mtime_ns for r in first]
    train_all(configs(tmp_path, "model=rnn"), workers=1)
    assert before == [(r.folder / "result.json").stat().st_mtime_ns for r in first]
    train_all(configs(tmp_path, "model=rnn", "force=true"), workers=1)
    assert before != [(r.folder / "result.json").stat().st_mtime_ns for r in first]


# --------------------------------------------------------------------------------------- grouping


def test_parameters_that_are_not_trained_are_each_members_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def frozen(*arguments: Any, **options: Any) -> Any:
        task, module = build(*arguments, **options)
        next(module.model.parameters()).requires_grad_(False)
        return task, module

    for place in ("seq2seq.batched.member.build", "seq2seq.training.fitting.build"):
        monkeypatch.setattr(place, frozen)
    members = [{"task.k": 4, "seed": seed} for seed in range(3)]
    for a, b in both(tmp_path, "model=rnn", members=members):
        assert_equal(a, b)


def test_shapes_part_and_values_do_not(tmp_path: Path) -> None:
    def groups(*members: dict[str, Any], base: Sequence[str] = ()) -> int:
        return len(grouping.grouped(configs(tmp_path, "model=rnn", *base, members=members)))

    assert groups(*MEMBERS) == 1
    assert groups({"task.input.scale": 1.0}, {"task.input.scale": 2.0}) == 1
    for key, value in {
        "model.hidden_size": 5,
        "task.batch_size": 4,
        "trainer.max_steps": 7,
        "task.val_size": 21,
    }.items():
        assert groups({}, {key: value}) == 2, key
    paths = ["task=lorenz96_published", "task.length=30"]
    assert groups({"task.skip": 0, "seed": 1}, {"task.skip": 0}, base=paths) == 1
    assert groups({"task.skip": 0}, {"task.skip": 20}, base=paths) == 2
    assert groups({"task.skip": 5}, {"task.skip": 5, "task.length": 31}, base=paths) == 2
    # A callback may have hooks that are not called: each class of them is looked at.
    assert groups({}, {"callbacks.references": None}) == 2


@pytest.mark.parametrize(
    ("overrides", "lengths", "sizes"),
    [
        ("model=rnn", [10, 11, 12], [3]),
        ("model=rnn", [10, 10, 100], [1, 2]),  # too far apart
        ("model=rnn", [10] * 50 + [12], [1, 50]),  # too many to pad for one
        ("model=rnn objective.horizon=last", [10, 11], [1, 1]),
    ],
)
def test_lengths_share_a_group_where_padding_pays(
    tmp_path: Path, overrides: str, lengths: list[int], sizes: list[int]
) -> None:
    members = [{"task.length": length, "seed": seed} for seed, length in enumerate(lengths)]
    groups = grouping.grouped(configs(tmp_path, *overrides.split(), members=members))
    assert [len(group) for group in groups] == sizes
    for group in groups:
        assert group[0].task.length == max(member.task.length for member in group)


class Meddler(Callback):
    """Asks for a hook that members do not have."""

    def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None: ...


REFUSALS = {
    "model.dropout=0.1 model=tcn": "dropout",
    "trainer.precision=bf16-mixed": "trainer.precision=bf16-mixed",
    "trainer.max_time=00:00:01:00": "trainer.max_time=00:00:01:00",
    "+callbacks.meddler._target_=test_vmap.Meddler allow=[test_vmap]": (
        "never calls Meddler.on_before_zero_grad"
    ),
}


@pytest.mark.parametrize("overrides", REFUSALS)
def test_what_cannot_be_batched_is_refused_before_training(tmp_path: Path, overrides: str) -> None:
    made = configs(tmp_path, "model=rnn", *overrides.split(), members=[{}, {"seed": 1}])
    with pytest.raises(ConfigError, match=REFUSALS[overrides]) as error:
        train_all(made, workers=1)
    assert str(error.value).endswith("use hydra/launcher=basic")
    assert not list(tmp_path.iterdir())


def test_chunks_have_the_size_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [{"seed": seed} for seed in range(20)]
    (group,) = grouping.grouped(configs(tmp_path, "model=rnn", members=members))
    assert grouping.chunk_size(group, workers=1) == 20
    assert grouping.chunk_size(group, workers=2) == 10
    assert grouping.chunk_size(group[:6], workers=2) == grouping.FEWEST
    assert grouping.chunk_size(group[:6], workers=2, fewest=1) == 3  # the last of a sweep
    monkeypatch.setattr(grouping, "CACHE", 1.0)
    assert grouping.chunk_size(group, workers=2) == grouping.FEWEST
    monkeypatch.setattr(memory, "available", lambda: 1.0)
    assert grouping.chunk_size(group, workers=2) == 1


def test_batches_are_those_of_each_task(tmp_path: Path) -> None:
    (group,) = grouping.grouped(configs(tmp_path, "model=rnn"))
    tasks = [member.task for member in group]
    stacked = batches.Batches(tasks, torch.zeros(1, dtype=torch.float64))
    for step in (0, 5, 6, 13):
        x, y = stacked(step)
        for task, own_x, own_y in zip(tasks, x, y, strict=True):
            for expected, own in zip(task.batch(step), (own_x, own_y), strict=True):
                assert torch.equal(expected.double(), own)
    assert len(stacked.x) == 100  # two seeds; equal inputs are stored once


def test_seconds_of_runs_trained_together_add_up_to_their_time(tmp_path: Path) -> None:
    made = configs(tmp_path, "model=rnn", "trainer.max_steps=400")
    start = time.perf_counter()
    runs = train_all(made, workers=1)
    whole = time.perf_counter() - start
    assert 0.5 * whole < sum(one.result["seconds"] for one in runs) <= whole
    assert 0 < sum(one.result["cpu_seconds"] for one in runs) <= 2 * whole


def test_processes_side_by_side_change_nothing(tmp_path: Path) -> None:
    one = train_all(configs(tmp_path / "one", "model=rnn"), workers=1)
    two = train_all(configs(tmp_path / "two", "model=rnn"), workers=2)
    for a, b in zip(one, two, strict=True):
        assert json.loads((b.folder / "result.json").read_text())["status"] == "finished"
        np.testing.assert_allclose(a.history["loss"], b.history["loss"], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_a_report_has_the_numbers_of_single_runs(tmp_path: Path) -> None:
    small = ["experiment=plateau_shift", "model.hidden_size=8", "trainer.max_steps=900"]
    small += ["optimizer.lr=5e-3", "task.val_size=50", "task.test_size=50"]
    members = [{"task.k": k, "seed": seed} for k in (1, 2, 3) for seed in (0, 1)]
    base = composed(*small, "callbacks.progress=null")
    tables, fits = [], []
    for name, train in (("alone", lambda cfgs: list(map(run, cfgs))), ("together", train_all)):
        made = [
            changed(base, member | {"paths.outputs": str(tmp_path / name)}) for member in members
        ]
        train(made)
        sweep = Sweep(tmp_path / name)
        tables.append(sweep.table.drop(columns=["seconds", "cpu_seconds", "folder"]))
        fits.append(growth(sweep)[0])
    pd.testing.assert_frame_equal(*tables, rtol=1e-3)
    alone, together = (fit.laws.exponential for fit in fits if fit.laws is not None)
    assert together.b == pytest.approx(alone.b, rel=1e-3)
    assert together.interval_b == pytest.approx(alone.interval_b, rel=1e-3)
