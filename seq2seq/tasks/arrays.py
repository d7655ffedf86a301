"""Sequences of one's own, from a file."""

from dataclasses import dataclass
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks
from seq2seq.files import place
from seq2seq.seeds import generator
from seq2seq.tasks.task import Pairs, SequenceTask, log, spread


@dataclass(eq=False)
class Arrays(SequenceTask):
    """Pairs (x, y) from an .npz file with arrays `x` (N, time, in) and `y` (N, time, out).

    A permutation drawn from `seed` sets test and validation sequences aside; all others train.

    Args:
        path: the file, as written by `numpy.savez(path, x=x, y=y)`; real numbers of any type.
        val_fraction, test_fraction: shares of the sequences set aside, at least one each.
        batch_size: sequences per optimisation step.
        seed: root of the random streams.
        standardize: let the model work on x and y with mean 0 and deviation 1 per channel, those of
            the training sequences, which are kept with its parameters. Its outputs, and so all
            losses, are in the file's units; see `seq2seq.models.standardized`.

    Raises:
        ValueError: an unreadable file, missing arrays, unequal shapes, values that are not finite
            numbers or whose squares float32 cannot hold, or too few sequences.
    """

    path: str
    val_fraction: float = 0.1
    test_fraction: float = 0.1
    batch_size: int = 128
    seed: int = 0
    standardize: bool = False
    affine = True

    def __post_init__(self) -> None:
        x, y = self._pairs = _load(self.path)
        n, self.length, self.input_dim = x.shape
        self.output_dim = y.shape[2]
        for name in ("val_fraction", "test_fraction"):
            checks.within(f"task.{name}", getattr(self, name), "(0, 1)", 0.1)
        self.val_size = max(1, round(n * self.val_fraction))
        self.test_size = max(1, round(n * self.test_fraction))
        self.train_size = n - self.val_size - self.test_size
        if self.train_size < 1:
            raise ValueError(
                f"too few sequences: {n} in {self.path} leave {self.train_size} for training; add "
                "sequences or lower task.val_fraction and task.test_fraction"
            )
        super().__post_init__()

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        channels = min(self.input_dim, self.output_dim)
        if stage == "fit" and channels > self.length:
            log.warning(
                "%s has %d channels and sequences of length %d; if it is channels-first, write "
                "x.transpose(0, 2, 1) and y.transpose(0, 2, 1)",
                *(self.path, channels, self.length),
            )

    def scaling(self) -> tuple[Tensor, ...] | None:
        train = self.split("train")
        return (*spread(train.x), *spread(train.y)) if self.standardize else None

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n pairs of the file, drawn with replacement."""
        chosen = torch.randint(len(self._pairs.x), (n,), generator=generator)
        return self._pairs.x[chosen], self._pairs.y[chosen]

    def draw(self, split: str) -> Pairs:
        order = torch.randperm(len(self._pairs.x), generator=generator(self.seed, "data", "split"))
        parts = order.split([self.sizes[name] for name in ("test", "val", "train")])
        chosen = dict(zip(("test", "val", "train"), parts, strict=True))[split]
        return Pairs(self._pairs.x[chosen], self._pairs.y[chosen])


def _load(path: str) -> Pairs:
    try:
        if place(path).exists() and not place(path).is_file():
            raise OSError("it is no regular file")
        with place(path).open("rb") as handle, ZipFile(handle) as archive:
            members = {name: f"{name}.npy" for name in ("x", "y")}
            arrays = {
                name: np.lib.format.read_array(archive.open(member), allow_pickle=False)
                for name, member in members.items()
                if member in archive.namelist()
            }
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"path must be a readable .npz file of numbers, got path={path} ({reason}); "
            "write it with numpy.savez(path, x=x, y=y) and set task.path"
        ) from None
    for name in ("x", "y"):
        if name not in arrays:
            raise ValueError(
                f"task.path={path} must hold the arrays x and y, but has no {name}; add it"
            )
        array = arrays[name]
        if array.ndim != 3 or 0 in array.shape:
            raise ValueError(
                f"{name} must have the shape (sequences, time, channels), got {array.shape} in "
                f"{path}; a single channel is {name}[..., None]"
            )
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(
                f"{name} must hold finite real numbers, got {array.dtype} with "
                f"{_bad(array)} others in {path}; remove or fill them"
            )
        largest = max(float(array.max()), -float(array.min()))
        if array.any() and not 1e-15 <= largest <= 1e15:
            raise ValueError(
                f"{name} must reach a magnitude in {checks.MAGNITUDES}, whose squares float32 can "
                f"hold, got {largest:.3g} in {path}; change the units of {name} in task.path"
            )
    x, y = arrays["x"], arrays["y"]
    if x.shape[:2] != y.shape[:2]:
        raise ValueError(
            f"x and y must agree in sequences and time, got {x.shape} and {y.shape} in {path}; "
            "give one target step for each input step, and channels last"
        )
    if not y.any():
        raise ValueError(f"y must not be zero everywhere, as it is in {path}; check the file")
    return Pairs(*(torch.from_numpy(part.astype(np.float32)) for part in (x, y)))


def _bad(array: np.ndarray) -> int:
    """How many entries are not finite real numbers."""
    return int((~np.isfinite(array)).sum()) if array.dtype.kind in "fiu" else array.size
