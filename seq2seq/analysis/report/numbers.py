"""The numbers of a report as rows, for `results/*.json`."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seq2seq.analysis.intervals import average, named
from seq2seq.analysis.report import phases
from seq2seq.analysis.report.growth import Growth
from seq2seq.analysis.report.parts import Part
from seq2seq.analysis.report.replication import agreement, joined
from seq2seq.analysis.report.successes import successes
from seq2seq.analysis.report.sweep import Sweep, plain, timed
from seq2seq.analysis.report.verdict import quantity
from seq2seq.files import place
from seq2seq.results import store, store_drawings
from seq2seq.runs import short

#: What a row gives means of, where claims are about it.
METRIC = re.compile("(test|val|generalisation)/|(resting|tolerated_noise|gap|order_bound)$")

#: What a row gives the median of, where any run has it.
MEDIANS = ("parameters", "steps", "seconds", "cpu_seconds")


def write(
    path: str | Path,
    every: Sequence[Part],
    made: Sequence[tuple[str, Mapping[str, int]]],
    drawings: Mapping[str, str],
) -> None:
    """Write claim, verdicts, laws, and a row for each set of runs that differ by the seed only.

    What the file has stored of seeds that these runs are not of is kept: of the first ones beside a
    replication, and the other way round.

    Means are geometric where all values are positive, as on the page, but for shares; of a plateau
    of which runs are censored, it is a lower bound.

    Args:
        path: the file; the drawings go into a folder beside it that is called like it.
        every: the first seeds, and the replication if there is one.
        made: where the runs come from.
        drawings: SVG by name.

    Raises:
        ValueError: what is stored would be lost, or is no replication; see `joined`.
    """
    first, file = every[0], place(path)
    config = first.sweep.runs[0].plain_config
    marked = [({"set": part.name}, part) for part in every]
    diagrams = [
        m | one.plain() | {"sentence": one.sentence(p.sweep)}
        for m, p in marked
        for one in phases.read(p.sweep)
    ]
    failing = {
        (part.name, one.label): {"existence": one.word, "why": one.existence.sentence}
        for part in every
        for one in part.unsolved
    }
    judgements = [judged(part) for part in every]
    rows = [
        m | _setting(p.sweep, *cell, measured) | failing.get((p.name, cell[0]), {})
        for m, p in marked
        for measured in [_measured(p.sweep)]
        for cell in p.sweep.cells()
    ]
    result = {
        "name": config.get("name") or first.sweep.root.name,
        "claim": config.get("claim"),
        "refuted_if": config.get("refuted_if") or [],
        "verdict": first.word,
        "event": first.sweep.event,
        "agreement": agreement(judgements),
        "runs": {
            key: [*dict.fromkeys(_anywhere(text) if key == "command" else text for text in told)]
            for key, told in made
            if key in ("code", "date", "command")
        },
        "figures": [*drawings],
        "sets": judgements,
        "laws": [m | _law(fit, p.sweep.memory_word) for m, p in marked for fit in p.fits],
        "rows": rows,
    } | ({"phases": diagrams} if diagrams else {})
    result, drawings = joined(result, drawings, file)
    store(file, result.pop("rows"), **result)
    store_drawings(file, drawings)


def _anywhere(command: str) -> str:
    """A command without the folders of the machine that it ran on."""
    return shlex.join(word for word in shlex.split(command) if not word.startswith("paths."))


def judged(part: Part) -> dict[str, Any]:
    """The verdict on each claim by the runs of some seeds, and the power of their design."""
    return {
        "set": part.name,
        "title": part.title,
        "seeds": part.seeds,
        "runs": len(part.sweep.runs),
        "minutes": round(part.minutes, 2),
        "cpu_minutes": part.cpu_minutes and round(part.cpu_minutes, 2),
        "verdict": part.word,
        "sentence": " ".join(one.sentence for one in part.verdicts),
        "power": "; ".join(one.sentence for powers in part.powers for one in powers),
        "claims": [
            one.plain() | {"power": {each.truth: each.shares for each in powers}}
            for one, powers in zip(part.verdicts, part.powers, strict=True)
        ],
    }


def _measured(sweep: Sweep) -> pd.DataFrame:
    """What means are given of: the usual metric, and what claims are about."""
    conditions = [c for run in sweep.runs for c in run.plain_config.get("refuted_if") or ()]
    named = [one for c in conditions for one in (c["quantity"], c.get("below"), c.get("above"))]
    asked = [name for name in named if isinstance(name, str) and METRIC.match(name)]
    bits = "test/bits_per_character"  # of texts: compares words with characters
    known = [sweep.metric, *asked, *["approximation"] * ("gap" in asked)]
    known += [bits] * (bits in sweep.table)
    return pd.DataFrame({name: quantity(sweep, name) for name in dict.fromkeys(known)})


def _setting(sweep: Sweep, label: str, rows: Any, measured: pd.DataFrame) -> dict[str, Any]:
    first, seen = rows.iloc[0], timed(rows)
    columns = {"plateau": seen["plateau/length"], **measured.loc[rows.index]}
    means = {
        name: named(average(column.dropna().tolist(), name), int(column.count()))
        for name, column in columns.items()
        if column.notna().any()
    }
    return {
        "setting": label,
        "model": first.get("model"),
        **{name: plain(first[key]) for key, name in short(sweep.keys).items()},
        "max_steps": _most_steps(sweep, rows),
        "runs": len(rows),
        "timed": len(seen),
        "finished": int((rows["status"] == "finished").sum()),
        "censored": int(seen["plateau/censored"].astype(bool).sum()),
        **{key: _finite(rows[key].median()) for key in MEDIANS if key in rows},
        **means,
        **successes(sweep, rows),
    }


def _most_steps(sweep: Sweep, rows: Any) -> int | None:
    """The steps that each of the runs may take; None where they differ."""
    configs = [sweep.runs[index].plain_config for index in rows.index]
    steps = {(config.get("trainer") or {}).get("max_steps") for config in configs}
    return steps.pop() if len(steps) == 1 else None


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
