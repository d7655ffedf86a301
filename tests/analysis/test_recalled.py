"""Bits of the runs of sweeps, as a user measures them."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import shell
import torch
from composed import composed
from torch import Tensor, nn

from seq2seq.analysis import recalled
from seq2seq.analysis.figures import svg
from seq2seq.analysis.figures.capacity import Line, recalled_bits
from seq2seq.analysis.recalled import measurable, measure
from seq2seq.analysis.tracking import longest
from seq2seq.build import build_task
from seq2seq.command import command
from seq2seq.programs import capacity as program
from seq2seq.runs import find
from seq2seq.training import train

SCRIPT = Path(__file__).parents[2] / "scripts" / "capacity.py"
SHARED = [
    "task.val_size=40",
    "task.test_size=40",
    "task.batch_size=8",
    "trainer.max_steps=2",
    "callbacks.figures=null",
    "callbacks.progress=null",
    "logger=none",
    "model.num_layers=1",
]
RECALL = ["task=mqar", "task.K=2", "task.V=8", "task.length=8", "task.distinct=false"]
WORDS = ["task=group_word", "task.length=4", "task.bos=true"]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    for name, task, seeds in (("recall", RECALL, (0, 1)), ("words", WORDS, (0,))):
        for model in ("deltanet", "mingru"):
            for seed in seeds:
                own = [f"model={model}", "model.hidden_size=8", f"seed={seed}", f"name={name}"]
                train([*SHARED, *task, *own, f"paths.outputs={folder}"])
    return folder


def test_the_command_prints_and_stores_a_row_for_each_model_and_state(outputs):
    done = shell.run(SCRIPT, "recall", "tracking=words", "bits=[2,8]", "json=x.json", cwd=outputs)
    assert done.returncode == 0, done.stderr
    assert "bits/number" in done.stdout
    stored = json.loads((outputs / "x.json").read_text())
    assert [row["model"] for row in stored["rows"]] == ["deltanet", "mingru"]
    assert [row["numbers"] for row in stored["rows"]] == [2 * 4 * 4 + 3 * 3 * 8, 8]
    for row in stored["rows"]:
        assert row["runs"] == 2
        assert row["source"] == pytest.approx(4)
        assert row["bits"]["low"] <= row["bits"]["mean"] <= row["bits"]["high"]
        bits, each = row["bits"]["mean"], row["per_number"]["mean"]
        assert each == pytest.approx(bits / row["numbers"])
    assert [row["b"] for row in stored["rounded"]] == [2, 8, 2, 8]
    assert [len(row["longest"]["each"]) for row in stored["front"]] == [1, 1]
    for name in ("recalled_bits", "front"):
        drawing = (outputs / "x" / f"{name}.svg").read_text()
        assert len(re.findall("<path", drawing)) > 20


def test_bits_are_those_of_the_stored_test_loss(outputs):
    group = next(measure(measurable(outputs / "recall"), []))
    runs = [run for run in find(outputs / "recall") if "Matrix" in str(run.config.model)]
    losses = [run.result["test/loss"] for run in runs]
    expected = [2 * (2 - loss / math.log(2)) for loss in losses]
    found = sorted(one.recall.bits for one in group.found)
    assert found == pytest.approx(sorted(expected), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no sweep given"),
        (["words"], "task.distinct=false"),
        (["recall", "bits=[0]"], "bits must be at least 1"),
        (["recall", "tracking=recall"], "take task=group_word"),
        (["recall", "words"], "words cannot be measured: bits add up where"),
        (["recall", "tracking=nowhere"], "no folder nowhere"),
        (["recall", "json=."], "json must name a file to write, got .: this is a folder"),
        (["nowhere"], "no folder nowhere"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line_before_anything_is(
    outputs, arguments, message, monkeypatch, capsys
):
    measured = []
    monkeypatch.setattr(recalled, "capacity", lambda *given: measured.append(given))
    monkeypatch.chdir(outputs)
    assert command(program.main, arguments, "capacity.py") == 2
    out, error = capsys.readouterr()
    (told,) = error.splitlines()
    assert message in told
    assert not measured
    assert not out


class Counter(nn.Module):
    """The product of all elements of a word, right for the first `right` of them."""

    def __init__(self, table: Tensor, right: int) -> None:
        super().__init__()
        self.table, self.right = table, right
        self.sure = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        product = torch.zeros_like(x[:, 0])
        scores = []
        for t, x_t in enumerate(x.unbind(1)):
            if t:  # the first is BOS
                product = self.table[x_t, product]
            told = product if t <= self.right else torch.zeros_like(product)
            scores.append(self.sure * nn.functional.one_hot(told, len(self.table)))
        return torch.stack(scores, 1)


@pytest.mark.parametrize(("right", "found"), [(0, 0), (5, 5), (40, 12)])
def test_the_longest_word_is_where_a_model_stops_being_right(right, found):
    task = build_task(composed("task=group_word", "task.length=3", "task.bos=true"))
    model = Counter(torch.from_numpy(task.table), right)
    assert longest(model, task, most=12) == found


def test_reals_without_a_source_and_runs_that_recall_nothing_can_be_drawn():
    ends = np.array([[-0.5, -1, 0], [30, 25, 35]])
    lines = {"lru": Line([4, 32], ends), "rnn": Line([4, 32], -ends)}
    figure = recalled_bits(lines, {}, math.inf, None)
    (ax,) = figure.axes
    low, high = ax.get_ylim()
    assert 0 < low < high
    shown = [line.get_ydata() for line in ax.get_lines() if line.get_marker() in ("o", "s")]
    assert all((low <= y).all() for y in map(np.asarray, shown))
    assert "Date" not in svg(figure)
