"""`dry_run=true`: the jobs, their sizes, and how long they would take."""

import time
from collections.abc import Sequence

import torch
from omegaconf import DictConfig

from seq2seq.build import build, threads
from seq2seq.footprint import footprint
from seq2seq.memory import shown
from seq2seq.seeds import generator
from seq2seq.sweep.jobs import Job, labels, print_table


def show_estimate(jobs: Sequence[Job], measured_steps: int = 3) -> None:
    """Print a line per job, timing `measured_steps` training steps of each distinct shape."""
    rows = []
    seconds_per_step: dict[tuple[object, ...], float] = {}
    total = 0.0
    for job, label in zip(jobs, labels(jobs), strict=True):
        task, module = build(job.config)
        parameters = sum(p.numel() for p in module.model.parameters())
        steps = job.config.trainer.max_steps
        shape = (str(job.config.model), task.length, job.config.task.get("batch_size"))
        if shape not in seconds_per_step:
            seconds_per_step[shape] = _seconds_per_step(job.config, measured_steps)
        seconds = 0.0 if job.is_done else steps * seconds_per_step[shape]
        total += seconds
        status = job.run.status.replace("new", "to do")
        needed = shown(sum(footprint(job.config, task)))
        row = (f"{parameters:,}", needed, str(steps), status, f"{seconds:.0f} s", str(job.folder))
        rows.append((label, *row))
    columns = ("job", "parameters", "memory", "steps", "status", "estimated time", "folder")
    print_table(columns, rows, ("parameters", "memory", "steps", "estimated time"))
    print(f"{len(jobs)} jobs, about {total / 60:.1f} minutes one after another")


def _seconds_per_step(cfg: DictConfig, measured_steps: int) -> float:
    task, module = build(cfg)
    batch = task.sample(task.batch_size, generator(cfg.seed, "estimate"))
    with threads(cfg.threads), torch.random.fork_rng(devices=[]):
        elapsed = []
        for _ in range(measured_steps):
            start = time.perf_counter()
            module.objective(module.model, batch, module.loss).backward()
            elapsed.append(time.perf_counter() - start)
    return min(elapsed)
