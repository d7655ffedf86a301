"""How long a model trained on task=lorenz96_forecast predicts Lorenz 96 on its own.

python scripts/rollout.py run=<folder> prefix=64 threshold=0.5
"""

import sys
from typing import Any, cast

from seq2seq.schema import nearest

KEYS: dict[str, Any] = {"run": str, "prefix": int, "threshold": float}


def main(arguments: list[str]) -> None:
    """Print the horizons over the test trajectories, in time units."""
    values: dict[str, Any] = {"prefix": 64, "threshold": 0.5}
    for key, _, text in (argument.partition("=") for argument in arguments):
        if key not in KEYS:
            raise ValueError(f"unknown key {key}{nearest(key, KEYS)}")
        values[key] = KEYS[key](text)
    if "run" not in values:
        raise ValueError("no run given; add run=<folder>")
    from seq2seq.build import build, load_model
    from seq2seq.generate import horizon, rollout
    from seq2seq.models.model import SequenceModel
    from seq2seq.runs import Run

    task, _ = build(Run(values["run"]).config)
    (x, y), n = task.split("test"), values["prefix"]
    steps = task.length - n + 1
    truth = y[:, n - 1 :]
    model = cast(SequenceModel, load_model(values["run"]))
    rolled = rollout(model, x[:, :n], steps)
    for name, path in {"model": rolled, "persistence": x[:, n - 1 : n].expand_as(truth)}.items():
        times = horizon(path, truth, task.dt, values["threshold"])
        low, middle, high = times.quantile(times.new_tensor([0.25, 0.5, 0.75])).tolist()
        print(f"{name:<12} horizon {middle:.2f} ({low:.2f} to {high:.2f}) of {steps * task.dt:.2f}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"rollout.py: {error}")
