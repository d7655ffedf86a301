"""How the program refuses: in one line with the rule, the value and the remedy."""

import difflib
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


class ConfigError(ValueError):
    """A config that cannot be run: one line says what is wrong, the value and the remedy."""


def unwritable(folder: Path, error: OSError) -> ConfigError:
    """What to raise where a run's folder, or one above it, cannot be made or written to."""
    return ConfigError(f"cannot write to {folder}: {error.strerror}; set paths.outputs")


def printable(text: object) -> str:
    """A text as one line that a terminal only shows: control characters are written out."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )


def terminal_width(otherwise: int = 80) -> int:
    """Letters to a line of the terminal, that of stderr where the output goes into a pipe."""
    with suppress(OSError):
        otherwise = os.get_terminal_size(2).columns or otherwise
    return shutil.get_terminal_size((otherwise, 24)).columns


def for_terminal(text: str) -> str:
    """A refusal as stderr is to show it: on a terminal a list of names is wrapped between them.

    What lists none stays one line, from which its remedy can be copied.
    """
    if not sys.stderr.isatty() or not re.search("known: |one of ", text):
        return text
    return textwrap.fill(
        text,
        terminal_width(),
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def nearest(
    name: object, candidates: Iterable[object], otherwise: str | None = None, prefix: str = ""
) -> str:
    """`; did you mean 'x'?` for the closest of `candidates`, else `otherwise` or a list of all.

    Args:
        name: what was written.
        candidates: what there is.
        otherwise: what to say where none is close; None for the list.
        prefix: what the closest is to be written with, as `task.` before a key.
    """
    known = list(dict.fromkeys(map(str, candidates)))
    close = difflib.get_close_matches(str(name), known, n=1)
    if close:
        return f"; did you mean {prefix + close[0]!r}?"
    if otherwise is not None:
        return otherwise
    return f"; known: {', '.join(known)}" if known else ""
