"""Write a page with the figures and numbers of a sweep.

python scripts/report.py outputs/plateau_shift
python scripts/report.py outputs/plateau_shift --latex                and its tables for a paper
python scripts/report.py outputs/plateau_shift allow=[my_package]     if runs have classes of it
"""

from collections.abc import Sequence

from seq2seq.command import command


def main(sweep: str, /, *, allow: Sequence[str] = (), latex: bool = False) -> None:
    """Write it and print its path.

    Args:
        sweep: folder that holds run folders
        allow: packages
        latex: also write tables.tex, with the rules of booktabs
    """
    from seq2seq.analysis.report import report

    print(report(sweep, tuple(allow), latex))


if __name__ == "__main__":
    command(main)
