"""What is done, running, failed or missing: `python scripts/runs.py outputs/<sweep> [--watch]`."""

import contextlib
from pathlib import Path

from seq2seq.command import command
from seq2seq.schema import ConfigError
from seq2seq.sweep import status


def main(folder: Path = Path("outputs"), /, *, watch: bool = False) -> int:
    """List the runs of a folder; exit code 1 if one failed or is unreadable.

    Args:
        watch: until no run is left
    """
    if not folder.is_dir():
        raise ConfigError(f"no folder {folder}")
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            status.watch(folder)
    entries = status.read(folder)
    if not watch:
        print(status.report(folder, entries))
    return int(any(entry.status in ("failed", "unreadable") for entry in entries))


if __name__ == "__main__":
    command(main)
