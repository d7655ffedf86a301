"""The figures of a report, each with its caption."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seq2seq.analysis import laws, memory
from seq2seq.analysis.figures import canvas, curves, sweeps, theory
from seq2seq.analysis.intervals import interval, log_interval
from seq2seq.analysis.perturbation import SIZES, stability
from seq2seq.analysis.plateau import smoothed
from seq2seq.analysis.report import generalised, linear, phases
from seq2seq.analysis.report.growth import Growth
from seq2seq.analysis.report.panel import Panel, chosen, left_out
from seq2seq.analysis.report.search import Found, search
from seq2seq.analysis.report.sweep import LIMIT, Sweep, arrays, plain, split, timed
from seq2seq.analysis.report.verdict import approximation
from seq2seq.build import build

#: Most panels of one figure, and most groups told apart by colour.
PANELS, GROUPS = 12, 7


def figures(sweep: Sweep, fits: Sequence[Growth]) -> Iterator[Panel]:
    """Every figure that the sweep has data for, the result first."""
    if (found := search(sweep)) is not None:
        yield from _searched(sweep, found)
        yield from _losses(sweep, [])
        return
    yield from _phases(sweep)
    means = list(_means(sweep))
    if not sweep.is_study:
        yield from means
    if sweep.memory is not None and len(sweep.timed):
        yield _escape_times(sweep, sweep.memory, fits)
        yield from _rates(sweep, fits)
        yield from _thresholds(sweep, fits)
        yield from _rates_by_radius(sweep, fits)
    yield from generalised.figures(sweep)
    yield from _losses(sweep, [sweep.memory] if sweep.memory else sweep.keys)
    yield from _example(sweep)
    yield from _kernels(sweep)
    yield from _eigenvalues(sweep)
    yield from linear.figures(sweep)
    yield from _heat_maps(sweep)
    if sweep.is_study:
        yield from means
    yield from _order_bounds(sweep)
    yield from _approximations(sweep)
    yield from _spectra(sweep)
    yield from _perturbation(sweep)


def _phases(sweep: Sweep) -> Iterator[Panel]:
    """The share of successes over memory and size, with the contours by its law and by times."""
    found = phases.read(sweep)
    if not found:
        return
    panels, data = {}, []
    for one in chosen(found, PANELS):
        cells = one.cells
        names = {one.memory: "memory", one.size: "size"}
        panels[one.group] = sweeps.Phases(cells.rename(columns=names), one.law, one.times)
        data.append(cells.assign(group=one.group))
    axes = sweep.label(found[0].memory), sweep.label(found[0].size)
    told = "".join(f" {one.sentence(sweep)}" for one in found)
    yield Panel(
        "phases",
        sweeps.phase_diagram(panels, *axes),
        "How many of the runs of a cell succeeded; white cells were not run. Line and band: where "
        "half of them do by the logistic law of success, with its 95% interval; dashed, with "
        "intervals: by the law of the times to success at each size."
        f"{left_out(len(found), PANELS)}{told}",
        pd.concat(data),
    )


def _escape_times(sweep: Sweep, key: str, fits: Sequence[Growth]) -> Panel:
    groups = {}
    for fit, (label, rows) in zip(fits, sweep.groups(), strict=True):
        if len(rows := timed(rows)):
            columns = (rows[key], rows["plateau/length"], rows["plateau/censored"].astype(bool))
            groups[label] = sweeps.Times(*columns, fit.laws)
    shown = dict(chosen([*groups.items()], PANELS))
    names = [key, "seed", "plateau/length", "plateau/censored"]
    data = [timed(rows)[names].assign(group=label) for label, rows in sweep.groups()]
    told = (
        "Length τ of the plateau against the memory, one point per run. Runs that ended on their "
        "plateau count as lower bounds."
    )
    if sweep.event == "success":
        told = (
            "Steps τ to the first validation that reached the target, one point per run. Runs that "
            "ended before count as lower bounds."
        )
    return Panel(
        {"plateau": "plateau_lengths", "success": "success_times"}[sweep.event],
        sweeps.escape_times(shown, sweep.label(key), sweep.event),
        f"{told} Points of one memory stand side by side. Lines: maximum-likelihood fits of both "
        "laws; solid with the 95% band of its median: the one with the lower AIC."
        f"{left_out(len(groups), PANELS)}",
        pd.concat(data),
    )


def _rates(sweep: Sweep, fits: Sequence[Growth]) -> Iterator[Panel]:
    """Growth rates over the one number that tells the groups apart, such as a decay rate w₀."""
    if len(sweep.others) != 1 or not sweep.is_numeric(sweep.others[0]):
        return
    key = sweep.others[0]
    found = [
        (plain(value), fit.laws.exponential)
        for fit in fits
        for value in fit.rows[key].iloc[:1]
        if fit.laws is not None and not pd.isna(value)
    ]
    if len(found) < 2 or not np.isfinite([law.interval_b for _, law in found]).all():
        return
    x, laws_found = zip(*found, strict=True)
    rates = {"": (x, [law.b for law in laws_found], [law.interval_b for law in laws_found])}
    unit = f"growth of log τ per unit of {sweep.memory_word}"
    figure = sweeps.means(rates, sweep.label(key), unit, signed=True)
    caption = "Rate of the exponential law of each group with its 95% interval."
    if key.endswith(("rate", "min_decay")):
        figure.axes[0].axline((x[0], x[0]), slope=1, color=canvas.GREY, lw=0.9, ls=canvas.DASHED)
        caption += " On the dashed diagonal the time grows like e^{w₀/ω}."
    low, high = zip(*(law.interval_b for law in laws_found), strict=True)
    data = {key: x, "rate": [law.b for law in laws_found], "low": low, "high": high}
    yield Panel("rates", figure, caption, pd.DataFrame(data))


def _thresholds(sweep: Sweep, fits: Sequence[Growth]) -> Iterator[Panel]:
    """Growth rates over the fall of the loss that counts as an escape."""
    rows = [
        {
            "group": fit.group,
            "drop": drop,
            "rate": found.exponential.b,
            "low": found.exponential.interval_b[0],
            "high": found.exponential.interval_b[1],
            "power": found.power.b,
            "law": found.verdict,
        }
        for fit in fits
        if len(fit.by_drop) > 1
        for drop, found in fit.by_drop.items()
    ]
    data = pd.DataFrame(rows)
    if data.empty or not np.isfinite(data[["low", "high"]]).all(axis=None):
        return
    every = [*data.groupby("group", sort=False)]
    groups = {
        label: (cell["drop"].tolist(), cell["rate"], cell[["low", "high"]])
        for label, cell in chosen(every, GROUPS)
    }
    unit = f"growth of log τ per unit of {sweep.memory_word}"
    yield Panel(
        "thresholds",
        sweeps.means(groups, "fall of the loss that counts as the escape", unit, signed=True),
        "Rate of the exponential law with its 95% interval, if another fall below the level "
        "counts as the escape. The claim is judged at all of them: where the answers differ, it is "
        f"undecided.{left_out(len(every), GROUPS)}",
        data,
    )


def _rates_by_radius(sweep: Sweep, fits: Sequence[Growth]) -> Iterator[Panel]:
    """Growth rates over the spectral radius that training starts from, where that varies."""
    if not {"model.initialisation", "model.gain", "model.cell"} & {*sweep.others}:
        return
    lines: dict[str, list[tuple[float, laws.Law]]] = {}
    fitted = [fit for fit in fits if fit.laws is not None]
    told = [key for key in sweep.others if key != "model.gain"]
    for label, rows in split(sweep.table, told):
        for fit in fitted:
            if fit.laws is None or fit.rows.index[0] not in rows.index:
                continue
            first = fit.rows.drop_duplicates("seed").index
            radii = [memory.radius(build(sweep.runs[i].config)[1].model) for i in first]
            lines.setdefault(label, []).append((-float(np.log(radii).mean()), fit.laws.exponential))
    found = [(x, law) for line in lines.values() for x, law in line]
    if len(found) < 2 or not np.isfinite([(x, *law.interval_b) for x, law in found]).all():
        return
    shown, slopes, data = {}, [], []
    for label, line in lines.items():
        x, along = zip(*sorted(line, key=lambda one: one[0]), strict=True)
        ends = [law.interval_b for law in along]
        shown[label] = (x, [law.b for law in along], ends)
        low, high = zip(*ends, strict=True)
        data.append({"group": label, "x": x, "rate": shown[label][1], "low": low, "high": high})
        if len(x) > 1:
            away = np.array(x) - np.mean(x)
            slope, *interval = laws.combined(along, away / (away @ away))
            slopes.append(f"{label} {slope:.2f} ({interval[0]:.2f} to {interval[1]:.2f})")
    unit = f"growth of log τ per unit of {sweep.memory_word}"
    drawn = dict(chosen([*shown.items()], GROUPS))
    figure = sweeps.means(drawn, "−log ρ at the start", unit, measured=True)
    figure.axes[0].axline((0, 0), slope=1, color=canvas.GREY, lw=0.9, ls=canvas.DASHED)
    yield Panel(
        "rates_by_radius",
        figure,
        "Rate of the exponential law of each group with its 95% interval, over −log ρ of the "
        "untrained network: ρ is the spectral radius of its map from state to state without input. "
        "Dashed: a rate of −log ρ, that of the gradient through k steps."
        + f" Slopes: {'; '.join(slopes)}." * bool(slopes)
        + left_out(len(shown), GROUPS, "groups"),
        pd.concat([pd.DataFrame(columns) for columns in data]),
    )


def _losses(sweep: Sweep, by: Sequence[str]) -> Iterator[Panel]:
    panels: dict[str, list[sweeps.Curve]] = {}
    references: dict[str, dict[str, float]] = {}
    grouped = sweep.groups() if sweep.memory in by else [("", sweep.table)]
    groups = {index: label for label, rows in grouped for index in rows.index}
    every = [*dict.fromkeys(groups.values())]
    labels, data = chosen(every, GROUPS), []
    settings = list(split(sweep.table, by))
    for title, rows in chosen(settings, PANELS):
        for index in rows.index:
            history = sweep.histories[index]
            if history is not None and groups[index] in labels:
                curve = sweeps.Curve(history, sweep.plateaus[index], groups[index])
                panels.setdefault(title, []).append(curve)
                step, loss = curves.thin(history, sweeps.POINTS)
                told = {"panel": title, "group": groups[index], "run": sweep.runs[index].name}
                data.append(pd.DataFrame(told | {"step": step, "loss": loss}))
        references[title] = _shared_references(rows)
    if not data:
        return
    caption = "Training losses, a curve for each run." + left_out(len(settings), PANELS)
    caption += left_out(len(every), GROUPS, "groups")
    if any(curve.plateau is not None for shown in panels.values() for curve in shown):
        caption += (
            " Filled triangles: the escape from the plateau; open ones: the run ended on it, or is "
            "on it still."
        )
    if any("uniform" in shown for shown in references.values()):
        caption += (
            " Dashed: the losses of predictors that know nothing (uniform), the present symbol "
            "(memoryless) or everything (floor)."
        )
    elif any(references.values()):
        caption += (
            " Dashed: the losses of the best linear predictors with no input (zero), the present "
            "input (memoryless) and the last m inputs (taps m)."
        )
    yield Panel("losses", sweeps.loss_panels(panels, references), caption, pd.concat(data))


def stopped(sweep: Sweep) -> str:
    """What errors are not, where training ended soon after the escape from the plateau."""
    callbacks = [run.plain_config.get("callbacks") or {} for run in sweep.runs]
    if not any(one.get("stop_after_escape") for one in callbacks):
        return ""
    return (
        " Training was ended soon after the escape from the plateau, so that this is not what the "
        "models can reach."
    )


def _shared_references(rows: "pd.DataFrame") -> dict[str, float]:
    """The references of runs, but for those in which their tasks differ and not only their data."""
    names = [str(column) for column in rows if str(column).startswith("reference/")]
    known = {name.removeprefix("reference/"): rows[name].dropna() for name in names}
    return {
        name: float(values.mean())
        for name, values in known.items()
        if len(values) and values.max() - values.min() <= 0.1 * values.max()
    }


def _example(sweep: Sweep) -> Iterator[Panel]:
    """The run whose plateau is the median among those that were left."""
    left = sweep.timed[~sweep.timed["plateau/censored"].astype(bool)]
    if left.empty or sweep.event == "success":
        return
    index = left["plateau/length"].sort_values(kind="stable").index[len(left) // 2]
    label = next(label for label, rows in sweep.cells() if index in rows.index)
    history, one, rule = sweep.histories[index], sweep.plateaus[index], sweep.rules[index]
    assert history is not None
    assert one is not None
    step, smooth = smoothed(history, rule)
    data = pd.DataFrame({"step": step, "smoothed_loss": smooth})
    yield Panel(
        "definition",
        curves.plateaus(history, [one], rule),
        f"What counts as a plateau, on one run ({label or 'the only setting'}). It starts when the "
        f"loss comes within {rule.tolerance:.0%} of the level (dotted) and is escaped (triangle) "
        f"when it begins to lie {rule.drop:.0%} below. Where the level is known, a sequential test "
        f"finds the escape, and noise alone makes it find one in {rule.false_alarm:g} of runs. "
        "Elsewhere the smoothed loss is looked at, the mean over the last "
        f"{rule.smoothing:.0%} of the steps, at least {rule.window}.",
        data,
    )


def _kernels(sweep: Sweep) -> Iterator[Panel]:
    panels, data, settings = {}, [], list(sweep.cells())
    for title, rows in chosen(settings, PANELS):
        stored = list(sweep.stored(rows, "kernel.npz"))
        if stored:
            panels[title] = (stored[0]["true"], [one["learned"] for one in stored])
            columns = {"panel": title, "lag": np.arange(len(stored[0]["true"]))}
            for run, one in enumerate(stored):
                data.append(pd.DataFrame(columns | {"run": run} | one))
    if panels:
        yield Panel(
            "kernels",
            sweeps.kernels(panels),
            "Impulse response of the task and of the models at the end of their training. For a "
            "nonlinear model it is the answer to one unit impulse."
            + left_out(len(settings), PANELS),
            pd.concat(data),
        )


def _eigenvalues(sweep: Sweep) -> Iterator[Panel]:
    panels = {}
    for title, rows in sweep.cells():
        first = next(sweep.stored(rows, "eigenvalues.npz"), None)
        if first is not None:
            panels[title or "eigenvalues"] = (first["step"], first["eigenvalues"])
    if panels:
        shown = dict(chosen([*panels.items()], 8))
        data = []
        for title, (steps, values) in shown.items():
            every = values.reshape(len(steps), -1)
            columns = {"panel": title, "step": np.repeat(steps, every.shape[1])}
            parts = {"real": every.real.ravel(), "imaginary": every.imag.ravel()}
            data.append(pd.DataFrame(columns | parts))
        yield Panel(
            "eigenvalues",
            sweeps.eigenvalues(shown),
            "Eigenvalues of the recurrent matrix during training, first seed of each setting. "
            "Inside the unit circle a linear recurrence forgets, at the rate |λ| per step."
            + left_out(len(panels), 8),
            pd.concat(data),
        )


def _heat_maps(sweep: Sweep) -> Iterator[Panel]:
    if len(sweep.keys) != 2 or sweep.table[sweep.keys].isna().any(axis=None):
        return
    column, row = (sweep.memory, sweep.others[0]) if sweep.memory else sweep.keys
    timed = sweep.timed
    every = sweep.table.pivot_table("seed", row, column, "count")
    if len(timed):
        table = timed.pivot_table("plateau/length", row, column, "median").reindex_like(every)
        what = {"plateau": "length of the plateau", "success": "steps to success"}[sweep.event]
        shares = timed.astype({"plateau/censored": float})
        bounds = shares.pivot_table("plateau/censored", row, column, "mean").reindex_like(every)
        yield Panel(
            f"heat_map_{sweep.event}",
            _heat_map(sweep, table, "median τ (steps)", bounds.to_numpy() >= 0.5),
            f"Median {what} over seeds; ≥ where half of the runs ended before, – where there is "
            "none.",
            table.reset_index(),
        )
    if sweep.has_errors:
        table = sweep.table.pivot_table(sweep.metric, row, column, "median").reindex_like(every)
        name = sweep.metric_name
        yield Panel(
            "heat_map_error",
            _heat_map(sweep, table, f"median {name}"),
            f"Median {name} over seeds at the end of training"
            + " (1: no better than answering zero)" * sweep.metric.endswith("nmse")
            + f".{stopped(sweep)}",
            table.reset_index(),
        )


def _heat_map(sweep: Sweep, table: "pd.DataFrame", unit: str, bounds: Any = None) -> Figure:
    names = [sweep.label(str(axis.name)) for axis in (table.index, table.columns)]
    rows, columns = ([plain(v) for v in axis] for axis in (table.index, table.columns))
    return sweeps.heat_map(table.to_numpy(), (names[0], rows), (names[1], columns), unit, bounds)


def _order_bounds(sweep: Sweep) -> Iterator[Panel]:
    """How far recurrences of several sizes stay from what their number of states allows."""
    if "state_size" not in sweep.table or sweep.table["state_size"].nunique() < 2:
        return
    done = sweep.table[(sweep.table["status"] == "finished") & sweep.table["state_size"].notna()]
    posed = [key for key in sweep.keys if key.startswith("task")]
    told = [key for key in sweep.keys if key not in posed and key != "model.hidden_size"]
    panels = {}
    for title, rows in split(done, posed):
        run = sweep.runs[rows.index[0]]
        stored = arrays(run, "kernel.npz")
        process = (run.plain_config["task"].get("input") or {}).get("_target_", "")
        if stored is None or not process.endswith(".White") or not stored["true"].any():
            continue
        length = len(stored["true"])
        errors = {
            label: (group["state_size"].to_numpy(float), group[sweep.metric].to_numpy(float))
            for label, group in split(rows, told)
        }
        weights = 1 - np.arange(length) / length  # of the loss averaged over the horizon
        panels[title] = theory.BoundedErrors(stored["true"], weights, errors)
    if panels:
        yield Panel(
            "order_bounds",
            theory.order_bounds(dict(chosen(list(panels.items()), PANELS))),
            "Test NMSE against the number of real states carried from step to step. Grey: out of "
            "reach of any linear recurrence with so many states, by the Hankel spectrum of the "
            "kernel under white input, readout after the input is consumed. Nonlinear models are "
            f"not bound by it.{left_out(len(panels), PANELS)}",
            done[[*posed, *told, "seed", "state_size", sweep.metric]],
        )


def _approximations(sweep: Sweep) -> Iterator[Panel]:
    """What the states could hold beside what training made of them, where a criterion asks."""
    width = "model.hidden_size"
    conditions = sweep.runs[0].plain_config.get("refuted_if") or ()
    asked = {one["quantity"] for one in conditions} & {"approximation", "gap"}
    if not asked or width not in sweep.keys or not sweep.has_errors:
        return
    least = pd.Series([approximation(sweep, index) for index in sweep.table.index])
    rows = sweep.table.assign(least=least).dropna(subset=[sweep.metric, "least"])
    posed = [key for key in sweep.keys if key.startswith("task")]
    told = [key for key in sweep.keys if key not in (*posed, width)]
    panels, data = {}, []
    for title, own in split(rows, posed):
        best = own.groupby(width)["least"].first()
        trained = {
            label: group.groupby(width)[sweep.metric].apply(lambda e: log_interval(e.tolist()))
            for label, group in split(own, told)
        }
        panels[title] = theory.Approximation(best, trained)
        data.append(own[[*posed, *told, width, "seed", "least", sweep.metric]])
    if panels:
        yield Panel(
            "approximations",
            theory.approximations(panels),
            "Test NMSE of the trained models (geometric mean over seeds, 95% interval) beside that "
            "of the best sum found of as many real exponentials as they have states, and the gap "
            "between them: the factor by which training misses what the states could hold. Below "
            "1e-18 is rounding.",
            pd.concat(data),
        )


def _spectra(sweep: Sweep) -> Iterator[Panel]:
    """What each of the kernels asks of recurrences and convolutions, where kernels vary."""
    if "task.filter" not in sweep.keys:
        return
    kernels = {}
    for title, rows in split(sweep.table, ["task.filter"]):
        first = next(sweep.stored(rows, "kernel.npz"), None)
        if first is not None:
            kernels[title.removeprefix("filter = ")] = first["true"]
    if kernels:
        yield Panel(
            "spectra",
            theory.spectra(kernels, finite=True),
            "Lower bounds of the relative error on the lags of the task, under white input: of "
            "linear recurrences, by the Hankel spectrum, and of linear dilated convolutions of "
            "filter size 2, by the tensor-train spectra. A convolution of width n has about 2n² "
            "parameters per layer, a diagonal recurrence 3n in all.",
            pd.DataFrame(
                {"kernel": title, "lag": range(len(rho)), "rho": rho}
                for title, rho in kernels.items()
            ).explode(["lag", "rho"]),
        )


def _perturbation(sweep: Sweep) -> Iterator[Panel]:
    """How much noise the models bear, where widths and parameterisations vary."""
    width = "model.hidden_size"
    others = [key for key in sweep.keys if key != width]
    if width not in sweep.keys or "model.parameterisation" not in others:
        return
    panels, verdicts = {}, []
    done = sweep.table[sweep.table["status"] == "finished"]
    for title, rows in split(done, others):
        found = [(int(m), sweep.perturbed[index]) for index, m in rows[width].items()]
        panels[title] = dict(reversed(found))  # of each width the first seed
        try:
            tolerated = [one.tolerated(LIMIT) for _, one in found]
            law = stability([m for m, _ in found], tolerated, (SIZES[0], SIZES[-1]))
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
            theory.perturbation(panels, LIMIT, "NMSE"),
            "Largest NMSE over 20 draws when all parameters are perturbed by noise up to the "
            f"relative size β, first seed; dashed, the limit of {LIMIT:g} up to which noise is "
            f"tolerated. Over all seeds: {'; '.join(verdicts)}.",
            pd.concat(
                pd.DataFrame({"panel": title, "width": m, "size": one.sizes, "nmse": one.envelope})
                for title, found in panels.items()
                for m, one in found.items()
            ),
        )


def _horizontal(sweep: Sweep) -> str:
    """What errors are drawn over: the memory, or the size, of different models in parameters."""
    if sweep.memory is not None:
        return sweep.memory
    if {"model", "model.hidden_size"} <= set(sweep.keys):
        return "parameters"
    numeric = [key for key in sweep.keys if sweep.is_numeric(key)]
    return (numeric or sweep.keys)[0]


def _means(sweep: Sweep) -> Iterator[Panel]:
    if not (sweep.keys and sweep.has_errors):
        return
    x = _horizontal(sweep)
    merged = {x} | ({"model.hidden_size"} if x == "parameters" else set())
    measured = sweep.table.dropna(subset=[sweep.metric])
    geometric = bool((measured[sweep.metric] > 0).all())
    average = log_interval if geometric else interval
    groups, data = {}, []
    told = [key for key in sweep.keys if key not in merged]
    split_up = list(split(measured, told))
    for label, rows in chosen(split_up, GROUPS):
        cells = [
            (plain(value), *average(cell[sweep.metric].tolist()), len(cell))
            for value, cell in rows.groupby(x, dropna=x == "parameters")
        ]
        if rows[x].notna().any():  # no group without a value of x
            values, mean, low, high, n = zip(*cells, strict=True)
            groups[label] = (values, mean, np.stack([low, high], axis=1))
            columns = {x: values, "mean": mean, "low": low, "high": high, "n": n}
            data.append(pd.DataFrame({"group": label} | columns))
    if not groups:
        return
    name, without = sweep.metric_name, _memoryless(sweep, measured, x)
    yield Panel(
        "means",
        sweeps.means(groups, sweep.label(x), name, memoryless=without),
        f"{'Geometric mean of' if geometric else 'Mean'} {name} at the end of training and its 95% "
        "interval over seeds (Student's t)."
        + bool(without) * " Dashed: the loss of who knows no more than the present input."
        + stopped(sweep)
        + left_out(len(split_up), GROUPS),
        pd.concat(data),
    )


def _memoryless(sweep: Sweep, rows: "pd.DataFrame", x: str) -> tuple[list[Any], list[float]] | None:
    """The reference loss over a key, if the key alone settles it and losses are what is shown."""
    column = "reference/memoryless"
    if sweep.metric != "test/loss" or column not in rows or not sweep.is_numeric(x):
        return None
    found = rows.groupby(x)[column].agg(["min", "max"]).dropna()
    if found.empty or not np.allclose(found["min"], found["max"], rtol=1e-6):
        return None
    return [plain(value) for value in found.index], found["min"].tolist()


def _searched(sweep: Sweep, found: Found) -> Iterator[Panel]:
    """The error over each key that was searched."""
    keys = [key for key in sweep.keys if sweep.label(key) in [one.name for one in found.keys]]
    rows = found.rows
    panels = {sweep.label(key): [plain(value) for value in rows[key]] for key in keys}
    yield Panel(
        "search",
        sweeps.searched(panels, rows[found.score].tolist(), found.name),
        f"The {found.name} of every run over each key that was searched; filled, the best quarter.",
        rows[[*keys, found.score]],
    )
