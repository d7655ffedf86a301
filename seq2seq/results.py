"""Numbers as they were measured: files of rows, and the Markdown that shows them.

A file `results/<name>.json` is written by the command that measures its rows, and holds its
provenance. In Markdown a table and a number stand between marks that say how they are filled, with
the fields of `str.format`; `*` in a path, or several with commas between them, takes the rows of
all files that have any, and `[laws]` behind it another list than `rows`:

    <!-- rows results/bounds.json: | {kernel} | {recurrence_bound:.2g} | -->

    | kernel | bound |
    |---|---:|

    <!-- /rows -->

    grows by <!-- = {memory[growth]:.1f} --><!-- /= --> MB
"""

import datetime
import importlib.metadata
import json
import os
import platform
import re
import string
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import seq2seq
from seq2seq.files import place, write_atomically
from seq2seq.runs.provenance import checkout

ROOT = Path(__file__).parents[1]

#: Packages whose version numbers depend on.
PACKAGES = ("torch", "lightning", "numpy", "scipy")

#: A table between its marks.
ROWS = re.compile(
    r"^(<!-- rows (?P<path>\S+?)(?:\[(?P<name>\w+)\])?: (?P<row>.*) -->\n\n\|.*\n\|.*\n)"
    r"(?:\|.*\n)*(\n<!-- /rows -->)",
    re.MULTILINE,
)
_NUMBER = re.compile(r"(<!-- = (.*?) -->)(.*?)(<!-- /= -->)")


def store(path: str | Path | None, rows: Sequence[Mapping[str, Any]], **further: Any) -> None:
    """Write rows and their provenance; None writes nothing.

    Args:
        path: the file.
        rows: what was measured, a mapping for each line of a table.
        further: what else the file says, by name; other lists of rows, too.
    """
    if path is None:
        return
    file = place(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, document(rows, **further).encode())


def document(rows: Sequence[Mapping[str, Any]], **further: Any) -> str:
    """The text of such a file."""
    content = {"provenance": provenance(), **further, "rows": rows}
    entries = ",\n".join(f" {_dump(name)}: {_lines(value)}" for name, value in content.items())
    return f"{{\n{entries}\n}}\n"


def store_drawings(path: str | Path, drawings: Mapping[str, str]) -> None:
    """Write SVG documents, by name, into a folder beside a file of rows that is called like it."""
    folder = place(path).with_suffix("")
    for old in folder.glob("*.svg"):
        old.unlink()
    for name, drawing in drawings.items():
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"{name}.svg", drawing.encode())


def _lines(value: Any) -> str:
    """JSON with a line for each row."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return _dump(value)
    return "[\n" + ",\n".join(f"  {_dump(row)}" for row in value) + "\n ]"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def provenance() -> dict[str, Any]:
    """What ran, when and where: command, version and commit, date, machine, load, packages."""
    program = Path(sys.argv[0])
    name = (
        program.resolve().relative_to(ROOT) if program.resolve().is_relative_to(ROOT) else program
    )
    found = {package: importlib.metadata.version(package) for package in PACKAGES}
    commit, clean = checkout("results", "*.md")  # these are what it writes
    return {
        "command": " ".join(["python", name.as_posix(), *sys.argv[1:]]),
        "version": seq2seq.__version__,
        "commit": commit and commit[:12],
        "clean": clean,
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[0], 1),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "packages": {"python": platform.python_version(), **found},
    }


def render(text: str) -> str:
    """Markdown with what stands between its marks filled anew.

    Raises:
        OSError: a file of rows that a mark names is not there.
        KeyError: no row has what a mark asks for.
    """
    return _NUMBER.sub(_number, ROWS.sub(_rows, text))


def _rows(mark: re.Match[str]) -> str:
    files: list[Path] = []
    for path in mark["path"].split(","):
        found = sorted(ROOT.glob(path))
        if not found:
            raise FileNotFoundError(f"{path} is not there, which a table shows; store it first")
        files += found
    name, several, rows = mark["name"] or "rows", bool({*mark["path"]} & {*"*,"}), []
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        listed = content.get(name, []) if several else content[name]
        rows += [{"file": content} | row for row in listed]
    blank = dict.fromkeys(key for row in rows for key in row)
    lines = [_TEXT.vformat(mark["row"], (), blank | row) for row in rows]
    return mark[1] + "".join(f"{line}\n" for line in lines) + mark[5]


def _number(mark: re.Match[str]) -> str:
    before, template, _, after = mark.groups()
    return before + _TEXT.vformat(template, (), _Files()) + after


class _Files(dict[str, Any]):
    """The content of `results/<name>.json` under each name."""

    def __missing__(self, name: str) -> Any:
        return json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))


class _Text(string.Formatter):
    """Fields as tables have them: nothing for None and its parts, and 7e-5 for 7e-05."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        whole = super().get_field(field_name.partition("[")[0], args, kwargs)
        return whole if whole[0] is None else super().get_field(field_name, args, kwargs)

    def format_field(self, value: Any, spec: str) -> str:
        if value is None:
            return ""
        return re.sub(r"(?<=\de)(-?)\+?0*(?=\d)", r"\1", format(value, spec))


_TEXT = _Text()
