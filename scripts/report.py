"""Write a page with the figures and numbers of a sweep.

python scripts/report.py outputs/plateau_shift
python scripts/report.py outputs/plateau_shift allow=[my_package]     if runs have classes of it
"""

import argparse
import sys

from seq2seq.analysis.report import report
from seq2seq.runs import allowed


def main() -> int:
    """Exit code 0, or 2 for a folder without runs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sweep", help="folder that holds run folders")
    parser.add_argument("allow", nargs="?", type=allowed, default=(), help="allow=[package, …]")
    given = parser.parse_args()
    try:
        print(report(given.sweep, given.allow))
    except (OSError, ValueError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
