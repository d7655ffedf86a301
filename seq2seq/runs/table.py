"""Many runs: finding them, and one row for each."""

import contextlib
import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.files import place
from seq2seq.runs import reading
from seq2seq.runs.folder import Run
from seq2seq.runs.identity import snake
from seq2seq.runs.naming import PLAN, choices

if TYPE_CHECKING:
    import pandas as pd

#: The columns of a config that a table has even where all runs agree in them.
ALWAYS = ("task", "model", "seed")


def find(root: str | Path, allow: Iterable[str] = ()) -> Iterator[Run]:
    """Every run folder below `root`, in the order of their names; `allow` as in `Run`."""
    found = [
        Run(folder, allow)
        for folder, names in _walk(root)
        if names is None or "config.yaml" in names
    ]
    return iter(sorted(found, key=lambda run: natural(run.name)))


def find_plans(root: str | Path) -> list[Path]:
    """The lists of wanted runs below `root`."""
    return sorted(Path(folder, PLAN) for folder, names in _walk(root) if names and PLAN in names)


def _walk(root: str | Path) -> Iterator[tuple[str, Mapping[str, "os.DirEntry[str]"] | None]]:
    """The folders below `root` and what is in them, but nothing further below that of a run.

    None stands for one that may not be looked into, or is nested too deep.
    """
    stack = [top := os.fspath(place(root))]
    while stack:
        folder = stack.pop()
        try:
            with os.scandir(folder) as entries:
                names = {entry.name: entry for entry in entries}
        except OSError:
            if folder == top:
                raise
            yield folder, None
            continue
        yield folder, names
        if "config.yaml" not in names:
            stack += [
                entry.path
                for name, entry in names.items()
                if not name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]


def natural(name: str) -> list[Any]:
    """Sort key that puts `k=4` before `k=12`."""
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in re.split(r"(\d+)", name)]


def collect(root: str | Path) -> "pd.DataFrame":
    """One row per run below `root`: the config keys that vary, the result, and the folder.

    `model` and `task` are class names; other columns are dotted config keys (`task.k`,
    `model.hidden_size`, `optimizer.lr`, `seed`) and the keys of `result.json`. Of a run that cannot
    be read the `status` is `unreadable`, and `error` says why.
    """
    import pandas as pd

    rows: dict[int, dict[str, Any]] = {}
    results = []
    for index, run in enumerate(find(root)):
        result = {}
        try:
            with contextlib.suppress(FileNotFoundError):
                result = reading.result(run.folder)
            rows[index] = dict(flatten(run.plain_config))
        except ValueError as error:
            result = {"status": "unreadable", "error": str(error)}
        status = result.get("status") or run.status
        results.append({"status": status, **result, "folder": str(run.folder)})
    names = [
        name for name in _differing(rows.values()) if not name.startswith(("paths.", "command."))
    ]
    few = [{name: row[name] for name in names if name in row} for row in rows.values()]
    configs = pd.DataFrame(few, index=rows, columns=names)
    for name in names:
        if name not in ALWAYS and configs[name].map(str).nunique() <= 1:
            del configs[name]
    return pd.concat([configs.reindex(range(len(results))), pd.DataFrame(results)], axis=1)


def _differing(rows: Collection[Mapping[str, Any]]) -> list[str]:
    """The keys that are not in all rows, or not with the very same object."""
    first: Mapping[str, Any] = next(iter(rows), {})
    alike = set(first)
    for row in rows:
        alike = {name for name in alike if row.get(name, row) is first[name]}
    names = dict.fromkeys(itertools.chain(*rows))
    return [name for name in names if name not in alike or name in ALWAYS]


def comparable(value: Any) -> str:
    """A value as criteria name it: of a class that of its file, of 16.0 that of 16."""
    whole = isinstance(value, bool) or (isinstance(value, float) and value.is_integer())
    return snake(str(int(value) if whole else value)).replace("_", "")


def comparable_values(nodes: Mapping[str, Any]) -> dict[str, set[str]]:
    """What criteria may call the values of a config by its dotted keys: choices and classes."""
    found = {key: {comparable(value)} for key, value in flatten(nodes)}
    for group, name in choices(nodes).items():
        found.setdefault(group.replace("/", "."), set()).add(comparable(name))
    return found


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values; a component's class name stands under its own key."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            if "_target_" in value:
                yield f"{prefix}{key}", str(value["_target_"]).rpartition(".")[2]
            yield from flatten(value, f"{prefix}{key}.")
        elif key not in ("_target_", "_partial_"):
            yield f"{prefix}{key}", value
