"""What every task owes: shapes, streams, batches, shards and reference predictors."""

import itertools
import time

import pytest
import torch
from lightning import LightningModule, Trainer

from seq2seq.tasks import GP, Arrays, Convolution, LinearFunctional, Lorenz96, Shift, White

SMALL = {"train_size": 30, "val_size": 13, "test_size": 7, "batch_size": 8}

GENERATED = {
    "shift": lambda **more: Shift(k=5, length=16, channels=2, **SMALL | more),
    "convolution": lambda **more: Convolution(length=16, channels=2, **SMALL | more),
    "linear_functional": lambda **more: LinearFunctional(length=16, **SMALL | more),
    "lorenz96": lambda **more: Lorenz96(K=2, J=3, length=16, **SMALL | more),
}


@pytest.fixture(params=GENERATED)
def make(request):
    return GENERATED[request.param]


def numbered(**more):
    """A task whose training samples can be told apart by their first value."""
    return Shift(k=0, length=3, input=White(), **SMALL | more)


def draw(task, n, seed=0):
    return task.sample(n, torch.Generator().manual_seed(seed))


def test_sample_is_a_pair_of_the_stated_shapes(make):
    task = make()
    x, y = draw(task, 5)
    assert x.shape == (5, 16, task.input_dim)
    assert y.shape == (5, 16, task.output_dim)
    assert x.dtype == y.dtype == torch.float32
    assert torch.equal(task.targets(x), y)
    assert torch.equal(draw(make(), 5)[0], x)
    assert not torch.equal(draw(task, 5, seed=1)[0], x)


def test_targets_keep_double_precision(make):
    task = make()
    x = draw(task, 3)[0].double()
    y = task.targets(x)
    assert y.dtype == torch.float64
    torch.testing.assert_close(task.targets(x.float()).double(), y, rtol=1e-6, atol=1e-6)


def test_targets_ignore_the_future(make):
    task = make()
    x, y = draw(task, 3)
    for t in (1, 7):
        changed = x.clone()
        changed[:, t + 1 :] += 1
        torch.testing.assert_close(task.targets(changed)[:, : t + 1], y[:, : t + 1])
        assert not torch.allclose(task.targets(changed), y)


def test_splits_are_distinct_and_depend_on_the_seed_alone(make):
    task, again, other = make(), make(), make(seed=1)
    task.setup()
    splits = [task.split(name) for name in ("train", "val", "test")]
    assert [len(pairs.x) for pairs in splits] == [30, 13, 7]
    for a, b in itertools.combinations(splits, 2):
        assert not torch.isin(a.x.flatten(), b.x.flatten()).any()
    again.split("test")  # in another order
    assert torch.equal(again.split("train").x, splits[0].x)
    assert torch.equal(again.split("train").y, splits[0].y)
    assert not torch.equal(other.split("train").x, splits[0].x)
    drawn = task.split("val").x
    task.setup("validate")
    assert task.split("val").x is drawn


def test_building_draws_nothing():
    start = time.perf_counter()
    task = Shift(k=8, length=32, train_size=10**9)
    assert time.perf_counter() - start < 0.1
    assert not task._splits


def test_batches_are_a_function_of_the_step():
    forward, backward = numbered(), numbered()
    expected = [forward.batch(step) for step in range(12)]
    for step in reversed(range(12)):
        x, y = backward.batch(step)
        assert torch.equal(x, expected[step][0])
        assert torch.equal(y, expected[step][1])


@pytest.mark.parametrize("batch_size", [8, 30, 70])
def test_every_epoch_holds_each_sample_once(batch_size):
    task = numbered(batch_size=batch_size)
    steps = -(-120 // batch_size)
    batches = [task.batch(step)[0] for step in range(steps)]
    assert all(len(x) == batch_size for x in batches)
    seen = torch.cat(batches)[:, 0, 0]
    epochs = [seen[i : i + 30] for i in range(0, 120, 30)]
    expected = task.split("train").x[:, 0, 0].sort().values
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, expected)
    assert not torch.equal(epochs[0], epochs[1])


@pytest.mark.parametrize("online", [False, True])
def test_ranks_share_a_batch(online):
    whole = numbered(online=online)
    ranks = [numbered(online=online) for _ in range(4)]
    for step in range(9):
        shares = [task.batch(step, rank, 4)[0] for rank, task in enumerate(ranks)]
        assert {len(share) for share in shares} == {2}
        assert torch.equal(torch.cat(shares), whole.batch(step)[0])


def test_batch_must_divide_among_the_ranks():
    with pytest.raises(ValueError, match="divisible by the 3 processes, got batch_size=8"):
        numbered().batch(0, 0, 3)


def test_sharded_gradients_average_to_the_whole():
    torch_generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 2, generator=torch_generator, requires_grad=True)
    task = GENERATED["shift"]()

    def gradient(x, y):
        return torch.autograd.grad(task.loss(x @ weight, y), weight)[0]

    shares = [gradient(*task.batch(3, rank, 2)) for rank in range(2)]
    torch.testing.assert_close(sum(shares) / 2, gradient(*task.batch(3)))
    assert not torch.allclose(shares[0], shares[1])


def test_online_batches_never_repeat():
    task = numbered(online=True)
    task.setup("fit")
    seen = torch.cat([task.batch(step)[0] for step in range(20)])[:, 0, 0]
    assert len(seen.unique()) == len(seen)
    assert "train" not in task._splits


def test_batches_are_cheap():
    task = Shift(k=8, length=32)
    task.batch(0)
    start = time.perf_counter()
    for step in range(1000):
        task.batch(step)
    assert (time.perf_counter() - start) / 1000 < 200e-6


class Probe(LightningModule):
    """Records what Lightning hands over."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen = {"train": [], "val": []}

    def training_step(self, batch, index):
        self.seen["train"].append(batch[0])
        return ((self.weight * batch[0] - batch[1]) ** 2).mean()

    def validation_step(self, batch, index):
        self.seen["val"].append(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_sees_the_batches_of_its_steps(tmp_path):
    task, probe = numbered(), Probe()
    trainer = Trainer(
        max_steps=10,
        val_check_interval=5,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(probe, task)
    assert len(probe.seen["train"]) == 10
    for step, x in enumerate(probe.seen["train"]):
        assert torch.equal(x, task.batch(step)[0])
    assert torch.equal(torch.cat(probe.seen["val"]), task.split("val").x.repeat(2, 1, 1))


@pytest.mark.parametrize("world_size", [1, 2, 5])
@pytest.mark.parametrize("size", [13, 64, 200])
def test_slices_cover_a_split_once(world_size, size):
    from seq2seq.tasks.task import Slices

    pairs = numbered(val_size=size).split("val")
    shards = [Slices(pairs, 16, rank, world_size) for rank in range(world_size)]
    assert len({len(shard) for shard in shards}) == 1
    assert all(0 < len(x) <= 16 for shard in shards for x, _ in shard)
    assert torch.equal(torch.cat([x for shard in shards for x, _ in shard]), pairs.x)
    assert torch.equal(torch.cat([y for shard in shards for _, y in shard]), pairs.y)


def test_fewer_samples_than_ranks_are_refused():
    from seq2seq.tasks.task import Slices

    with pytest.raises(ValueError, match="at least the 8 processes, got 7"):
        Slices(numbered().split("test"), 16, 0, 8)


@pytest.mark.parametrize("online", [False, True])
def test_zero_prediction_has_nmse_one(make, online):
    task = make(online=online)
    for stage in ("train", "val", "test"):
        y = task.split("val" if online and stage == "train" else stage).y
        loss = float(task.loss(torch.zeros_like(y), y))
        assert task.metrics(stage, loss) == {"nmse": pytest.approx(1, rel=1e-5)}


def test_reference_losses_are_reached_on_the_data(make):
    task = make(train_size=20_000, test_size=20_000)
    losses = task.reference_losses()
    x, y = task.split("test")
    assert losses["zero"] == pytest.approx(float(task.loss(torch.zeros_like(y), y)), rel=0.05)
    memoryless = float(task.loss(task.memoryless_prediction(x), y))
    assert losses["memoryless"] == pytest.approx(memoryless, rel=0.05)
    assert list(losses) == ["zero", "memoryless", "taps_2", "taps_4", "taps_8", "taps_16"]


def test_memoryless_prediction_beats_every_other_scale():
    task = Shift(k=3, length=16, input=GP(), train_size=10, test_size=20_000)
    x, y = task.split("test")
    best = task.memoryless_prediction(x)
    for factor in (0.9, 1.1):
        assert task.loss(factor * best, y) > task.loss(best, y)


def test_arrays_keep_their_pairs(tmp_path):
    import numpy as np

    x = np.arange(20.0)[:, None, None] * np.ones((20, 3, 2))
    np.savez(tmp_path / "pairs.npz", x=x, y=x[..., :1] + 0.5)
    task = Arrays(str(tmp_path / "pairs.npz"), batch_size=4)
    x, y = task.batch(5)
    assert torch.equal(y, x[..., :1] + 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_size": 0}, "train_size must be at least 1, got train_size=0"),
        ({"val_size": -1}, "task.val_size"),
        ({"test_size": 0}, "task.test_size"),
        ({"batch_size": 0}, "task.batch_size"),
    ],
)
def test_bad_sizes_are_refused(make, change, message):
    with pytest.raises(ValueError, match=message):
        make(**change)
