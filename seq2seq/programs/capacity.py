"""How many bits of the past trained models recall, and how many their states need for it.

seq2seq capacity outputs/mqar_bits
seq2seq capacity outputs/mqar_bits outputs/mqar_bits_vectors json=results/recalled_bits.json
seq2seq capacity outputs/mqar_bits bits=[1,4,8]             states rounded to 1, 4 and 8 bits
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq import checks
from seq2seq.schema import ConfigError

if TYPE_CHECKING:
    from seq2seq.analysis.recalled import Group


def main(*sweeps: Path, bits: Sequence[int] = (1, 2, 3, 4, 6, 8), json: Path | None = None) -> None:
    """Print a row for each model and state: means over seeds and their 95% intervals.

    Args:
        sweeps: folders of runs on mqar with task.distinct=false, reconstruct, …
        bits: of each number of the states, rounded between any two steps
        json: write the rows to this file, too, and the figure into a folder beside it
    """
    from seq2seq import results
    from seq2seq.analysis.figures import svg
    from seq2seq.analysis.recalled import figure, measure

    for one in bits:
        checks.integer("bits", one)
    if not sweeps:
        raise ConfigError("no sweep given; add outputs/mqar_bits")
    groups = [group for sweep in sweeps for group in measure(sweep, bits)]
    _print(groups)
    if json is not None:
        rounded = [row for group in groups for row in group.rounded_rows()]
        results.store(json, [group.row() for group in groups], rounded=rounded)
        results.store_drawings(json, {"recalled_bits": svg(figure(groups))})


def _print(groups: Sequence["Group"]) -> None:
    import pandas as pd

    table = pd.DataFrame(_shown(group.row()) for group in groups)
    print(table.to_string(index=False))
    first = groups[0].found[0]
    if first.shortcut is not None:
        guess = f"guessing among the context's earns {first.shortcut:.3g}"
        print(f"\nThe answers of a sequence have {first.source:.3g} bits; {guess}.")


def _shown(row: dict[str, Any]) -> dict[str, str]:
    """The cells of a line of the table."""
    told = {key: value for key, value in row.items() if key not in ("source", "shortcut")}
    names = {"per_number": "bits/number", "used": "bits of a number used"}
    return {names.get(key, key): _cell(value) for key, value in told.items()}


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['mean']:.3g} ({value['low']:.3g} to {value['high']:.3g})"
    return "" if value is None else str(value)
