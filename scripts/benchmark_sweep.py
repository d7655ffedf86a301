"""Sweeps under each launcher, the same jobs for all: `python scripts/benchmark_sweep.py`."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from torch.utils.flop_counter import FlopCounterMode

from seq2seq import schema
from seq2seq.runs import Run, find
from seq2seq.sweep.chunk import Chunk
from seq2seq.sweep.member import Member
from seq2seq.training import build, quiet

COMMAND = [sys.executable, str(Path(__file__).parents[1] / "train.py"), "-m"]
CASES = {
    "tanh rnn 8": ["model=rnn", "model.hidden_size=8", "task.length=32", "task.batch_size=32"],
    "tanh rnn 16": ["model=rnn", "model.hidden_size=16", "task.length=48", "task.batch_size=64"],
    "tanh rnn 64": ["model=rnn", "model.hidden_size=64", "task.length=48", "task.batch_size=64"],
    "lstm 32": ["model=lstm", "model.hidden_size=32", "task.length=48", "task.batch_size=64"],
    "tcn 16": ["model=tcn", "model.hidden_size=16", "task.length=48", "task.batch_size=64"],
    "transformer 32": ["model=transformer", "task.length=48", "task.batch_size=64"],
    "diagonal rnn 16": [
        "model=diagonal_rnn",
        "model.hidden_size=16",
        "task.length=48",
        "task.batch_size=64",
    ],
}
COMMON = [
    "task=shift",
    "callbacks.figures=null",
    "callbacks.progress=null",
    "callbacks.snapshots=null",
    "trainer.accelerator=cpu",
]


def jobs(members: int) -> list[str]:
    """Overrides of a sweep of so many runs: up to 8 k, and seeds."""
    ks = min(8, members)
    return [
        "task.k=" + ",".join(str(4 + k) for k in range(ks)),
        "seed=" + ",".join(str(seed) for seed in range(members // ks)),
    ]


def measure(launcher: str, case: list[str], members: int, steps: int) -> tuple[float, float]:
    """Seconds from the command's start to its end, and the MB of its largest process."""
    with tempfile.TemporaryDirectory() as folder:
        own = [f"hydra/launcher={launcher}", f"paths.outputs={folder}"]
        command = [*COMMAND, *own, *COMMON, *case, *jobs(members), f"trainer.max_steps={steps}"]
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            peak = 0.0
            while process.poll() is None:
                peak = max(peak, largest(process.pid))
                time.sleep(0.2)
        seconds = time.perf_counter() - start
        ended = sum(run.status == "finished" for run in find(folder))
    if ended != members:
        raise RuntimeError(f"{ended} of {members} runs finished: {' '.join(command)}")
    return seconds, peak


def largest(pid: int) -> float:
    """MB of the largest among a process and its children."""
    listed = subprocess.run(
        ["ps", "-o", "rss=", "--pid", str(pid), "--ppid", str(pid)], capture_output=True, text=True
    )
    return max([int(line) / 1024 for line in listed.stdout.split()], default=0.0)


def operations(case: list[str]) -> float:
    """Floating-point operations in matrix products and convolutions of one run's step."""
    schema.register()
    with tempfile.TemporaryDirectory() as folder, quiet():
        with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
            cfg = compose("train", overrides=[*COMMON, *case, "logger=none"])
        member = Member(cfg, Run(folder), *build(cfg))
        member.start(None)
        chunk = Chunk([member], 0, lambda: False)
        with FlopCounterMode(display=False) as counter:
            chunk.losses(*chunk.batches(0)).sum().backward()
        return float(counter.get_total_flops())


def peak_rate(seconds: float = 1.0) -> float:
    """Operations per second of a large matrix product on all cores."""
    a = torch.randn(2048, 2048)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        torch.mm(a, a)
        count += 1
    return count * 2 * 2048.0**3 / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--members", nargs="*", type=int, default=[1, 8, 32, 128])
    parser.add_argument("--launchers", nargs="*", default=["basic", "joblib", "vmap"])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--most", type=int, default=8, help="runs of basic; more are scaled up")
    chosen = parser.parse_args()
    peak = peak_rate()
    print(f"{os.cpu_count()} cores, {peak / 1e9:.0f} GFLOP/s in matrix products")
    print(f"{'case':<16} {'members':>7} {'launcher':<8} {'runs/min':>9} {'ratio':>6} "
          f"{'GFLOP/s':>8} {'of peak':>7} {'MB':>6}")  # fmt: skip
    for name in chosen.cases:
        flops = operations(CASES[name])
        for members in chosen.members:
            basic = float("nan")
            for launcher in chosen.launchers:
                some = min(members, chosen.most) if launcher == "basic" else members
                seconds, memory = measure(launcher, CASES[name], some, chosen.steps)
                rate = some / seconds
                basic = rate if launcher == "basic" else basic
                achieved = flops * chosen.steps * rate
                print(
                    f"{name:<16} {members:>7} {launcher:<8} {60 * rate:>9.1f} "
                    f"{rate / basic:>6.1f} {achieved / 1e9:>8.2f} {achieved / peak:>7.1%} "
                    f"{memory:>6.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
