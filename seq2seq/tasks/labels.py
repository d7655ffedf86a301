"""Sequences of one's own with a class or a value each: from arrays, tables, or images in IDX."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq import checks
from seq2seq.files import place
from seq2seq.seeds import generator
from seq2seq.tasks.labelled_files import read
from seq2seq.tasks.task import Pairs, SequenceTask, spread


@dataclass(eq=False)
class Labels(SequenceTask):
    """Sequences x, each with one class or value y, which is asked at its last step.

    Whole numbers y are classes, scored by the cross-entropy in nats; others are values, scored by
    their mean squared error. y is (batch, 1 + k): the last step of each sequence, then its class or
    its k values. What lies behind the last step is padding, which no causal model sees.

    Args:
        path: an .npz file with `x` (N, time) or (N, time, channels), `y` (N,) or (N, k) and perhaps
            `length` (N,); a .csv or .parquet file with a row per sequence, the columns `y` and
            perhaps `length`, and one for each step; or a folder of IDX files named as those of
            MNIST, `train-images-idx3-ubyte` and so on, also compressed as .gz, whose pixels are
            steps from 0 to 1.
        permute_seed: lets one permutation of the time steps, drawn from it, stand for all sequences
            (permuted MNIST); null leaves them in order.
        standardize: let the model see channels with mean 0 and deviation 1.
        num_classes: where the file lacks some, as one to test with may; null for those up to the
            largest y, each of which must be there.
        val_fraction, test_fraction: shares of the sequences set aside, at least one to validate and
            two to test with; IDX files have their own test set.
        batch_size: sequences per optimisation step.
        seed: root of the random streams.

    Raises:
        ValueError: an unreadable file, missing arrays, unequal shapes, or values not finite.
    """

    path: str
    permute_seed: int | None = None
    standardize: bool = False
    num_classes: int | None = None
    val_fraction: float = 0.1
    test_fraction: float = 0.1
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        parts = read(place(self.path))
        self._parts = [_checked(x, y, length, self.path) for x, y, length in parts]
        x, y = self._parts[0]
        n, self.length, self.input_dim = x.shape
        self.classes = self._count_classes()
        self.output_dim = self.classes or y.shape[1] - 1
        for name in ("val_fraction", "test_fraction"):
            checks.within(f"task.{name}", getattr(self, name), "(0, 1)", 0.1)
        self.val_size = max(1, round(n * self.val_fraction))
        own = len(self._parts) > 1
        self.test_size = len(self._parts[1].x) if own else max(1, round(n * self.test_fraction))
        self.train_size = n - self.val_size - (0 if own else self.test_size)
        if self.train_size < 1:
            raise ValueError(
                f"too few sequences: {n} in {self.path} leave {self.train_size} for training; add "
                "sequences or lower task.val_fraction and task.test_fraction"
            )
        if self.test_size < 2:
            share = f" or raise task.test_fraction={self.test_fraction}" * (not own)
            raise ValueError(
                f"too few sequences to test with: {n} in {self.path} leave {self.test_size}, two "
                f"are needed; add sequences{share}"
            )
        super().__post_init__()
        if self.permute_seed is not None:
            checks.integer("task.permute_seed", self.permute_seed, 0)
            if any((y[:, 0] != self.length - 1).any() for _, y in self._parts):
                checks.refuse(
                    "task.permute_seed", self.permute_seed, "be null for unequal lengths", "null"
                )
            order = torch.randperm(
                self.length, generator=generator(self.permute_seed, "permutation")
            )
            self._parts = [Pairs(x[:, order], y) for x, y in self._parts]

    def _count_classes(self) -> int:
        """How many there are; 0 for values.

        Raises:
            ValueError: one alone, or one that is not there without `num_classes`.
        """
        if self._parts[0].y.is_floating_point():
            if self.num_classes is not None:
                checks.refuse("task.num_classes", self.num_classes, "be null for values", "null")
            return 0
        found = torch.cat([y[:, 1] for _, y in self._parts]).unique().tolist()
        largest = found[-1]
        if self.num_classes is not None:
            checks.integer("task.num_classes", self.num_classes, max(2, largest + 1))
            return self.num_classes
        if len(found) == 1:
            raise ValueError(
                f"y must have two classes or more, got only {largest} in {self.path}; add "
                "sequences of another, write values with a point, as 1.0, or set task.num_classes"
            )
        if len(found) <= largest:
            missing = next(i for i, label in enumerate(found) if i != label)
            raise ValueError(
                f"y must have every class from 0 to its largest, got {largest} but no {missing} in "
                f"{self.path}; number the classes without a gap, or set "
                f"task.num_classes={largest + 1}"
            )
        return int(largest + 1)

    def admit(self, trained: SequenceTask) -> None:
        """Raise ValueError unless the model reads such x and answers such y; not all its classes
        need be in this file.
        """
        assert isinstance(trained, Labels)
        own, known = ("classes" if one.classes else "values" for one in (self, trained))
        if own != known:
            write = "whole numbers" if known == "classes" else "numbers with a point, as 1.0"
            raise ValueError(
                f"task.path={self.path} holds {own}, but the model was trained to answer {known}; "
                f"give a file whose y are {write}"
            )
        if self.classes > trained.classes:
            raise ValueError(
                f"task.path={self.path} holds the class {self.classes - 1}, but the model answers "
                f"only 0 to {trained.classes - 1}; leave out the sequences of further classes"
            )
        for name, size in (("x", "input_dim"), ("y", "output_dim")):
            have, need = getattr(self, size), getattr(trained, size)
            if have != need and not (name == "y" and self.classes):
                raise ValueError(
                    f"task.path={self.path} has {name} with {have} channels, but the model was "
                    f"trained with {need}; give a file with {need}"
                )

    def scaling(self) -> tuple[Tensor, ...] | None:
        if not self.standardize:
            return None
        unchanged = torch.zeros(self.output_dim), torch.ones(self.output_dim)
        return (*spread(self.split("train").x), *unchanged)

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n pairs of the training file, drawn with replacement."""
        x, y = self._parts[0]
        chosen = torch.randint(len(x), (n,), generator=generator)
        return x[chosen], y[chosen]

    def draw(self, split: str) -> Pairs:
        if split == "test" and len(self._parts) > 1:
            return self._parts[1]
        names = ["test", "val", "train"][len(self._parts) - 1 :]
        x, y = self._parts[0]
        order = torch.randperm(len(x), generator=generator(self.seed, "data", "split"))
        parts = order.split([self.sizes[name] for name in names])
        chosen = dict(zip(names, parts, strict=True))[split]
        return Pairs(x[chosen], y[chosen])

    # ----------------------------------------------------------------------------- scoring

    def last(self, output: Tensor, y: Tensor) -> Tensor:
        """The outputs at the last steps, (batch, channels)."""
        step = y[:, 0].long()[:, None, None].expand(-1, 1, output.shape[-1])
        return output.gather(1, step)[:, 0]

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        last = self.last(output, y)
        return F.cross_entropy(last, y[:, 1]) if self.classes else F.mse_loss(last, y[:, 1:])

    def counts(self, output: Tensor, y: Tensor) -> Tensor:
        """Right answers, and sequences: (2,); nothing of values."""
        if not self.classes:
            return output.new_zeros(0)
        right = self.last(output, y).argmax(-1) == y[:, 1]
        return torch.stack([right.sum(), torch.ones_like(y[:, 1]).sum()])

    def scores(self, counts: Sequence[float]) -> dict[str, float]:
        return {"accuracy": counts[0] / counts[1]} if self.classes else {}

    def metrics(self, stage: str, loss: float) -> dict[str, float]:
        if self.classes:
            return {}
        power = float(self.split(stage).y[:, 1:].double().square().mean())
        return {"nmse": loss / power if power else math.nan}

    @property
    def metric_names(self) -> tuple[str, ...]:
        return ("loss", "accuracy") if self.classes else ("loss", "nmse")

    rising = ("accuracy",)

    @property
    def chance(self) -> float | None:
        """The accuracy of the commonest class of the training sequences on the test set."""
        if not self.classes:
            return None
        counts = self.split("train").y[:, 1].bincount(minlength=self.classes)
        return float((self.split("test").y[:, 1] == counts.argmax()).double().mean())

    @property
    def reference_names(self) -> tuple[str, ...]:
        return ("uniform", "memoryless") if self.classes else ("zero", "memoryless")

    def reference_losses(self) -> dict[str, float]:
        """Of one answer to all: `memoryless` gives the shares of the classes, or the mean value.

        They are those of the training sequences, each class counted once more, on the test set.
        """
        train, test = (self.split(name).y[:, 1:].cpu() for name in ("train", "test"))
        if self.classes:
            counts = 1 + train[:, 0].bincount(minlength=self.classes).double()
            loss = -(counts / counts.sum()).log()[test[:, 0]].mean()
            return {"uniform": math.log(self.classes), "memoryless": float(loss)}
        train, test = train.double(), test.double()
        errors = {"zero": test, "memoryless": test - train.mean(0)}
        return {name: float(error.square().mean()) for name, error in errors.items()}

    def references(self) -> dict[str, float]:
        own = {"reference_accuracy/memoryless": self.chance} if self.classes else {}
        return super().references() | {k: v for k, v in own.items() if v is not None}

    def show(self, model: Any, sequences: int) -> dict[str, Any]:
        """Nothing: one answer is no curve."""
        return {}


def _checked(x: np.ndarray, y: np.ndarray, length: np.ndarray | None, path: str) -> Pairs:
    """Sequences (N, time, channels) and their (N, 1 + k) targets."""
    x = x[..., None] if x.ndim == 2 else x
    if x.ndim != 3 or 0 in x.shape or x.dtype.kind not in "fiu":
        raise ValueError(
            f"x must be numbers of the shape (sequences, time) or (sequences, time, channels), got "
            f"{x.dtype} of {x.shape} in {path}"
        )
    given, y = y.shape, y[:, None] if y.ndim == 1 else y
    if y.ndim != 2 or len(y) != len(x) or not y.shape[1]:
        raise ValueError(
            f"y must hold a number, or a row of them, for each of the {len(x)} sequences, got "
            f"the shape {given} in {path}; store as many rows of y as of x"
        )
    if y.dtype.kind not in "fiu":
        raise ValueError(
            f"y must hold numbers, got {y.flat[0]!s:.40} in {path}; number the classes from 0 on"
        )
    for name, array in (("x", x), ("y", y)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, but is not in {path}; remove or fill it")
    length = _lengths(np.full(len(x), x.shape[1]) if length is None else length, x, path)
    if y.dtype.kind != "f" and (y.shape[1] > 1 or y.min() < 0):
        raise ValueError(
            f"classes must be one whole number from 0 on, got {y.shape[1]} from {y.min()} on in "
            f"{path}; values are written with a point, as 1.0"
        )
    kind = np.float32 if y.dtype.kind == "f" else np.int64
    targets = np.concatenate([length[:, None] - 1, y], 1).astype(kind)
    padded = x.astype(np.float32) * (np.arange(x.shape[1]) < length[:, None])[..., None]
    return Pairs(torch.from_numpy(padded), torch.from_numpy(targets))


def _lengths(length: np.ndarray, x: np.ndarray, path: str) -> np.ndarray:
    """One whole number per sequence, of at most its steps."""
    if length.shape != (len(x),):
        raise ValueError(
            f"length must hold a number for each of the {len(x)} sequences, got the shape "
            f"{length.shape} in {path}; correct it, or leave length out"
        )
    numeric = length.dtype.kind in "fiu"
    fits = (length % 1 == 0) & (length >= 1) & (length <= x.shape[1]) if numeric else [False]
    if not np.all(fits):
        raise ValueError(
            f"length must be a whole number from 1 to {x.shape[1]}, the steps of x, got "
            f"{length[np.argmin(fits)]!s:.40} in {path}; correct it, or leave length out"
        )
    return length.astype(int)
