"""How much memory stays behind when many runs are trained in one process."""

import os
import tempfile
from pathlib import Path

from seq2seq import checks
from seq2seq.results import store
from seq2seq.training import train


def measure(runs: int = 100, steps: int = 20, skipped: int = 10, json: Path | None = None) -> float:
    """Print the resident memory after every tenth run; the value is its growth in MB.

    The first runs do not count: they load what all others use.

    Args:
        runs: how many.
        steps: of each, with the default callbacks and TensorBoard.
        skipped: runs after which growth is counted.
        json: write the row to this file, too.
    """
    checks.writable("json", json)
    memory = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            run = train(
                [
                    "model=rnn",
                    f"seed={number}",
                    f"trainer.max_steps={steps}",
                    f"trainer.val_check_interval={steps}",
                    f"paths.outputs={folder}",
                    "callbacks.progress=null",
                ]
            )
            if run.status != "finished":
                raise RuntimeError(f"a run ended as {run.status}: {run.result}")
            memory.append(resident())
            if (number + 1) % 10 == 0:
                print(f"{number + 1:4} runs {memory[-1]:7.1f} MB", flush=True)
    growth = memory[-1] - memory[skipped - 1]
    print(f"growth after the first {skipped} runs: {growth:.1f} MB")
    store(json, [{"runs": runs, "steps": steps, "skipped": skipped, "growth": growth}])
    return growth


def resident() -> float:
    """MB of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
