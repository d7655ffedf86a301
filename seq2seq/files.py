"""Paths as a user writes them, writing a file in one piece, and reading an unknown one."""

import os
import secrets
import stat
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
    except OSError as error:
        if str(error.filename) != str(temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # the name that is known
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


def read(path: Path, within: Path, most: int) -> bytes:
    """The content of a file that may be anything; see `regular`."""
    return regular(path, within, most).read_bytes()


def regular(path: Path, within: Path, most: int) -> Path:
    """`path`, if a regular file of at most `most` bytes lies there, no link leading to it.

    Args:
        within: a folder above it; links that lead to this one do not count.

    Raises:
        OSError: there is none, or it is out of reach.
        ValueError: it is something else, such as a pipe or a link, or larger.
    """
    for part in (path, *path.parents):
        if part == within:
            break
        if part.is_symlink():
            raise ValueError("it is a link")
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    if found.st_size > most:
        raise ValueError(f"it holds {found.st_size:,} bytes, more than {most:,}")
    return path
