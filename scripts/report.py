"""Write a page with the figures and numbers of a sweep.

python scripts/report.py outputs/plateau_shift
python scripts/report.py outputs/plateau_shift json=results/plateau_shift.json
python scripts/report.py outputs/plateau_shift allow=[my_package]     if runs have classes of it
"""

from collections.abc import Sequence
from pathlib import Path

from seq2seq.command import command


def main(sweep: str, /, *, allow: Sequence[str] = (), json: Path | None = None) -> None:
    """Write it and print its path.

    Args:
        sweep: folder that holds run folders
        allow: packages
        json: also write the numbers to this file
    """
    from seq2seq.analysis.report import report

    print(report(sweep, tuple(allow), json))


if __name__ == "__main__":
    command(main)
