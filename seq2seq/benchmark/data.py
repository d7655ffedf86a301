"""How fast tasks draw their data."""

import itertools
import statistics
import time
from pathlib import Path
from typing import Any

from torch.utils.benchmark import Timer

from seq2seq import checks, schema
from seq2seq.build import build, threads
from seq2seq.results import store
from seq2seq.seeds import generator
from seq2seq.training import configure

#: The smallest model that is worth training, beside whose step a batch should cost little.
SMALLEST = ("model=rnn", "model.hidden_size=8")

#: Steps whose batches are drawn at a stretch: as many as the tasks draw together.
STRETCH = 16


def measure(seconds: float = 1.0, json: Path | None = None) -> None:
    """Sequences per second of inputs; then a batch of each task beside a training step on it.

    Args:
        seconds: for each
        json: write the rows to this file, too
    """
    checks.writable("json", json)
    rows = []
    print("task                 input    length    sequences/s")
    tasks = {"shift": 128, "convolution": 128, "linear_functional": 128, "lorenz96": 128}
    for name, length in tasks.items():
        rows.append({"task": name, "length": length})
        for process in ("gp",) if name == "lorenz96" else ("white", "gp", "uniform", "ar1"):
            overrides = [f"task={name}", f"task/input={process}", f"task.length={length}"]
            task, _ = build(configure(overrides))
            size, stream = 2000, generator(0, "benchmark")
            task.sample(64, stream)  # factors the covariance
            timer = Timer("task.sample(size, stream)", globals=locals())
            rate = size / timer.blocked_autorange(min_run_time=seconds).mean
            print(f"{name:<20} {process:<8} {length:6} {rate:14,.0f}", flush=True)
            rows[-1][process] = rate
    every = []
    print("\ntask                 length  batch    batches/s    ms a step  batch / step")
    for name in generated():
        every.append(beside_a_step(name, seconds))
        print(
            "{task:<20} {length:6} {batch_size:6} {batches_per_second:12,.0f} {step_ms:12.2f} "
            "{ratio:13.3f}".format(**every[-1]),
            flush=True,
        )
    store(json, rows, tasks=every)


def generated() -> list[str]:
    """The tasks that need no file."""
    found = sorted((schema.CONFIGS / "task").glob("*.yaml"))
    return [file.stem for file in found if "task.path" not in _keys(file.stem)]


def _keys(name: str) -> set[str]:
    catalogue = schema.Catalogue([f"task={name}"])
    return {key.name for key in catalogue.keys("task")}


def beside_a_step(name: str, seconds: float) -> dict[str, Any]:
    """What a batch of a task takes, and a step of the smallest model on it.

    A batch is what training draws: of many tasks a fresh one, of others a part of a stored set.
    """
    task, module = build(configure([f"task={name}", *SMALLEST]))
    with threads(1):
        x, y = task.batch(0)
        optimizer = module.optimizer(list(module.parameters()))
        steps = itertools.count(STRETCH, STRETCH)
        batches = [_seconds(lambda: _draw(task, next(steps))) / STRETCH]
        taken = [_seconds(lambda: _train(module, optimizer, (x, y))) for _ in range(3)]
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:  # in turns, so that both meet the same machine
            batches.append(_seconds(lambda: _draw(task, next(steps))) / STRETCH)
            taken.append(_seconds(lambda: _train(module, optimizer, (x, y))))
    batch, step = statistics.median(batches), statistics.median(taken)
    return {
        "task": name,
        "length": task.length,
        "batch_size": task.batch_size,
        "batches_per_second": 1 / batch,
        "step_ms": 1e3 * step,
        "ratio": batch / step,
    }


def _seconds(work: Any) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _draw(task: Any, first: int) -> None:
    for step in range(first, first + STRETCH):
        task.batch(step)


def _train(module: Any, optimizer: Any, batch: Any) -> None:
    optimizer.zero_grad()
    module.objective(module.model, batch, module.loss).backward()
    optimizer.step()
