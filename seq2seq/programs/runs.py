"""What is done, running, failed or missing: `seq2seq runs outputs/<sweep> [--watch]`."""

import contextlib
from pathlib import Path

from seq2seq.schema import ConfigError
from seq2seq.sweep import status


def main(folder: Path = Path("outputs"), /, *, watch: bool = False, json: bool = False) -> int:
    """List the runs of a folder; exit code 1 if one failed or is unreadable.

    Args:
        watch: until no run is left, then list all
        json: for programs, in place of a table
    """
    if not folder.is_dir():
        raise ConfigError(f"no folder {folder}")
    if watch and json:
        raise ConfigError("watch and json do not go together; leave out one")
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            status.watch(folder)
    entries = status.read(folder)
    if not watch:
        print(status.as_json(entries) if json else status.report(entries))
    return int(any(entry.status in ("failed", "unreadable") for entry in entries))
