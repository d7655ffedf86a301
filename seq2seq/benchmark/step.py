"""A training step of `train.py` against a hand-written loop."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback

from seq2seq import checks
from seq2seq.build import build, threads
from seq2seq.results import store
from seq2seq.runs import Run
from seq2seq.seeds import generator
from seq2seq.training import configure, fit

#: Steps that do not count on either side: snapshots, whose intervals grow, crowd at the start, and
#: a step's cost changes as training goes on.
SKIPPED = 300


class _Stopwatch(Callback):
    """Seconds per block of steps of a Lightning run, validation left out."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.seconds: list[float] = []
        self._then = 0.0

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.block == 0:
            now = time.perf_counter()
            if trainer.global_step > SKIPPED:
                self.seconds.append((now - self._then) / self.block)
            self._then = now


def measure(blocks: int = 12, block: int = 50, json: Path | None = None) -> None:
    """µs per optimisation step: `train.py` against a hand-written loop doing the same work.

    Args:
        blocks: that are timed
        block: steps
        json: write the rows to this file, too
    """
    checks.writable("json", json)
    rows = []
    print("case                     hand-written     train.py     ratio   difference")
    for name, overrides in {
        "tcn (default)": ["model=tcn"],
        "tanh rnn 64, length 32": ["model=rnn", "model.hidden_size=64"],
    }.items():
        ours, raw = [], []
        for _ in range(3):  # alternate, so that both meet the same machine
            raw += _raw_loop([*overrides], blocks // 3, block)
            ours += _framework([*overrides], blocks // 3, block)
        a, b = statistics.median(raw) * 1e6, statistics.median(ours) * 1e6
        print(f"{name:<24} {a:9.0f} µs {b:9.0f} µs   {b / a:6.2f}× {b - a:+8.0f} µs")
        rows.append({"case": name, "by hand": a, "program": b, "ratio": b / a})
    store(json, rows)


def _framework(overrides: list[str], blocks: int, block: int) -> list[float]:
    watch = _Stopwatch(block)
    with tempfile.TemporaryDirectory() as folder:
        cfg = configure(
            [
                *overrides,
                f"paths.outputs={folder}",
                f"trainer.max_steps={SKIPPED + (blocks + 1) * block}",
                "trainer.val_check_interval=1000000",
                "callbacks.progress=null",
            ]
        )
        fit(cfg, Run(folder), [watch])
    return watch.seconds


def _raw_loop(overrides: list[str], blocks: int, block: int) -> list[float]:
    cfg = configure(overrides)
    task, module = build(cfg)
    model = module.model
    x, y = task.split("train")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    parameters = list(model.parameters())
    order = torch.randperm(len(x), generator=generator(0, "benchmark"))
    seconds = []
    with threads(1):
        for number in range(SKIPPED // block + blocks):
            start = time.perf_counter()
            for i in range(block):
                at = ((number * block + i) * task.batch_size) % (len(x) - task.batch_size)
                index = order[at : at + task.batch_size]
                loss = torch.nn.functional.mse_loss(model(x[index]), y[index])
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
            seconds.append((time.perf_counter() - start) / block)
    return seconds[SKIPPED // block :]
