"""How fast tasks draw their data."""

from pathlib import Path

from torch.utils.benchmark import Timer

from seq2seq.build import build
from seq2seq.results import store
from seq2seq.seeds import generator
from seq2seq.training import configure


def measure(seconds: float = 2.0, json: Path | None = None) -> None:
    """Sequences per second that each task and input draws, on one core.

    Args:
        seconds: for each
        json: write the rows to this file, too
    """
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
    store(json, rows)
