"""One self-contained page on a sweep, from its run folders alone.

What a sweep shows is derived from its configs: keys that vary are its axes, the first numeric one
of the task is the memory k, the others tell groups of runs apart, `seed` repeats them. A key that
follows from the others, such as a length of three times k, is left out.

A run's plateau is the one that its `callbacks.stop_after_escape` names, by a reference predictor or
by its loss; without that callback, or with no reference in it, the first that `plateau.find` sees.
"""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment
from matplotlib.figure import Figure
from scipy.special import stdtrit

from seq2seq.analysis import laws, memory, plots
from seq2seq.analysis.perturbation import perturb_run, stability
from seq2seq.analysis.plateau import RULE, Plateau, Rule, find
from seq2seq.runs import Run, collect, flatten

#: How axes are called; other keys appear under their own name.
NAMES = {
    "task.k": "delay $k$ (steps)",
    "task.filter.delay": "delay 1/ω (time units)",
    "task.filter.rho_bar.rate": "initial decay rate w₀",
    "model.hidden_size": "hidden size",
}

#: Most panels of one figure, and most groups told apart by colour.
PANELS, GROUPS = 12, 7

#: NMSE up to which noise in the parameters counts as tolerated.
LIMIT = 0.1


@dataclass
class Panel:
    """A numbered figure of the page."""

    name: str
    figure: Figure = field(repr=False)
    caption: str


class Sweep:
    """The runs below a folder, with the axes they vary along.

    Attributes:
        root: the folder.
        table: one row per run, from `runs.collect`, and the columns `plateau/level`,
            `plateau/length`, `plateau/censored` (missing where a run has no plateau or has not
            finished).
        keys: config keys that vary on their own, without the seed.

    Raises:
        ValueError: no runs below `root`.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        table = collect(root)
        if table.empty:
            raise ValueError(f"no runs below {root}; give a folder that holds run folders")
        self.runs = [Run(folder) for folder in table["folder"]]
        self.histories = [_history(run) for run in self.runs]
        self.rules = [_rule(run) for run in self.runs]
        self.plateaus = [
            _plateau(run, history, rule)
            for run, history, rule in zip(self.runs, self.histories, self.rules, strict=True)
        ]
        self.table = table.assign(
            **{
                "plateau/level": [p.level if p else np.nan for p in self.plateaus],
                "plateau/length": [p.length if p else np.nan for p in self.plateaus],
                "plateau/censored": [p.censored if p else np.nan for p in self.plateaus],
            }
        )
        config = {key for run in self.runs for key, _ in flatten(run.plain_config)}
        self.keys = _axes(table, [column for column in table.columns if column in config])

    @cached_property
    def memory(self) -> str | None:
        """The key on the horizontal axis: the first numeric one of the task that varies."""
        for key in self.keys:
            if key.startswith("task.") and pd.api.types.is_numeric_dtype(self.table[key]):
                return key
        return None

    @property
    def others(self) -> list[str]:
        """The keys that tell groups of runs apart."""
        return [key for key in self.keys if key != self.memory]

    def groups(self) -> Iterator[tuple[str, "pd.DataFrame"]]:
        """Label and rows of each group."""
        yield from _split(self.table, self.others)

    def cells(self) -> Iterator[tuple[str, "pd.DataFrame"]]:
        """Label and rows of each set of runs that differ by the seed only."""
        yield from _split(self.table, self.keys)

    @property
    def metric(self) -> str:
        """The error of a trained model: NMSE where there is one, the loss otherwise."""
        return "test/nmse" if "test/nmse" in self.table else "test/loss"

    def label(self, key: str) -> str:
        """How an axis is named."""
        return NAMES.get(key, key.removeprefix("task.").removeprefix("model."))


def _history(run: Run) -> dict[str, np.ndarray] | None:
    try:
        history = run.history
    except (OSError, ValueError, KeyError):
        return None
    return history if len(history.get("step", ())) else None


def _rule(run: Run) -> Rule:
    stop = (run.plain_config.get("callbacks") or {}).get("stop_after_escape") or {}
    return Rule(stop.get("tolerance", RULE.tolerance), stop.get("drop", RULE.drop))


def _plateau(run: Run, history: Mapping[str, np.ndarray] | None, rule: Rule) -> Plateau | None:
    # What ended a run too early is not independent of how long its plateau would have been.
    if history is None or run.status != "finished":
        return None
    stop = (run.plain_config.get("callbacks") or {}).get("stop_after_escape") or {"reference": None}
    level = stop.get("reference", "memoryless")
    if isinstance(level, str):
        level = run.result.get(f"reference/{level}")
    found = find(history, level, rule) if level is None or level > 0 else []
    return found[0] if found else None


def _axes(table: "pd.DataFrame", candidates: Sequence[str]) -> list[str]:
    """The candidates that vary and follow neither from the seed nor from earlier ones."""
    text = table[list(candidates)].astype(str)
    kept: list[str] = []
    for key in candidates:
        if key == "seed" or text[key].nunique() < 2:
            continue
        by_seed = text.groupby("seed")[key].nunique().max() if "seed" in text else 2
        if by_seed == 1 and text["seed"].nunique() == text[key].nunique():
            continue
        if kept and text.groupby(kept)[key].nunique().max() == 1:
            continue
        kept.append(key)
    return kept


def _split(table: "pd.DataFrame", keys: Sequence[str]) -> Iterator[tuple[str, "pd.DataFrame"]]:
    if not keys:
        yield "", table
        return
    for _, rows in table.groupby(list(keys), sort=True, dropna=False):
        values = {key: _plain(rows[key].iloc[0]) for key in keys}
        parts = [
            value if isinstance(value, str) else f"{key.rpartition('.')[2]} = {plots.number(value)}"
            for key, value in values.items()
            if not pd.isna(value)  # a key that this task or model does not have
        ]
        yield ", ".join(parts), rows


def _plain(value: Any) -> Any:
    """A Python number of the kind it shows: 16.0 from a column with gaps is 16."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    return value.item() if isinstance(value, np.generic) else value


# --------------------------------------------------------------------------------------- numbers


@dataclass
class Growth:
    """How one group's plateaus grow with the memory, or why that cannot be said."""

    group: str
    runs: int
    escaped: int
    censored: int
    without: int
    laws: laws.Comparison | None
    reason: str = ""

    def sentence(self, key: str) -> str:
        """The verdict in words."""
        subject = f"{self.group}: " if self.group else ""
        counts = f"{self.runs} runs, {self.censored} of them censored"
        if self.without:
            counts += f", {self.without} without a plateau left out"
        if self.laws is None:
            return f"{subject}no law was fitted ({self.reason}; {counts})."
        law, power = self.laws.exponential, self.laws.power
        low, high = law.interval_b
        zero = "which excludes zero" if law.excludes_zero else "which contains zero"
        growth = (
            f"{subject}log τ grows by {law.b:.3g} per unit of {key} "
            f"(95% interval {low:.3g} to {high:.3g}, {zero}; {law.seeds} seeds, {counts}), "
            f"a factor of {math.exp(law.b):.3g} in τ. "
        )
        if not law.excludes_zero and not power.excludes_zero:
            return growth + "Growth is not resolved, so there is no law to choose."
        return growth + self.verdict()

    def verdict(self) -> str:
        """What AIC says."""
        assert self.laws is not None
        difference = self.laws.difference
        if self.laws.verdict == "cannot tell":
            return (
                f"AIC cannot tell an exponential from a power law: they differ by "
                f"{abs(difference):.2f}, below {laws.DECISIVE:.0f}."
            )
        share = self.laws.support if difference > 0 else 1 - self.laws.support
        other = "a power law" if difference > 0 else "an exponential"
        best = "an exponential" if difference > 0 else "a power law"
        return (
            f"AIC prefers {best} to {other} by {abs(difference):.3g} "
            f"(in {share:.0%} of the bootstrap resamples)."
        )


def growth(sweep: Sweep) -> list[Growth]:
    """The laws of each group over the sweep's memory."""
    if sweep.memory is None:
        return []
    found = []
    for label, rows in sweep.groups():
        timed = rows[rows["plateau/length"] > 0]
        censored = timed["plateau/censored"].astype(bool)
        fitted, reason = None, ""
        try:
            fitted = laws.compare(
                timed[sweep.memory].to_numpy(float),
                timed["plateau/length"].to_numpy(float),
                censored.to_numpy(),
                timed["seed"].to_numpy(),
            )
        except ValueError as error:
            reason = str(error)
        counts = (len(rows), int((~censored).sum()), int(censored.sum()), len(rows) - len(timed))
        found.append(Growth(label, *counts, fitted, reason))
    return found


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and the ends of its 95% interval, by Student's t; of one value, itself."""
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return mean, mean, mean
    half = float(stdtrit(len(x) - 1, 0.975) * x.std(ddof=1) / math.sqrt(len(x)))
    return mean, mean - half, mean + half


def log_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of positive values and the ends of its 95% interval."""
    mean, low, high = (math.exp(end) for end in interval(np.log(values).tolist()))
    return mean, low, high


# --------------------------------------------------------------------------------------- figures


def figures(sweep: Sweep, fits: Sequence[Growth]) -> Iterator[Panel]:
    """Every figure that the sweep has data for, the result first."""
    timed = sweep.table["plateau/length"] > 0
    if sweep.memory is not None and timed.any():
        yield _escape_times(sweep, fits)
        yield from _rates(sweep, fits)
    if any(history is not None for history in sweep.histories):
        yield _losses(sweep)
    example = _example(sweep)
    if example is not None:
        yield example
    yield from _kernels(sweep)
    yield from _eigenvalues(sweep)
    yield from _heat_maps(sweep)
    if sweep.metric in sweep.table and sweep.keys and sweep.table[sweep.metric].notna().any():
        yield _means(sweep)
    yield from _order_bounds(sweep)
    yield from _spectra(sweep)
    yield from _perturbation(sweep)


def _escape_times(sweep: Sweep, fits: Sequence[Growth]) -> Panel:
    assert sweep.memory is not None
    groups = {}
    for fit, (label, rows) in zip(fits, sweep.groups(), strict=True):
        rows = rows[rows["plateau/length"] > 0]
        if len(rows):
            groups[label] = plots.Times(
                rows[sweep.memory].to_numpy(float),
                rows["plateau/length"].to_numpy(float),
                rows["plateau/censored"].to_numpy(bool),
                fit.laws,
            )
    shown = dict(list(groups.items())[:PANELS])
    return Panel(
        "plateau_lengths",
        plots.escape_times(shown, sweep.label(sweep.memory)),
        "Length τ of the plateau against the memory, one point per run. Runs that ended on their "
        "plateau count as lower bounds. Lines: maximum-likelihood fits of both laws; solid with "
        "the 95% band of its median: the one with the lower AIC.",
    )


def _rates(sweep: Sweep, fits: Sequence[Growth]) -> Iterator[Panel]:
    """Growth rates over the one number that tells the groups apart, such as a decay rate w₀."""
    if len(sweep.others) != 1 or not pd.api.types.is_numeric_dtype(sweep.table[sweep.others[0]]):
        return
    values = sorted(sweep.table[sweep.others[0]].unique())
    found = [
        (_plain(value), fit.laws.exponential)
        for value, fit in zip(values, fits, strict=True)
        if fit.laws is not None
    ]
    if len(found) < 2 or not np.isfinite([law.interval_b for _, law in found]).all():
        return
    x, laws_found = zip(*found, strict=True)
    rates = {"": (x, [law.b for law in laws_found], [law.interval_b for law in laws_found])}
    key = sweep.others[0]
    unit = f"growth of log τ per unit of {_word(sweep.label(sweep.memory or ''))}"
    figure = plots.means(rates, sweep.label(key), unit)
    caption = "Rate of the exponential law of each group with its 95% interval."
    if key.endswith(("rate", "min_decay")):
        figure.axes[0].axline((x[0], x[0]), slope=1, color=plots.GREY, lw=0.9, ls=(0, (4, 2)))
        caption += " On the dashed diagonal the time grows like e^{w₀/ω}."
    yield Panel("rates", figure, caption)


def _losses(sweep: Sweep) -> Panel:
    panels: dict[str, list[plots.Curve]] = {}
    references: dict[str, dict[str, float]] = {}
    by = [sweep.memory] if sweep.memory else sweep.keys
    grouped = sweep.groups() if sweep.memory else [("", sweep.table)]
    groups = {index: label for label, rows in grouped for index in rows.index}
    labels = list(dict.fromkeys(groups.values()))[:GROUPS]
    for title, rows in _choose(list(_split(sweep.table, by)), PANELS):
        for index in rows.index:
            history = sweep.histories[index]
            if history is not None and groups[index] in labels:
                curve = plots.Curve(history, sweep.plateaus[index], groups[index])
                panels.setdefault(title, []).append(curve)
        references[title] = {
            str(column).removeprefix("reference/"): float(rows[column].dropna().iloc[0])
            for column in rows
            if str(column).startswith("reference/") and rows[column].notna().any()
        }
    return Panel(
        "losses",
        plots.loss_panels(panels, references),
        "Training loss of every run. Filled triangles: the escape from the plateau; open ones: the "
        "run ended on it. Dashed: the losses of the best linear predictors with no input (zero), "
        "the present input (memoryless) and the last m inputs (taps m).",
    )


def _choose(items: list[Any], most: int) -> list[Any]:
    """At most `most` items, evenly spaced."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _example(sweep: Sweep) -> Panel | None:
    """The run whose plateau is the median among those that were left."""
    left = [
        index
        for index, one in enumerate(sweep.plateaus)
        if one is not None and one.escape is not None and one.length > 0
    ]
    if not left:
        return None
    lengths = [sweep.table["plateau/length"].iloc[index] for index in left]
    index = left[int(np.argsort(lengths)[len(left) // 2])]
    label = next(label for label, rows in sweep.cells() if index in rows.index)
    history, one, rule = sweep.histories[index], sweep.plateaus[index], sweep.rules[index]
    assert history is not None
    assert one is not None
    return Panel(
        "definition",
        plots.plateaus(history, [one], rule),
        f"What counts as a plateau, on one run ({label or 'the only setting'}). It starts when the "
        f"smoothed loss comes within {rule.tolerance:.0%} of the level and is escaped (triangle) "
        f"when that lies {rule.drop:.0%} below; the smoothing averages the logarithm over the last "
        f"{rule.smoothing:.0%} of the steps, at least {rule.window}.",
    )


def _arrays(run: Run, name: str) -> dict[str, np.ndarray] | None:
    try:
        with np.load(run.folder / name, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, ValueError):
        return None


def _kernels(sweep: Sweep) -> Iterator[Panel]:
    panels: dict[str, tuple[Any, list[Any]]] = {}
    for title, rows in _choose(list(sweep.cells()), PANELS):
        for index in rows.index:
            stored = _arrays(sweep.runs[index], "kernel.npz")
            if stored is not None:
                panels.setdefault(title, (stored["true"], []))[1].append(stored["learned"])
    if panels:
        yield Panel(
            "kernels",
            plots.kernels(panels),
            "Impulse response of the task and of the models at the end of their training. For a "
            "nonlinear model it is the answer to one unit impulse.",
        )


def _eigenvalues(sweep: Sweep) -> Iterator[Panel]:
    panels = {}
    for title, rows in sweep.cells():
        for index in rows.index:
            stored = _arrays(sweep.runs[index], "eigenvalues.npz")
            if stored is not None:
                panels[title or "eigenvalues"] = (stored["step"], stored["eigenvalues"])
                break
    if panels:
        yield Panel(
            "eigenvalues",
            plots.eigenvalues(dict(_choose(list(panels.items()), 8))),
            "Eigenvalues of the recurrent matrix during training, first seed of each setting. "
            "Inside the unit circle a linear recurrence forgets, at the rate |λ| per step.",
        )


def _heat_maps(sweep: Sweep) -> Iterator[Panel]:
    if len(sweep.keys) != 2 or sweep.table[sweep.keys].isna().any(axis=None):
        return
    column, row = (sweep.memory, sweep.others[0]) if sweep.memory else sweep.keys
    timed = sweep.table[sweep.table["plateau/length"] > 0]
    if len(timed):
        table = timed.pivot_table("plateau/length", row, column, "median")
        bounds = timed.astype({"plateau/censored": float}).pivot_table(
            "plateau/censored", row, column, "mean"
        )
        yield Panel(
            "heat_map_plateau",
            _heat_map(sweep, table, "median τ (steps)", bounds.to_numpy() >= 0.5),
            "Median length of the plateau over seeds; ≥ where half of the runs ended on it.",
        )
    if sweep.metric in sweep.table and sweep.table[sweep.metric].notna().any():
        table = sweep.table.pivot_table(sweep.metric, row, column, "median")
        name = sweep.metric.replace("test/", "test ").replace("nmse", "NMSE")
        yield Panel(
            "heat_map_error",
            _heat_map(sweep, table, f"median {name}"),
            f"Median {name} over seeds at the end of training (1: no better than answering zero).",
        )


def _heat_map(sweep: Sweep, table: "pd.DataFrame", unit: str, bounds: Any = None) -> Figure:
    names = [sweep.label(str(axis.name)) for axis in (table.index, table.columns)]
    rows, columns = ([_plain(v) for v in axis] for axis in (table.index, table.columns))
    return plots.heat_map(table.to_numpy(), (names[0], rows), (names[1], columns), unit, bounds)


def _order_bounds(sweep: Sweep) -> Iterator[Panel]:
    """How far recurrences of several sizes stay from what their number of states allows."""
    if "state_size" not in sweep.table or sweep.table["state_size"].nunique() < 2:
        return
    done = sweep.table[(sweep.table["status"] == "finished") & sweep.table["state_size"].notna()]
    posed = [key for key in sweep.keys if key.startswith("task")]
    told = [key for key in sweep.keys if key not in posed and key != "model.hidden_size"]
    panels = {}
    for title, rows in _split(done, posed):
        run = sweep.runs[rows.index[0]]
        stored = _arrays(run, "kernel.npz")
        process = (run.plain_config["task"].get("input") or {}).get("_target_", "")
        if stored is None or not process.endswith(".White") or not stored["true"].any():
            continue
        length = len(stored["true"])
        errors = {
            label: (group["state_size"].to_numpy(float), group[sweep.metric].to_numpy(float))
            for label, group in _split(rows, told)
        }
        weights = 1 - np.arange(length) / length  # of the loss averaged over the horizon
        panels[title] = plots.BoundedErrors(stored["true"], weights, errors)
    if panels:
        yield Panel(
            "order_bounds",
            plots.order_bounds(dict(_choose(list(panels.items()), PANELS))),
            "Test NMSE against the number of real states carried from step to step. Grey: out of "
            "reach of any linear recurrence with so many states, by the Hankel spectrum of the "
            "kernel under white input, readout after the input is consumed. Nonlinear models are "
            "not bound by it.",
        )


def _spectra(sweep: Sweep) -> Iterator[Panel]:
    """What each of the kernels asks of recurrences and convolutions, where kernels vary."""
    if "task.filter" not in sweep.keys:
        return
    kernels = {}
    for title, rows in _split(sweep.table, ["task.filter"]):
        stored = (_arrays(sweep.runs[index], "kernel.npz") for index in rows.index)
        true = next((one["true"] for one in stored if one is not None), None)
        if true is not None:
            kernels[title.removeprefix("filter = ")] = true
    if kernels:
        yield Panel(
            "spectra",
            plots.spectra(kernels, finite=True),
            "Lower bounds of the relative error on the lags of the task, under white input: of "
            "linear recurrences, by the Hankel spectrum, and of linear dilated convolutions of "
            "filter size 2, by the tensor-train spectra. A convolution of width n has about 2n² "
            "parameters per layer, a diagonal recurrence 3n in all.",
        )


def _perturbation(sweep: Sweep) -> Iterator[Panel]:
    """How much noise the models bear, where widths and parameterisations vary."""
    width = "model.hidden_size"
    others = [key for key in sweep.keys if key != width]
    if width not in sweep.keys or "model.parameterisation" not in others:
        return
    panels, verdicts = {}, []
    done = sweep.table[sweep.table["status"] == "finished"]
    for title, rows in _split(done, others):
        found = [(int(m), perturb_run(sweep.runs[i])) for i, m in rows[width].items()]
        panels[title] = dict(reversed(found))  # of each width the first seed
        try:
            law = stability([m for m, _ in found], [one.tolerated(LIMIT) for _, one in found])
        except ValueError as error:
            verdicts.append(f"{title}: no verdict ({error})")
            continue
        low, high = law.interval
        verdicts.append(
            f"{title}: {law.verdict}, the tolerated noise goes like the width to the power of "
            f"{law.slope:.2f} ({low:.2f} to {high:.2f})"
        )
    if panels:
        yield Panel(
            "perturbation",
            plots.perturbation(panels, LIMIT, "NMSE"),
            "Largest NMSE over 20 draws when all parameters are perturbed by noise up to the "
            f"relative size β, first seed; dashed, the limit of {LIMIT:g} up to which noise is "
            f"tolerated. Over all seeds: {'; '.join(verdicts)}.",
        )


def _horizontal(sweep: Sweep) -> str:
    """What errors are drawn over: the memory, or the size, of different models in parameters."""
    if sweep.memory is not None:
        return sweep.memory
    if {"model", "model.hidden_size"} <= set(sweep.keys):
        return "parameters"
    numeric = [key for key in sweep.keys if pd.api.types.is_numeric_dtype(sweep.table[key])]
    return (numeric or sweep.keys)[0]


def _means(sweep: Sweep) -> Panel:
    x = _horizontal(sweep)
    merged = {x} | ({"model.hidden_size"} if x == "parameters" else set())
    errors = sweep.table[sweep.metric].dropna()
    geometric = errors.min() > 0 and errors.max() > 100 * errors.min()
    average = log_interval if geometric else interval
    groups = {}
    for label, rows in _choose(
        list(_split(sweep.table, [k for k in sweep.keys if k not in merged])), GROUPS
    ):
        cells = [
            (_plain(value), *average(cell[sweep.metric].dropna().tolist()))
            for value, cell in rows.groupby(x)
            if cell[sweep.metric].notna().any()
        ]
        if cells:
            values, mean, low, high = zip(*cells, strict=True)
            groups[label] = (values, mean, np.stack([low, high], axis=1))
    name = sweep.metric.replace("test/", "test ").replace("nmse", "NMSE")
    return Panel(
        "means",
        plots.means(groups, sweep.label(x), name),
        f"{'Geometric mean of' if geometric else 'Mean'} {name} at the end of training and its 95% "
        "interval over seeds (Student's t).",
    )


# ------------------------------------------------------------------------------------------ page


def report(root: str | Path) -> Path:
    """Write `report.html` and `figures/*.svg|png` into `root`; returns the page.

    Figures of an earlier report that this one has no longer are removed.

    Raises:
        ValueError: no runs below `root`.
    """
    sweep = Sweep(root)
    fits = growth(sweep)
    folder = sweep.root / "figures"
    folder.mkdir(exist_ok=True)
    panels = []
    for panel in figures(sweep, fits):
        drawing = plots.svg(panel.figure)
        (folder / f"{panel.name}.svg").write_text(drawing, encoding="utf-8")
        plots.png(panel.figure, folder / f"{panel.name}.png")
        panels.append({"name": panel.name, "caption": panel.caption, "svg": _inline(drawing)})
    drawn = {panel["name"] for panel in panels}
    for old in [*folder.glob("*.svg"), *folder.glob("*.png")]:
        if old.stem not in drawn:
            old.unlink()  # of an earlier state of the sweep
    page = sweep.root / "report.html"
    template = Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8")
    text = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    page.write_text(text.render(content(sweep, fits), panels=panels), encoding="utf-8")
    return page


def _inline(svg: str) -> str:
    """The drawing without the XML prologue, which has no place inside a page."""
    return svg[svg.index("<svg") :]


def content(sweep: Sweep, fits: Sequence[Growth]) -> dict[str, Any]:
    """What the page says beside the figures."""
    config = sweep.runs[0].plain_config
    statuses = sweep.table["status"].value_counts()
    key = _word(sweep.label(sweep.memory or ""))
    return {
        "title": config.get("name") or sweep.root.name,
        "claim": config.get("claim"),
        "summary": ", ".join(f"{count} {status}" for status, count in statuses.items()),
        "seeds": sweep.table["seed"].nunique(),
        "axes": [f"{axis}: {', '.join(_values(sweep.table[axis]))}" for axis in sweep.keys],
        "hours": _duration(float(sweep.table.get("seconds", pd.Series(dtype=float)).sum())),
        "sentences": [fit.sentence(key) for fit in fits],
        "fits": [_fit_row(fit) for fit in fits if fit.laws is not None],
        "key": key,
        "settings": [_setting(sweep, label, rows) for label, rows in sweep.cells()],
        "metric": sweep.metric.replace("test/", "test ").replace("nmse", "NMSE"),
        "timed": bool((sweep.table["plateau/length"] > 0).any()),
        "runs": [_run_row(sweep, index) for index in range(len(sweep.runs))],
        "columns": [*sweep.keys, "seed"],
        "failed": [_failure(run) for run in sweep.runs if run.status not in ("finished",)],
        "decisive": f"{laws.DECISIVE:.0f}",
        "rule": sweep.rules[0],
    }


def _word(label: str) -> str:
    """An axis's name inside a sentence: without its unit and the signs of mathematics."""
    return label.partition(" (")[0].replace("$", "")


def _values(column: "pd.Series[Any]") -> list[str]:
    return [plots.number(_plain(value)) for value in sorted(column.dropna().unique())]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _fit_row(fit: Growth) -> list[str]:
    assert fit.laws is not None
    law, power = fit.laws.exponential, fit.laws.power
    verdict = fit.laws.verdict
    if not law.excludes_zero and not power.excludes_zero:
        verdict = "no growth resolved"  # type: ignore[assignment]
    return [
        fit.group or "all runs",
        f"{fit.escaped} + {fit.censored}",
        f"{law.b:.3g} [{law.interval_b[0]:.3g}, {law.interval_b[1]:.3g}]",
        f"{power.b:.3g} [{power.interval_b[0]:.3g}, {power.interval_b[1]:.3g}]",
        f"{law.sigma:.2g} / {power.sigma:.2g}",
        f"{fit.laws.difference:+.2f}",
        verdict,
    ]


def _setting(sweep: Sweep, label: str, rows: "pd.DataFrame") -> list[str]:
    timed = rows[rows["plateau/length"] > 0]
    censored = int(timed["plateau/censored"].astype(bool).sum())
    length = ""
    if len(timed):
        mean, low, high = log_interval(timed["plateau/length"].tolist())
        length = ("≥ " if censored else "") + f"{plots.number(mean)} [{low:,.0f}, {high:,.0f}]"
    error = ""
    if sweep.metric in rows and rows[sweep.metric].notna().any():
        mean, low, high = interval(rows[sweep.metric].dropna().tolist())
        error = f"{mean:.3g} ± {(high - low) / 2:.2g}"
    return [label or "all runs", str(len(rows)), length, str(censored), error]


def _run_row(sweep: Sweep, index: int) -> list[str]:
    row, one = sweep.table.iloc[index], sweep.plateaus[index]
    error = row.get(sweep.metric, np.nan)
    steps, seconds = row.get("steps", np.nan), row.get("seconds", np.nan)
    length = "" if one is None else (">" if one.censored else "") + f"{one.length:,}"
    return [
        *(plots.number(_plain(row[key])) for key in sweep.keys),
        str(row["seed"]),
        str(row["status"]),
        "" if pd.isna(steps) else f"{steps:,.0f}",
        length,
        "" if pd.isna(error) else plots.number(float(error)),
        *_memories(sweep.runs[index]),
        "" if pd.isna(seconds) else f"{seconds:.1f}",
        sweep.runs[index].name,
    ]


def _memories(run: Run) -> tuple[str, str]:
    """Effective memory in taps, as the interval it lies in, and the lags that are used."""
    bracket, stored = memory.effective(run.result), _arrays(run, "kernel.npz")
    effective = ""
    if bracket is not None:
        low, high = (f"{end:.0f}" for end in bracket)
        effective = f"above {low}" if math.isinf(bracket[1]) else f"{low} to {high}"
        effective = "none" if bracket[0] < 0 else effective
    used = "" if stored is None else str(memory.used(memory.impulse_profile(stored["learned"])))
    return effective, used


def _failure(run: Run) -> tuple[str, str, str]:
    reasons = {
        "diverged": "the loss became infinite or 10,000 times the first",
        "stopped": "interrupted; the same command continues it",
        "killed": "ended without a word; the same command continues it",
    }
    return (
        run.name,
        run.status,
        html.unescape(run.result.get("error") or reasons.get(run.status, "")),
    )
