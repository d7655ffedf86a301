"""Sequences of one's own with a class or a value each: from arrays, tables, or images in IDX."""

import gzip
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq import checks
from seq2seq.errors import ConfigError
from seq2seq.files import place
from seq2seq.seeds import generator
from seq2seq.tasks.task import Pairs, SequenceTask, spread

#: What IDX calls its types of numbers.
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}

#: The names that MNIST gives its parts.
IDX_PARTS = {"train": "train", "test": "t10k"}


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


# ------------------------------------------------------------------------------- files of all kinds

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def read(path: Path) -> list[Arrays]:
    """x, y and the lengths in a file; of a folder those to train and those to test with.

    Raises:
        ValueError: none can be read there.
    """
    kinds = {".npz": _npz, ".csv": _table, ".parquet": _table}
    try:
        if path.is_dir():
            return [_idx_pair(path, name) for name in IDX_PARTS.values()]
        if not path.is_file():
            raise OSError("there is none" if not path.exists() else "it is no regular file")
        if path.suffix not in kinds:
            raise OSError(f"its name ends in {path.suffix or 'no suffix'}")
        return [kinds[path.suffix](path)]
    except ConfigError:
        raise  # of what the file holds
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ValueError(
            f"path must be a .npz, .csv or .parquet file or a folder of IDX files, got path={path} "
            f"({reason}); set task.path"
        ) from None


def _npz(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):
        raise OSError("it is no archive as numpy.savez writes it")
    with np.load(path, allow_pickle=False) as stored:
        for name in ("x", "y"):
            if name not in stored:
                held = ", ".join(stored) or "nothing"
                raise ConfigError(f"{name} is not in {path}, which holds {held}; store it there")
        return (
            _array(stored, "x", path),
            _array(stored, "y", path),
            _array(stored, "length", path) if "length" in stored else None,
        )


def _array(stored: Mapping[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    try:
        return stored[name]
    except ValueError:  # numpy says how to unpickle them
        raise ConfigError(
            f"{name} must hold numbers, got Python objects in {path}; store it as an array of "
            "numbers, of sequences of one length"
        ) from None


def _table(path: Path) -> Arrays:
    import pandas as pd

    table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    if "y" not in table:
        held = ", ".join(map(str, table.columns[:8]))
        raise ConfigError(f"column y is not in {path}, whose first are {held}; add it")
    length = table.pop("length").to_numpy() if "length" in table else None
    y = table.pop("y").to_numpy()
    for name, column in table.items():
        if not pd.api.types.is_numeric_dtype(column):
            bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
            value = column[bad if bad.any() else column.notna()].iloc[0]
            raise ConfigError(
                f"column {name} must hold numbers, got {value!r} in {path}; correct or remove it"
            )
    return table.to_numpy(np.float32), y, length


def _idx_pair(folder: Path, part: str) -> Arrays:
    images = read_idx(_either(folder, f"{part}-images-idx3-ubyte"))
    labels = read_idx(_either(folder, f"{part}-labels-idx1-ubyte"))
    return images.reshape(len(images), -1).astype(np.float32) / 255, labels.astype(np.int64), None


def _either(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise OSError(f"{name} is not there")


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file, as LeCun's page on MNIST describes it, perhaps compressed.

    Two zeros, a byte for the type, one for the number n of axes, n sizes of 4 bytes each, the
    numbers row by row; all with the highest byte first.

    Raises:
        ValueError: it is none.
    """
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise ValueError(f"{path.name} does not begin as an IDX file does")
    shape = np.frombuffer(content, ">u4", content[3], 4)
    numbers = np.frombuffer(content, IDX_TYPES[content[2]], offset=4 + 4 * content[3])
    if len(numbers) != math.prod(shape.tolist()):
        raise ValueError(f"{path.name} holds {len(numbers)} numbers, not {shape.tolist()}")
    return numbers.reshape(shape)


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
