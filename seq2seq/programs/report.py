"""Write a page with the figures and numbers of a sweep.

seq2seq report outputs/plateau_shift
seq2seq report outputs/plateau_shift --latex                and its tables for a paper
seq2seq report outputs/plateau_shift json=results/plateau_shift.json
seq2seq report outputs/plateau_shift allow=[my_package]     if runs have classes of it
"""

from collections.abc import Sequence
from pathlib import Path


def main(
    sweep: str, /, *, allow: Sequence[str] = (), latex: bool = False, json: Path | None = None
) -> None:
    """Write it and print its path.

    Args:
        sweep: folder that holds run folders
        allow: packages
        latex: also write tables.tex, with the rules of booktabs
        json: also write the numbers to this file, and the figures into a folder beside it
    """
    from seq2seq.analysis.report import report

    print(report(sweep, tuple(allow), latex, json))
