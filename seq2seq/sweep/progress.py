"""How far a sweep has come while it runs: `4 of 12 jobs done`, and when all will have ended."""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from seq2seq.errors import terminal_width
from seq2seq.processes import TOLD
from seq2seq.runs import FINAL, Run
from seq2seq.runs.reading import NOTE
from seq2seq.sweep.jobs import Job, labels
from seq2seq.sweep.table import shortened
from seq2seq.times import clock, duration

#: Least seconds between two looks at the folders, and the most of the time that looking takes.
EVERY, SHARE = 0.5, 0.05
#: Groups of runs at the same step that are told apart.
MOST_GROUPS = 3


@contextmanager
def told(jobs: Sequence[Job]) -> Iterator[None]:
    """Tell on stderr how far the jobs have come, whatever launches them, until the block ends.

    On a terminal one line at its bottom is drawn again and again, and the runs themselves are
    silent; elsewhere a line is added whenever a job has begun or ended.
    """
    watch, ended = Watch(jobs), threading.Event()
    thread = threading.Thread(target=_draw, args=(watch, ended), name="progress", daemon=True)
    os.environ[TOLD] = "1"
    thread.start()
    try:
        yield
    finally:
        del os.environ[TOLD]
        ended.set()
        thread.join()


def _draw(watch: "Watch", ended: threading.Event) -> None:
    # Written past Python's own buffers: processes are forked meanwhile, and would wait for ever for
    # a lock that this thread holds.
    terminal, last, pause, over = sys.stderr.isatty(), "", 0.0, False
    while not over:
        over = ended.wait(pause)
        begun = time.monotonic()
        line = watch.line()
        if terminal:  # the cursor stays at the left, so that what others print replaces the line
            width = terminal_width()
            _write(f"\r\x1b[K{'' if over else shortened(line, width - 1, 0)}\r")
        elif line and watch.head != last:
            _write(f"{line}\n")
            last = watch.head
        pause = max(EVERY, (time.monotonic() - begun) / SHARE)


def _write(text: str) -> None:
    with suppress(OSError):  # nobody reads it any more
        os.write(2, text.encode())


class Watch:
    """What the folders of a sweep's jobs say of their progress.

    Args:
        jobs: all of them.

    Attributes:
        head: how many jobs are done and how many run, as the last `line` began.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.total = len(jobs)
        self.head = ""
        self._labels = dict(zip((job.folder for job in jobs), labels(jobs), strict=True))
        self._steps = {
            job.folder: int(job.nodes["trainer"]["max_steps"]) for job in jobs if not job.is_done
        }
        self._begun = dict.fromkeys(self._steps, 0.0)
        self._former = {folder: _written(folder / "result.json") for folder in self._steps}
        self._noted = {folder: _written(folder / NOTE) for folder in self._steps}
        self._left = dict.fromkeys(self._steps)
        self._failed = 0
        self._start = time.monotonic()

    def line(self) -> str:
        """How many jobs are done and run, the steps of those that run, and when all will end.

        Empty until one has begun.
        """
        notes: dict[Path, dict[str, float]] = {}
        for folder in [*self._left]:
            # The former result of a run that goes on is removed, a former note stays for a while.
            if _written(folder / "result.json") not in (None, self._former[folder]):
                del self._left[folder]
                self._failed += Run(folder).result.get("status") not in FINAL
            elif _written(folder / NOTE) != self._noted[folder] and (note := Run(folder).progress):
                notes[folder] = note
                self._begun[folder] = note["first"]
        if not notes and self._left.keys() == self._steps.keys():
            return ""
        running = {folder: note for folder, note in notes.items() if note["step"] < note["of"]}
        done = self.total - len(self._left) - self._failed
        self.head = f"{done} of {self.total} jobs done"
        if running:
            self.head += f", {len(running)} running"
        if len(running) == 1:
            self.head += f": {shortened(self._labels[next(iter(running))], 40)}"
        parts = [self.head, *_groups(running)]
        if len(running) == 1:
            (note,) = running.values()
            if note["step"] > note["first"]:  # until then there is none
                parts.append(f"loss {note['loss']:.3g}")
        parts.append(self._ending(notes))
        if self._failed:
            parts.append(f"{self._failed} did not finish")
        return "  ".join(filter(None, parts))

    def _ending(self, notes: dict[Path, dict[str, float]]) -> str:
        """When all jobs will have ended, if the steps that are left go as those did until now."""
        taken = left = 0.0
        for folder, steps in self._steps.items():
            step = notes[folder]["step"] if folder in notes else self._begun[folder]
            step = step if folder in self._left else steps
            taken += step - self._begun[folder]
            left += steps - step
        if not taken or not left:
            return ""
        seconds = (time.monotonic() - self._start) * left / taken
        return f"{duration(seconds)} left, until {clock(time.time() + seconds)}"


def _groups(running: dict[Path, dict[str, float]]) -> Iterator[str]:
    """How many runs are at which step; those that are trained together are at the same."""
    counts = Counter((int(note["step"]), int(note["of"])) for note in running.values())
    told = counts.most_common(MOST_GROUPS)
    for (step, of), runs in told:
        yield f"step {step:,}/{of:,}" + f" ({runs} runs)" * (runs > 1)
    if len(counts) > len(told):
        yield "…"


def _written(path: Path) -> tuple[int, int] | None:
    """What tells a file from a later one of its name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
