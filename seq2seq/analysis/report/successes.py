"""What the runs of one setting say of a target: how many reached it, when, by what losses."""

import math
from typing import Any

import numpy as np
import pandas as pd

from seq2seq.analysis.intervals import average, median, named, share
from seq2seq.analysis.report.sweep import Sweep

#: Points of a stored curve, each the mean of the losses since the one before.
POINTS = 32


def successes(sweep: Sweep, rows: "pd.DataFrame") -> dict[str, Any]:
    """The share of runs that reached their target and what led there; nothing without a target.

    `success` is of the `aims` runs that had one, `success/step` the median of the steps to it, with
    None for what lies beyond the budget, `budget` the most steps that a run could take, `target`
    the metric and the value that had to be reached, under the metric's name what it was of the test
    data, and `curve` the training losses.
    """
    reached, aims = sweep.succeeded(rows)
    if not aims:
        return {}
    asked = rows[rows["success"].notna()]
    steps = pd.to_numeric(asked["success/step"]).fillna(math.inf).tolist()
    callbacks = sweep.runs[asked.index[0]].plain_config.get("callbacks") or {}
    aim = callbacks.get("stop_at_target") or {}
    measured = str(aim.get("monitor")).replace("val/", "test/")
    tested = asked[measured].dropna().tolist() if measured in asked else []
    return {
        "success": named(share(reached, aims)) | {"aims": aims},
        "success/step": {
            key: end if math.isfinite(end) else None
            for key, end in zip(("median", "low", "high"), median(steps), strict=True)
        },
        "target": [aim.get("monitor"), aim.get("target")],
        "budget": max(map(sweep.budget, asked.index)),
        **({measured: named(average(tested, measured), len(tested))} if tested else {}),
        "curve": curve(sweep, asked),
    }


def curve(sweep: Sweep, rows: "pd.DataFrame") -> dict[str, list[float]]:
    """Training losses of the runs in these rows: `step`, the `median` there, `low` and `high`.

    The steps of the longest run are cut into `POINTS` parts. A run's loss in each is its mean, and
    once it has ended, its last: it was stopped because it had succeeded. Runs that diverged are
    left out.
    """
    told = [sweep.histories[i] for i in rows.index]
    histories = [one for one in told if one is not None and np.isfinite(one["loss"]).all()]
    if not histories:
        return {"step": [], "median": [], "low": [], "high": []}
    last = max(int(history["step"][-1]) for history in histories)
    ends = np.unique(np.linspace(0, last, POINTS + 1).round().astype(int))[1:]
    losses = np.array([_parts(history, ends) for history in histories])
    found = {"median": np.median(losses, 0), "low": losses.min(0), "high": losses.max(0)}
    return {"step": ends.tolist()} | {
        key: [float(f"{value:.3g}") for value in values] for key, values in found.items()
    }


def _parts(history: dict[str, np.ndarray], ends: np.ndarray) -> list[float]:
    """The mean loss up to each of these steps since the one before."""
    means: list[float] = []
    for begin, end in zip([0, *ends[:-1]], ends, strict=True):
        part = history["loss"][(history["step"] > begin) & (history["step"] <= end)]
        means.append(float(part.mean()) if len(part) else means[-1])
    return means
