"""Expand a command's overrides into jobs and run the missing ones with a launcher."""

import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from seq2seq.runs import Run
from seq2seq.schema import ConfigError
from seq2seq.sweep import jobs as job_list


def run_jobs(
    config: DictConfig,
    overrides: Sequence[Override],
    compose: Callable[[DictConfig, list[str]], DictConfig],
    launch: Callable[[Sequence[Sequence[str]]], Any],
) -> int:
    """Run what is missing of a sweep and print its table; the value is how many did not finish.

    Args:
        config: the sweep's own config.
        overrides: as parsed from the command line and the experiment; later ones win.
        compose: gives a job's config from its overrides.
        launch: runs jobs, given the overrides of each.

    Raises:
        ConfigError: a job cannot be run; none was started and nothing was written.
    """
    grid = expand(overrides)
    composed = []
    for one in grid:
        cfg = compose(config, list(one))
        composed.append((one, cfg))
    jobs = job_list.plan(composed)
    single = len(grid) == 1
    if config.dry_run:
        from seq2seq.sweep.estimate import show_estimate

        show_estimate(jobs)
        return 0
    missing = [job for job in jobs if not job_list.is_done(job.folder, job.config)]
    if missing:
        job_list.make_parents(missing)
        launch([(*job.overrides, *placement(job)) for job in missing])
    if single:
        if not missing:
            print("nothing to do: this run is complete (force=true trains it again)")
        job_list.show_result(jobs[0])
    else:
        job_list.show(jobs)
    failed = sum(Run(job.folder).status not in ("finished", "diverged") for job in jobs)
    if failed and not single:
        print(f"{failed} of {len(jobs)} jobs did not finish", file=sys.stderr)
    return failed


def placement(job: job_list.Job) -> tuple[str, str]:
    """Overrides that make the run's folder Hydra's output folder of the job."""
    parent, name = job.folder.parent, job.folder.name
    return f"hydra.sweep.dir='{parent}'", f"hydra.sweep.subdir='{name}'"


def expand(overrides: Sequence[Override]) -> list[tuple[str, ...]]:
    """The grid of all swept values, as tuples of plain overrides.

    Raises:
        ConfigError: a sweep that has no discrete values, such as `interval(0, 1)`.
    """
    choices: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise ConfigError(
                f"{override.input_line}: a grid needs discrete values; "
                "use choice(...) or range(...), or hydra/sweeper=optuna"
            )
        if override.is_delete():
            choices[key] = [key]
    return list(itertools.product(*choices.values()))
