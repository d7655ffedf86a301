"""The folder of one run and the files in it."""

import contextlib
import hashlib
import io
import json
import pickle
import re
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf

from seq2seq.files import place, write_atomically
from seq2seq.runs import reading
from seq2seq.runs.identity import resolved
from seq2seq.runs.locks import is_held
from seq2seq.runs.provenance import provenance

if TYPE_CHECKING:
    import numpy as np

#: A run with one of these statuses is complete: asked for again, it is skipped.
FINAL = ("finished", "diverged")

#: Most former parts of a training whose provenance is kept.
MOST_PARTS = 20


class Run:
    """One run folder, read when asked for.

    Args:
        folder: where it lies; holds `config.yaml`, `provenance.json`, `history.npz`,
            `checkpoints/`, TensorBoard events and, written last, `result.json`.
        allow: packages beside the project whose classes its config may name, and files or folders,
            such as `/data`, that it may read. What the stored config itself allows does not count:
            the folder may come from a stranger.
    """

    def __init__(self, folder: str | Path, allow: Iterable[str] = ()) -> None:
        self.folder = place(folder)
        self.allow = tuple(allow)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {self.status})"

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def plain_config(self) -> dict[str, Any]:
        """The resolved config as plain dictionaries.

        Raises:
            ValueError: `config.yaml` is not what a run writes.
        """
        return reading.config(self.folder)

    @property
    def config(self) -> DictConfig:
        """The resolved config, allowing what the reader allows; see `reading.confined`.

        Raises:
            ValueError: it names data elsewhere, or asks for too much.
        """
        confined = reading.confined(self.plain_config, self.folder, self.allow)
        return OmegaConf.create(confined | {"allow": list(self.allow)})

    @property
    def result(self) -> dict[str, Any]:
        """What `result.json` holds; empty while the run has not ended, or if it is damaged."""
        try:
            return reading.result(self.folder)
        except (OSError, ValueError):
            return {}

    @property
    def provenance(self) -> dict[str, Any]:
        """What `provenance.json` holds; empty for a run that has none, or a damaged one."""
        try:
            return reading.provenance(self.folder)
        except (OSError, ValueError):
            return {}

    @property
    def unreadable(self) -> str:
        """Why the result or the config cannot be read; empty if both can, or are not there yet."""
        for read in (reading.result, reading.config):
            try:
                read(self.folder)
            except FileNotFoundError:
                continue
            except ValueError as error:
                return str(error)
        return ""

    @property
    def status(self) -> str:
        """`finished`, `diverged`, `failed`, `stopped`, or else `running`, `killed` or `new`.

        A run is `running` while a living process has locked it, on this machine or on another that
        shares the folder; one that has begun and neither ended nor runs was `killed`.
        """
        status = self.result.get("status")
        if status:
            return str(status)
        if is_held(self.folder):
            return "running"
        return "killed" if (self.folder / "config.yaml").exists() else "new"

    @property
    def is_complete(self) -> bool:
        """Whether it has ended, and its config, without which nobody can read it, is there."""
        return self.status in FINAL and (self.folder / "config.yaml").exists()

    def is_done(self, cfg: DictConfig) -> bool:
        """Whether the run needs no more training to be what `cfg` asks for."""
        return self.is_complete and not cfg.force

    def arrays(self, name: str) -> dict[str, "np.ndarray"]:
        """What the `.npz` file `name` holds.

        Raises:
            ValueError: it is not there, damaged, or holds more than arrays.
        """
        try:
            return reading.arrays(self.folder, name)
        except OSError as error:
            raise ValueError(f"no {name} in {self.folder}") from error

    @property
    def history(self) -> dict[str, "np.ndarray"]:
        """Arrays `step`, `loss` (training loss of every step) and `lr`.

        They are those of the last sound checkpoint where `history.npz` is damaged.

        Raises:
            ValueError: neither can be read.
        """
        try:
            return self.arrays("history.npz")
        except ValueError:
            for path in self.checkpoints:
                with contextlib.suppress(ValueError):
                    stored = load_checkpoint(path)
                    if "history" in stored:
                        return {key: part.numpy() for key, part in stored["history"].items()}
            raise

    @property
    def vocabulary(self) -> Path:
        """The file of token names that a run on text has."""
        return self.folder / "vocabulary.json"

    @property
    def weights(self) -> Path:
        """The file of parameters that a published run has in place of checkpoints."""
        return self.folder / "model.safetensors"

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints, the last one first."""
        found = (self.folder / "checkpoints").glob("step=*.ckpt")
        numbered = [path for path in found if path.stem.removeprefix("step=").isdecimal()]
        return sorted(numbered, key=checkpoint_step, reverse=True)

    def write_config(self, cfg: DictConfig) -> None:
        """Make the folder and store the resolved config in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = yaml.dump(resolved(cfg), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
        write_atomically(self.folder / "config.yaml", text.encode())

    def write_provenance(self, cfg: DictConfig) -> None:
        """Write `provenance.json`: the code, the machine and the command of this training.

        Where it goes on from a checkpoint, its own or a shorter run's, those of the former parts
        stand under `before`.
        """
        shorter = None if self.checkpoints or cfg.get("force") else self.shorter()
        source = shorter or self
        former, before = source.provenance, []
        if former and source.checkpoints:
            told = former.pop("before", [])
            before = [*(told if isinstance(told, list) else []), former][-MOST_PARTS:]
        data = json.dumps(provenance(cfg) | {"before": before}, indent=1).encode()
        write_atomically(self.folder / "provenance.json", data)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write `result.json`, the mark of a run that has ended."""
        data = json.dumps(result, indent=1).encode()
        write_atomically(self.folder / "result.json", data)
        (self.folder / reading.NOTE).unlink(missing_ok=True)

    def note_progress(
        self, step: int, of: int, first: int, left: float | None, loss: float
    ) -> None:
        """Note for others how far the training has come; gone when there is a result.

        Args:
            step: that has been taken, of `of`.
            first: step that this process went on from.
            left: seconds until the last one, where that is known.
            loss: of the step.
        """
        note = {"step": step, "of": of, "first": first, "left": left, "loss": loss}
        note = {key: value for key, value in note.items() if value is not None}
        write_atomically(self.folder / reading.NOTE, json.dumps(note).encode())

    @property
    def progress(self) -> dict[str, float]:
        """What was noted last, with `left` as of now; empty if there is nothing to read."""
        try:
            return reading.progress(self.folder)
        except (OSError, ValueError):
            return {}

    def clear(self) -> None:
        """Remove what an earlier training left, keeping Hydra's record of the job."""
        (self.folder / "result.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        arrays = ("history", "kernel", "eigenvalues", "generalisation")
        for pattern in (*(f"{name}.npz" for name in arrays), "traceback.txt", ".slots"):
            (self.folder / pattern).unlink(missing_ok=True)
        for events in self.folder.glob("events.out.tfevents.*"):
            events.unlink()

    def shorter(self) -> "Run | None":
        """The longest run of the same trajectory with fewer steps, if one was finished."""
        wanted = re.search(r"-steps=(\d+)-([0-9a-f]{8})$", self.name)
        if wanted is None:
            return None
        steps, digest = int(wanted.group(1)), wanted.group(2)
        found: list[tuple[int, Run]] = []
        for folder in self.folder.parent.glob(f"*-{digest}"):
            other = re.search(r"-steps=(\d+)-", folder.name)
            if other and int(other.group(1)) < steps:
                run = Run(folder)
                if run.status in FINAL and run.checkpoints:
                    found.append((int(other.group(1)), run))
        return max(found, key=lambda pair: pair[0])[1] if found else None


# That in C, where there is one, takes a tenth of the time.
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def checkpoint_step(path: Path) -> int:
    """The number of steps taken when the checkpoint `step=<n>.ckpt` was written."""
    return int(path.stem.partition("=")[2])


def seal(path: Path) -> None:
    """Give a checkpoint its SHA-256, as the comment of the zip archive that it is.

    The comment's length, 2 bytes, and the comment itself are the last that an archive holds.
    """
    content = path.read_bytes()[:-2] + (32).to_bytes(2, "little")
    path.write_bytes(content + hashlib.sha256(content).digest())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing anything in it.

    Those with a history are sealed; of older ones the checksums of their parts are compared.

    Raises:
        ValueError: the file is damaged, cut short, or holds more than tensors and plain values.
    """
    import torch

    with reading.reading(path):
        content = reading.checkpoint(path)
        try:
            loaded: dict[str, Any] = torch.load(
                io.BytesIO(content), weights_only=True, map_location="cpu"
            )
        except pickle.UnpicklingError:  # torch's own line advises to load it all the same
            raise ValueError("it holds more than tensors and plain values") from None
        loaded["state_dict"], loaded["global_step"]
        sealed = hashlib.sha256(content[:-32]).digest() == content[-32:]
        if not sealed and ("history" in loaded or _is_torn(content)):
            raise ValueError("its checksum is wrong")
    return loaded


def _is_torn(archive: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return opened.testzip() is not None


def load_weights(path: Path) -> dict[str, Any]:
    """Read the parameters of a model, a file that can hold nothing but tensors.

    Raises:
        ValueError: the file is damaged, cut short, or of another kind.
    """
    from safetensors.torch import load_file

    with reading.reading(path):
        return load_file(reading.weights(path))


def score(result: Mapping[str, Any]) -> float | None:
    """What a search minimises: `val/nmse`, or `val/loss` for a task of tokens; None without one."""
    value: float | None = result.get("val/nmse", result.get("val/loss"))
    return value


def score_name(results: Iterable[Mapping[str, Any]]) -> str:
    """How a table calls the `score` of these: that of tasks of tokens alone is a loss."""
    scored = [result for result in results if score(result) is not None]
    return "val loss" if scored and not any("val/nmse" in one for one in scored) else "val nmse"


def by_unit(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result with like beside like: counts, then losses, then what follows from losses."""

    def unit(key: str) -> int:
        group, _, name = key.partition("/")
        if not name or group in ("plateau", "success"):
            return 0
        return 1 if name == "loss" or group == "reference" else 2

    return {key: result[key] for key in sorted(result, key=unit)}
