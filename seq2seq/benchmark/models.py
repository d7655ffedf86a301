"""How the time of a pass grows with the length of the sequences."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.benchmark import Timer

from seq2seq.build import build
from seq2seq.results import store
from seq2seq.seeds import generator
from seq2seq.training import configure


def measure(seconds: float = 1.0, batch: int = 4, json: Path | None = None) -> None:
    """ms per pass over `batch` sequences, and how it grows with their length L.

    Forward and backward of the parallel forms beside a dense recurrence; forward only of the step
    form. The exponent p is that of a least-squares line through log time and log L from 256 on.

    Args:
        seconds: for each
        batch: sequences
        json: write the rows to this file, too
    """
    rows = []
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
    for name, overrides in cases.items():
        _, module = build(configure(["task=shift", "model.hidden_size=64", *overrides]))
        passes = {"parallel": _train_pass}
        if name in ("diagonal_rnn", "rnn (dense, tanh)"):
            passes["step"] = _step_pass
        for kind, one_pass in passes.items():
            times = []
            for L in lengths:
                x = torch.randn(batch, L, 1, generator=generator(0, "benchmark"))
                timer = Timer("f(model, x)", globals={"f": one_pass, "model": module.model, "x": x})
                times.append(timer.blocked_autorange(min_run_time=seconds).median)
            slope = np.polyfit(np.log(lengths[1:]), np.log(times[1:]), 1)[0]
            row = "".join(f"{1e3 * t:9.2f}ms" for t in times)
            print(f"{name:<22} {kind:<9}{row} {slope:6.2f}", flush=True)
            ms = {f"L={L}": 1e3 * t for L, t in zip(lengths, times, strict=True)}
            rows.append({"model": name, "pass": kind, **ms, "exponent": slope})
    store(json, rows)


def _train_pass(model: Any, x: torch.Tensor) -> None:
    model(x).square().mean().backward()


@torch.inference_mode()
def _step_pass(model: Any, x: torch.Tensor) -> None:
    state = model.initial_state(len(x), x.device, x.dtype)
    for x_t in x.unbind(1):
        _, state = model.step(x_t, state)
