"""What is done, running, failed or missing: `python scripts/runs.py outputs/<sweep> [--watch]`."""

import argparse
import contextlib
import sys
from pathlib import Path

from seq2seq.sweep import status


def main(arguments: list[str]) -> int:
    """List the runs of a folder; exit code 1 if one has failed, 2 if there is no such folder."""
    parser = argparse.ArgumentParser(prog="runs.py", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("outputs"))
    parser.add_argument("--watch", action="store_true", help="until no run is left")
    given = parser.parse_args(arguments)
    if not given.folder.is_dir():
        print(f"runs.py: no folder {given.folder}", file=sys.stderr)
        return 2
    if given.watch:
        with contextlib.suppress(KeyboardInterrupt):
            status.watch(given.folder)
    entries = status.read(given.folder)
    if not given.watch:
        print(status.report(given.folder, entries))
    return int(any(entry.status == "failed" for entry in entries))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
