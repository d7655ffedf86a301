"""`hydra/launcher=vmap` and `auto`: what Hydra is to find of jobs that are trained together."""

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from seq2seq.batched.grouping import divided, grouped, shape, side_by_side
from seq2seq.batched.member import Member
from seq2seq.batched.workers import processes, train_groups
from seq2seq.build import threads
from seq2seq.runs import Run, own, run_folder, score
from seq2seq.training import note_failure, quiet


def launch(
    compose: Callable[[Sequence[str]], DictConfig],
    context: HydraContext,
    jobs: Sequence[list[str]],
    first: int = 0,
    workers: int | None = None,
    launch_one: Callable[[list[str], int], JobReturn] | None = None,
) -> list[JobReturn]:
    """Train jobs as one of Hydra's launchers does: each has its folder, `.hydra` and `JobReturn`.

    Args:
        compose: gives a job's config from its overrides.
        context: whose callbacks are told of each job.
        jobs: the overrides of each.
        first: number of the first job.
        workers: as for `train_all`.
        launch_one: runs a job by itself, given its overrides and its number: those that do not gain
            by a shared program, or cannot have one. None: these are refused.

    Raises:
        ConfigError: a job cannot be trained in this way; nothing was written.
    """
    setup_globals()
    composed = [compose(overrides) for overrides in jobs]
    configs = list(map(own, composed))
    folders = [Run(run_folder(cfg)).folder for cfg in configs]
    singles: list[Member] = []
    if launch_one is None:
        groups = grouped(configs)
    else:
        workers = workers or min(map(processes, configs))
        groups, apart = divided(configs, workers)
        singles = [member for members in apart.values() for member in members]
        workers = side_by_side(singles, workers)
        print(_division(groups, apart, workers), file=sys.stderr)
    together = {member.run.folder for group in groups for member in group}
    returns: list[JobReturn] = []

    def begin_jobs() -> None:
        for number, (cfg, without) in enumerate(zip(composed, configs, strict=True), first):
            returns.append(_job_return(number, cfg, without))
            if folders[number - first] in together:
                _write_record(returns[-1])
                context.callbacks.on_job_start(config=cfg, task_function=lambda _: None)

    def train_single(member: Member) -> None:
        assert launch_one is not None
        number = folders.index(member.run.folder)
        ended = launch_one(jobs[number], first + number)
        if ended.status == JobStatus.FAILED and not member.run.result:
            note_failure(member.run, ended._return_value)

    train_groups(groups, workers, begin_jobs, singles, train_single if launch_one else None)
    for cfg, folder, one in zip(composed, folders, returns, strict=True):
        run = Run(folder)
        one.status, one.return_value = JobStatus.COMPLETED, score(run.result)
        if run.status in ("failed", "killed", "new"):
            error = run.result.get("error", "the process that trained it was killed")
            one.status, one.return_value = JobStatus.FAILED, RuntimeError(error)
        if folder in together:
            context.callbacks.on_job_end(config=cfg, job_return=one)
    return returns


def alike(configs: Sequence[DictConfig], most: int) -> list[list[int]]:
    """The numbers of the jobs that could share a program, at most `most` together."""
    numbers: dict[str, list[int]] = defaultdict(list)
    with quiet(), threads(1):
        for number, cfg in enumerate(map(own, configs)):
            numbers[shape(Member(cfg, Run(run_folder(cfg))))].append(number)
    return [some[i : i + most] for some in numbers.values() for i in range(0, len(some), most)]


def _division(
    groups: Sequence[Sequence[Member]], apart: dict[str, list[Member]], workers: int
) -> str:
    """A line that says which jobs are trained how, and why."""
    parts = [
        f"{'1 run by itself' if len(members) == 1 else f'{len(members)} runs one by one'}, as {why}"
        for why, members in apart.items()
    ]
    if groups:
        found = f"{len(groups)} groups, each" if len(groups) > 1 else "1 group"
        parts.insert(0, f"{sum(map(len, groups))} runs in {found} as one program")
    place = "in this process" if workers == 1 else f"at most {workers} processes side by side"
    return "; ".join([*parts, place])


def _job_return(number: int, cfg: DictConfig, without: DictConfig) -> JobReturn:
    """What Hydra is to be told of a job, given its config with and without Hydra's part."""
    folder = Path(cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir).absolute()
    with open_dict(cfg):
        cfg.hydra.job.id = cfg.hydra.job.num = number
        cfg.hydra.runtime.output_dir = str(folder)
    return JobReturn(
        overrides=list(cfg.hydra.overrides.task),
        cfg=without,
        hydra_cfg=OmegaConf.masked_copy(cfg, "hydra"),
        working_dir=os.getcwd(),
        task_name=cfg.hydra.job.name,
    )


def _write_record(told: JobReturn) -> None:
    """Write `.hydra` into the folder of a job as Hydra does.

    Hydra's own `run_job` takes 45 ms for that, as it copies the config five times.
    """
    hydra = told.hydra_cfg.hydra  # type: ignore[union-attr]
    if hydra.output_subdir is not None:
        target = Path(hydra.runtime.output_dir, hydra.output_subdir)
        target.mkdir(parents=True, exist_ok=True)
        parts = {"config": told.cfg, "hydra": told.hydra_cfg, "overrides": hydra.overrides.task}
        for name, part in parts.items():
            (target / f"{name}.yaml").write_text(OmegaConf.to_yaml(part), encoding="utf-8")
