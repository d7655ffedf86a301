"""Sweeps under each launcher, the same jobs for all."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from seq2seq import checks
from seq2seq.batched.chunk import Chunk
from seq2seq.batched.member import Member
from seq2seq.results import store
from seq2seq.runs import Run, find
from seq2seq.training import configure, quiet

MEDIUM = ["task.length=48", "task.batch_size=64"]
CASES = {
    "tanh rnn 8": ["model=rnn", "model.hidden_size=8", "task.length=32", "task.batch_size=32"],
    "tanh rnn 16": ["model=rnn", "model.hidden_size=16", *MEDIUM],
    "tanh rnn 64": ["model=rnn", "model.hidden_size=64", *MEDIUM],
    "lstm 32": ["model=lstm", "model.hidden_size=32", *MEDIUM],
    "gru 32": ["model=gru", "model.hidden_size=32", *MEDIUM],
    "tcn 16": ["model=tcn", "model.hidden_size=16", *MEDIUM],
    "transformer 32": ["model=transformer", *MEDIUM],
    "diagonal rnn 16": ["model=diagonal_rnn", "model.hidden_size=16", *MEDIUM],
    "lru 32": ["model=lru", *MEDIUM],
    "s4d 32": ["model=s4d", *MEDIUM],
}
LAUNCHERS = ("basic", "joblib", "auto")
TOGETHER = ("auto", "vmap")  # train many runs as one program, so that few tell nothing of many
COMMON = ["task=shift", "callbacks.progress=null"]


def jobs(members: int) -> list[str]:
    """Overrides of a sweep of so many runs: up to 8 k, and seeds."""
    ks = min(8, members)
    return [
        "task.k=" + ",".join(str(4 + k) for k in range(ks)),
        "seed=" + ",".join(str(seed) for seed in range(members // ks)),
    ]


def trained(
    launcher: str, arguments: Sequence[str], members: int
) -> tuple[float, float, list[float]]:
    """Seconds from the command's start to its end, the MB that it took, and when each run ended.

    Args:
        launcher: its name.
        arguments: overrides of all jobs.
        members: number of jobs.
    """
    peak = 0.0
    with tempfile.TemporaryDirectory() as folder:
        own = [f"hydra/launcher={launcher}", f"paths.outputs={folder}", *jobs(members)]
        command = [sys.executable, "-m", "seq2seq", "train", "-m", *arguments, *own]
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                peak = max(peak, memory_of_tree(process.pid))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
        seconds = time.perf_counter() - start
        ended = [run for run in find(folder) if run.status == "finished"]
        times = sorted((run.folder / "result.json").stat().st_mtime for run in ended)
    if len(times) != members:
        raise RuntimeError(f"{len(times)} of {members} runs finished: {' '.join(command)}")
    return seconds, peak, [at - times[0] for at in times]


def seconds_each(times: Sequence[float], side_by_side: int) -> float:
    """Seconds by which a sweep is longer for one more run, its start-up left out.

    Args:
        times: when each run ended, in order.
        side_by_side: how many were trained at once; less than all.
    """
    first, last = sum(times[:side_by_side]), sum(times[-side_by_side:])
    return (last - first) / side_by_side / (len(times) - side_by_side)


def memory_of_tree(pid: int) -> float:
    """MB in memory of a process and all that it started, what they share counted once."""
    tree = [pid]
    for one in tree:
        with contextlib.suppress(OSError):  # it has ended
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                tree += map(int, children.read_text().split())
    total = 0
    for one in tree:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
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
    timer = Timer(
        "a @ a", globals={"a": torch.randn(2048, 2048)}, num_threads=torch.get_num_threads()
    )
    return 2 * 2048.0**3 / timer.blocked_autorange(min_run_time=seconds).mean


def measure(
    cases: Sequence[str] = tuple(CASES),
    members: Sequence[int] = (1, 8, 32, 128),
    launchers: Sequence[str] = LAUNCHERS,
    steps: int = 2000,
    most: int = 8,
    json: Path | None = None,
) -> None:
    """Print a table: runs per minute, start-up included, and what they make of the machine.

    Args:
        cases: of `CASES`.
        members: numbers of runs.
        launchers: which to compare; ratios are to `basic`.
        steps: of each run.
        most: runs of `basic` and `joblib` that are trained, at least 2; of more, the time is
            extrapolated.
        json: write the rows to this file, too.
    """
    checks.writable("json", json)
    checks.integer("most", most, least=2)
    for case in cases:
        checks.one_of("cases", case, tuple(CASES))
    for launcher in launchers:
        checks.one_of("launchers", launcher, (*LAUNCHERS, "vmap"))
    peak = peak_rate() / 1e9
    print(
        f"{os.cpu_count()} cores, {peak:.0f} GFLOP/s in matrix products, {steps} steps, load "
        f"{os.getloadavg()[0]:.1f} at the start; where fewer runs were trained than "
        f"there are, their time is extrapolated\n"
    )
    columns = ("runs/min", "ratio", "GFLOP/s", "of peak", "MB")
    print(f"| case | runs | launcher | trained | seconds | {' | '.join(columns)} |")
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    rows: list[dict[str, Any]] = []
    for name in cases:
        settings = CASES[name]
        flops = operations(settings)
        arguments = (*COMMON, *settings, f"trainer.max_steps={steps}")
        for number in sorted(members):
            basic = None
            for launcher in launchers:
                limit = number if launcher in TOGETHER else min(most, number)
                seconds, memory, times = trained(launcher, arguments, limit)
                if limit < number:
                    cores = 1 if launcher == "basic" else min(os.cpu_count() or 1, limit // 2)
                    seconds += (number - limit) * seconds_each(times, cores)
                basic = seconds if launcher == "basic" else basic
                ratio = basic / seconds if basic else None
                achieved = flops * steps * number / seconds / 1e9
                print(
                    f"| {name} | {number} | {launcher} | {limit} | {seconds:.1f} | "
                    f"{60 * number / seconds:.1f} | {f'{ratio:.1f}' if ratio else ''} | "
                    f"{achieved:.2f} | {achieved / peak:.1%} | {memory:.0f} |",
                    flush=True,
                )
                rows.append(
                    {
                        "case": name,
                        "runs": number,
                        "launcher": launcher,
                        "trained": limit,
                        "seconds": seconds,
                        "ratio_to_basic": ratio,
                        "gflops": achieved,
                        "megabytes": memory,
                    }
                )
                # After each row, as the whole takes long.
                store(json, rows, steps=steps, peak_gflops=peak)
