"""How fast models of text write."""

import statistics
import time
from pathlib import Path
from typing import cast

from seq2seq import checks
from seq2seq.build import build, threads
from seq2seq.generate import stream
from seq2seq.models.token import TokenModel
from seq2seq.results import store
from seq2seq.training import configure


def measure(characters: int = 1000, json: Path | None = None) -> None:
    """Characters per second that the text presets write, one at a time, on one core.

    Args:
        characters: of each of three texts
        json: write the rows to this file, too
    """
    checks.writable("json", json)
    rows = []
    print("experiment               characters/s")
    with threads(1):
        for name in ("text_char", "text_char_transformer", "text_char_tcn", "text_word"):
            task, module = build(configure([f"experiment={name}"]))
            model = cast(TokenModel, module.model)
            rates = []
            for seed in range(3):
                start, length = time.perf_counter(), 0
                for piece in stream(model, task.vocabulary, "The ", characters, seed=seed):
                    length += len(piece)
                rates.append(length / (time.perf_counter() - start))
            print(f"{name:<24} {statistics.median(rates):12,.0f}", flush=True)
            rows.append({"experiment": name, "characters/s": statistics.median(rates)})
    store(json, rows)
