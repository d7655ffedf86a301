"""Trained models that come with the package: `seq2seq.load_pretrained("shift-tcn")`.

Each is a run folder that holds its parameters in place of checkpoints, so that what works on runs
(`evaluate`, `generate.load`, the explorer) works on it too:

    model.safetensors   the parameters; nothing in it can be executed
    config.yaml         the resolved config
    vocabulary.json     of a model of text, the tokens that it knows
    card.json           what it is, how it was made, what it achieves; written last

`scripts/pretrain.py` makes them by the recipes in `configs/pretrained.yaml`.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from seq2seq.runs import Run
from seq2seq.schema import CONFIGS, ConfigError, nearest

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from seq2seq.models.token import TokenModel
    from seq2seq.tasks.vocabulary import Vocabulary

FOLDER = Path(__file__).parent / "pretrained_models"


class Pretrained(Run):
    """A run whose card stands in for its result and its history."""

    @cached_property
    def card(self) -> dict[str, Any]:
        """`about`, `train` (the command), `seed`, `data`, `versions`, `result`, `curve`.

        The result has the keys of a run's `result.json`; its `test/` entries are those of the
        parameters as stored. A model of text also has a `passage` with its `title`, its `text` and
        the cross-entropy on it, `nats` per token.
        """
        return json.loads((self.folder / "card.json").read_text(encoding="utf-8"))

    @property
    def result(self) -> dict[str, Any]:
        """The result that the card holds."""
        return self.card["result"]

    @property
    def history(self) -> dict[str, "np.ndarray"]:
        """Arrays `step` and `loss`: geometric means over equal stretches, each at its last step."""
        import numpy as np

        return {key: np.asarray(values) for key, values in self.card["curve"].items()}


def names() -> list[str]:
    """The trained models that are there, in the order of the recipes."""
    return [name for name in recipes() if (FOLDER / name / "card.json").exists()]


def find(name: str) -> Pretrained:
    """The trained model called `name`.

    Raises:
        ValueError: there is none.
    """
    if name not in names():
        raise ValueError(f"no pretrained model {name!r}{nearest(name, names())}")
    return Pretrained(FOLDER / name)


def load_pretrained(name: str) -> "nn.Module":
    """The trained model called `name`, in evaluation mode; `names()` lists them.

    A model of real sequences maps (batch, time, channels) to (batch, time, channels), one of text
    token numbers (batch, time) to scores (batch, time, tokens); `generate.load(find(name))` gives
    its vocabulary too.

    Raises:
        ValueError: there is none, or its files are damaged.
    """
    from seq2seq.build import load_model

    return load_model(find(name))


def run(text: str) -> Run:
    """The trained model of that name, or else the run in the folder of that name.

    Raises:
        ConfigError: there is neither.
    """
    if text in names():
        return find(text)
    found = Run(text)
    if found.status == "new":
        known = nearest(text, names(), otherwise="")
        raise ConfigError(f"no run in {text}; give the folder that holds config.yaml{known}")
    return found


def cross_entropy(model: "TokenModel", vocabulary: "Vocabulary", text: str) -> float:
    """Mean nats per token of `text`, read from the beginning of a line."""
    import torch
    import torch.nn.functional as F

    numbers = [vocabulary.beginning, *vocabulary.encode(text).tolist()]
    with torch.inference_mode():
        scores = model(torch.tensor([numbers[:-1]]))[0]
    return float(F.cross_entropy(scores, torch.tensor(numbers[1:])))


def recipes() -> dict[str, dict[str, Any]]:
    """Of each model: what it is `about`, the overrides that `train` it, and perhaps `store`."""
    return table()["models"]


def table() -> dict[str, Any]:
    """`configs/pretrained.yaml`: the recipes of the `models`, and the `passage` to test them on."""
    return yaml.safe_load((CONFIGS / "pretrained.yaml").read_text("utf-8"))
