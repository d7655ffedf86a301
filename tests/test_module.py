"""What one step and one validation do, seen from the losses that are kept."""

import numpy as np
import pytest
from torch.nn.utils import parameters_to_vector

from seq2seq import load_model, train
from seq2seq.build import build
from seq2seq.training import configure

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


@pytest.mark.parametrize(("norm", "clipped"), [(1e-3, True), (1e3, False)])
def test_a_step_is_no_longer_than_the_clipped_gradient(tmp_path, norm, clipped):
    one = ["optimizer.lr=1", "trainer.max_steps=1", f"gradient_clip_val={norm}"]
    run = train([*ONE_BATCH, *one, f"paths.outputs={tmp_path}"])
    _, module = build(run.config)
    before, after = (
        parameters_to_vector(model.parameters()).detach()
        for model in (module.model, load_model(run))
    )
    length = float((after - before).norm())
    assert length == pytest.approx(norm, rel=1e-3) if clipped else 1e-3 < length < norm


@pytest.mark.parametrize(("last", "diverges"), [(9_999, 0), (10_001, 1), (np.inf, 1), (np.nan, 1)])
def test_a_loss_far_above_the_first_diverges(last, diverges):
    _, module = build(configure(ONE_BATCH))
    assert module.diverges([2.0, 2.0 * last, 1.0], first=2.0) == bool(diverges)


def test_a_run_that_starts_at_a_solution_diverges_where_others_do():
    task, module = build(configure(ONE_BATCH))
    zero = task.references()["reference/zero"]
    assert not module.diverges([0.0, 9_999 * zero], first=0.0)
    assert module.diverges([0.0, 10_001 * zero], first=0.0)
    for losses in ([0.0, np.nan], [np.inf, np.inf], [np.inf, np.nan]):
        assert module.diverges(losses, first=losses[0])
