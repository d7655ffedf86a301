"""Sequences with a class or a value each, from files of all kinds."""

import gzip
import struct

import numpy as np
import pytest
import torch

from seq2seq import train
from seq2seq.build import load_model
from seq2seq.evaluate import evaluate
from seq2seq.schema import ConfigError
from seq2seq.tasks import Labels

X = np.random.default_rng(0).normal(size=(40, 7, 2)).astype(np.float32)
CLASSES = (X[:, :3, 0].sum(1) > 0).astype(
    np.int64
) + 1  # 1 or 2, of the three that 0 leaves room for
LENGTHS = np.random.default_rng(1).integers(3, 8, 40)


PAIR = {"x": X, "y": CLASSES - 1}


def saved(path, **arrays):
    np.savez(path / "own.npz", **arrays)
    return str(path / "own.npz")


def whole(task):
    """All sequences of a file, in the order of training, validation and test."""
    parts = [task.split(name) for name in ("train", "val", "test")]
    return torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])


def test_each_sequence_keeps_its_class_and_is_asked_at_its_end(tmp_path):
    task = Labels(saved(tmp_path, x=X, y=CLASSES, length=LENGTHS), num_classes=3)
    assert (task.length, task.input_dim, task.output_dim, task.classes) == (7, 2, 3, 3)
    assert [len(task.split(name).x) for name in ("train", "val", "test")] == [32, 4, 4]
    x, y = whole(task)
    for sequence, (last, label) in zip(x, y.tolist(), strict=True):
        (row,) = np.flatnonzero((X[:, :3] == sequence[:3].numpy()).all((1, 2)))
        assert (last + 1, label) == (LENGTHS[row], CLASSES[row])
        assert np.array_equal(sequence[: last + 1], X[row, : last + 1])
        assert not sequence[last + 1 :].any()
    output = torch.randn(40, 7, 3)
    at_end = output[torch.arange(40), y[:, 0]]
    assert task.loss(output, y) == torch.nn.functional.cross_entropy(at_end, y[:, 1])
    right, count = task.counts(output, y).tolist()
    assert (right, count) == ((at_end.argmax(1) == y[:, 1]).sum(), 40)
    changed = output.clone()
    changed[torch.arange(7) > y[:, :1]] = 9.0
    assert task.loss(changed, y) == task.loss(output, y), "padding counts for nothing"


def test_values_are_scored_by_their_squares(tmp_path):
    values = X[:, :, 0].sum(1)
    task = Labels(saved(tmp_path, x=X[..., 0], y=values))
    assert (task.classes, task.input_dim, task.output_dim) == (0, 1, 1)
    y = task.split("test").y
    output = torch.zeros(4, 7, 1)
    assert task.loss(output, y) == pytest.approx(task.reference_losses()["zero"])
    mean = float(task.split("train").y[:, 1].mean())
    assert task.loss(output + mean, y) == pytest.approx(task.reference_losses()["memoryless"])
    assert task.metrics("test", float(task.loss(output, y)))["nmse"] == pytest.approx(1)


def test_a_table_is_what_the_arrays_are(tmp_path):
    header = ",".join(["y", *(f"t{t}" for t in range(7)), "length"])
    rows = [
        ",".join(map(str, [label, *sequence[:, 0], length]))
        for label, sequence, length in zip(CLASSES, X, LENGTHS, strict=True)
    ]
    (tmp_path / "own.csv").write_text("\n".join([header, *rows]))
    table = Labels(str(tmp_path / "own.csv"), num_classes=3)
    path = saved(tmp_path, x=X[..., 0], y=CLASSES, length=LENGTHS)
    arrays = Labels(path, num_classes=3)
    for one, other in zip(whole(table), whole(arrays), strict=True):
        torch.testing.assert_close(one, other)


def write_idx(path, array):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    content = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def mnist(tmp_path):
    """Images of 3 × 2 pixels; of the second part one file is compressed."""
    rng = np.random.default_rng(0)
    for name, count, end in (("train", 30, ""), ("t10k", 8, ".gz")):
        images = rng.integers(0, 256, (count, 3, 2))
        write_idx(tmp_path / f"{name}-images-idx3-ubyte{end}", images)
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", images[:, 0, 0] // 26)
    return tmp_path


def test_images_are_read_pixel_by_pixel_and_permuted_by_a_seed(mnist):
    task = Labels(str(mnist))
    assert (task.length, task.input_dim, task.classes) == (6, 1, 10)
    assert [len(task.split(name).x) for name in ("train", "val", "test")] == [27, 3, 8]
    x, y = task.split("test")
    assert torch.equal(y[:, 1], (x[:, 0, 0] * 255).round().long() // 26)
    assert 0 <= x.min() < 0.1 < 0.9 < x.max() <= 1
    permuted, again, other = (Labels(str(mnist), permute_seed=s).split("test").x for s in (1, 1, 2))
    assert torch.equal(permuted, again)
    assert not torch.equal(permuted, other)
    order = [int((permuted[0] == value).nonzero()[0, 0]) for value in x[0, :, 0]]
    assert sorted(order) == [*range(6)]
    assert torch.equal(permuted[:, order], x)


def test_a_model_learns_what_the_sequences_tell(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5)) * 10
    path = saved(tmp_path, x=x, y=(x[:, 0] > 0).astype(int))
    given = [
        "task=labels",
        f"task.path={path}",
        "task.standardize=true",
        "model=lstm",
        "logger=none",
    ]
    given += ["model.hidden_size=8", "optimizer.lr=3e-2", "trainer.max_steps=150"]
    given += ["callbacks.figures=null", "callbacks.progress=null", f"paths.outputs={tmp_path}/o"]
    run = train(given)
    assert run.result["test/accuracy"] > 0.9 > run.result["reference_accuracy/memoryless"]
    assert run.result["reference/uniform"] == pytest.approx(np.log(2))
    again = evaluate(run, [f"allow=[{tmp_path}]"])
    assert again["test/accuracy"] == pytest.approx(run.result["test/accuracy"])
    assert load_model(type(run)(run.folder, [str(tmp_path)])) is not None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "y is not in .*, which holds x; store it there"),
        ({"x": X[0, 0], "y": CLASSES}, "x must be numbers of the shape"),
        ({"x": X, "y": CLASSES[:3]}, r"for each of the 40 sequences, got the shape \(3,\) in"),
        ({"x": X, "y": CLASSES.astype(str)}, "y must hold numbers, got [12] in .*; number the"),
        ({"x": X, "y": CLASSES.astype(object)}, "y must hold numbers, got Python objects in"),
        ({"x": X * np.nan, "y": CLASSES}, "x must be finite"),
        ({"x": X, "y": -CLASSES}, "classes must be one whole number from 0 on"),
        ({"x": X, "y": 0 * CLASSES}, "two classes or more, got only 0 in .*; add sequences"),
        ({"x": X, "y": 1000 * (CLASSES - 1)}, "got 1000 but no 1 in .*task.num_classes=1001"),
        ({"x": X, "y": CLASSES}, "got 2 but no 0 in .*; number the classes without a gap"),
        (PAIR | {"length": 0 * LENGTHS + 12}, "from 1 to 7, the steps of x, got 12 in .*; correct"),
        (
            PAIR | {"length": LENGTHS - 0.5},
            r"length must be a whole number from 1 to 7, .*got \d.5",
        ),
        (PAIR | {"length": LENGTHS.astype(str)}, r"length must be a whole number .* got \d in"),
        (PAIR | {"length": LENGTHS[:9]}, r"length must hold a number for each of .*\(9,\)"),
        ({"x": X[:2], "y": np.arange(2)}, "too few sequences: 2 in"),
        (
            {"x": X[:14], "y": np.arange(14) % 2},
            "to test with: 14 in .* leave 1, two are needed; add sequences or raise "
            "task.test_fraction=0.1",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message) as refused:
        Labels(saved(tmp_path, **arrays))
    assert "pickle" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_classes": 2, "y": CLASSES}, "task.num_classes must be at least 3, got"),
        ({"num_classes": 2, "y": 1.0 * CLASSES}, "task.num_classes must be null for values"),
    ],
)
def test_a_wrong_number_of_classes_is_refused(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        Labels(saved(tmp_path, x=X, y=given.pop("y")), **given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "column y is not in .*, whose first are a, b; add it"),
        ("y,t0,t1\n0,1,2\n1,high,3\n", "column t0 must hold numbers, got 'high'"),
        ("y,t0\ncat,1\ndog,2\n", "y must hold numbers, got cat in .*; number the classes"),
    ],
)
def test_a_table_is_refused_by_its_column(tmp_path, text, message):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(ValueError, match=f"^{message}") as refused:
        Labels(str(tmp_path / "own.csv"))
    assert "task.path" not in str(refused.value)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    given = ["task=labels", f"task.path={saved(folder, **PAIR)}", "model=rnn", "logger=none"]
    given += ["model.hidden_size=2", "trainer.max_steps=1", "callbacks.figures=null"]
    return train([*given, "callbacks.progress=null", f"paths.outputs={folder}/o"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"y": 0.5 * PAIR["y"]}, "holds values, but the model was trained to answer classes"),
        ({"y": np.arange(40) % 3}, "holds the class 2, but the model answers only 0 to 1"),
        ({"x": X[..., :1]}, "has x with 1 channels, but the model was trained with 2"),
    ],
)
def test_a_model_is_tested_only_on_what_it_can_answer(tmp_path, trained, other, message):
    path = saved(tmp_path, **PAIR | other)
    with pytest.raises(ConfigError, match=f"^task.path={path} {message}"):
        evaluate(trained, [f"task.path={path}", f"allow=[{tmp_path},{trained.folder.parents[2]}]"])


def test_a_model_is_tested_on_some_of_its_classes(tmp_path, trained):
    path = saved(tmp_path, x=X, y=np.ones(40, int))
    allowed = f"allow=[{tmp_path},{trained.folder.parents[2]}]"
    with pytest.raises(ConfigError, match="got only 1 in"):
        evaluate(trained, [f"task.path={path}", allowed])
    measured = evaluate(trained, [f"task.path={path}", "task.num_classes=2", allowed])
    assert measured["reference_accuracy/memoryless"] == 1


def test_values_are_not_tested_on_classes(tmp_path):
    classes = Labels(saved(tmp_path, **PAIR))
    values = Labels(saved(tmp_path, x=X, y=X[:, 0, 0]))
    pair = Labels(saved(tmp_path, x=X, y=X[:, 0]))
    with pytest.raises(ValueError, match="holds classes, but the model was trained to answer val"):
        classes.admit(values)
    with pytest.raises(ValueError, match="has y with 2 channels, but the model was trained with 1"):
        pair.admit(values)


@pytest.mark.parametrize("name", ["own.npz", "own.txt", "own.parquet", ".", "nowhere.npz"])
def test_other_files_are_refused_in_one_line(tmp_path, name):
    for file in ("own.txt", "own.npz", "own.parquet"):
        (tmp_path / file).write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"^path must be a \.npz, \.csv or \.parquet") as refused:
        Labels(str(tmp_path / name))
    assert "\n" not in str(refused.value)
    assert "pickle" not in str(refused.value)
