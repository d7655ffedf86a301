"""How many bits of the past trained models recall, and how many their states need for it.

seq2seq capacity outputs/mqar_bits
seq2seq capacity outputs/mqar_bits outputs/mqar_bits_vectors json=results/recalled_bits.json
seq2seq capacity outputs/mqar_bits bits=[1,4,8]             states rounded to 1, 4 and 8 bits
seq2seq capacity outputs/tradeoff_recall tracking=outputs/tradeoff_tracking    beside long words
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seq2seq import checks
from seq2seq.schema import ConfigError


def main(
    *sweeps: Path,
    bits: Sequence[int] = (1, 2, 3, 4, 6, 8),
    tracking: Path | None = None,
    json: Path | None = None,
) -> None:
    """Print a row for each model and state: means over seeds and their 95% intervals.

    Args:
        sweeps: folders of runs on mqar with task.distinct=false, reconstruct, …
        bits: of each number of the states, rounded between any two steps
        tracking: a folder of runs of the same models on group_word, whose longest words to tell
        json: write the rows to this file, too, and the figures into a folder beside it
    """
    for one in bits:
        checks.integer("bits", one)
    if not sweeps:
        raise ConfigError("no sweep given; add outputs/mqar_bits")
    for folder in (*sweeps, *([tracking] if tracking else [])):
        checks.folder(folder)
    checks.writable("json", json)
    from seq2seq import results
    from seq2seq.analysis import recalled
    from seq2seq.analysis import tracking as words
    from seq2seq.analysis.figures import svg

    cells = [cell for sweep in sweeps for cell in recalled.measurable(sweep)]
    tracked_cells = words.trackable(cells, tracking) if tracking else []
    groups = [*recalled.measure(cells, bits)]
    rows, drawings = [group.row() for group in groups], {"recalled_bits": recalled.figure(groups)}
    further = {"rounded": [row for group in groups for row in group.rounded_rows()]}
    _print(rows)
    if tracking is not None:
        tracked = [*words.beside(groups, tracked_cells)]
        further["front"] = [one.row() for one in tracked]
        drawings["front"] = words.figure(tracked)
        print()
        _print(further["front"])
    if json is not None:
        results.store(json, rows, **further)
        results.store_drawings(json, {name: svg(one) for name, one in drawings.items()})


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    import pandas as pd

    print(pd.DataFrame(map(_shown, rows)).to_string(index=False))


def _shown(row: Mapping[str, Any]) -> dict[str, str]:
    """The cells of a line of the table."""
    names = {"per_number": "bits/number", "used": "bits of a number used"}
    return {names.get(key, key): _cell(value) for key, value in row.items()}


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value['mean']:.3g} ({value['low']:.3g} to {value['high']:.3g})"
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value)
