"""What training starts from: the weights of another run, a small size of the task."""

import itertools

import pytest
import shell
import torch

from seq2seq import train
from seq2seq.batched import train_all
from seq2seq.build import load_model
from seq2seq.evaluate import evaluate
from seq2seq.runs import run_folder, trajectory_hash
from seq2seq.tasks import MQAR, Adding, ModularArithmetic, Parity
from seq2seq.training import configure

SMALL = [
    *("task=parity", "task.length=12", "task.supervise=all", "task.batch_size=8"),
    *("task.val_size=16", "task.test_size=16", "model=rnn", "model.hidden_size=4"),
    *("trainer.max_steps=12", "trainer.val_check_interval=6", "logger=none"),
    *("callbacks.figures=null", "callbacks.progress=null"),
]

MONITOR = "callbacks.stop_at_target.monitor=val/accuracy"


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return train([*SMALL, f"paths.outputs={tmp_path_factory.mktemp('first')}"])


def test_training_starts_from_the_weights_of_another_run(first, tmp_path):
    given = [*SMALL, f"init_from='{first.folder}'", "task.length=30", "optimizer.lr=1e-9", "seed=1"]
    run = train([*given, f"paths.outputs={tmp_path}", "trainer.max_steps=1"])
    assert run.status == "finished"
    pairs = zip(load_model(first).parameters(), load_model(run).parameters(), strict=True)
    for before, after in pairs:
        torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


def test_a_run_that_started_from_another_goes_on_from_its_own_checkpoint(first, tmp_path):
    given = [*SMALL, f"init_from='{first.folder}'", "seed=1"]
    train([*given, f"paths.outputs={tmp_path}/parts", "trainer.max_steps=5"])
    parts, whole = (train([*given, f"paths.outputs={tmp_path}/{n}"]) for n in ("parts", "whole"))
    assert parts.history["loss"].tolist() == whole.history["loss"].tolist()


def test_its_identity_is_that_of_the_weights(first, tmp_path):
    other = train([*SMALL, "seed=5", f"paths.outputs={tmp_path}"])
    digest, outputs = first.name[-8:], f"paths.outputs={first.folder.parents[1]}"
    cfgs = [configure([*SMALL, f"init_from='{f}'"]) for f in (first.folder, other.folder)]
    by_hash = configure([*SMALL, f"init_from={digest}", outputs])
    hashes = [trajectory_hash(cfg) for cfg in (configure(SMALL), *cfgs)]
    assert len({*hashes}) == 3
    assert trajectory_hash(by_hash) == hashes[1]
    assert run_folder(cfgs[0]) != run_folder(cfgs[1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("model.hidden_size=5", "does not fit the model of its config: "),
        ("model=lstm", "does not fit"),
        ("init_from=nowhere", "no run in init_from=nowhere; give the folder"),
        ("init_from=constuction", "no run in init_from=constuction; did you mean 'construction'?"),
        ("init_from=0123abcd", "no run below outputs ends with -0123abcd"),
    ],
)
def test_weights_that_are_not_there_or_do_not_fit_are_refused_in_one_line(
    first, tmp_path, given, message
):
    done = shell.run(shell.TRAIN, *SMALL, f"init_from='{first.folder}'", given, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert message in done.stderr
    assert not [*tmp_path.iterdir()]


BY_HAND = ["init_from=construction", "optimizer.lr=1e-30", "trainer.max_steps=1"]


def test_training_starts_from_weights_set_by_hand(tmp_path):
    given = [*SMALL, *BY_HAND, "model.hidden_size=5", f"paths.outputs={tmp_path}"]
    run = train([*given, "callbacks.stop_at_target.target=1", MONITOR])
    assert (run.result["test/accuracy"], run.result["success"]) == (1, True)
    assert evaluate(run, ["task.length=500"])["test/accuracy"] == 1
    cfgs = [configure(given), configure([*SMALL, *BY_HAND[1:], "model.hidden_size=5"])]
    assert len({trajectory_hash(cfg) for cfg in cfgs}) == 2


def test_where_no_weights_are_known_it_is_refused_in_one_line(tmp_path):
    done = shell.run(shell.TRAIN, *SMALL, *BY_HAND, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "init_from=construction: the construction needs model.hidden_size ≥ 5" in done.stderr
    assert not [*tmp_path.iterdir()]


# --------------------------------------------------------------------------------- the curriculum


def test_a_key_grows_with_the_step_to_that_of_the_task():
    task = Parity(length=[3, 20], curriculum={"start": 2, "every": 5, "factor": 1.5, "add": 1})
    lengths = [task.batch(step)[0].shape[1] for step in range(0, 40, 5)]
    assert lengths == [2, 4, 7, 11, 17, 20, 20, 20]
    assert all(a[0].shape == b[0].shape for a, b in itertools.pairwise(map(task.batch, range(5))))
    assert task.split("val").x.shape[1] == 20
    fresh = Parity(length=[3, 20], curriculum=task.curriculum)
    for step in (23, 7, 39, 0):  # in any order
        assert all(map(torch.equal, fresh.batch(step), task.batch(step)))
    assert (task.batch(12)[1] >= 0).nonzero()[:, 1].min() >= 2, "the least length stays"
    pairs = MQAR(V=16, K=4, length=40, curriculum={"key": "K", "start": 1, "every": 2})
    assert [(pairs.batch(step)[1] >= 0).sum(1).max() for step in range(8)] == [
        1,
        1,
        2,
        2,
        3,
        3,
        4,
        4,
    ]
    real = Adding(length=9, curriculum={"start": 4, "every": 1, "add": 4})
    assert [real.batch(step)[0].shape[1] for step in range(3)] == [4, 8, 9]


GROWING = [*SMALL, "task.curriculum={start: 3, every: 4, add: 4}"]


def test_a_curriculum_goes_on_after_an_interruption_and_in_a_group(tmp_path):
    train([*GROWING, f"paths.outputs={tmp_path}/parts", "trainer.max_steps=5"])
    parts, whole = (train([*GROWING, f"paths.outputs={tmp_path}/{n}"]) for n in ("parts", "whole"))
    assert parts.history["loss"].tolist() == whole.history["loss"].tolist()
    assert trajectory_hash(configure(GROWING)) != trajectory_hash(configure(SMALL))
    given = [*GROWING, f"paths.outputs={tmp_path}/together"]
    together = train_all([configure([*given, f"seed={seed}"]) for seed in (0, 1)], workers=1)
    assert together[0].history["loss"] == pytest.approx(whole.history["loss"], abs=1e-6)
    assert together[0].result["test/accuracy"] == whole.result["test/accuracy"]


def test_a_run_with_a_curriculum_is_tested_where_that_began(tmp_path):
    given = [*GROWING, "callbacks.generalisation.values=[2,12]", f"paths.outputs={tmp_path}"]
    run = train(given)
    assert "generalisation/accuracy/length_2" in run.result
    assert 0 <= evaluate(run, ["task.length=2"])["test/accuracy"] <= 1


def test_a_value_that_its_task_refuses_on_the_way_is_named():
    with pytest.raises(ValueError, match=r"comes to length=6, where task\.length must be odd"):
        ModularArithmetic(length=9, curriculum={"start": 5, "every": 1})
    with pytest.raises(
        ValueError, match="takes more than 1000 steps from 3 to 2000; set its factor"
    ):
        Parity(length=2000, curriculum={"start": 3, "every": 1})


@pytest.mark.parametrize(
    ("curriculum", "message"),
    [
        ({"every": 5}, "task.curriculum.start must be a whole number"),
        ({"start": 3, "every": 0}, "task.curriculum.every must be at least 1"),
        ({"start": 3, "every": 5, "factro": 2}, "task.curriculum.factro; did you mean 'factor'"),
        ({"start": 3, "evry": 5}, "task.curriculum.evry; did you mean 'every'"),
        (5, "curriculum must say where to start and how often to grow, got curriculum=5"),
        ({"start": 8, "every": 5}, "task.curriculum.start must lie below the task's own length, 8"),
        ({"start": 3, "every": 5, "factor": 0.5}, r"task.curriculum.factor must lie in \[1, inf\)"),
        ({"start": 3, "every": 5, "factor": "fast"}, "task.curriculum.factor must be a number"),
        ({"start": 3, "every": 5, "key": "supervise"}, "must name a whole number.*one of length"),
        ({"start": 3, "every": 5, "key": "val_size"}, "must name a whole number.*one of length"),
    ],
)
def test_a_curriculum_that_cannot_be_is_refused(curriculum, message):
    with pytest.raises(ValueError, match=message):
        Parity(length=8, curriculum=curriculum)
    with pytest.raises(ValueError, match=r"task\.online must be true for a curriculum"):
        Parity(length=8, online=False, curriculum={"start": 3, "every": 5})
