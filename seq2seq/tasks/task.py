"""SequenceTask: what every task shares, so that a new one states its relation and little else."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from lightning import LightningDataModule
from torch import Tensor

from seq2seq.seeds import generator
from seq2seq.tasks.inputs import InputProcess
from seq2seq.theory import predictors


class Pairs(NamedTuple):
    """Inputs and targets of one split, the first axis counting sequences."""

    x: Tensor
    y: Tensor


class SequenceTask(LightningDataModule):
    """A relation x ↦ y between sequences, with its data, its loss and its reference predictors.

    A task of real channels that is posed on an input process says only `targets`; the rest is
    here. Batches are (batch, time, channels). All data live in memory; a training batch is a pure
    function of (seed, step), so resuming needs no state and any number of processes agree.

    Args:
        length: time steps per sequence.
        input_dim, output_dim: channels of x and of y.
        input: the process that x is drawn from; None for tasks that draw in their own way.
        train_size, val_size, test_size: sequences per split.
        batch_size: sequences per optimisation step, over all processes together.
        online: draw a fresh batch each step in place of passing over a training set.
        seed: root of every random stream; see `seq2seq.seeds`.

    Attributes:
        uses_samples: False where the loss needs no training data; none are drawn then, and
            training batches are empty.

    Raises:
        ValueError: a size below 1, named by its config key.
    """

    def __init__(
        self,
        length: int,
        input_dim: int,
        output_dim: int,
        input: InputProcess | None = None,
        train_size: int = 10000,
        val_size: int = 1000,
        test_size: int = 1000,
        batch_size: int = 128,
        online: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.length = length
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.input = input
        self.sizes = {"train": train_size, "val": val_size, "test": test_size}
        self.batch_size = batch_size
        self.online = online
        self.seed = seed
        self.device = torch.device("cpu")
        self.uses_samples = True
        self._splits: dict[str, Pairs] = {}
        self._current_order: tuple[int, Tensor] = (-1, torch.empty(0))
        self._mean_squares: dict[str, float] = {}
        sizes = {"length": length, "batch_size": batch_size}
        sizes |= {f"{name}_size": size for name, size in self.sizes.items()}
        for name, size in sizes.items():
            at_least_one(name, size)

    # ------------------------------------------------------------------- the relation

    def targets(self, x: Tensor) -> Tensor:
        """y for given inputs x, (batch, time, input_dim) -> (batch, time, output_dim), same dtype.

        Raises:
            ValueError: the task has no rule that extends to new inputs.
        """
        raise ValueError(f"{type(self).__name__} has no rule for new inputs; use its own pairs")

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n fresh pairs (x, y), drawn from `generator`."""
        if self.input is None:
            raise ValueError(f"{type(self).__name__} has no input process; give it an input")
        x = self.input.sample(n, self.length, self.input_dim, generator)
        return x, self.targets(x)

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Mean squared error over sequences, time and channels."""
        return F.mse_loss(output, y)

    def metrics(self, stage: str, loss: float) -> dict[str, float]:
        """nmse = loss / mean(y²) on the split `stage` (train, val, test): 1 is the zero predictor.

        Fresh training batches have no split of their own; they are measured against val's.
        """
        split = "val" if stage == "train" and self.online else stage
        if split not in self._mean_squares:
            self._mean_squares[split] = float(self.split(split).y.double().square().mean())
        return {"nmse": loss / self._mean_squares[split]}

    @property
    def memory(self) -> int | None:
        """How many past steps the target needs; None where that has no bound or is not known."""
        return None

    def kernel(self) -> Tensor | None:
        """The true impulse response, (length,), float64; None where the relation has none."""
        return None

    def reference_losses(self) -> dict[str, float]:
        """Mean squared errors of the `zero`, `memoryless` and m-tap (`taps_<m>`) predictors.

        They are the best linear predictors: estimated here from at most 2000 training sequences
        and judged on the test split; tasks with a closed form override this with exact values.
        """
        held_out = self._data_moments("test", self._reference_taps())
        return predictors.tap_losses(self._data_moments("train", self._reference_taps()), held_out)

    def memoryless_prediction(self, x: Tensor) -> Tensor:
        """ŷ_t = Wᵀx_t, the best linear answer to x (batch, time, input_dim) without a memory."""
        weights = predictors.tap_weights(self._data_moments("train", 1), taps=1)
        return x @ torch.from_numpy(weights).to(x)

    def _reference_taps(self) -> int:
        return max(1, min(self.length, predictors.MAX_FEATURES // self.input_dim))

    def _data_moments(self, split: str, taps: int) -> predictors.Moments:
        x, y = (part[:2000].cpu().numpy() for part in self.split(split))
        return predictors.data_moments(x, y, taps)

    # ----------------------------------------------------------------------- the data

    def draw(self, split: str) -> Pairs:
        """The data of one split from its own random stream; called once per split."""
        return Pairs(*self.sample(self.sizes[split], generator(self.seed, "data", split)))

    def split(self, name: str) -> Pairs:
        """The data of `train`, `val` or `test`, drawn at the first call, on the task's device."""
        if name not in self._splits:
            self._splits[name] = self.draw(name)
        pairs = self._splits[name]
        if pairs.x.device != self.device:
            pairs = self._splits[name] = Pairs(pairs.x.to(self.device), pairs.y.to(self.device))
        return pairs

    def release(self) -> None:
        """Let go of the data; they are drawn again when asked for."""
        self._splits.clear()

    def setup(self, stage: str | None = None) -> None:
        """Draw what Lightning's `stage` (fit, validate, test, None for all) needs."""
        needed = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        for name in needed.get(stage or "", ("train", "val", "test")):
            if name != "train" or (self.uses_samples and not self.online):
                self.split(name)

    def to(self, device: torch.device | str) -> "SequenceTask":
        """Keep the data on `device`, so that no batch is ever copied there again."""
        self.device = torch.device(device)
        return self

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> tuple[Tensor, Tensor]:
        """The training batch of optimisation step `step`: this rank's share of (x, y).

        It holds positions step·batch_size … (step+1)·batch_size − 1 of the endless sequence of
        epochs, each a fresh permutation of the training set, so every batch is full and every
        sample occurs once per epoch. With `online` it is a fresh draw.

        Raises:
            ValueError: batch_size is not divisible by the number of processes.
        """
        if self.batch_size % world_size:
            raise ValueError(
                f"batch_size must be divisible by the {world_size} processes, got "
                f"batch_size={self.batch_size}; set task.batch_size to a multiple of {world_size}"
            )
        share = self.batch_size // world_size
        if self.online:
            x, y = self.sample(self.batch_size, generator(self.seed, "online", step))
            mine = slice(rank * share, (rank + 1) * share)
            return x[mine].to(self.device), y[mine].to(self.device)
        x, y = self.split("train")
        index = self._positions(step * self.batch_size + rank * share, share)
        return x.index_select(0, index), y.index_select(0, index)

    def _positions(self, start: int, count: int) -> Tensor:
        epoch, offset = divmod(start, self.sizes["train"])
        index = self._order(epoch)[offset : offset + count]
        if len(index) == count:
            return index
        return torch.cat([index, self._positions(start + len(index), count - len(index))])

    def _order(self, epoch: int) -> Tensor:
        known, order = self._current_order
        if known != epoch or order.device != self.device:
            stream = generator(self.seed, "order", epoch)
            order = torch.randperm(self.sizes["train"], generator=stream).to(self.device)
            self._current_order = epoch, order
        return order

    # ------------------------------------------------------------------ Lightning's view

    def train_dataloader(self) -> "TrainingBatches":
        return TrainingBatches(self)

    def val_dataloader(self) -> "Slices":
        return self._slices("val")

    def test_dataloader(self) -> "Slices":
        return self._slices("test")

    def _slices(self, name: str) -> "Slices":
        if self.trainer is None:
            return Slices(self.split(name), 8 * self.batch_size)
        self.to(self.trainer.strategy.root_device)
        pairs = self.split(name)
        return Slices(pairs, 8 * self.batch_size, self.trainer.global_rank, self.trainer.world_size)


class TrainingBatches:
    """Endless training batches, starting at the step that the trainer has reached."""

    def __init__(self, task: SequenceTask) -> None:
        self.task = task

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        trainer = self.task.trainer
        if trainer is None:
            return map(self.task.batch, itertools.count())
        self.task.to(trainer.strategy.root_device)
        rank, world_size = trainer.global_rank, trainer.world_size
        if not self.task.uses_samples:
            return itertools.repeat(())
        steps = itertools.count(trainer.global_step)
        return (self.task.batch(step, rank, world_size) for step in steps)


class Slices:
    """One rank's share of a split in fixed slices of at most `most` sequences, in order.

    Every sample belongs to exactly one rank, and every rank has as many slices as the others, so
    that none waits for another's.
    """

    def __init__(self, pairs: Pairs, most: int, rank: int = 0, world_size: int = 1) -> None:
        n = len(pairs.x)
        if n < world_size:
            raise ValueError(
                f"val_size and test_size must be at least the {world_size} processes, got {n}; "
                "raise task.val_size and task.test_size"
            )
        count = -(-n // (world_size * most))
        bounds = [n * i // (world_size * count) for i in range(world_size * count + 1)]
        mine = bounds[rank * count : (rank + 1) * count + 1]
        self.slices = [(pairs.x[a:b], pairs.y[a:b]) for a, b in itertools.pairwise(mine)]

    def __len__(self) -> int:
        return len(self.slices)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.slices)


def at_least_one(name: str, value: int) -> None:
    """Refuse a size below 1.

    Raises:
        ValueError: names the config key `task.<name>`.
    """
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {name}={value}; raise task.{name}")
