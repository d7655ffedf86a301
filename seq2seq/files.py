"""Paths as a user writes them, and writing a file in one piece."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Asked of every path before a new file takes its place; what forbids it raises an OSError.
guards: list[Callable[[Path], None]] = []


def place(path: str | Path) -> Path:
    """The path that a user has written, `~` at its beginning being the home folder."""
    return Path(path).expanduser()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; its file becomes `path` when the `with` block ends.

    If the block, a guard or the disk fails, nothing of it remains and `path` is as it was. What
    processes that were killed have left beside it goes after an hour.
    """
    remove_leftovers(path.parent, 3600)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        for guard in [*guards]:
            guard(path)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, age: float = 0.0) -> None:
    """Remove the temporary files in `folder` that were last written to `age` seconds ago."""
    for path in folder.glob("*.tmp"):
        with suppress(OSError):  # another process was faster
            if time.time() - path.stat().st_mtime >= age:
                path.unlink()


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either the old or the new content."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
