"""The numbers of a report as rows, for `results/*.json`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seq2seq.analysis.intervals import interval, log_interval
from seq2seq.analysis.report.growth import Growth
from seq2seq.analysis.report.sweep import Sweep, plain, timed
from seq2seq.results import store

#: What a row gives the median of, where any run has it.
MEDIANS = ("parameters", "steps", "seconds")


def write(
    path: str | Path | None, sweep: Sweep, fits: Sequence[Growth], verdict: str | None
) -> None:
    """Write claim, verdict, laws, and a row for each set of runs that differ by the seed only.

    Means are geometric where all values are positive, as on the page; of a plateau of which runs
    are censored, it is a lower bound.
    """
    config = sweep.runs[0].plain_config
    settings = [_setting(sweep, label, rows) for label, rows in sweep.cells()]
    said = {"name": config.get("name") or sweep.root.name, "claim": config.get("claim")}
    said["verdict"] = verdict
    store(path, settings, **said, laws=[_law(fit, sweep.memory_word) for fit in fits])


def _setting(sweep: Sweep, label: str, rows: Any) -> dict[str, Any]:
    first, seen = rows.iloc[0], timed(rows)
    means = {}
    for name, column in (
        ("plateau", seen["plateau/length"]),
        (sweep.metric, rows.get(sweep.metric)),
    ):
        if column is not None and column.notna().any():
            values = column.dropna()
            ends = (log_interval if (values > 0).all() else interval)(values.tolist())
            means[name] = dict(zip(("mean", "low", "high"), ends, strict=True))
    return {
        "setting": label,
        **{key.rpartition(".")[2]: plain(first[key]) for key in sweep.keys},
        "runs": len(rows),
        "finished": int((rows["status"] == "finished").sum()),
        "censored": int(seen["plateau/censored"].astype(bool).sum()),
        **{key: _finite(rows[key].median()) for key in MEDIANS if key in rows},
        **means,
    }


def _law(fit: Growth, memory: str) -> dict[str, Any]:
    law = {
        "group": fit.group,
        "runs": fit.runs,
        "escaped": fit.escaped,
        "censored": fit.censored,
        "sentence": fit.sentence(memory),
    }
    if fit.laws is None:
        return law
    for kind, found in (("exponential", fit.laws.exponential), ("power", fit.laws.power)):
        low, high = map(_finite, found.interval_b)
        law[kind] = {"rate": found.b, "low": low, "high": high, "factor": math.exp(found.b)}
    difference = {"difference": fit.laws.difference, "verdict": fit.laws.verdict}
    by_drop = [
        {"drop": drop, "rate": found.exponential.b, "low": low, "high": high, "law": found.verdict}
        for drop, found in fit.by_drop.items()
        for low, high in [map(_finite, found.exponential.interval_b)]
    ]
    return law | difference | {"seeds": fit.laws.exponential.seeds, "by_drop": by_drop}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
