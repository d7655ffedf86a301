"""`dry_run=true`: the jobs, their sizes, and how long they would take."""

import json
import sys
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig
from torch import nn

from seq2seq.build import build, threads
from seq2seq.footprint import footprint
from seq2seq.memory import shown
from seq2seq.seeds import generator
from seq2seq.sweep.claims import show_other_claims
from seq2seq.sweep.jobs import FINISHED, Job, labels, what_is_built
from seq2seq.sweep.table import print_table
from seq2seq.times import duration

#: Seconds that one shape of task and model is timed, and all of them together.
EACH, TOTAL = 1.0, 5.0
#: Most shapes that are timed.
MOST = 20


class Size(NamedTuple):
    """What a job is in numbers, and the shape that it shares its time per step with."""

    parameters: int
    memory: float
    step: float
    shape: tuple[Hashable, ...]


def show_estimate(jobs: Sequence[Job], as_json: bool = False) -> None:
    """Print a line per job: what it takes of the memory and, timed on this machine, of the time.

    As JSON that is a mapping per job, with bytes and seconds.

    A time is that of the median step, with those of the fastest and slowest tenth. Of many shapes,
    `MOST` are timed, spread over the memory that a step takes; the time of another lies on the line
    between the two of its model's class that are next to it in that.
    """
    sizes: dict[str, Size] = {}
    configs: dict[tuple[Hashable, ...], DictConfig] = {}
    keys = [sys.intern(what_is_built(job.nodes)) for job in jobs]
    for key, job in zip(keys, jobs, strict=True):
        if key not in sizes:
            config = job.config
            sizes[key] = _size(config)
            configs.setdefault(sizes[key].shape, config)
    steps = {size.shape: size.step for size in sizes.values()}
    wanted = {sizes[key].shape for key, job in zip(keys, jobs, strict=True) if not job.is_done}
    seconds = _times({shape: steps[shape] for shape in steps if shape in wanted}, configs)
    rows, told, total = [], [], np.zeros(3)
    for key, job, label in zip(keys, jobs, labels(jobs), strict=True):
        size, number = sizes[key], job.nodes["trainer"]["max_steps"]
        taken = np.zeros(3) if job.is_done else number * seconds[size.shape]
        total += taken
        status = {"new": "to do", "finished": FINISHED[1]}.get(job.run.status, job.run.status)
        row = (f"{size.parameters:,}", shown(size.memory), f"{number:,}", status, _told(taken))
        rows.append((label, *row, str(job.folder)))
        told.append(
            {"job": label, "folder": str(job.folder), "status": job.run.status}
            | {"already_done": job.is_done, "parameters": size.parameters, "steps": number}
            | {"memory": round(size.memory)}
            | dict(zip(("seconds", "least_seconds", "most_seconds"), taken.tolist(), strict=True))
        )
    if as_json:
        print(json.dumps(told, indent=1))
        return
    columns = ("job", "parameters", "memory", "steps", "status", "time", "folder")
    print_table(columns, rows, ("parameters", "memory", "steps", "time"))
    print(_all_told(len(jobs), total))
    show_other_claims(jobs)


def _size(cfg: DictConfig) -> Size:
    task, module = build(cfg)
    needed = footprint(cfg, task)
    shape = (
        str(cfg.model._target_),
        *(str(node) for node in (cfg.model, cfg.objective)),
        str(cfg.task._target_),
        *(task.length, task.batch_size, task.input_dim, task.output_dim, task.vocabulary_size),
    )
    parameters = sum(p.numel() for p in module.model.parameters())
    return Size(parameters, sum(needed), needed.step, shape)


def _times(
    steps: Mapping[tuple[Hashable, ...], float], configs: Mapping[tuple[Hashable, ...], DictConfig]
) -> dict[tuple[Hashable, ...], np.ndarray]:
    """Seconds per step of each shape, as `_timed` gives them, from the memory that a step takes."""
    classes: dict[Hashable, list[tuple[Hashable, ...]]] = {}
    for shape in sorted(steps, key=lambda shape: steps[shape]):
        classes.setdefault(shape[0], []).append(shape)
    chosen = {kind: [*_spread(shapes, len(classes))] for kind, shapes in classes.items()}
    each = min(EACH, TOTAL / max(1, sum(map(len, chosen.values()))))
    seconds = {}
    for kind, shapes in classes.items():
        timed = np.array([_timed(configs[shape], each) for shape in chosen[kind]])
        known = [steps[shape] for shape in chosen[kind]]
        for shape in shapes:
            columns = [np.interp(steps[shape], known, column) for column in timed.T]
            seconds[shape] = np.array(columns)
        seconds |= dict(zip(chosen[kind], timed, strict=True))
    return seconds


def _spread(shapes: Sequence[Any], classes: int) -> Iterator[Any]:
    """The share of one of several classes in the shapes to be timed: the ends and some between."""
    most = min(len(shapes), max(2, MOST // classes))
    yield from (
        shapes[index] for index in np.linspace(0, len(shapes) - 1, most).round().astype(int)
    )


def _timed(cfg: DictConfig, limit: float) -> np.ndarray:
    """Seconds per training step: the median, the fastest and the slowest tenth in `limit` s."""
    task, module = build(cfg)
    batch = task.sample(task.batch_size, generator(cfg.seed, "estimate"))
    parameters = [p for p in module.model.parameters() if p.requires_grad]
    optimizer = module.optimizer(parameters)
    elapsed: list[float] = []
    with threads(cfg.threads), torch.random.fork_rng(devices=[]):
        begin = time.perf_counter()
        while not elapsed or time.perf_counter() < begin + limit:
            start = time.perf_counter()
            optimizer.zero_grad()
            module.objective(module.model, batch, module.loss).backward()
            if cfg.gradient_clip_val is not None:
                nn.utils.clip_grad_norm_(parameters, cfg.gradient_clip_val)
            optimizer.step()
            elapsed.append(time.perf_counter() - start)
    return np.quantile(elapsed[1:] or elapsed, [0.5, 0.1, 0.9])  # the first has much to set up


def _told(times: np.ndarray) -> str:
    """Seconds and their spread, as in 3.1 s (2.8 to 3.6)."""
    middle, least, most = (f"{time:.1f}" if time < 10 else f"{time:.0f}" for time in times)
    return f"{middle} s" + (f" ({least} to {most})" if times[2] else "")


def _all_told(jobs: int, times: np.ndarray) -> str:
    """What so many jobs would take one after another, which is more than a sweep takes."""
    middle, least, most = map(duration, times)
    spread = f" ({least} to {most})" if times[2] else ""
    if jobs == 1:
        return f"1 job, about {middle}{spread}; less if it ends early"
    return (
        f"{jobs} jobs, about {middle}{spread} one after another;\n"
        "less where runs are trained together or end early"
    )
