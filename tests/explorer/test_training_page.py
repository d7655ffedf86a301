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


@pytest.fixture
def told(tmp_path):
    """The page's messages, by name, for runs on tasks with these references."""

    def told(*references, level=0.5):
        names = [f"run-{place}" for place, _ in enumerate(references)]
        for name, losses in zip(names, references, strict=True):
            folder = tmp_path / name
            folder.mkdir()
            model = {"_target_": "seq2seq.models.RNN"}
            config = {"task": {"_target_": "seq2seq.tasks.Shift"}, "model": model}
            (folder / "config.yaml").write_text(yaml.dump(config))
            result = {"status": "finished"} | {f"reference/{k}": v for k, v in losses.items()}
            (folder / "result.json").write_text(json.dumps(result))
            step = np.arange(1, 1001)
            loss = np.where(step < 100, 10 * level / step, level)
            np.savez(folder / "history.npz", step=step, loss=loss, lr=0.001 * np.ones(1000))
        values = {"task": "runs", "model": names}
        request = {"values": values, "seed": 1, "width": 700, "started": True}
        messages = list(answer(build("training", tmp_path), request))
        return {message.get("name") or message["kind"]: message for message in messages}

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
        "Not drawn, as the tasks of these runs differ in it: memoryless, taps 4."
    )


def test_losses_over_another_vocabulary_are_refused(told):
    blocks = told(CHARACTERS, {"uniform": 8.93, "unigram": 5.51})
    assert len(blocks["numbers"]["rows"]) == 1
    assert "unigram" in words(blocks["curves"])
    assert "over another vocabulary than those of the first" in blocks["model"]["message"]
