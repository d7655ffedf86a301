"""What the books of thousands of runs cost: lists, tables, sweeps asked for again or tried out."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from seq2seq.runs import Run, write_atomically
from seq2seq.sweep.multirun import multirun
from seq2seq.training import train

#: What jobs differ in, beside the seed.
GRID = ["model=rnn,lru", "task.k=1,2,3,4,5", "model.hidden_size=8,16,24,32,40"]

#: Runs a program and prints its seconds and its kB, from a small process: a program's most memory
#: is told with that of the process that has started it.
WAIT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def measure(runs: int = 10_000, jobs: int = 5_000) -> None:
    """Seconds of the processor and most memory of commands on folders of that many runs.

    Args:
        runs: that are collected and listed.
        jobs: of the sweep that is asked for again, and of the one that is tried out.
    """
    print(f"{'':<40} {'CPU':>8} {'all':>8} {'memory':>8}")
    with tempfile.TemporaryDirectory() as folder:
        once = train(["model=rnn", "trainer.max_steps=1", f"paths.outputs={folder}/one"])
        swept = [*GRID, f"seed=range({-(-jobs // 50)})", f"paths.outputs={folder}/sweep"]
        command = ["-m", "seq2seq", "train", "-m", *swept]
        _show(f"dry_run=true of {jobs} jobs", [*command, "dry_run=true"])
        with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
            finished = multirun([*swept, "dry_run=true"])
        for run in finished:
            run.folder.mkdir(parents=True)
            run.write_result(once.result)
        _show(f"a finished sweep of {jobs} jobs again", command)
        _copy(once, Path(folder, "many"), runs)
        collect = f"import seq2seq; seq2seq.collect({f'{folder}/many'!r})"
        _show(f"collect of {runs} runs", ["-c", collect])
        _show(f"runs.py of {runs} runs", ["-m", "seq2seq", "runs", f"{folder}/many"])


def _copy(run: Run, parent: Path, runs: int) -> None:
    """Folders with the config and the result of a run, seed and k changed."""
    config, result = dict(run.plain_config), (run.folder / "result.json").read_bytes()
    for number in range(runs):
        config["seed"], k = divmod(number, 50)
        config["task"] = config["task"] | {"seed": config["seed"], "k": k}
        folder = parent / f"k={k}-seed={config['seed']}"
        folder.mkdir(parents=True)
        text = yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False)
        write_atomically(folder / "config.yaml", text.encode())
        write_atomically(folder / "result.json", result)


def _show(what: str, arguments: Sequence[str]) -> None:
    """Run Python with `arguments`, which may print what they want, and print what it cost."""
    start = time.perf_counter()
    command = [sys.executable, "-c", WAIT, sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cpu, memory = map(float, done.stdout.split()[-2:])
    elapsed = time.perf_counter() - start
    print(f"{what:<40} {cpu:6.1f} s {elapsed:6.1f} s {memory / 1024:5.0f} MB", flush=True)
