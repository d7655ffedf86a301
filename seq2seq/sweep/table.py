"""Tables that fit into a terminal: the folder comes last, and gives way first, numbers never."""

import itertools
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from seq2seq.errors import printable

#: Columns where there is no terminal to ask.
WIDTH = 100
#: Letters that a shortened folder keeps, how many of its last ones, which tell a run, and letters
#: that another column keeps.
LEAST, TAIL, NARROW = 24, 9, 12


def lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()
) -> Iterator[str]:
    """The heading and the rows, as wide as they need to be but no wider than the terminal.

    Args:
        columns: their names; those of them that are in `numbers` are aligned on the right.
        rows: from top to bottom, a text per column. Numbers are never shortened. The last column
            is, and if that is not enough the widest of the others; if that is not enough either,
            and the job is told, the last column is left out.
        numbers: some of `columns`.
    """
    width = shutil.get_terminal_size((WIDTH, 24)).columns
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    texts = [place for place, name in enumerate(columns) if name not in numbers]
    last = len(columns) - 1
    by_width = sorted(texts, key=lambda place: (place != last, -widths[place]))
    excess = sum(widths) + 2 * len(widths) - 2 - width
    for place in by_width[:2]:
        least = min(LEAST if place == last else NARROW, widths[place])
        taken = min(max(0, excess), widths[place] - least)
        widths[place] -= taken
        excess -= taken
    if excess > 0 and last in texts and "job" in columns[:last]:
        yield from lines(columns[:last], [row[:last] for row in rows], numbers)
        return
    for row in itertools.chain([columns], rows):
        cells = [shortened(cell, wide) for cell, wide in zip(row, widths, strict=True)]
        placed = zip(columns, cells, widths, strict=True)
        yield "  ".join(c.rjust(w) if n in numbers else c.ljust(w) for n, c, w in placed).rstrip()


def shortened(text: str, width: int, tail: int = TAIL) -> str:
    """A text in `width` letters, its last `tail` ones among them."""
    if len(text) <= width:
        return text
    return f"{text[: max(0, width - 1 - tail)]}…{text[len(text) - tail :]}"


def counted(number: float | None) -> str:
    """A number of steps as all tables and lines show it, empty where there is none."""
    return "" if number is None else f"{number:,}"


def below(folders: Sequence[Path]) -> tuple[Path, list[str]]:
    """The folder that holds them all, and what each is called there."""
    shared = os.path.commonpath({folder.parent for folder in folders}) or "."
    return Path(shared), [os.path.relpath(folder, shared) for folder in folders]


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()
) -> None:
    """Print `lines`, the heading bold on a terminal, and the folder that all folders are in.

    Folders are those of the last column.
    """
    shared, names = below([Path(row[-1]) for row in rows]) if rows else (Path(), [])
    rows = [(*row[:-1], name) for row, name in zip(rows, names, strict=True)]
    heading, *told = lines(columns, rows, numbers)
    print(f"\x1b[1m{heading}\x1b[0m" if sys.stdout.isatty() else heading)
    for line in told:
        print(line)
    if rows and heading.endswith(columns[-1]):  # there is place for it
        print(f"folders: below {printable(shared)}")
