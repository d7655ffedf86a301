"""How the time of a pass grows with the length of the sequences."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seq2seq import checks, schema
from seq2seq.build import build
from seq2seq.models.model import RecurrentModel
from seq2seq.results import store
from seq2seq.seeds import generator
from seq2seq.training import configure

LENGTHS = (64, 256, 1024, 4096, 16384)
STEPS = LENGTHS[:3]  # of the step form, whose time per step does not depend on what went before
COMPARED = 1024  # where passes are compared with that of the GRU
LOOPED = 256  # and with a loop over the steps
VERY_LONG = 10_000  # ms of a pass that is not done twice
VARIANTS = ("lstm_256", "lru_smooth")  # of sizes and starts


def measure(
    models: Sequence[str] = (), seconds: float = 0.2, batch: int = 2, json: Path | None = None
) -> None:
    """ms of recurrences for a pass over `batch` sequences, and how it grows with their length L.

    One layer of width 64 each. `parallel`: forward and backward of all times together; `step`:
    forward of one after another. The exponent p is that of a least-squares line through log time
    and log L from 256 on. `to_gru` is the time of torch's GRU for the same pass, divided by this
    one's, at L=1024; `to_loop` that of forward and backward through the steps, at L=256.

    Args:
        models: by their configs; all recurrences if none is named
        seconds: for each length, twice at least
        batch: sequences
        json: write the rows to this file, too
    """
    checks.writable("json", json)
    every = [name for name in schema.choices()["model"] if name not in VARIANTS]
    for name in models:
        checks.one_of("models", name, every)
    passes = {"parallel": (_train_pass, LENGTHS), "step": (_step_pass, STEPS)}
    columns = "".join(f"{'L=' + str(L):>11}" for L in LENGTHS)
    print(f"{'model':<18} {'pass':<9}{columns}      p  to_gru  to_loop")
    rows: list[dict[str, Any]] = []
    gru: dict[str, float] = {}
    for name in sorted({*(models or every), "gru"}, key=lambda name: (name != "gru", name)):
        size = [f"model={name}", "model.hidden_size=64", "model.num_layers=1"]
        model = build(configure(["task=shift", *size]))[1].model
        if name not in models and not isinstance(model, RecurrentModel):
            continue
        for kind, (one_pass, lengths) in passes.items():
            ms = [_time(one_pass, model, batch, L, seconds) for L in lengths]
            compared = ms[lengths.index(COMPARED)]
            gru.setdefault(kind, compared)
            row: dict[str, Any] = {"model": name, "pass": kind}
            row |= {f"L={L}": None for L in LENGTHS}
            row |= {f"L={L}": one for L, one in zip(lengths, ms, strict=True)}
            row["exponent"] = float(np.polyfit(np.log(lengths[1:]), np.log(ms[1:]), 1)[0])
            row["to_gru"] = gru[kind] / compared
            row["to_loop"] = None
            if kind == "parallel":
                looped = _time(_loop_pass, model, batch, LOOPED, seconds)
                row["to_loop"] = looped / ms[lengths.index(LOOPED)]
            _print(row)
            rows.append(row)
    store(json, rows)


def _print(row: dict[str, Any]) -> None:
    times = "".join(
        " " * 11 if row[f"L={L}"] is None else f"{row[f'L={L}']:9.2f}ms" for L in LENGTHS
    )
    ratios = f"{row['exponent']:7.2f}{row['to_gru']:8.2f}"
    loop = "" if row["to_loop"] is None else f"{row['to_loop']:9.1f}"
    print(f"{row['model']:<18} {row['pass']:<9}{times}{ratios}{loop}", flush=True)


def _time(
    one_pass: Callable[[Any, Tensor], object], model: Any, batch: int, L: int, seconds: float
) -> float:
    """Median ms of passes for so many seconds, after one that counts only if it takes very long.

    The first pass waits for its memory, the longer the sequences the more.
    """
    x = torch.randn(batch, L, 1, generator=generator(0, "benchmark"))
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < 2 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        one_pass(model, x)
        times.append(1e3 * (time.perf_counter() - before))
        model.zero_grad()
        if times[0] > VERY_LONG:
            return times[0]
    return statistics.median(times[1:])


def _train_pass(model: Any, x: Tensor) -> None:
    model(x).square().mean().backward()


@torch.inference_mode()
def _step_pass(model: Any, x: Tensor) -> None:
    _steps(model, x)


def _loop_pass(model: Any, x: Tensor) -> None:
    torch.stack(_steps(model, x), 1).square().mean().backward()


def _steps(model: Any, x: Tensor) -> list[Tensor]:
    state = model.initial_state(len(x), x.device, x.dtype)
    outputs = []
    for x_t in x.unbind(1):
        y_t, state = model.step(x_t, state)
        outputs.append(y_t)
    return outputs
