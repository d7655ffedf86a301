"""Measure, side by side in one process: `python scripts/benchmark.py step` (see --help)."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from lightning import Callback
from omegaconf import DictConfig

from seq2seq import schema, training
from seq2seq.models.token import TokenModel
from seq2seq.seeds import generator
from seq2seq.training import build, threads

#: Steps that do not count on either side: snapshots, whose intervals grow, crowd at the start, and
#: a step's cost changes as training goes on.
SKIPPED = 300


def configure(*overrides: str) -> DictConfig:
    """The config of `python train.py <overrides>`."""
    schema.register()
    with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
        return compose("train", overrides=list(overrides))


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


def step(blocks: int = 12, block: int = 50) -> None:
    """µs per optimisation step: `train.py` against a hand-written loop doing the same work."""
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


def _framework(overrides: list[str], blocks: int, block: int) -> list[float]:
    watch = _Stopwatch(block)
    with tempfile.TemporaryDirectory() as folder:
        cfg = configure(
            *overrides,
            f"paths.outputs={folder}",
            f"trainer.max_steps={SKIPPED + (blocks + 1) * block}",
            "trainer.val_check_interval=1000000",
            "callbacks.progress=null",
        )
        training.fit(cfg, training.Run(folder), [watch])
    return watch.seconds


def _raw_loop(overrides: list[str], blocks: int, block: int) -> list[float]:
    cfg = configure(*overrides)
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


def data(seconds: float = 2.0) -> None:
    """Sequences per second that each task and input draws, on one core."""
    print("task                 input    length    sequences/s")
    tasks = {"shift": 128, "convolution": 128, "linear_functional": 128, "lorenz96": 128}
    with threads(1):
        for name, length in tasks.items():
            for process in ("gp",) if name == "lorenz96" else ("white", "gp", "uniform", "ar1"):
                overrides = [f"task={name}", f"task/input={process}", f"task.length={length}"]
                task, _ = build(configure(*overrides))
                stream = generator(0, "benchmark")
                task.sample(64, stream)  # factors the covariance
                drawn, size, start = 0, 2000, time.perf_counter()
                while time.perf_counter() - start < seconds:
                    task.sample(size, stream)
                    drawn += size
                rate = drawn / (time.perf_counter() - start)
                print(f"{name:<20} {process:<8} {length:6} {rate:14,.0f}")


def models(seconds: float = 1.0, batch: int = 4) -> None:
    """ms per pass over `batch` sequences, and how it grows with their length L.

    Forward and backward of the parallel forms beside a dense recurrence; forward only of the step
    form. The exponent p is that of a least-squares line through log time and log L from 256 on.
    """
    lengths = [64, 256, 1024, 4096, 16384]
    print(
        f"{'model':<22} {'pass':<9}" + "".join(f"{'L=' + str(L):>11}" for L in lengths) + "      p"
    )
    cases = {
        "diagonal_rnn": ["model=diagonal_rnn"],
        "lru": ["model=lru"],
        "s4d": ["model=s4d"],
        "rnn (dense, tanh)": ["model=rnn"],
        "linear_rnn (dense)": ["model=linear_rnn"],
    }
    with threads(1):
        for name, overrides in cases.items():
            _, module = build(configure("task=shift", "model.hidden_size=64", *overrides))
            passes = {"parallel": _train_pass}
            if name in ("diagonal_rnn", "rnn (dense, tanh)"):
                passes["step"] = _step_pass
            for kind, one_pass in passes.items():
                times = []
                for L in lengths:
                    x = torch.randn(batch, L, 1, generator=generator(0, "benchmark"))
                    one_pass(module.model, x)
                    start, taken = time.perf_counter(), list[float]()
                    while not taken or time.perf_counter() - start < seconds:
                        then = time.perf_counter()
                        one_pass(module.model, x)
                        taken.append(time.perf_counter() - then)
                    times.append(statistics.median(taken))
                slope = np.polyfit(np.log(lengths[1:]), np.log(times[1:]), 1)[0]
                row = "".join(f"{1e3 * t:9.2f}ms" for t in times)
                print(f"{name:<22} {kind:<9}{row} {slope:6.2f}", flush=True)


def _train_pass(model: Any, x: torch.Tensor) -> None:
    model(x).square().mean().backward()


@torch.inference_mode()
def _step_pass(model: Any, x: torch.Tensor) -> None:
    state = model.initial_state(len(x), x.device, x.dtype)
    for x_t in x.unbind(1):
        _, state = model.step(x_t, state)


def generate(characters: int = 1000) -> None:
    """Characters per second that the text presets write, one at a time, on one core."""
    from seq2seq.generate import stream

    print("experiment               characters/s")
    with threads(1):
        for name in ("text_char", "text_char_transformer", "text_char_tcn", "text_word"):
            task, module = build(configure(f"experiment={name}"))
            model = cast(TokenModel, module.model)
            rates = []
            for seed in range(3):
                start, length = time.perf_counter(), 0
                for piece in stream(model, task.vocabulary, "The ", characters, seed=seed):
                    length += len(piece)
                rates.append(length / (time.perf_counter() - start))
            print(f"{name:<24} {statistics.median(rates):12,.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    benchmarks: dict[str, Callable[[], None]] = {
        function.__name__: function for function in (step, data, models, generate)
    }
    parser.add_argument("benchmark", choices=benchmarks)
    benchmarks[parser.parse_args().benchmark]()


if __name__ == "__main__":
    main()
