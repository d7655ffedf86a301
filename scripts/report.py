"""Write a page with the figures and numbers of a sweep.

python scripts/report.py outputs/plateau_shift
"""

import argparse
import sys

from seq2seq.analysis.report import report


def main() -> int:
    """Exit code 0, or 2 for a folder without runs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sweep", help="folder that holds run folders")
    arguments = parser.parse_args()
    try:
        print(report(arguments.sweep))
    except (OSError, ValueError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
