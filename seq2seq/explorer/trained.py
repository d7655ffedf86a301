"""The trained models that pages can show: those of the package, and the runs of one folder."""

import functools
import itertools
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seq2seq import pretrained
from seq2seq.errors import printable
from seq2seq.explorer.page import Choice, Controls, Refused
from seq2seq.files import read
from seq2seq.runs import Run
from seq2seq.runs.identity import END
from seq2seq.schema import explain

if TYPE_CHECKING:
    from seq2seq.models.model import SequenceModel
    from seq2seq.models.token import TokenModel
    from seq2seq.tasks.task import SequenceTask
    from seq2seq.tasks.vocabulary import Vocabulary

#: Tasks on real sequences: what names of the package's models on them begin with, and their own.
REAL = {"shift-": "Shift by 8 steps", "lorenz96-": "Lorenz 96"}

#: Stands for a task where one's own runs are offered.
RUNS = "runs"

#: How many runs are offered, the newest.
MOST = 50

#: Seconds for which the list of runs is kept.
FRESH = 3

#: Most bytes of a config that is looked into.
LARGEST = 2**19

#: Longest sequences that are shown.
LONGEST = 2048


class Loaded(NamedTuple):
    """A trained model with its run and the task that it was trained on."""

    run: Run
    task: "SequenceTask"
    model: "SequenceModel"


# ----------------------------------------------------------------------------------- choosing


def packaged(*prefixes: str) -> list[str]:
    """The trained models of the package whose names begin with one of `prefixes`."""
    return [name for name in pretrained.names() if name.startswith(prefixes)]


def choices(tasks: dict[str, str], runs: list[str], kind: type[Choice] = Choice) -> Controls:
    """The choices of a task and of a model on it, of that `kind`; `runs` stand for a task."""
    own = {RUNS: "Your own runs"} if runs else {}
    task = yield Choice("task", "Task", [*(tasks | own).items()])
    models = runs if task == RUNS else packaged(task)
    word = "Run" if task == RUNS else "Model"
    label = word if kind is Choice else f"{word}s"
    yield kind("model", label, [*zip(models, labels(models), strict=True)])


def labels(names: Sequence[str]) -> list[str]:
    """What to show of the names of models and runs: what ends a run's, where it tells nothing."""
    names = [printable(name) for name in names]
    short = [END.sub("", name) for name in names]
    return [
        brief if short.count(brief) == 1 else name for name, brief in zip(names, short, strict=True)
    ]


def without_folders(names: Sequence[str]) -> list[str]:
    """The last parts of paths, where they differ."""
    last = [name.rpartition("/")[2] for name in names]
    return [one if last.count(one) == 1 else name for name, one in zip(names, last, strict=True)]


def runs(outputs: Path, level: str = "") -> list[str]:
    """The newest runs below `outputs`, by their paths in it: those on text of `level`, or others.

    A run whose config cannot be read is among the others: opening it says why.
    """
    found = (
        config.parent.relative_to(outputs).as_posix()
        for changed, config in _newest(outputs, int(time.monotonic() // FRESH))
        if _level(config, changed) == level
    )
    return list(itertools.islice(found, MOST))


@functools.lru_cache(maxsize=1)
def _newest(outputs: Path, _: int) -> list[tuple[int, Path]]:
    """When the config of each run below `outputs` was written, and the config, newest first."""
    return sorted(((path.stat().st_mtime_ns, path) for path in _configs(outputs)), reverse=True)


def _configs(outputs: Path) -> Iterator[Path]:
    """Every `config.yaml` below `outputs`, no link followed, no run looked into."""
    for folder, folders, files in os.walk(outputs):
        path = Path(folder, "config.yaml")
        found = path.name in files and not path.is_symlink()
        folders[:] = [] if found else [name for name in folders if not name.startswith(".")]
        if found:
            yield path


@functools.lru_cache(maxsize=20_000)
def _level(config: Path, _: int) -> str:
    """The level of the text that a run is on; "" where it is on something else."""
    try:
        text = read(config, config.parent, LARGEST).decode(errors="replace")
    except (OSError, ValueError):
        return ""
    task = re.search(r"^task:\n((?: .*\n)*)", text, re.MULTILINE)
    level = task and re.search(r"^  level: (char|word)$", task[1], re.MULTILINE)
    return level[1] if level else ""


# ------------------------------------------------------------------------------------ opening


def find(outputs: Path, name: str, allow: Sequence[str] = ()) -> Run:
    """The trained model of that name, or the run at that path below `outputs`.

    Args:
        allow: packages outside the project whose classes the run's config may name.

    Raises:
        Refused: the run is not there, or part of it lies elsewhere.
    """
    if name in pretrained.names():
        return pretrained.find(name)
    folder = outputs / name
    inside = folder.resolve().is_relative_to(outputs.resolve())
    if not inside or any(path.is_symlink() for path in (folder, *folder.rglob("*"))):
        raise Refused("model", f"{name} leads out of the folder {outputs}; copy the run into it")
    return Run(folder, allow)


def load(run: Run) -> Loaded:
    """The model of a run on real sequences, and its task.

    Raises:
        Refused: what the run holds is damaged, is not of this project, or asks for other files.
    """
    return _load(run.folder, tuple(run.allow), _stamp(run))


@functools.lru_cache(maxsize=8)
def _load(folder: Path, allow: tuple[str, ...], _: int) -> Loaded:
    from seq2seq.build import build, load_model
    from seq2seq.tasks.task import AskedLast

    run = _run(folder, allow)
    with refusing(run):
        cfg = run.config
        length = cfg.task.get("length", 0)
        if isinstance(length, int) and length > LONGEST:
            raise ValueError(f"its sequences are longer than {LONGEST} steps")
        task, _module = build(cfg)
        if task.vocabulary_size is not None or isinstance(task, AskedLast):
            raise ValueError("its answers are no curves, which this page draws")
        model: SequenceModel = load_model(run)  # type: ignore[assignment]
    return Loaded(run, task, model)


def load_text(run: Run) -> "tuple[TokenModel, Vocabulary]":
    """The model and the vocabulary of a run on text.

    Raises:
        Refused: what the run holds is damaged, or is not of this project.
    """
    return _load_text(run.folder, tuple(run.allow), _stamp(run))


@functools.lru_cache(maxsize=4)
def _load_text(folder: Path, allow: tuple[str, ...], _: int) -> "tuple[TokenModel, Vocabulary]":
    from seq2seq.generate import load

    run = _run(folder, allow)
    with refusing(run):
        return load(run)


def _run(folder: Path, allow: tuple[str, ...]) -> Run:
    ours = folder.parent == pretrained.FOLDER
    return pretrained.Pretrained(folder) if ours else Run(folder, allow)


def _stamp(run: Run) -> int:
    """Changes when the run goes on."""
    try:
        return max(
            path.stat().st_mtime_ns for path in (run.folder / "config.yaml", *run.checkpoints)
        )
    except OSError:
        return 0


@contextmanager
def refusing(run: Run) -> Iterator[None]:
    """Whatever goes wrong with the files of a run becomes one line beside the control `model`."""
    try:
        yield
    except Exception as error:
        line = explain(error)[:300]
        raise Refused("model", f"{run.name[:60]} cannot be shown: {line}") from error
