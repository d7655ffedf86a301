"""Expand a command's overrides into jobs and run the missing ones with a launcher."""

import itertools
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.core.utils import JobStatus
from omegaconf import DictConfig

from seq2seq.runs import FINAL, Run, ends
from seq2seq.schema import ConfigError
from seq2seq.sweep import claims, progress
from seq2seq.sweep import jobs as job_list

#: How often a job may be started: again when another process that had begun it was killed.
LAUNCHES = 3
#: Jobs of a sweep; composing them alone would take an hour.
MOST_JOBS = 100_000
#: Seconds between two looks at the jobs of other processes.
POLL = 1.0


def run_jobs(
    config: DictConfig,
    grid: Sequence[tuple[str, ...]],
    compose: Callable[[Sequence[str]], Mapping[str, Any]],
    launch: Callable[[Sequence[Sequence[str]]], Any],
    shell: bool = True,
    as_json: bool = False,
) -> tuple[list[Run], int]:
    """Run what is missing of a sweep; all its runs, and how many did not finish.

    Args:
        config: the sweep's own config.
        grid: the overrides of each job, from `expand`.
        compose: gives a job's config from its overrides, as `schema.plain` does.
        launch: runs jobs, given the overrides of each.
        shell: tell how far the jobs have come, and print how they ended.
        as_json: print that as JSON.

    Raises:
        ConfigError: a job cannot be run; none was started and nothing was written.
    """
    composed = ((one, compose(one)) for one in grid)
    jobs = job_list.plan(composed, tell=shell and not config.dry_run)
    runs, single = [job.run for job in jobs], len(grid) == 1
    if shell and not single:
        claims.show_unmatched(jobs)
    if config.dry_run:
        from seq2seq.sweep.estimate import show_estimate

        show_estimate(jobs, as_json)
        return runs, 0
    if any(not job.is_done for job in jobs):
        jobs = job_list.reserve(jobs)
        runs = [job.run for job in jobs]
        # A run beside others is compared with them.
        if not single or len(ends(jobs[0].folder.parent)) > 1:
            job_list.write_plan(jobs)
    missing = [job for job in jobs if not job.is_done]
    if missing:
        try:
            with progress.told(jobs) if shell and not single else nullcontext():
                run_missing(missing, launch)
        except ConfigError:  # of the launcher: nothing was begun
            job_list.give_up(missing)
            raise
    failed = sum(run.status not in FINAL for run in runs) if missing else 0
    if not shell:
        return runs, failed
    if not missing:
        which = "this run is" if single else f"all {len(jobs)} jobs are"
        place = sys.stderr if as_json else sys.stdout
        print(f"nothing to do: {which} complete (force=true trains again)", file=place)
    if as_json:
        job_list.show_json(jobs)
    elif single:
        job_list.show_result(jobs[0])
    else:
        job_list.show(jobs)
        claims.show_other_claims(jobs)
    if failed and not single:
        print(f"{failed} of {len(jobs)} jobs did not finish", file=sys.stderr)
    return runs, failed


def run_missing(
    missing: Sequence[job_list.Job], launch: Callable[[Sequence[Sequence[str]]], Any]
) -> None:
    """Launch the jobs that no other process runs, and wait for those that one does.

    What the others leave unfinished, because they were killed or stopped, is taken over.
    """
    waiting = list(missing)
    for _ in range(LAUNCHES):
        free = [job for job in waiting if job.run.status != "running"]
        if free:
            launch_jobs(free, launch)
        launched = {job.folder for job in free}
        running = [job for job in waiting if job.run.status == "running"]
        if running:
            print(f"waiting for {len(running)} jobs that run elsewhere", file=sys.stderr)
        while any(job.run.status == "running" for job in running):
            time.sleep(POLL)
        waiting = [
            job
            for job in waiting
            if (job.folder not in launched or job in running)
            and job.run.status in ("new", "killed", "stopped")
        ]
        if not waiting:
            return


def launch_jobs(
    jobs: Sequence[job_list.Job], launch: Callable[[Sequence[Sequence[str]]], Any]
) -> list[Any]:
    """Run the jobs and return what each returned, None where it failed.

    What kept a job from being started, in whatever process, becomes the failure of its run.

    Raises:
        ConfigError: the launcher refuses these jobs, or is not installed.
    """
    logging.getLogger("hydra").setLevel(logging.WARNING)  # after a first job it would tell of each
    from seq2seq.training import stopping_workers

    try:
        with stopping_workers([job.folder for job in jobs]):
            returns = launch([(*job.overrides, *placement(job)) for job in jobs])
    except ConfigError:
        raise
    except ImportError as error:
        raise ConfigError(f"{error}; the launchers need pip install 'seq2seq[sweep]'") from None
    except Exception as error:  # a worker was killed, a cluster is out of reach
        print(f"the launcher failed: {' '.join(str(error).split())}", file=sys.stderr)
        return [None] * len(jobs)
    values: list[Any] = []
    for job, ended in zip(jobs, returns, strict=True):
        if ended.status == JobStatus.COMPLETED:
            values.append(ended.return_value)
            continue
        values.append(None)
        if not job.run.result:
            from seq2seq.training import note_failure

            try:
                note_failure(job.run, ended._return_value)
            except OSError as error:
                print(f"{job.folder}: {error}", file=sys.stderr)
    return values


def placement(job: job_list.Job) -> tuple[str, str]:
    """Overrides that make the run's folder Hydra's output folder of the job."""
    parent, name = (
        QuotedString(str(part), Quote.single).with_quotes()
        for part in (job.folder.parent, job.folder.name)
    )
    return f"hydra.sweep.dir={parent}", f"hydra.sweep.subdir={name}"


def expand(*sweeps: Sequence[Override]) -> list[tuple[str, ...]]:
    """The grid of all swept values, as tuples of plain overrides; of several sweeps each its own.

    Args:
        sweeps: as parsed from the command line and the experiment; later overrides win.

    Raises:
        ConfigError: a sweep that has no values, no discrete ones, as `interval(0, 1)`, or too many.
    """
    return [job for overrides in sweeps for job in _expand(overrides)]


def _expand(overrides: Sequence[Override]) -> Iterator[tuple[str, ...]]:
    choices: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if isinstance(override.value(), dict):  # merged with the others of its key
            choices[str(override.input_line)] = [str(override.input_line)]
        elif not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values = list(itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1))
            if not values:
                raise ConfigError(f"{override.input_line} has no values; correct it")
            choices[key] = [f"{key}={value}" for value in values]
        else:
            raise ConfigError(
                f"{override.input_line}: a grid needs discrete values; "
                "use choice(...) or range(...), or hydra/sweeper=optuna"
            )
        if override.is_delete():
            choices[key] = [key]
        if math.prod(map(len, choices.values())) > MOST_JOBS:
            raise ConfigError(
                f"a sweep may have at most {MOST_JOBS} jobs, {override.input_line} makes more; "
                "give fewer values, or use hydra/sweeper=optuna"
            )
    return itertools.product(*choices.values())
