"""The jobs of a command: checked before the first starts, skipped when done, told in a table."""

import dataclasses
import functools
import json
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seq2seq import schema
from seq2seq.errors import unwritable
from seq2seq.processes import importing
from seq2seq.runs import (
    PLAN,
    Run,
    by_unit,
    choices,
    ending,
    ends,
    label,
    not_shared,
    read_plan,
    resolved,
    run_folder,
    score,
    score_name,
    varied,
)
from seq2seq.sweep.table import counted, print_table

#: What a table calls a finished run, and one that was before the command.
FINISHED = ("finished", "already done")


@dataclass(frozen=True)
class Job:
    """One run to be made: its overrides, its resolved config, its folder, and what it is called."""

    overrides: tuple[str, ...]
    nodes: Mapping[str, Any]
    folder: Path
    label: str = ""

    @property
    def config(self) -> DictConfig:
        """The config, made anew from its nodes: those of thousands of jobs would fill a memory."""
        return OmegaConf.create(dict(self.nodes))

    @property
    def run(self) -> Run:
        """What is in the folder."""
        return Run(self.folder)

    @cached_property
    def is_done(self) -> bool:
        """Whether the run needed no more training when this was first asked."""
        return self.run.is_complete and not self.nodes["force"]


def labels(jobs: Sequence[Job]) -> list[str]:
    """What each job is called, with the folder of its runs if there are several."""
    several = len({job.folder.parent for job in jobs}) > 1
    return [f"{job.folder.parent.name}/{job.label}" if several else job.label for job in jobs]


def plan(
    composed: Iterable[tuple[Sequence[str], DictConfig | Mapping[str, Any]]],
    tell: bool = False,
    shared: Collection[str] = (),
) -> list[Job]:
    """Check every job; two that describe the same run become one.

    Args:
        composed: the overrides of each, and its config, or what `schema.plain` makes of it.
        tell: say what is prepared before the imports that take seconds.
        shared: overrides of jobs that come one after another, which tell none of them.

    Raises:
        ConfigError: for the first job that cannot be run, before anything is written.
    """
    sound: set[str] = set()
    found = []
    for overrides, config in composed:
        schema.check(config, sound)
        nodes = resolved(config)
        schema.check_training(nodes)
        found.append((tuple(overrides), nodes))
    listed = functools.cache(ends)
    jobs: dict[tuple[Path, str], Job] = {}
    for (overrides, nodes), telling in zip(found, not_shared([o for o, _ in found]), strict=True):
        if len(found) > 1:
            schema.one_device(nodes, "each job of a sweep")
        called = label([text for text in telling if text not in shared], nodes)
        folder = run_folder(nodes, listed, called)
        job = Job(overrides, nodes, folder, called)
        jobs.setdefault((folder.parent, ending(folder.name)), job)
    missing = [job for job in jobs.values() if not job.is_done]
    with _telling(missing if tell else []):
        _check(missing)
    return list(jobs.values())


def _check_place(parent: Path) -> None:
    """Refuse a folder for runs that cannot be made or written to, leaving nothing."""
    there = next(one for one in (parent, *parent.parents) if one.exists())
    try:
        with tempfile.TemporaryDirectory(dir=there):
            pass
    except OSError as error:
        raise unwritable(parent, error) from None


def _check(missing: Sequence[Job]) -> None:
    for parent in {job.folder.parent.absolute() for job in missing}:
        _check_place(parent)
    checked: set[str] = set()
    for job in missing:
        if not checked >= (parts := {what_is_built(job.nodes), _course(job.nodes)}):
            # Imported only now, as it takes seconds: a wrong key or type has been refused before,
            # and a complete sweep is told at once.
            with importing():
                from seq2seq.training import check

            check(job.config)
            checked |= parts


@contextmanager
def _telling(missing: Sequence[Job]) -> Iterator[None]:
    """Say what will be trained, unless jobs are to show no progress: on a terminal at once.

    Elsewhere it is said when the jobs are found sound, so that a refusal is one line.
    """
    line = ""
    if any((job.nodes.get("callbacks") or {}).get("progress") for job in missing):
        made = [choices(job.nodes) for job in missing]
        names = dict.fromkeys(one[key] for key in ("task", "model") for one in made)
        number = f"{len(missing)} job{'s' * (len(missing) > 1)}"
        line = f"preparing {number}: {', '.join(names)}"
    if not line or not sys.stderr.isatty():
        yield
    else:
        print(line, end="", file=sys.stderr, flush=True)
        try:
            yield
        finally:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if line:
        print(line, file=sys.stderr, flush=True)


#: What is built of a config; the rest, and how many steps are taken, is the course of a training.
BUILT = ("task", "model", "objective", "callbacks", "logger", "trainer")


def what_is_built(nodes: Mapping[str, Any]) -> str:
    """What constructors have rules for, one with the other, as text.

    No rule asks for the seed that jobs differ in. A step in another precision than float32 is tried
    out, and so needs the rest of the config too, as do an objective that has rules for the
    optimizer and weights to begin with.
    """
    kept = {key: node for key, node in nodes.items() if key in BUILT}
    if (task := nodes["task"]).get("seed") == nodes["seed"]:
        kept["task"] = {key: value for key, value in task.items() if key != "seed"}
    kept["trainer"] = {key: value for key, value in nodes["trainer"].items() if key != "max_steps"}
    objective = str(nodes["objective"].get("_target_"))
    further = (
        nodes["trainer"].get("precision", "32-true") != "32-true"
        or nodes.get("init_from")
        or schema.class_attribute(objective, "takes_whole_steps", False)
    )
    return _text([kept, _course(nodes) if further else ""])


def _course(nodes: Mapping[str, Any]) -> str:
    """What rules concern by itself: the optimizer, its scheduler, the number of steps."""
    kept = {key: node for key, node in nodes.items() if key not in (*BUILT, "seed", "command")}
    return _text([kept, nodes["trainer"]["max_steps"]])


def _text(nodes: Any) -> str:
    return json.dumps(nodes, sort_keys=True, default=str)


def make_parent(job: Job) -> None:
    """Make the folder that holds the run's folder.

    Raises:
        ConfigError: it cannot be made.
    """
    _make(job.folder.parent)


def reserve(jobs: Iterable[Job]) -> list[Job]:
    """Make the folders of jobs whose run has none yet: another command would name it otherwise.

    Raises:
        ConfigError: one cannot be made.
    """
    listed = functools.cache(ends)
    placed = []
    for job in jobs:
        parent, name = job.folder.parent, job.folder.name
        if not job.folder.exists():
            name = listed(parent).get(ending(name), name)
            _make(parent / name)
        same = name == job.folder.name
        placed.append(job if same else dataclasses.replace(job, folder=parent / name))
    return placed


def give_up(jobs: Iterable[Job]) -> None:
    """Remove what `reserve` has made, where nothing came of it."""
    for job in jobs:
        with suppress(OSError):
            job.folder.rmdir()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None


def write_plan(jobs: Sequence[Job]) -> None:
    """Note beside the runs which ones are wanted, so that those never begun can be told.

    A line of `jobs.txt` is a folder's name, a tab, and the job's own overrides. Where they name
    other keys than those before, the rows of older runs in TensorBoard get these columns too.
    """
    lines: dict[Path, list[tuple[str, str]]] = {}
    for job, own in zip(jobs, not_shared([job.overrides for job in jobs]), strict=True):
        lines.setdefault(job.folder.parent, []).append((job.folder.name, " ".join(own)))
    for parent, wanted in lines.items():
        known = read_plan(parent)
        with (parent / PLAN).open("a", encoding="utf-8") as stream:
            for name, text in wanted:
                if known.get(name) != text:
                    stream.write(f"{name}\t{text}\n")
        if varied(known.values()).keys() != varied(read_plan(parent).values()).keys():
            from seq2seq.training import tabulate_again

            tabulate_again(parent)


def show(jobs: Sequence[Job]) -> None:
    """Print for each job what it is, how it ended, its validation error, time and folder.

    What was complete before the command is `already done`.
    """
    rows, errors = [], []
    outcomes = [job.run.result for job in jobs]
    for job, called, outcome in zip(jobs, labels(jobs), outcomes, strict=True):
        status = outcome.get("status") or job.run.status
        value, seconds = score(outcome), outcome.get("seconds")
        if status == "failed":
            errors.append(f"{job.folder}: {outcome.get('error', '')}")
        status = {"new": "to do", "finished": FINISHED[job.is_done]}.get(status, status)
        time = "" if seconds is None else f"{seconds:.1f} s"
        error = "" if value is None else f"{value:.3g}"
        steps = counted(outcome.get("steps"))
        rows.append((called, status, error, steps, time, str(job.folder)))
    numbers = (score_name(outcomes), "steps", "time")
    print_table(("job", "status", *numbers, "folder"), rows, numbers)
    for error in errors:
        print(error)


def show_json(jobs: Sequence[Job]) -> None:
    """Print for each job its overrides, its folder, whether it was already done, and its result."""
    told = [
        {"job": label, "folder": str(job.folder), "already_done": job.is_done}
        | {"status": job.run.status, **job.run.result}
        for job, label in zip(jobs, labels(jobs), strict=True)
    ]
    print(json.dumps(told, indent=1))


def show_result(job: Job) -> None:
    """Print one run's result, a number to a line."""
    result = job.run.result
    print(f"{result.get('status', 'new')}: {job.folder}")
    for key, value in by_unit(result).items():
        if key not in ("status", "error"):
            print(f"  {key:<26}", f"{value:.4g}" if isinstance(value, float) else value)
    steps, most = result.get("steps", 0), job.nodes["trainer"]["max_steps"]
    callbacks = job.nodes.get("callbacks") or {}
    ends = ["callbacks.stop_after_escape"] * bool(callbacks.get("stop_after_escape"))
    ends += ["callbacks.stop_at_target"] * bool(
        (callbacks.get("stop_at_target") or {}).get("target")
    )
    if result.get("status") == "finished" and ends and 0 < steps < most:
        print(f"  ended by {' or '.join(ends)}, before trainer.max_steps={most}")
    if result.get("status") == "diverged":
        print("  its loss became infinite or 10,000 times the first; lower optimizer.lr")
    if "error" in result:
        print(f"  {result['error']}")
