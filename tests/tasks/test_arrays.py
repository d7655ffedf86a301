import os

import numpy as np
import pytest
import torch

from seq2seq.tasks import Arrays, Text

X = np.arange(40.0)[:, None, None] * np.ones((40, 6, 3))


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "pairs.npz", **arrays)
        return str(tmp_path / "pairs.npz")

    return write


def test_every_sequence_belongs_to_one_split(save):
    task = Arrays(save(x=X, y=X[..., :2] + 1), val_fraction=0.2, test_fraction=0.1)
    assert (task.length, task.input_dim, task.output_dim) == (6, 3, 2)
    splits = [task.split(name) for name in ("train", "val", "test")]
    assert [len(pairs.x) for pairs in splits] == [28, 8, 4]
    assert torch.cat([pairs.x[:, 0, 0] for pairs in splits]).sort().values.tolist() == [*range(40)]
    for x, y in splits:
        assert x.dtype == y.dtype == torch.float32
        assert torch.equal(y, x[..., :2] + 1)


def test_the_seed_chooses_the_split(save):
    path = save(x=X, y=X)
    chosen = [Arrays(path, seed=seed).split("test").x[:, 0, 0].tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_samples_are_pairs_of_the_file(save):
    task = Arrays(save(x=X, y=2 * X))
    x, y = task.sample(100, torch.Generator().manual_seed(0))
    assert torch.equal(y, 2 * x)
    assert set(x[:, 0, 0].tolist()) <= set(range(40))
    with pytest.raises(ValueError, match="no rule for new inputs"):
        task.targets(x)


def test_linear_pairs_have_linear_references(save):
    x = np.random.default_rng(0).standard_normal((300, 20, 2))
    y = np.zeros((300, 20, 1))
    y[:, 2:, 0] = x[:, :-2] @ [0.5, -1.0]
    losses = Arrays(save(x=x, y=y)).reference_losses()
    assert losses["taps_4"] < 1e-9
    assert losses["taps_2"] > 0.9 * losses["zero"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "has no y"),
        ({"x": X, "y": X[:, :5]}, "must agree in sequences and time"),
        ({"x": X, "y": X[:30]}, "must agree in sequences and time"),
        ({"x": X[..., 0], "y": X}, r"x\[\.\.\., None\]"),
        ({"x": X[:, :0], "y": X[:, :0]}, "must have the shape"),
        ({"x": np.where(X == 3, np.nan, X), "y": X}, "with 18 others"),
        ({"x": X, "y": np.where(X == 3, np.inf, X)}, "y must hold finite real numbers"),
        ({"x": X * 1j, "y": X}, "x must hold finite real numbers"),
        ({"x": X.astype(str), "y": X}, "x must hold finite real numbers"),
        ({"x": X.astype(object), "y": X}, "readable .npz file of numbers"),
        ({"x": X, "y": 0 * X}, "must not be zero everywhere"),
        ({"x": X[:2], "y": X[:2]}, "too few sequences: 2"),
    ],
)
def test_bad_arrays_are_refused(save, arrays, message):
    with pytest.raises(ValueError, match=message):
        Arrays(save(**arrays))


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize("factor", [1e39, 1e25, 1e-25, 1e-60, np.longdouble("1e-400")])
def test_magnitudes_that_float32_cannot_square_are_refused(save, name, factor):
    arrays = {"x": X.astype(np.longdouble), "y": X}
    with pytest.raises(ValueError, match=rf"{name} must reach a magnitude in .*change the units"):
        Arrays(save(**arrays | {name: X.astype(np.longdouble) * factor}))


@pytest.mark.parametrize("dtype", [">f8", ">f4", "<f2", ">i4", "u1", "u8", np.longdouble])
def test_every_real_type_is_converted(save, dtype):
    x, y = Arrays(save(x=X.astype(dtype), y=(X + 1).astype(dtype))).split("test")
    expected = Arrays(save(x=X, y=X + 1)).split("test")
    assert torch.equal(x, expected.x)
    assert torch.equal(y, expected.y)


def test_channels_first_is_suspected(save, caplog):
    for arrays in ({"x": X, "y": X}, {"x": X, "y": X[..., :1]}):
        Arrays(save(**arrays)).setup("fit")
    assert not caplog.messages
    first = X.transpose(0, 2, 1)
    Arrays(save(x=first, y=first)).setup("fit")
    (said,) = caplog.messages
    assert "6 channels and sequences of length 3; if it is channels-first" in said
    with pytest.raises(ValueError, match="channels last"):
        Arrays(save(x=first, y=first[:, :1]))


@pytest.mark.parametrize("split", ["val", "test"])
def test_nmse_of_a_split_that_is_zero_is_undefined(save, caplog, split):
    zero = Arrays(save(x=X, y=X)).split(split).x[:, 0, 0].numpy()
    task = Arrays(save(x=X, y=np.where(np.isin(X, zero), 0, X)))
    assert np.isnan([task.metrics(split, 0.5)["nmse"] for _ in range(2)]).all()
    (said,) = caplog.messages
    assert f"{split}/nmse is undefined" in said
    assert task.metrics("train", 0.5)["nmse"] > 0
    references = task.references()
    assert np.isnan(references["reference_nmse/memoryless"]) == (split == "test")


@pytest.mark.parametrize(
    "x", [X, 0 * X, X + 1e5, np.random.default_rng(0).normal(size=(40, 20, 1))]
)
def test_a_constant_is_within_reach_of_every_reference(save, x):
    task = Arrays(save(x=x, y=np.full((*x.shape[:2], 1), 3.0)))
    zero, *others = task.reference_losses().values()
    assert zero == pytest.approx(9)
    assert max(others) < 1e-9
    x = task.split("test").x
    assert task.memoryless_prediction(x).numpy() == pytest.approx(3)


def test_references_neither_see_units_nor_offsets(save):
    x = np.random.default_rng(0).standard_normal((300, 20, 2))
    y = 0.1 * np.random.default_rng(1).standard_normal((300, 20, 1))
    y[:, 2:, 0] += x[:, :-2] @ [0.5, -1.0]
    losses = Arrays(save(x=x, y=y)).reference_losses()
    others = Arrays(save(x=x * [1e-7, 1e3] + [0, 1e5], y=1e-6 * y)).reference_losses()
    for name, loss in losses.items():
        assert others[name] == pytest.approx(1e-12 * loss, rel=1e-3)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_bad_fractions_are_refused(save, fraction):
    with pytest.raises(ValueError, match="val_fraction must lie in"):
        Arrays(save(x=X, y=X), val_fraction=fraction)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pairs.npz")
    with pytest.raises(ValueError, match="it is no regular file"):
        Arrays(str(tmp_path / "pairs.npz"))
    with pytest.raises(ValueError, match="it is neither"):
        Text(path=str(tmp_path / "pairs.npz")).vocabulary  # noqa: B018


def test_unreadable_files_are_refused(tmp_path):
    garbage, truncated, array = (tmp_path / name for name in ("a.npz", "b.npz", "c.npy"))
    garbage.write_text("not an archive")
    np.savez(truncated, x=X, y=X)
    truncated.write_bytes(truncated.read_bytes()[:500])
    np.save(array, X)
    for path in (garbage, truncated, array, tmp_path / "none.npz", tmp_path):
        with pytest.raises(ValueError, match="path must be a readable") as caught:
            Arrays(str(path))
        assert "\n" not in str(caught.value)
