"""`dry_run=true`: the jobs, their sizes, and how long they would take."""

import time
from collections.abc import Sequence

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from seq2seq.build import build, threads
from seq2seq.runs import Run
from seq2seq.seeds import generator
from seq2seq.sweep.jobs import Job, is_done, labels


def show_estimate(jobs: Sequence[Job], measured_steps: int = 3) -> None:
    """Print a line per job, timing `measured_steps` training steps of each distinct shape."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("job", "parameters", "steps", "status", "estimated time", "folder"):
        numeric = column in ("parameters", "steps", "estimated time")
        table.add_column(column, justify="right" if numeric else "left")
    seconds_per_step: dict[tuple[object, ...], float] = {}
    total = 0.0
    for job, label in zip(jobs, labels(jobs), strict=True):
        task, module = build(job.config)
        parameters = sum(p.numel() for p in module.model.parameters())
        steps = job.config.trainer.max_steps
        shape = (str(job.config.model), task.length, job.config.task.get("batch_size"))
        if shape not in seconds_per_step:
            seconds_per_step[shape] = _seconds_per_step(job.config, measured_steps)
        seconds = 0.0 if is_done(job.folder, job.config) else steps * seconds_per_step[shape]
        total += seconds
        status = Run(job.folder).status.replace("new", "to do")
        row = (f"{parameters:,}", str(steps), status, f"{seconds:.0f} s", str(job.folder))
        table.add_row(label, *row)
    console = Console(width=None if Console().is_terminal else 400)
    console.print(table, highlight=False)
    console.print(f"{len(jobs)} jobs, about {total / 60:.1f} minutes one after another")


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
