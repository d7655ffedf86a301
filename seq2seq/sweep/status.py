"""How far a sweep has come: a line per run, from the folders alone."""

import functools
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.errors import printable
from seq2seq.files import read as read_bounded
from seq2seq.runs import (
    FINAL,
    Run,
    checkpoint_step,
    find,
    find_plans,
    natural,
    read_plan,
    score,
    score_name,
)
from seq2seq.sweep.table import below, counted, lines
from seq2seq.times import duration

#: Most bytes of a traceback.
LARGEST = 2**20

#: In the order of the list: what needs attention comes last, next to the prompt.
ORDER = (
    *("finished", "diverged", "missing", "running", "stopped", "killed"),
    *("unreadable", "failed"),
)


@dataclass(frozen=True)
class Entry:
    """One run, begun or wanted; `job` is what it was called in its sweep."""

    folder: Path
    status: str
    result: dict[str, Any]
    job: str = ""

    @property
    def told(self) -> dict[str, Any]:
        """The result, and of a run without one the step that it has reached.

        Of a running one that is `step` of `of`, and soon `left` seconds; of one that has stopped in
        whatever way, the `step` of its last checkpoint.
        """
        if self.status in (*FINAL, "missing"):
            return self.result
        if self.status == "running" and (note := Run(self.folder).progress):
            left = {"left": note["left"]} if "left" in note else {}
            return {key: round(note[key]) for key in ("step", "of")} | left
        saved = Run(self.folder).checkpoints
        return self.result | ({"step": checkpoint_step(saved[0])} if saved else {})

    @property
    def row(self) -> tuple[str, ...]:
        """Status, validation error, steps and time."""
        told = self.told
        value, seconds, steps = score(told), told.get("seconds"), told.get("steps")
        if "step" in told:
            steps = told["step"]
        time = "" if seconds is None else f"{seconds:.1f} s"
        return (
            self.status,
            "" if value is None else f"{value:.3g}",
            "/".join(map(counted, (steps, told["of"]) if "of" in told else (steps,))),
            f"{duration(told['left'])} left" if "left" in told else time,
        )

    def traceback(self, lines: int = 3) -> list[str]:
        """The end of what a failed run's `traceback.txt` says."""
        try:
            text = read_bounded(self.folder / "traceback.txt", self.folder, LARGEST).decode()
        except (OSError, ValueError):
            text = str(self.result.get("error", ""))
        return [printable(line) for line in text.splitlines() if line.strip()][-lines:]


def read(root: Path) -> list[Entry]:
    """All runs below `root`, and those that a sweep wants there but has not begun."""
    entries, plans = [], functools.cache(read_plan)
    for run in find(root):
        result = run.result
        # Of a run that has ended, the result says how; the others are looked at.
        if not result and (reason := run.unreadable):
            result = {"status": "unreadable", "error": reason}
        label = plans(run.folder.parent).get(run.name, "")
        entries.append(Entry(run.folder, str(result.get("status") or run.status), result, label))
    begun = {entry.folder for entry in entries}
    for plan in find_plans(root):
        for name, label in plans(plan.parent).items():
            folder = plan.parent / name
            if folder not in begun:
                status = "running" if Run(folder).status == "running" else "missing"
                entries.append(Entry(folder, status, {}, label))
    order = {status: place for place, status in enumerate(ORDER)}
    return sorted(entries, key=lambda e: (order.get(e.status, 0), natural(e.folder.name)))


def report(entries: list[Entry]) -> str:
    """The table, the ends of the tracebacks, and how many runs there are of each status.

    The name of a folder begins with what its sweep calls the job. A column without values is left
    out.
    """
    counts = Counter(entry.status for entry in entries)
    parts = [f"{counts[status]} {status}" for status in ORDER if counts[status]]
    total = f"{len(entries)} run{'s' * (len(entries) != 1)}: {', '.join(parts) or 'none'}"
    if not entries:
        return total
    names = ("status", score_name(entry.result for entry in entries), "steps", "time")
    cells = zip(names, zip(*(entry.row for entry in entries), strict=True), strict=True)
    filled = {name: column for name, column in cells if any(column)}
    shared, folders = below([entry.folder for entry in entries])
    columns = (*filled, "folder")
    rows = [*zip(*filled.values(), folders, strict=True)]
    heading, *told = lines(columns, rows, names[1:])
    shown = [heading]
    for entry, line in zip(entries, told, strict=True):
        shown.append(line)
        if entry.status in ("failed", "unreadable"):
            shown += [f"    {line}" for line in entry.traceback()]
    return "\n".join([*shown, f"folders: below {printable(shared)}", total])


def as_json(entries: list[Entry]) -> str:
    """A list with an object for each run: its folder, its status, and what it has reached."""
    told = [
        {"job": entry.job} | entry.told | {"folder": str(entry.folder), "status": entry.status}
        for entry in entries
    ]
    return json.dumps(told, indent=1)


def watch(root: Path, seconds: float = 2.0) -> None:
    """Show what is not complete, again and again, until nothing runs or is missing; then all."""
    while True:
        entries = read(root)
        left = [entry for entry in entries if entry.status not in FINAL]
        over = not any(entry.status in ("running", "missing") for entry in left)
        if sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")  # clear
        print(f"{time.strftime('%H:%M:%S')}  {len(entries) - len(left)} of {len(entries)} complete")
        print(report(entries if over else left), flush=True)
        if over:
            return
        time.sleep(seconds)
