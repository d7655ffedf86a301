"""What one step and one validation do, seen from the losses that are kept."""

import numpy as np

from seq2seq import train

ONE_BATCH = [
    "model=rnn",
    "model.hidden_size=8",
    "model.num_layers=2",
    "task.length=8",
    "task.k=2",
    "task.train_size=1",
    "task.val_size=4",
    "task.test_size=4",
    "task.batch_size=1",
    "optimizer=sgd",
    "optimizer.lr=0",
    "trainer.max_steps=6",
    "logger=none",
    "callbacks.figures=null",
    "callbacks.progress=null",
]


def losses(folder, *overrides):
    return train([*ONE_BATCH, f"paths.outputs={folder}", *overrides]).history["loss"]


def test_every_step_draws_its_own_dropout(tmp_path):
    """On one sequence, at rate zero, nothing else tells two steps apart."""
    assert len(set(losses(tmp_path))) == 1
    dropped = losses(tmp_path, "model.dropout=0.5")
    assert len(set(dropped)) == 6
    assert not np.array_equal(dropped, losses(tmp_path, "model.dropout=0.5", "seed=1"))
