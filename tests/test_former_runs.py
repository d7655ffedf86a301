"""Runs of version 0.1.0, trained as one program, are read as they are; none is trained again."""

import shutil
from pathlib import Path

import pytest
import torch

from seq2seq import Run, collect, load_model
from seq2seq.analysis.report import report
from seq2seq.evaluate import evaluate
from seq2seq.explorer import build
from seq2seq.explorer.page import answer
from seq2seq.training import configure, run

COMMAND = ["task.k=2", "model=rnn", "model.hidden_size=8", "trainer.max_steps=300", "name=former"]


@pytest.fixture
def outputs(tmp_path):
    shutil.copytree(Path(__file__).with_name("former_runs"), tmp_path / "former")
    return tmp_path


def test_their_results_are_repeated(outputs):
    table = collect(outputs)
    assert list(table["task.k"]) == [2, 3]
    for folder, nmse in zip(table["folder"], table["test/nmse"], strict=True):
        assert evaluate(folder)["test/nmse"] == pytest.approx(nmse, rel=1e-5)


def test_they_are_reported_and_explored(outputs):
    assert "0.096" in report(outputs / "former").read_text(encoding="utf-8")
    name = str(next((outputs / "former").glob("shift-k=2*")).relative_to(outputs))
    request = {"values": {"model": name}, "seed": 1, "width": 600, "started": False}
    kinds = [message["kind"] for message in answer(build("models", outputs), request)]
    assert "figure" in kinds
    assert "error" not in kinds


def test_the_same_command_finds_them(outputs):
    before = torch.get_num_threads()
    found = run(configure([*COMMAND, f"paths.outputs={outputs}"]))
    assert found.result == Run(found.folder).result
    assert found.result["seconds"] < 60
    assert len(list((outputs / "former").iterdir())) == 2
    assert torch.get_num_threads() == before


def test_a_longer_run_goes_on_from_them(outputs):
    more = [part.replace("=300", "=302") for part in COMMAND]
    quiet = ["logger=none", "callbacks.figures=null", "callbacks.progress=null"]
    longer = run(configure([*more, *quiet, f"paths.outputs={outputs}"]))
    assert longer.status == "finished"
    assert longer.history["step"].tolist() == list(range(1, 303))
    former = Run(next((outputs / "former").glob("shift-k=2*steps=300*")))
    assert longer.history["loss"][:300].tolist() == former.history["loss"].tolist()
    assert load_model(former).layers[0].weight_hh_l0.shape == (8, 8)
