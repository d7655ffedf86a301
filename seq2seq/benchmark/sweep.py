"""Sweeps under each launcher, the same jobs for all."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from seq2seq import schema
from seq2seq.batched.chunk import Chunk
from seq2seq.batched.member import Member
from seq2seq.runs import Run, find
from seq2seq.training import configure, quiet

TRAIN = schema.CONFIGS.parent / "train.py"
MEDIUM = ["task.length=48", "task.batch_size=64"]
CASES = {
    "tanh rnn 8": ["model=rnn", "model.hidden_size=8", "task.length=32", "task.batch_size=32"],
    "tanh rnn 16": ["model=rnn", "model.hidden_size=16", *MEDIUM],
    "tanh rnn 64": ["model=rnn", "model.hidden_size=64", *MEDIUM],
    "lstm 32": ["model=lstm", "model.hidden_size=32", *MEDIUM],
    "tcn 16": ["model=tcn", "model.hidden_size=16", *MEDIUM],
    "transformer 32": ["model=transformer", *MEDIUM],
    "diagonal rnn 16": ["model=diagonal_rnn", "model.hidden_size=16", *MEDIUM],
}
LAUNCHERS = ("basic", "joblib", "vmap")
COMMON = ["task=shift", "callbacks.progress=null"]


def jobs(members: int) -> list[str]:
    """Overrides of a sweep of so many runs: up to 8 k, and seeds."""
    ks = min(8, members)
    return [
        "task.k=" + ",".join(str(4 + k) for k in range(ks)),
        "seed=" + ",".join(str(seed) for seed in range(members // ks)),
    ]


class Sweeps:
    """Measures one case under one launcher, each number of members once.

    Args:
        launcher: its name.
        case: overrides of all jobs.
        steps: of each.
        most: members above which the time is extrapolated from what the last ones took; None
            measures all.
    """

    def __init__(self, launcher: str, case: Sequence[str], steps: int, most: int | None) -> None:
        self.launcher = launcher
        self.arguments = [*COMMON, *case, f"trainer.max_steps={steps}"]
        self.most = most
        self._measured: dict[int, tuple[float, float]] = {}

    def __call__(self, members: int) -> tuple[float, float]:
        """Seconds from the command's start to its end, and the MB that its processes took."""
        if self.most is None or members <= self.most:
            if members not in self._measured:
                self._measured[members] = self._measure(members)
            return self._measured[members]
        few, many = max(1, self.most // 4), self.most
        (early, _), (late, memory) = self(few), self(many)
        return late + (members - many) * (late - early) / (many - few), memory

    def _measure(self, members: int) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as folder:
            own = [f"hydra/launcher={self.launcher}", f"paths.outputs={folder}", *jobs(members)]
            command = [sys.executable, str(TRAIN), "-m", *self.arguments, *own]
            peaks = [0.0]
            start = time.perf_counter()
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                watch = threading.Thread(target=_watch, args=(process, peaks))
                watch.start()
                process.wait()
                seconds = time.perf_counter() - start
                watch.join()
            ended = sum(run.status == "finished" for run in find(folder))
        if ended != members:
            raise RuntimeError(f"{ended} of {members} runs finished: {' '.join(command)}")
        return seconds, peaks[0]


def _watch(process: subprocess.Popen[bytes], peaks: list[float]) -> None:
    while process.poll() is None:
        peaks[0] = max(peaks[0], memory_of_tree(process.pid))
        time.sleep(0.5)


def memory_of_tree(pid: int) -> float:
    """MB in memory of a process and all that it started, what they share counted once."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    tree = [pid]
    for one in tree:
        tree += children.get(one, [])
    total = 0
    for one in tree:
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line[:4] == "Pss:")
    return total / 1024


def operations(case: Sequence[str]) -> float:
    """Floating-point operations in matrix products and convolutions of one run's step."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        cfg = configure([*COMMON, *case, "logger=none", "trainer.accelerator=cpu"])
        member = Member(cfg, Run(folder))
        member.start()
        chunk = Chunk([member], lambda: False)
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


def measure(
    cases: Sequence[str] = tuple(CASES),
    members: Sequence[int] = (1, 8, 32, 128),
    launchers: Sequence[str] = LAUNCHERS,
    steps: int = 2000,
    most: int = 8,
) -> None:
    """Print a table: runs per minute, start-up included, and what they make of the machine.

    Args:
        cases: of `CASES`.
        members: numbers of runs.
        launchers: which to compare; ratios are to `basic`.
        steps: of each run.
        most: runs of `basic` and `joblib` that are trained; for more, the time is extrapolated.
    """
    peak = peak_rate()
    print(
        f"{os.cpu_count()} cores, {peak / 1e9:.0f} GFLOP/s in matrix products, {steps} steps, "
        f"load {os.getloadavg()[0]:.1f} at the start\n"
    )
    print("| case | members | launcher | runs/min | ratio | GFLOP/s | of peak | MB |")
    print("|---|---:|---|---:|---:|---:|---:|---:|", flush=True)
    for name in cases:
        case = CASES[name]
        flops = operations(case)
        timers = {
            launcher: Sweeps(launcher, case, steps, None if launcher == "vmap" else most)
            for launcher in launchers
        }
        for number in sorted(members):
            basic = None
            for launcher, timer in timers.items():
                seconds, memory = timer(number)
                rate = number / seconds
                basic = rate if launcher == "basic" else basic
                ratio = f"{rate / basic:.1f}" if basic else ""
                achieved = flops * steps * rate
                print(
                    f"| {name} | {number} | {launcher} | {60 * rate:.1f} | {ratio} | "
                    f"{achieved / 1e9:.2f} | {achieved / peak:.1%} | {memory:.0f} |",
                    flush=True,
                )
