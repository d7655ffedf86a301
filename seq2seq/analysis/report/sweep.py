"""The runs of a sweep, the axes that they vary along, and the plateau of each.

Keys that vary are a sweep's axes: the first numeric one of the task is the memory k, the others
tell groups of runs apart, `seed` repeats them. A key that follows from the others, such as a length
of three times k, is left out.

A run's plateau is the first of its `plateau.reading`. A run that has not ended counts as it is at
its present step, on its plateau still or beyond: when it was interrupted tells nothing of how long
the plateau would have been. Runs that diverged or failed have none.

Where the runs have a target (`callbacks.stop_at_target`) and no plateau is asked for, the steps to
the first success take its place: of a run that ended without one, they are a lower bound.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seq2seq.analysis import plateau
from seq2seq.analysis.figures import number
from seq2seq.analysis.perturbation import Perturbed, perturb_run
from seq2seq.analysis.plateau import Plateau
from seq2seq.build import build_task
from seq2seq.errors import printable
from seq2seq.files import place
from seq2seq.runs import Run, collect, comparable, flatten, short, tells

Arrays = dict[str, np.ndarray]

#: How axes are called; other keys appear under their own name.
NAMES = {
    "task.k": "delay $k$ (steps)",
    "task.filter.delay": "delay 1/ω (time units)",
    "task.filter.rho_bar.rate": "initial decay rate w₀",
    "model.hidden_size": "hidden size",
}


#: NMSE up to which noise in the parameters counts as tolerated.
LIMIT = 0.1

#: The statuses of runs that have not ended, and may go on.
UNENDED = ("running", "stopped", "killed")

#: The config groups that decide what is trained.
COMPONENTS = ("task", "model", "objective", "optimizer", "scheduler")

#: Seeds from here on are held out: those of a replication, where there are others too.
HELD_OUT = 100


class Sweep:
    """The runs below a folder.

    Args:
        root: the folder.
        allow: packages outside the project whose classes the runs' configs may name.

    Attributes:
        table: one row per run, from `runs.collect`, and the columns `plateau/level`,
            `plateau/length`, `plateau/censored` (missing where a run has no plateau or has not
            finished).
        event: what ends the times τ in the table: leaving the `plateau`, or the first `success`.
        resting: share of its steps that each run spent on plateaus.
        keys: config keys that vary on their own, without the seed.
        unreadable: name of each run that is left out, its status and why it cannot be read.

    Raises:
        ValueError: no folder `root`, or no runs below it that can be read.
    """

    def __init__(self, root: str | Path, allow: Sequence[str] = ()) -> None:
        self.root = place(root)
        if not self.root.is_dir():
            raise ValueError(f"no folder {root}; give one that holds run folders")
        table = collect(root)
        if table.empty:
            raise ValueError(f"no runs below {root}; give a folder that holds run folders")
        self.runs, self.histories, self.rules, self.plateaus = [], [], [], []  # type: ignore[var-annotated]
        self.unreadable, kept, resting = [], [], []
        for index, row in table.iterrows():
            run = Run(row["folder"], allow)
            try:
                if row["status"] == "unreadable":
                    raise ValueError(row["error"])
                history = _history(run)
                rule = plateau.rule(run.plain_config)
                found = _plateaus(run, history)
            except Exception as error:
                self.unreadable.append((run.name, "unreadable", str(error)))
                continue
            kept.append(index)
            self.runs.append(run)
            self.histories.append(history)
            self.rules.append(rule)
            self.plateaus.append(found[0] if found else None)
            steps = float(history["step"][-1]) if history else np.nan
            resting.append(sum(one.length for one in found) / steps)
        if not kept:
            raise ValueError(f"no run below {root} can be read; the first: {self.unreadable[0][2]}")
        table = table.loc[kept].reset_index(drop=True)
        _name_choices(table, [run.plain_config for run in self.runs])
        config = {key for run in self.runs for key, _ in flatten(run.plain_config)}
        candidates = [c for c in table.columns if c in config and self._is_setting(c)]
        for column in candidates:
            table[column] = table[column].map(_comparable)
        self.event = "plateau"
        aims = "success" in table and table["success"].notna().any()
        if aims and all(_waits_for_success(run.plain_config) for run in self.runs):
            self.event, self.plateaus = "success", [None] * len(self.runs)
        told = _columns(self.plateaus) if self.event == "plateau" else _successes(table)
        self.table = table.assign(**told)
        self.keys = _axes(table, candidates)
        self.resting = pd.Series(resting, dtype=float)

    def _is_setting(self, key: str) -> bool:
        """Whether a key tells of what was trained, and not only of how it was asked for."""
        return key == "trainer.max_steps" or any(tells(key, one.plain_config) for one in self.runs)

    @cached_property
    def memory(self) -> str | None:
        """The key on the horizontal axis: the first numeric one of the task that varies."""
        return next((k for k in self.keys if k.startswith("task.") and self.is_numeric(k)), None)

    @property
    def is_study(self) -> bool:
        """Whether the runs ask how plateaus grow with the memory."""
        return self.memory is not None and any(plateau.asked(r.plain_config) for r in self.runs)

    def is_numeric(self, key: str) -> bool:
        """Whether all values of a key are numbers."""
        return bool(pd.api.types.is_numeric_dtype(self.table[key]))

    @property
    def others(self) -> list[str]:
        """The keys that tell groups of runs apart."""
        return [key for key in self.keys if key != self.memory]

    @property
    def timed(self) -> "pd.DataFrame":
        """The rows of the runs that have a plateau."""
        return timed(self.table)

    def read(self, factor: float) -> "pd.DataFrame":
        """The table if an escape were a fall of so many times the `drop` of each run's rule."""
        pairs = zip(self.runs, self.histories, strict=True)
        found = [_plateaus(run, history, factor) for run, history in pairs]
        return self.table.assign(**_columns([one[0] if one else None for one in found]))

    def groups(self) -> Iterator[tuple[str, "pd.DataFrame"]]:
        """Label and rows of each group."""
        yield from split(self.table, self.others)

    def cells(self, rows: "pd.DataFrame | None" = None) -> Iterator[tuple[str, "pd.DataFrame"]]:
        """Label and rows of each set of runs, among these or all, that differ by the seed only."""
        if rows is None or len(rows):
            yield from split(self.table if rows is None else rows, self.keys)

    @cached_property
    def perturbed(self) -> dict[int, Perturbed]:
        """The losses under noise in the parameters of the runs that finished."""
        done = self.table.index[self.table["status"] == "finished"]
        return {index: perturb_run(self.runs[index]) for index in done}

    @property
    def tolerated(self) -> "pd.Series[float]":
        """The noise that each run bears; missing where it did not finish or learn."""
        sizes = {index: one.tolerated(LIMIT) for index, one in self.perturbed.items()}
        return pd.Series(sizes, self.table.index, dtype=float)

    def stored(self, rows: "pd.DataFrame", name: str) -> Iterator[Arrays]:
        """The arrays in the files `name` of the runs in these rows that have one."""
        found = (arrays(self.runs[index], name) for index in rows.index)
        return (one for one in found if one is not None)

    def succeeded(self, rows: "pd.DataFrame") -> tuple[int, int]:
        """How many of the runs in these rows reached their target, and how many had one."""
        known = rows["success"].dropna() if "success" in rows else rows.iloc[:0, 0]
        return int(known.astype(bool).sum()), len(known)

    @property
    def unended(self) -> int:
        """How many runs with a plateau have not ended."""
        return int(self.timed["status"].isin(UNENDED).sum())

    def budget(self, index: int) -> float:
        """The steps that a run had for its plateau: all from its start that it could have taken."""
        one, trainer = self.plateaus[index], self.runs[index].plain_config.get("trainer") or {}
        steps = trainer.get("max_steps") or self.table.get("steps", pd.Series()).get(index)
        return float(steps or math.inf) - (one.start if one else 0)

    def sets(self) -> dict[str, "Sweep"]:
        """The runs of the first seeds and, where there are any, those of the held-out ones."""
        held_out = pd.to_numeric(self.table["seed"], errors="coerce") >= HELD_OUT
        if held_out.all() or not held_out.any():
            return {"first": self}
        return {"first": self.part(~held_out), "replication": self.part(held_out)}

    def part(self, kept: "pd.Series[bool]") -> "Sweep":
        """Some of the runs as a sweep along the same axes."""
        part = object.__new__(Sweep)
        part.root, part.unreadable, part.keys = self.root, self.unreadable, self.keys
        part.event = self.event
        part.table = self.table[kept].reset_index(drop=True)
        part.resting = self.resting[kept].reset_index(drop=True)
        for name in ("runs", "histories", "rules", "plateaus"):
            setattr(part, name, [*itertools.compress(getattr(self, name), kept)])
        return part

    def column(self, key: str) -> "pd.Series[Any]":
        """What a key of the config or of the results is in each run; missing where it is not."""
        if key in self.table:
            return self.table[key]
        if names := _choices([run.plain_config for run in self.runs], key):
            return pd.Series(names, dtype=object)
        return pd.Series([config.get(key) for config in self._configs], dtype=object)

    @property
    def config_keys(self) -> set[str]:
        """The dotted keys that the config of any run has."""
        return {key for config in self._configs for key in config}

    @cached_property
    def _configs(self) -> list[dict[str, Any]]:
        return [dict(flatten(run.plain_config)) for run in self.runs]

    def chosen(self, where: Mapping[str, Any]) -> "pd.Series[bool]":
        """Which runs have these values, or one of a list of them.

        Of a component that is the name of what was chosen, or else of its class as files name it.
        """
        kept = pd.Series(True, index=self.table.index)
        for key, wanted in where.items():
            found = pd.Series(False, index=self.table.index)
            for one in wanted if isinstance(wanted, list) else [wanted]:
                found |= self._is(key, one)
            kept &= found
        return kept

    def _is(self, key: str, wanted: Any) -> "pd.Series[bool]":
        found = _named(self.column(key), {comparable(wanted)})
        if not found.any():
            classes = pd.Series([config.get(key) for config in self._configs], dtype=object)
            found = _named(classes, {comparable(wanted)})
        return found

    @property
    def metric(self) -> str:
        """The error of a trained model: NMSE where there is one, the loss otherwise."""
        return "test/nmse" if "test/nmse" in self.table else "test/loss"

    @property
    def metric_name(self) -> str:
        """How the metric is named."""
        return self.metric.replace("test/", "test ").replace("nmse", "NMSE")

    @property
    def score(self) -> str:
        """What a search minimises."""
        return "val/nmse" if "val/nmse" in self.table else "val/loss"

    @property
    def has_scores(self) -> bool:
        """Whether any run has one."""
        return self.score in self.table and bool(self.table[self.score].notna().any())

    @property
    def has_errors(self) -> bool:
        """Whether any run has the metric."""
        return self.metric in self.table and bool(self.table[self.metric].notna().any())

    def label(self, key: str) -> str:
        """How an axis is named."""
        brief = [_without_component(one) for one in self.keys]
        name = _without_component(key)
        return NAMES.get(key, name if brief.count(name) < 2 else key)

    @property
    def memory_word(self) -> str:
        """The memory's name inside a sentence: without its unit and the signs of mathematics."""
        return self.label(self.memory or "").partition(" (")[0].replace("$", "")


def spread(sweep: Sweep, key: str) -> float:
    """Over which share of a searched key's range the best quarter of the runs spreads.

    Ranges are those of logarithms where all values are positive.
    """
    if key not in sweep.table or not sweep.is_numeric(key) or not sweep.has_scores:
        return np.nan
    ranked = sweep.table.dropna(subset=[sweep.score, key]).sort_values(sweep.score)
    values = ranked[key].to_numpy(float)
    values = np.log(values) if (values > 0).all() else values
    best = values[: max(2, round(len(values) / 4))]
    return float(np.ptp(best) / np.ptp(values)) if len(values) > 2 and np.ptp(values) else np.nan


def timed(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Those of runs that have a plateau."""
    return rows[rows["plateau/length"] > 0]


def arrays(run: Run, name: str) -> Arrays | None:
    """The arrays in the run's file `name`; None where it is not there or damaged."""
    try:
        return run.arrays(name)
    except ValueError:
        return None


def _history(run: Run) -> Arrays | None:
    try:
        history = run.history
    except ValueError:
        return None
    return history if len(history["step"]) else None


def _columns(plateaus: Sequence[Plateau | None]) -> dict[str, list[Any]]:
    """The columns of a table that tell of its runs' plateaus."""
    return {
        f"plateau/{name}": [getattr(one, name) if one else np.nan for one in plateaus]
        for name in ("level", "length", "censored")
    }


def _waits_for_success(config: Mapping[str, Any]) -> bool:
    """Whether a run has a target, and nothing asks how long its plateau was."""
    callbacks = config.get("callbacks") or {}
    conditions = config.get("refuted_if") or ()
    asked = {one.get("quantity") for one in conditions} & {"resting", "plateau/length"}
    target = (callbacks.get("stop_at_target") or {}).get("target")
    return target is not None and not callbacks.get("stop_after_escape") and not asked


def _successes(table: "pd.DataFrame") -> dict[str, Any]:
    """The columns in which the steps to success stand in for the plateau."""
    ended = (table["status"] == "finished") & table["success"].notna()
    none = pd.Series(np.nan, index=table.index)
    step, steps = (pd.to_numeric(table.get(key, none)) for key in ("success/step", "steps"))
    return {
        "plateau/level": none,
        "plateau/length": step.fillna(steps).where(ended),
        "plateau/censored": step.isna().astype(object).where(ended),
    }


def _plateaus(run: Run, history: Arrays | None, factor: float = 1.0) -> list[Plateau]:
    if history is None or run.status not in ("finished", *UNENDED):
        return []
    references = run.result
    if run.status in UNENDED and not any(key.startswith("reference/") for key in references):
        try:
            references = build_task(run.config).references()
        except (ValueError, OSError):  # its data are not here
            references = {}
    return plateau.reading(history, run.plain_config, references, factor)


def _choices(configs: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """What was chosen for a component in each run, where all tell of it."""
    told = [(config.get("command") or {}).get("choices") or {} for config in configs]
    names = [one.get(key.replace(".", "/")) for one in told]
    known = key.partition(".")[0] in COMPONENTS and all(isinstance(one, str) for one in names)
    return [str(one) for one in names] if known else []


def _name_choices(table: "pd.DataFrame", configs: Sequence[Mapping[str, Any]]) -> None:
    """Call components by what was chosen, `momentum` or `lstm`, where all runs tell of it.

    Their classes tell less: that of both `sgd` and `momentum` is `SGD`.
    """
    told = [(config.get("command") or {}).get("choices") or {} for config in configs]
    if not all(told):
        return
    for group in dict.fromkeys(group for one in told for group in one):
        key, names = group.replace("/", "."), [one.get(group) for one in told]
        place = next((i for i, c in enumerate(table) if c == key or c.startswith(f"{key}.")), None)
        if group.partition("/")[0] not in COMPONENTS or place is None:
            continue
        if key in table:  # a list, as of a filter, is no choice
            is_choice = table[key].map(lambda value: value is None or isinstance(value, str))
            table[key] = table[key].where(~is_choice, names)
        elif len({*names}) > 1:
            table.insert(place, key, names)


def _axes(table: "pd.DataFrame", candidates: Sequence[str]) -> list[str]:
    """The candidates that vary and follow neither from the seed nor from earlier ones.

    The model stays even where it follows: no number tells of it.
    """
    text = table[list(candidates)].map(lambda value: "" if pd.isna(value) else str(value))
    kept: list[str] = []
    for key in candidates:
        if key == "seed" or text[key].nunique() < 2 or _follows_seed(key, text):
            continue
        if key != "model" and kept and text.groupby(kept)[key].nunique().max() == 1:
            continue
        kept.append(key)
    return kept


def _follows_seed(key: str, text: "pd.DataFrame") -> bool:
    """Whether a key is another seed, or names a start, of which each seed has its own."""
    if "seed" not in text or not (key.endswith("seed") or key == "init_from"):
        return False
    one = text.groupby("seed")[key].nunique().max() == 1 and not text[key].eq("").any()
    return bool(one and text["seed"].nunique() == text[key].nunique())


def split(table: "pd.DataFrame", keys: Sequence[str]) -> Iterator[tuple[str, "pd.DataFrame"]]:
    """Label and rows of each combination of the keys' values; no two have the same label."""
    if not keys:
        yield "", table
        return
    parts = [rows for _, rows in table.groupby(list(keys), sort=True, dropna=False)]
    values = [{key: plain(rows[key].iloc[0]) for key in keys} for rows in parts]
    labels = [_label(one) for one in values]
    for label, one, rows in zip(labels, values, parts, strict=True):
        yield label if labels.count(label) == 1 else _full_label(one), rows


def _label(values: Mapping[str, Any]) -> str:
    """In short: words alone, numbers by the last part of their key."""
    shown = {key: _shown(value) for key, value in values.items()}
    names = short(values)
    parts = [
        value if isinstance(value, str) else f"{names[key]} = {number(value)}"
        for key, value in shown.items()
        if not pd.isna(value)  # a key that this task or model does not have
    ]
    return ", ".join(parts) or f"no {' nor '.join(values)}"


def _without_component(key: str) -> str:
    return key.removeprefix("task.").removeprefix("model.")


def _full_label(values: Mapping[str, Any]) -> str:
    """Every key and value whole, where in short they would be called alike."""
    told = {key: value for key, value in values.items() if not pd.isna(value)}
    return ", ".join(f"{key} = {str(value).replace('$', '')}" for key, value in told.items())


def _comparable(value: Any) -> Any:
    """A value by which runs can be put together: a list, as of a filter, is a text."""
    return printable(value) if isinstance(value, str | list | dict) else value


def _shown(value: Any) -> Any:
    """A text as figures can take it: one short line without the sign of mathematics."""
    return printable(value)[:60].replace("$", "") if isinstance(value, str) else value


def _named(column: "pd.Series[Any]", names: set[str]) -> "pd.Series[bool]":
    return column.map(lambda value: comparable(plain(value))).isin(names)


def plain(value: Any) -> Any:
    """A Python number of the kind it shows: 16.0 from a column with gaps is 16, a gap None."""
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return None
        if float(value).is_integer():
            return int(value)
    return value.item() if isinstance(value, np.generic) else value
