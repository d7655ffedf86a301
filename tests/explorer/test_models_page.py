"""The page of models, asked as the server asks it."""

from seq2seq.explorer.models import Models
from seq2seq.explorer.page import answer
from seq2seq.training import train

SMALL = ["task.train_size=8", "task.val_size=4", "task.test_size=4", "trainer.max_steps=1"]
SMALL += ["model=tcn", "model.num_layers=1", "model.hidden_size=4", "logger=none"]


def test_runs_on_a_task_without_a_rule_for_new_inputs_are_compared(tmp_path):
    ask = [*SMALL, f"paths.outputs={tmp_path}", "task=lorenz96_published", "task.length=16"]
    names = ["/".join(train([*ask, f"seed={s}"]).folder.parts[-2:]) for s in (0, 1)]

    def told(given):
        values = {"task": "runs", "model": names, "input": given}
        request = {"values": values, "seed": 0, "width": 800, "started": True}
        return list(answer(Models(tmp_path), request))

    messages = told("trained")
    assert messages[-1]["kind"] == "done", messages[-1]
    blocks = {message["name"]: message for message in messages if "name" in message}
    assert "response" not in blocks
    assert "others" not in blocks, "they were trained on the same task"
    assert len(blocks["facts"]["rows"]) == 3
    refused = told("white")[-1]
    assert refused["name"] == "input"
    assert refused["message"] == "Lorenz96Published draws its inputs in its own way"
