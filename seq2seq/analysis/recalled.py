"""The bits that the runs of sweeps recall: a row for each model and state, and the figure."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from seq2seq.analysis.capacity import KEPT, Capacity, capacity, check
from seq2seq.analysis.figures.capacity import Line, Rounded, recalled_bits
from seq2seq.analysis.intervals import interval, named
from seq2seq.analysis.report.sweep import Sweep, plain, split
from seq2seq.build import build_task, load_model, threads
from seq2seq.errors import ConfigError
from seq2seq.runs import Run

Ends = tuple[float, float, float]

#: Model, setting, and runs that differ in the seed only.
Cell = tuple[str, dict[str, Any], list[Run]]


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed only.

    Attributes:
        model: what was chosen for it, and settings of it that are no numbers.
        setting: what else varies in the sweep.
        found: of each run.
    """

    model: str
    setting: dict[str, Any]
    found: Sequence[Capacity]

    @property
    def numbers(self) -> int:
        """Real numbers in the state."""
        return self.found[0].numbers

    @cached_property
    def bits(self) -> Ends:
        """The mean R and its 95% interval."""
        return interval([one.recall.bits for one in self.found])

    def rounded(self, b: int) -> Ends:
        """The same with states of b bits a number."""
        return interval([one.quantised[b].bits for one in self.found])

    @property
    def precisions(self) -> list[int]:
        """Bits that the states were rounded to."""
        return sorted(self.found[0].quantised)

    @property
    def used(self) -> int | None:
        """The fewest of these with which the runs together recall `KEPT` of what they recall.

        None where these are too few, or it cannot be told whether they recall anything.
        """
        mean, low, _ = self.bits
        enough = (b for b in self.precisions if self.rounded(b)[0] >= KEPT * mean)
        return next(enough, None) if low > 0 else None

    def row(self) -> dict[str, Any]:
        """What a table has of it."""
        right = [one.recall.accuracy for one in self.found if one.recall.accuracy is not None]
        first = self.found[0]
        return {
            "model": self.model,
            **self.setting,
            "runs": len(self.found),
            "numbers": self.numbers,
            "bits": named(self.bits),
            "accuracy": named(interval(right)) if right else None,
            "per_number": named(interval([one.per_number for one in self.found])),
            "source": first.source if math.isfinite(first.source) else None,
            "shortcut": first.shortcut,
            "used": self.used,
        }

    def rounded_rows(self) -> Iterator[dict[str, Any]]:
        """A row per number of bits."""
        for b in self.precisions:
            right = [one.quantised[b].accuracy for one in self.found]
            known = [one for one in right if one is not None]
            yield {
                "model": self.model,
                "numbers": self.numbers,
                "b": b,
                "bits": named(self.rounded(b)),
                "accuracy": named(interval(known)) if known else None,
            }


def measurable(sweep: Path) -> list[Cell]:
    """The cells of finished runs below a folder, none of which is measured yet.

    Raises:
        ValueError: there are none, or their task or model cannot be measured.
    """
    found = [*cells(sweep)]
    for _, _, runs in found:
        with refusing_below(sweep):
            check(*loaded(runs[0]))
    return found


def measure(found: Sequence[Cell], bits: Sequence[int]) -> Iterator[Group]:
    """What the runs of each cell recall; see `capacity`."""
    for name, setting, runs in found:
        yield Group(name, setting, [_of_run(run, bits) for run in runs])


@contextmanager
def refusing_below(sweep: Path) -> Iterator[None]:
    """Name the folder in what is refused of its runs."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{sweep} cannot be measured: {error}") from error


def cells(sweep: Path) -> Iterator[Cell]:
    """Model, setting and runs of each set of finished runs that differ in the seed only.

    Raises:
        ValueError: there are none below that folder.
    """
    every = Sweep(sweep)
    every = every.part(every.table["status"] == "finished")
    if not len(every.table):
        raise ValueError(f"no finished run below {sweep}; give the folder of a run or a sweep")
    told = [key for key in every.keys if not every.is_numeric(key)]
    for name, rows in split(every.table, told):
        for _, cell in split(rows, every.keys):
            runs = [Run(folder) for folder in cell.sort_values("seed")["folder"]]
            setting = {
                key.rpartition(".")[2]: plain(cell[key].iloc[0])
                for key in every.keys
                if key not in told and not cell[key].isna().any()
            }
            yield name or _chosen(runs[0]), setting, runs


def loaded(run: Run) -> tuple[Any, Any]:
    """The model of a run and its task."""
    return load_model(run), build_task(run.config, run.folder)


def _of_run(run: Run, bits: Sequence[int]) -> Capacity:
    with threads(run.config.threads):
        return capacity(*loaded(run), bits)


def _chosen(run: Run) -> str:
    """The name of the model of a sweep that has one."""
    config = run.plain_config
    choices = (config.get("command") or {}).get("choices") or {}
    return choices.get("model") or str(config["model"]["_target_"]).rpartition(".")[2]


def figure(groups: Sequence[Group]) -> Figure:
    """Recalled bits against the numbers of the state, and what is left of them with fewer bits."""
    lines, rounded = {}, {}
    for model in dict.fromkeys(group.model for group in groups):
        own = sorted((one for one in groups if one.model == model), key=lambda one: one.numbers)
        lines[model] = Line([one.numbers for one in own], [one.bits for one in own])
        best = max(own, key=lambda one: one.bits[0] / one.numbers)
        if best.precisions and best.bits[0] > 1:  # else there is nothing to lose
            ends = [best.rounded(b) for b in best.precisions]
            rounded[model] = Rounded(best.numbers, best.bits[0], best.precisions, ends)
    first = groups[0].found[0]
    return recalled_bits(lines, rounded, first.source, first.shortcut)
