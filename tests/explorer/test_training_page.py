"""The page of training curves, asked as the server asks it."""

import json
import re

import numpy as np
import pytest
import yaml

from seq2seq.explorer import build
from seq2seq.explorer.page import answer

SHIFT = {"zero": 1.0, "memoryless": 0.6, "taps_2": 0.4}
CHARACTERS = {"uniform": 4.19, "unigram": 3.36}


def stored(folder, references, task):
    """A run in `folder`: its config, result and history."""
    folder.mkdir()
    task = {"_target_": "seq2seq.tasks.Shift", "input": {"_target_": "seq2seq.tasks.GP"}} | task
    config = {"task": task, "model": {"_target_": "seq2seq.models.RNN"}}
    (folder / "config.yaml").write_text(yaml.dump(config))
    result = {"status": "finished"} | {f"reference/{k}": v for k, v in references.items()}
    (folder / "result.json").write_text(json.dumps(result))
    step = np.arange(1, 1001)
    np.savez(folder / "history.npz", step=step, loss=10 / step, lr=0.001 * np.ones(1000))


@pytest.fixture
def told(tmp_path):
    """What the page shows, by name, of runs with these references, the last ones on `tasks`."""

    def told(*references, tasks=()):
        names = [f"run-{place}" for place in range(len(references))]
        every = [*[{}] * (len(names) - len(tasks)), *tasks]
        for name, losses, task in zip(names, references, every, strict=True):
            stored(tmp_path / name, losses, task)
        values = {"task": "runs", "model": names}
        request = {"values": values, "seed": 1, "width": 700, "started": True}
        messages = answer(build("training", tmp_path), request)
        return {message["name"]: message for message in messages if "name" in message}

    return told


def words(block):
    """The texts of a figure."""
    return re.findall(r">([^<>]+)</text>", block["svg"])


def test_references_that_all_runs_share_are_drawn(told):
    blocks = told(SHIFT, {"zero": 2.0, "memoryless": 1.21, "taps_2": 0.8})  # scaled, and estimated
    assert {"memoryless", "taps 2"} <= {*words(blocks["curves"])}
    assert "differing" not in blocks


def test_references_that_differ_between_runs_are_left_out_and_named(told):
    blocks = told(SHIFT, {"zero": 1.0, "memoryless": 0.3, "taps_2": 0.4, "taps_4": 0.1})
    assert {"zero", "taps 2"} <= {*words(blocks["curves"])}
    assert not {"memoryless", "taps 4"} & {*words(blocks["curves"])}
    assert blocks["differing"]["text"] == (
        "References that differ between these runs are not drawn: memoryless, taps 4."
    )


def test_losses_over_another_vocabulary_are_refused(told):
    blocks = told(CHARACTERS, {"uniform": 8.93, "unigram": 5.51})
    assert len(blocks["numbers"]["rows"]) == 1
    assert "unigram" in words(blocks["curves"])
    assert "over another vocabulary than those of the first" in blocks["model"]["message"]


#: That of a published curve, which rests.
PUBLISHED = {"k": 8, "length": 32}


def test_a_plateau_is_in_the_legend_and_its_end_is_said_to_be_open(told):
    blocks = told(SHIFT, tasks=[PUBLISHED])
    assert "plateau" in words(blocks["curves"])
    *_, (name, *_, where) = blocks["numbers"]["rows"]
    assert (name, where) == ("published LSTM, 2 × 256", "from 75, not left by 24,300")
    assert where in blocks["curves"]["description"]


def test_no_plateau_is_in_the_legend_where_there_is_none(told):
    assert "plateau" not in words(told(SHIFT)["curves"])


def test_curves_published_for_a_task_stand_beside_runs_on_this_task_only(told):
    blocks = told(SHIFT, SHIFT, tasks=[PUBLISHED, {"k": 2}])
    assert [row[0] for row in blocks["numbers"]["rows"]] == ["run-0", "run-1"]
