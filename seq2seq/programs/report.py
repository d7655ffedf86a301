"""Write a page with the figures and numbers of a sweep.

seq2seq report outputs/plateau_shift
seq2seq report outputs/plateau_shift --latex                and its tables for a paper
seq2seq report outputs/plateau_shift json=results/plateau_shift.json
seq2seq report outputs/plateau_shift allow=[my_package]     if runs have classes of it
seq2seq report outputs/atlas/* json=results/atlas           of each of several sweeps
"""

from collections.abc import Sequence
from pathlib import Path

from seq2seq import checks
from seq2seq.schema import ConfigError


def main(
    *sweeps: Path, allow: Sequence[str] = (), latex: bool = False, json: Path | None = None
) -> None:
    """Write it and print its path.

    Args:
        sweeps: folders that hold run folders, each with a page of its own
        allow: packages
        latex: also write tables.tex, with the rules of booktabs
        json: also write the numbers to this file, or of several sweeps into this folder, and the
            figures into a folder beside it, keeping what it holds of seeds that have no runs here
    """
    if not sweeps:
        raise ConfigError("no sweep given; add <sweep>")
    several = len(sweeps) > 1
    files = [json / f"{sweep.name}.json" if json and several else json for sweep in sweeps]
    if several and json and json.suffix == ".json":
        raise ConfigError(f"json must be a folder for several sweeps, got {json}; leave out .json")
    for file in files:
        if file and file.suffix != ".json":
            raise ConfigError(
                f"json must end with .json, got {file}; its figures go into a folder of the name "
                f"before that, so write json={file}.json"
            )
        checks.writable("json", file)
    from seq2seq.analysis.report import report

    for sweep, file in zip(sweeps, files, strict=True):
        print(report(sweep, tuple(allow), latex, file), flush=True)
