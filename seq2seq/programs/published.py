"""The published losses beside one's own: seeds, interval and cost of each sweep.

seq2seq published outputs/published_lorenz_*
seq2seq published outputs/published_shift_32_tcn json=results/published_shift_32_tcn.json
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Steps after which nothing is left, in the published Lorenz 96, of the state at the start.
LATE = 20

SHOWN = {
    "model": "model",
    "seeds": "seeds",
    "published_nmse": "published",
    "nmse": "NMSE",
    "late_nmse": f"from t = {LATE}",
    "irreducible": "irreducible",
    "steps": "steps",
    "minutes": "minutes",
}


def main(*sweeps: Path, json: Path | None = None) -> None:
    """Print the table: geometric means over seeds and their 95% intervals.

    Args:
        sweeps: folders of runs of experiment=published_…
        json: write the rows to this file, too
    """
    import pandas as pd

    from seq2seq import checks, results
    from seq2seq.schema import ConfigError

    if not sweeps:
        raise ConfigError("no sweep given; add outputs/published_lorenz_tcn")
    checks.writable("json", json)
    rows = [row for sweep in sweeps for row in _rows(sweep)]
    results.store(json, rows)
    table = pd.DataFrame(rows).map(_shown).reindex(columns=SHOWN, fill_value="")
    table = table.rename(columns=SHOWN)
    print(table.to_string(index=False))


def _rows(sweep: Path) -> Iterator[dict[str, Any]]:
    """A row for each set of finished runs that differ by the seed only."""
    from seq2seq.analysis import published
    from seq2seq.analysis.intervals import log_interval, named
    from seq2seq.analysis.report.sweep import Sweep
    from seq2seq.evaluate import evaluate
    from seq2seq.runs import Run

    def spread(values: Any) -> dict[str, float | None]:
        return named(log_interval([*values]), len(runs))

    for _, cell in Sweep(sweep).cells():
        table = cell[cell["status"] == "finished"].sort_values("seed")
        runs = [Run(folder) for folder in table["folder"]]
        if not runs:
            continue
        config = runs[0].plain_config
        model = published.named(config["model"])
        theirs = [one for one in published.on_task(config["task"]) if one.model[:4] == model[:4]]
        row: dict[str, Any] = {
            "experiment": config.get("name"),
            "model": model,
            "parameters": int(table["parameters"].iloc[0]),
            "published_model": theirs[0].model if theirs else None,
            "published_steps": theirs[0].history["step"][-1] if theirs else None,
            "published_loss": theirs[0].history["loss"][-1] if theirs else None,
            "mean_square": theirs[0].mean_square if theirs else None,
            "published_nmse": theirs[0].nmse if theirs else None,
            "seeds": [run.plain_config["seed"] for run in runs],
            "nmse": spread(run.result["test/nmse"] for run in runs),
            "steps": int(table["steps"].max()),
            "minutes": float(table["seconds"].mean() / 60),
            "cpu_minutes": _mean_minutes(table.get("cpu_seconds")),
        }
        if "skip" in config["task"]:
            late = [evaluate(run, [f"task.skip={LATE}"]) for run in runs]
            row["late_nmse"] = spread(one["test/nmse"] for one in late)
            for name in ("memoryless", "linear", "irreducible"):
                key = f"reference_nmse/{name}"
                row |= {name: table[key].mean(), f"late_{name}": late[0][key]}
        yield row


def _mean_minutes(seconds: Any) -> float | None:
    """None where not all runs have noted them."""
    return None if seconds is None or seconds.isna().any() else float(seconds.mean() / 60)


def _shown(value: Any) -> str:
    """A cell of the table."""
    if isinstance(value, dict):
        ends = "" if value["low"] is None else f" ({value['low']:.2g} to {value['high']:.2g})"
        return f"{value['mean']:.2g}{ends}"
    if isinstance(value, float):
        return "" if value != value else f"{value:.2g}"
    return "" if value is None else str(value)
