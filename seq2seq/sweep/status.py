"""How far a sweep has come: a line per run, from the folders alone."""

import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.errors import printable
from seq2seq.files import read as read_bounded
from seq2seq.runs import FINAL, PLAN, Run, checkpoint_step, find, natural, read_plan, score

#: Most bytes of a traceback.
LARGEST = 2**20

#: In the order of the list: what needs attention comes last, next to the prompt.
ORDER = (
    *("finished", "diverged", "missing", "running", "stopped", "killed"),
    *("unreadable", "failed"),
)


@dataclass(frozen=True)
class Entry:
    """One run, begun or wanted."""

    folder: Path
    status: str
    result: dict[str, Any]

    def line(self, root: Path) -> str:
        """Status, validation error, steps, time, and the folder below `root`."""
        value = score(self.result)
        steps, seconds = self.result.get("steps"), self.result.get("seconds")
        if self.status not in (*FINAL, "missing") and (saved := Run(self.folder).checkpoints):
            steps = checkpoint_step(saved[0])
        columns = (
            f"{self.status:<9}",
            f"{'' if value is None else format(value, '.3g'):>9}",
            f"{'' if steps is None else steps:>8}",
            f"{'' if seconds is None else format(seconds, '.1f') + ' s':>10}",
        )
        return printable(" ".join((*columns, f" {self.folder.relative_to(root)}")))

    def traceback(self, lines: int = 3) -> list[str]:
        """The end of what a failed run's `traceback.txt` says."""
        try:
            text = read_bounded(self.folder / "traceback.txt", self.folder, LARGEST).decode()
        except (OSError, ValueError):
            text = str(self.result.get("error", ""))
        return [printable(line) for line in text.splitlines() if line.strip()][-lines:]


def read(root: Path) -> list[Entry]:
    """All runs below `root`, and those that a sweep wants there but has not begun."""
    entries = []
    for run in find(root):
        result = run.result
        # Of a run that has ended, the result says how; the others are looked at.
        if not result and (reason := run.unreadable):
            result = {"status": "unreadable", "error": reason}
        entries.append(Entry(run.folder, str(result.get("status") or run.status), result))
    begun = {entry.folder for entry in entries}
    for plan in (root / PLAN, *sorted(root.glob(f"*/{PLAN}"))):
        for name in read_plan(plan.parent):
            folder = plan.parent / name
            if folder not in begun:
                status = "running" if Run(folder).status == "running" else "missing"
                entries.append(Entry(folder, status, {}))
    order = {status: place for place, status in enumerate(ORDER)}
    return sorted(entries, key=lambda e: (order.get(e.status, 0), natural(e.folder.name)))


def report(root: Path, entries: list[Entry]) -> str:
    """The list, the ends of the tracebacks, and how many runs there are of each status."""
    lines = ["status     val nmse    steps       time  folder"] if entries else []
    for entry in entries:
        lines.append(entry.line(root))
        if entry.status in ("failed", "unreadable"):
            lines += [f"    {line}" for line in entry.traceback()]
    counts = Counter(entry.status for entry in entries)
    parts = [f"{counts[status]} {status}" for status in ORDER if counts[status]]
    return "\n".join([*lines, f"{len(entries)} runs: {', '.join(parts) or 'none'}"])


def watch(root: Path, seconds: float = 2.0) -> None:
    """Show what is not complete, again and again, until nothing runs or is missing."""
    while True:
        entries = read(root)
        left = [entry for entry in entries if entry.status not in FINAL]
        done = len(entries) - len(left)
        if sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")  # clear
        print(f"{time.strftime('%H:%M:%S')}  {done} of {len(entries)} complete")
        print(report(root, left), flush=True)
        if not any(entry.status in ("running", "missing") for entry in left):
            return
        time.sleep(seconds)
