"""Many runs: finding them, and one row for each."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.files import place
from seq2seq.runs.folder import Run

if TYPE_CHECKING:
    import pandas as pd


def find(root: str | Path, allow: Iterable[str] = ()) -> Iterator[Run]:
    """Every run folder below `root`, in the order of their names; `allow` as in `Run`."""
    stack = [os.fspath(place(root))]
    found = []
    while stack:
        with os.scandir(stack.pop()) as entries:
            names = {entry.name: entry for entry in entries}
        if "config.yaml" in names:
            found.append(Run(Path(names["config.yaml"].path).parent, allow))
        else:
            stack += [
                entry.path
                for name, entry in names.items()
                if not name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
    return iter(sorted(found, key=lambda run: natural(run.name)))


def natural(name: str) -> list[Any]:
    """Sort key that puts `k=4` before `k=12`."""
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", name)]


def collect(root: str | Path) -> "pd.DataFrame":
    """One row per run below `root`: the config keys that vary, the result, and the folder.

    `model` and `task` are class names; other columns are dotted config keys (`task.k`,
    `model.hidden_size`, `optimizer.lr`, `seed`) and the keys of `result.json`.
    """
    import pandas as pd

    rows, results = [], []
    for run in find(root):
        rows.append(dict(flatten(run.plain_config)))
        results.append({"status": run.status, **run.result, "folder": str(run.folder)})
    configs = pd.DataFrame(rows)
    columns = {}
    for column in configs.columns:
        varies = configs[column].map(str).nunique() > 1 and not column.startswith("paths.")
        if column in ("task", "model", "seed") or varies:
            columns[column] = configs[column]
    return pd.concat([pd.DataFrame(columns), pd.DataFrame(results)], axis=1)


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values; a component's class name stands under its own key."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            if "_target_" in value:
                yield f"{prefix}{key}", str(value["_target_"]).rsplit(".", 1)[1]
            yield from flatten(value, f"{prefix}{key}.")
        elif key not in ("_target_", "_partial_"):
            yield f"{prefix}{key}", value
