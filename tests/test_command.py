"""`train.py` as its users call it: a command in a folder of its own."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import shell
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seq2seq.build import load_model
from seq2seq.errors import for_terminal
from seq2seq.programs.completion import offers
from seq2seq.programs.train import describe
from seq2seq.runs import Run, collect, load_checkpoint
from seq2seq.schema import Catalogue, choices

ROOT = Path(__file__).parents[1]
TINY = [
    "task.length=12",
    "task.k=2",
    "task.train_size=256",
    "task.val_size=64",
    "task.test_size=64",
    "task.batch_size=16",
    "model.hidden_size=4",
]


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return shell.run(shell.TRAIN, *arguments, cwd=folder)


def only_run(folder: Path) -> Run:
    (result,) = folder.glob("outputs/*/*/config.yaml")
    return Run(result.parent)


BAD = {
    "task=shfit": "did you mean 'shift'",
    "model=tnc": "model=tnc: no such model; did you mean 'tcn'?\n",
    "model=zzz": "model=zzz: no such model; known: cornn, deltanet, ",
    "model.hiden_size=8": "did you mean 'model.hidden_size'",
    "model.cell=gru": "unknown key model.cell; it is a key of model=gru, ",
    "task.k=abc": "task.k must be a whole number, got abc",
    "optimizer.lr=abc": "optimizer.lr must be a number, got abc",
    "+task.foo=1": "unknown key task.foo",
    "trainer.max_stps=5": "did you mean 'trainer.max_steps'",
    "trainer.max_steps=0": "trainer.max_steps must be at least 1, got max_steps=0",
    "optimizr=sgd": "did you mean 'optimizer'",
    "task.input=white": "write task/input=white",
    "model.cell=lstmm model=rnn": "model.cell must be one of",
    "-m task.k=4,8,abc": "task.k must be a whole number, got abc",
    "task.k=4,8": "add -m",
    "model._target_=os.system": "if you trust it, add allow=[os]",
    "--config-dir=extra experiment=typo": "did you mean 'task.length'",
    "task.k=[1": "task.k=[1",
    "--config-dir=extra model=missing": "extra/model/missing.yaml: no module named 'lab'",
    "--config-dir=extra model=binary": "extra/model/binary.yaml: it is no text in UTF-8",
    "--config-dir=extra model=loop": "the defaults of model/loop.yaml lead back to it",
    "--config-dir=extra experiment=parms": "did you mean 'hydra.sweeper.params'",
    "hydra.searchpath=extra": "must be a list; write hydra.searchpath=[extra]",
    "--config-dir=extra model=tnc": "did you mean 'tcn'",
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_gets_one_line_and_leaves_nothing(arguments, tmp_path):
    extra = tmp_path / "extra" / "experiment"
    extra.mkdir(parents=True)
    (extra / "typo.yaml").write_text("# @package _global_\ntask:\n  lenght: 12\n")
    (tmp_path / "extra" / "model").mkdir()
    (tmp_path / "extra" / "model" / "missing.yaml").write_text(
        "defaults: [missing_schema, _self_]\n_target_: lab.Missing\n"
    )
    (tmp_path / "extra" / "model" / "loop.yaml").write_text("defaults: [loop, _self_]\n")
    (extra / "parms.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {parms: {task.k: '1,2'}}}\n"
    )
    (tmp_path / "extra" / "model" / "binary.yaml").write_bytes(b"\xff\xfe")
    done = call(tmp_path, *arguments.split())
    assert done.returncode == 2
    (line,) = done.stderr.splitlines(keepends=True)
    assert BAD[arguments] in line
    assert done.stdout == ""
    assert os.listdir(tmp_path) == ["extra"]


def test_names_that_a_refusal_lists_are_whole_on_a_terminal(monkeypatch):
    line = f"train.py: model=zzz: no such model; known: {', '.join(choices()['model'])}"
    assert for_terminal(line) == line
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    told = for_terminal(line).splitlines()
    assert max(map(len, told)) <= 80
    assert " ".join(text.strip() for text in told) == line
    remedy = f"cannot read {'x' * 60}; for a text write 'task.path=\"a b\"'"
    assert for_terminal(remedy) == remedy


def test_constructor_rules_are_checked_before_anything_is_written(tmp_path):
    done = call(tmp_path, "-m", "task.length=32", "task.k=8,40")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "k must be smaller than length, got k=40, length=32" in line
    assert os.listdir(tmp_path) == []


OFFERED = {
    "train.py model=tr": "model=transformer model=transformer_5x32",
    "python train.py -m model=rnn,gr": "model=rnn,gru",
    "python -m seq2seq train optimizer=sgd optimizer.m": "optimizer.maximize= optimizer.momentum=",
    "seq2seq train task=lorenz96 task.in": "task.initial_state= task.input.",
    "seq2seq train task/input=ar1 task.input.": "task.input.coefficient= task.input.scale=",
    "seq2seq train model=gru model.cell=": " ".join(
        f"model.cell={cell}" for cell in ("gru", "linear", "lstm", "relu", "tanh")
    ),
    "train.py hydra/sweeper=b": "hydra/sweeper=boundary",
    "train.py hydra/launcher=j": "hydra/launcher=joblib",
    "train.py task.online=": "task.online=false task.online=true",
    "train.py modle=rnn tas": "task. task=",
    "train.py callbacks.sna": "callbacks.snapshots.",
    "train.py --v": "--version",
    "train.py nothing": "",
    "seq2seq re": "report",
    "seq2seq runs wa": "watch=",
}


@pytest.mark.parametrize("line", OFFERED)
def test_completion_offers_what_can_be_chosen(line):
    assert offers(line) == OFFERED[line].split()


def test_completion_is_at_once_and_offers_no_schema(tmp_path):
    code = (
        "import os, sys; from seq2seq.programs import run; os.environ['COMP_LINE'] = "
        "'train.py '; run('train', ['-sc', 'query=bash']); print(*sys.modules)"
    )
    told = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=tmp_path)
    offered, loaded = told.splitlines()
    assert "model=" in offered.split()
    assert "_" not in {word[0] for word in offered.split()}
    assert not {"torch", "hydra", "omegaconf"} & {*loaded.split()}


@pytest.mark.parametrize("group", ["task", "model"])
def test_help_tells_what_can_be_set_of_every_choice(group):
    for name in choices()[group]:
        told = [*describe([f"{group}={name}", "--help"], "train.py")]
        assert max(map(len, "\n".join(told).splitlines())) <= 100
        keys = [*Catalogue([f"{group}={name}"]).keys(group)]
        assert {key.name for key in keys} <= {line.split()[0] for line in told if line.strip()}
        assert not [key.name for key in keys if not key.meaning or not key.type]


def test_help_tells_types_defaults_and_values_as_given():
    told = "\n".join(describe(["model=tcn", "model.dropout=0.5", "task=shift", "-h"], "train.py"))
    for key, kind, value in (
        ("model.kernel_size", "int", "3"),
        ("model.dropout", "float", "0.5"),
        ("model.variant", "residual|plain", "residual"),
        ("task.input.length_scale", "float", "1"),
    ):
        assert re.search(rf"^  {key} +{re.escape(kind)} +{value}  +\w", told, re.MULTILINE), key


@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_lists_the_launchers_and_fits(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    told = "\n".join(describe(["--help"], "train.py"))
    assert max(map(len, told.splitlines())) <= min(width, 100)
    assert "  python train.py -m model=rnn,tcn task.k=4,8 seed=0,1,2" in told
    shown = re.search(r"^Launchers.*?\n\n", told, re.DOTALL | re.MULTILINE)
    names = {line.split()[0] for line in shown[0].splitlines()[1:] if line}
    assert names >= {"basic", "joblib", *choices()["hydra/launcher"]}
    groups = re.findall(r"^  (\S+): ", told, re.MULTILINE)
    assert [*dict.fromkeys(group.partition("/")[0] for group in groups)][:2] == ["model", "task"]


def test_help_lists_the_choices_without_loading_torch(tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "train.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "model: " in done.stdout
    assert "_schema" not in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "yaml" in loaded
    assert not loaded & {"torch", "lightning", "matplotlib", "pandas"}
    assert os.listdir(tmp_path) == []


def test_one_run_leaves_a_complete_folder_and_is_not_repeated(tmp_path):
    arguments = ["model=rnn", *TINY, "trainer.max_steps=120", "trainer.val_check_interval=50"]
    done = call(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path)
    result = json.loads((run.folder / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["steps"] == 120
    assert result["val/nmse"] < 2
    # k = 2 of 12 steps of a process of unit variance
    assert result["reference/zero"] == pytest.approx(10 / 12)
    assert result["parameters"] == sum(p.numel() for p in load_model(run).parameters())
    assert run.history["step"].tolist() == list(range(1, 121))
    assert np.isfinite(run.history["loss"]).all()
    assert set(run.history["lr"]) == {1e-3}
    checkpoint = load_checkpoint(run.checkpoints[0])
    assert checkpoint["global_step"] == 120
    assert "\nstep 100/120" in f"\n{done.stderr}"
    events = EventAccumulator(str(run.folder)).Reload()
    scalars = set(events.Tags()["scalars"])
    assert {"train/loss", "train/lr", "train/grad_norm", "val/loss", "val/nmse"} <= scalars
    assert {f"val_reference{unit}/zero" for unit in ("", "_nmse", "_dB")} <= scalars
    groups = sorted({tag.partition("/")[0] for tag in scalars})
    assert groups[:3] == ["test", "train", "val"]  # those of reference predictors come last
    command, config = (
        events.Tensors(f"{name}/text_summary")[0].tensor_proto.string_val[0].decode()
        for name in ("command", "config")
    )
    assert "python train.py" in command
    assert "task.k=2" in command
    assert "hidden_size: " in config
    assert "task.k: 2" in (run.folder / "hparams.yaml").read_text()
    charts = events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    assert b"val/nmse_dB" in charts
    assert b"val_reference_dB/memoryless" in charts
    errors = {event.step: event.value for event in events.Scalars("val/nmse")}
    decibels = {event.step: event.value for event in events.Scalars("val/nmse_dB")}
    assert [*decibels] == [*errors][:-1] == [50, 100]
    assert decibels[100] == pytest.approx(10 * math.log10(errors[100]), abs=1e-3)
    assert [event.step for event in events.Scalars("test/nmse")][-1] == 120
    assert {"view/predictions", "view/response"} <= set(events.Tags()["images"])
    logged = {event.step: event.value for event in events.Scalars("train/loss")}
    assert logged[100] == pytest.approx(run.history["loss"][99], rel=1e-5)
    assert (run.folder / ".hydra" / "overrides.yaml").exists()

    written = (run.folder / "result.json").stat().st_mtime_ns
    again = call(tmp_path, *arguments)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    assert "val/nmse" in again.stdout
    assert (run.folder / "result.json").stat().st_mtime_ns == written


def test_a_sweep_runs_what_is_missing_and_tells_how_all_ended(tmp_path):
    arguments = [
        "-m",
        "model=rnn,transformer",
        *[o for o in TINY if not o.startswith("task.k")],
        "model.hidden_size=8",
        "task.k=1,2",
        "trainer.max_steps=6",
        "callbacks.figures=null",
    ]
    first = call(tmp_path, *arguments)
    assert first.returncode == 0, first.stderr
    assert "\x1b" not in first.stderr + first.stdout
    assert "\n4 of 4 jobs done\n" in first.stderr
    rows = [line for line in first.stdout.splitlines() if "finished" in line]
    assert len(rows) == 4
    assert "rnn-k=1 " in rows[0]
    frame = collect(tmp_path / "outputs")
    assert sorted(zip(frame["model"], frame["task.k"], strict=True)) == [
        ("RNN", 1),
        ("RNN", 2),
        ("Transformer", 1),
        ("Transformer", 2),
    ]
    assert (frame["status"] == "finished").all()

    times = {f: (Path(f) / "result.json").stat().st_mtime_ns for f in frame["folder"]}
    gone = frame["folder"][1]
    shutil.rmtree(tmp_path / gone)
    second = call(tmp_path, *arguments)
    assert second.returncode == 0
    changed = {f for f, t in times.items() if (Path(f) / "result.json").stat().st_mtime_ns != t}
    assert changed == {gone}

    assert second.stdout.count("already done") == 3
    assert second.stdout.count("finished") == 1
    third = call(tmp_path, *arguments)
    assert "nothing to do: all 4 jobs are complete" in third.stdout
    assert third.stdout.count("already done") == 4
    assert "claim" not in third.stdout
    reworded = call(tmp_path, *arguments, "claim=All is well")
    assert "4 of 4 jobs were trained under a claim with other words (claim)" in reworded.stdout
    judged = "refuted_if=[{quantity: steps, above: 9}]"
    for more in ([], ["dry_run=true"]):
        said = call(tmp_path, *arguments, "claim=All is well", judged, *more).stdout
        assert "4 of 4 jobs were trained under a claim by other criteria (refuted_if)" in said
    of_others = "{task.k: [2.0, 7], model: rnnn, task.filter: power_law, success: 1}"
    of_others = f"refuted_if=[{{quantity: steps, where: {of_others}, above: 9}}]"
    said = call(tmp_path, *arguments, "claim=All is well", of_others, "dry_run=true").stderr
    assert said.startswith(
        "refuted_if is about runs with task.k=7, model=rnnn (did you mean 'rnn'?), "
        "task.filter=power_law, which no job has; without such runs"
    )
    assert max(map(len, third.stdout.splitlines())) <= 100
    told = json.loads(call(tmp_path, *arguments, "--json").stdout)
    results = dict(zip(frame["folder"], frame["val/nmse"], strict=True))
    assert {str(tmp_path / job["folder"]): job["val/nmse"] for job in told} == (
        pytest.approx(results)
    )
    assert told[0]["job"] == "rnn-k=1"
    assert all(job["already_done"] for job in told)


def test_a_failing_job_does_not_hide_the_others(tmp_path, monkeypatch):
    """The failing one is a task from outside, found by its search path and allowed by name."""
    (tmp_path / "elsewhere.py").write_text(
        "from seq2seq.tasks import Shift\n"
        "class Broken(Shift):\n"
        "    def targets(self, x):\n"
        "        raise RuntimeError('no targets\\ntoday')\n"
    )
    group = tmp_path / "conf" / "task"
    group.mkdir(parents=True)
    (group / "broken.yaml").write_text(
        "defaults:\n  - shift\n  - _self_\n_target_: elsewhere.Broken\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    arguments = ["-m", "task=broken,shift", *TINY, "model=rnn", "trainer.max_steps=5"]
    arguments += ["callbacks.figures=null", f"hydra.searchpath=[file://{tmp_path}/conf]"]

    refused = call(tmp_path, *arguments)
    assert refused.returncode == 2
    assert "allow=[elsewhere]" in refused.stderr
    assert not (tmp_path / "outputs").exists()

    done = call(tmp_path, *arguments, "allow=[elsewhere]")
    assert done.returncode == 1
    rows = [line.split()[:2] for line in done.stdout.splitlines() if "/rnn " in line]
    assert rows == [["broken/rnn", "failed"], ["shift/rnn", "finished"]]
    assert "no targets today" in done.stdout
    (traceback,) = tmp_path.glob("outputs/*/*/traceback.txt")
    assert "RuntimeError: no targets" in traceback.read_text()


def test_a_killed_run_ends_bit_for_bit_where_an_uninterrupted_one_ends(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    arguments = [
        "model=rnn",
        *TINY,
        "model.dropout=0.1",
        "trainer.max_steps=400",
        "trainer.val_check_interval=20",
        "callbacks.checkpoints.every_n_steps=50",
        "callbacks.figures=null",
        "scheduler=plateau",
        "scheduler.patience=1",
        "scheduler.threshold=0.3",
    ]
    assert call(whole, *arguments).returncode == 0
    with shell.Program(shell.TRAIN, *arguments, cwd=cut) as process:
        until(lambda: len(list(cut.glob("outputs/*/*/checkpoints/step=*.ckpt"))) >= 2)
        process.send_signal(signal.SIGKILL)
    run = only_run(cut)
    assert run.status == "killed"
    assert call(cut, *arguments).returncode == 0
    uninterrupted = only_run(whole)
    one, other = (load_checkpoint(r.checkpoints[0])["state_dict"] for r in (uninterrupted, run))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    for key in ("step", "loss", "lr"):
        assert np.array_equal(uninterrupted.history[key], run.history[key])
    assert len(set(run.history["lr"])) > 1  # the scheduler's state was restored too


def until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path):
    arguments = ["model=rnn", *TINY, "trainer.max_steps=1000", "callbacks.figures=null"]
    arguments += ["callbacks.checkpoints.every_n_steps=100"]
    with shell.Program(shell.TRAIN, *arguments, cwd=tmp_path) as process:
        until(lambda: list(tmp_path.glob("outputs/*/*/checkpoints/step=*.ckpt")))
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert process.returncode == 130
    assert "the same command continues" in error
    assert "Traceback" not in error
    run = only_run(tmp_path)
    assert run.status == "stopped"
    stopped_at = load_checkpoint(run.checkpoints[0])["global_step"]
    assert 0 < stopped_at < 1000
    done = call(tmp_path, *arguments)
    assert done.returncode == 0
    assert f"continuing from step {stopped_at}" in done.stderr
    assert run.result["status"] == "finished"
    events = EventAccumulator(str(run.folder), {"scalars": 0}).Reload()
    steps = [event.step for event in events.Scalars("train/loss")]
    assert steps == sorted(set(steps))
    assert set(range(50, 1001, 50)) <= set(steps)
