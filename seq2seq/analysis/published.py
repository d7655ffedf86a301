"""The losses published with the notebook that this project grew from, and one's own beside them.

Adam, batches of 128, smooth Gaussian-process inputs. `published_curves.csv` has one row per point:
task, model, split, step, mse, seconds since the first point.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("published_curves.csv")


@dataclass(frozen=True)
class Published:
    """One published training.

    Attributes:
        model: what it trained.
        mean_square: of the target, so that NMSE = loss / mean_square.
        history: `step` and `loss`, the mean squared error on held-out sequences.
    """

    model: str
    mean_square: float
    history: dict[str, list[float]]

    @property
    def nmse(self) -> float:
        """At the end of the curve."""
        return self.history["loss"][-1] / self.mean_square


#: Per column `task` and `model` of the file: the model's full name, the settings of the task, and
#: the mean square of its target. The shift by 8 was scaled by 1/5, that by 32 not at all; both are
#: zero for the first k steps. The slow state of Lorenz 96 has the mean square 0.255 and was divided
#: by the largest |input| of 32 paths, which is not known: about 3.3, give or take a tenth.
_SHIFT_8 = ("Shift", {"k": 8, "length": 32}, 3.01e-2)
_SHIFT_32 = ("Shift", {"k": 32, "length": 128}, 0.75)
_LORENZ = ("Lorenz96Published", {"K": 1, "J": 10, "epsilon": 0.5, "length": 128}, 0.255 / 3.3**2)
_TRAININGS: dict[tuple[str, str], tuple[str, tuple[str, dict[str, Any], float]]] = {
    ("shift", "rnn"): ("LSTM, 2 × 256", _SHIFT_8),
    ("shift", "tcn"): ("TCN, 7 × 10", _SHIFT_32),
    ("shift", "transformer"): ("Transformer, 5 × 32", _SHIFT_32),
    ("lorenz", "rnn"): ("LSTM, 2 × 256", _LORENZ),
    ("lorenz", "tcn"): ("TCN, 7 × 30", _LORENZ),
    ("lorenz", "transformer"): ("Transformer, 5 × 32", _LORENZ),
}


def on_task(task: Mapping[str, Any]) -> list[Published]:
    """What was published on the task of this config node, of whatever scale its inputs are."""
    smooth = _class(task.get("input") or {}) == "GP"
    return [
        Published(model, mean_square, _curve(*key))
        for key, (model, (name, settings, mean_square)) in _TRAININGS.items()
        if smooth and _class(task) == name and settings.items() <= task.items()
    ]


def named(model: Mapping[str, Any]) -> str:
    """A model's config node as models are called here: its kind, its layers × its width."""
    kind = _class(model) if _class(model) != "RNN" else str(model["cell"])
    kind = kind.upper() if kind in ("lstm", "gru") else kind
    return f"{kind}, {model['num_layers']} × {model['hidden_size']}"


def _class(node: Mapping[str, Any]) -> str:
    return str(node.get("_target_", "")).rpartition(".")[2]


def _curve(task: str, model: str) -> dict[str, list[float]]:
    with FILE.open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if (r["task"], r["model"]) == (task, model)]
    rows = [row for row in rows if row["split"] == "validation"]
    return {
        "step": [float(row["step"]) for row in rows],
        "loss": [float(row["mse"]) for row in rows],
    }
