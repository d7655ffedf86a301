"""Trained models that come with the package: `seq2seq.load_pretrained("shift-tcn")`.

Each is a run folder that holds its parameters in place of checkpoints, so that what works on runs
(`evaluate`, `generate.load`, the explorer) works on it too:

    model.safetensors   the parameters; nothing in it can be executed
    config.yaml         the resolved config
    vocabulary.json     of a model of text, the tokens that it knows
    card.json           what it is, how it was made, what it achieves; written last

`scripts/pretrain.py` makes them by the recipes in `configs/pretrained.yaml`.
"""

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from seq2seq.runs import Run, resolved, write_atomically
from seq2seq.schema import CONFIGS, nearest

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from seq2seq.models.token import TokenModel
    from seq2seq.tasks.vocabulary import Vocabulary

FOLDER = Path(__file__).parent / "pretrained_models"

#: Points of the loss curve that a card keeps.
POINTS = 500


class Pretrained(Run):
    """A run whose card stands in for its result and its history."""

    @cached_property
    def card(self) -> dict[str, Any]:
        """`about`, `train` (the command), `seed`, `data`, `versions`, `result`, `curve`.

        The result has the keys of a run's `result.json`; its `test/` entries are those of the
        parameters as stored. A model of text also has a `passage` with its `title`, its `text` and
        the cross-entropy on it, `nats` per token.
        """
        loaded: dict[str, Any] = json.loads((self.folder / "card.json").read_text(encoding="utf-8"))
        return loaded

    @property
    def result(self) -> dict[str, Any]:
        """The result that the card holds."""
        loaded: dict[str, Any] = self.card["result"]
        return loaded

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
    """The trained model of that name, or else the run in the folder of that name."""
    return find(text) if text in names() else Run(text)


def cross_entropy(model: "TokenModel", vocabulary: "Vocabulary", text: str) -> float:
    """Mean nats per token of `text`, read from the beginning of a line."""
    import torch
    import torch.nn.functional as F

    numbers = [vocabulary.beginning, *vocabulary.encode(text).tolist()]
    with torch.inference_mode():
        scores = model(torch.tensor([numbers[:-1]]))[0]
    return float(F.cross_entropy(scores, torch.tensor(numbers[1:])))


# --------------------------------------------------------------------------------------- making


def recipes() -> dict[str, dict[str, Any]]:
    """Of each model: what it is `about`, the overrides that `train` it, and perhaps `store`."""
    models: dict[str, dict[str, Any]] = _table()["models"]
    return models


def recipe(name: str) -> dict[str, Any]:
    """The recipe for the model called `name`.

    Raises:
        ValueError: there is none.
    """
    if name not in recipes():
        raise ValueError(f"no recipe for {name!r}{nearest(name, recipes())}")
    return recipes()[name]


def _table() -> dict[str, Any]:
    """`configs/pretrained.yaml`: the recipes of the `models`, and the `passage` to test them on."""
    table: dict[str, Any] = yaml.safe_load((CONFIGS / "pretrained.yaml").read_text("utf-8"))
    return table


def rebuild(name: str, overrides: Sequence[str] = ()) -> Pretrained:
    """Train the model called `name`, or finish its training, and put it into the package.

    Raises:
        ValueError: there is no recipe, or the training did not finish.
    """
    from seq2seq.training import train

    return export(train([*recipe(name)["train"], *overrides]), name)


def export(trained: Run, name: str) -> Pretrained:
    """Put a finished run into the package as the model called `name`, and test what was stored.

    Raises:
        ValueError: there is no recipe for it, or the run has not finished.
    """
    from safetensors.torch import save

    from seq2seq import generate
    from seq2seq.build import load_model
    from seq2seq.evaluate import evaluate

    steps = recipe(name)
    if trained.status != "finished":
        raise ValueError(f"{name}: the run {trained.folder} is {trained.status}; finish it first")
    made = Pretrained(FOLDER / name)
    made.folder.mkdir(parents=True, exist_ok=True)
    (made.folder / "card.json").unlink(missing_ok=True)  # until all is there, nothing is
    parameters = _stored(load_model(trained), steps.get("store", "float32"))
    write_atomically(made.folder / "model.safetensors", save(parameters))
    config = yaml.dump(_portable(trained, steps["train"]), sort_keys=False, allow_unicode=True)
    write_atomically(made.folder / "config.yaml", config.encode())
    card: dict[str, Any] = {
        "about": steps["about"],
        "train": "python train.py " + " ".join(steps["train"]),
        "seed": trained.config.seed,
        "data": _data(trained),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "lightning", "numpy")},
    }
    corpus = trained.config.task.get("path")
    if trained.vocabulary.exists():
        write_atomically(made.vocabulary, trained.vocabulary.read_bytes())
        passage = _table()["passage"]
        nats = cross_entropy(*generate.load(made), passage["text"])
        card["passage"] = passage | {"nats": nats}
    card["result"] = trained.result  # what follows reads it
    made.card = card
    measured = evaluate(made, [f"task.path={corpus}"] if corpus else [])
    card |= {"result": trained.result | measured, "curve": _curve(trained.history)}
    text = json.dumps(card, indent=1)
    text = re.sub(r"\[[-+\d.e,\s]+\]", lambda numbers: " ".join(numbers[0].split()), text)
    write_atomically(made.folder / "card.json", f"{text}\n".encode())
    return Pretrained(made.folder)


def _stored(model: "nn.Module", kind: str) -> dict[str, Any]:
    import torch

    dtype = getattr(torch, kind)
    return {
        key: (value.to(dtype) if value.is_floating_point() else value).contiguous().clone()
        for key, value in model.state_dict().items()
    }


def _portable(trained: Run, overrides: Sequence[str]) -> dict[str, Any]:
    """The config of a run without the places where this machine keeps things."""
    plain = resolved(trained.config)
    plain["paths"] = {"outputs": "outputs", "cache": "outputs/.cache"}
    for key, place in (("path", None), ("cache", None)):
        if key in plain["task"]:
            plain["task"][key] = place
    for override in overrides:
        if override.startswith("task.corpus="):
            plain["task"]["corpus"] = override.partition("=")[2]
    return plain


def _data(trained: Run) -> str:
    """Where the data came from."""
    from seq2seq.tasks import corpora

    task = trained.config.task
    if task.get("path"):
        content = b"".join(Path(file).read_bytes() for file in corpora.own_files(task.path))
        digest = hashlib.sha256(content).hexdigest()
        for name, published in corpora.PUBLISHED.items():
            for ending, but in ((b"", ""), (b"\n", " without its last line break")):
                if hashlib.sha256(content + ending).hexdigest() == published.files[0].sha256:
                    return f"the corpus {name}{but}, SHA-256 {digest}"
        return f"a text of {len(content):,} bytes, SHA-256 {digest}"
    if task.get("corpus"):
        return f"the corpus {task.corpus}"
    return f"{task.train_size:,} training and {task.test_size:,} test sequences drawn from the seed"


def _curve(history: dict[str, "np.ndarray"]) -> dict[str, list[float]]:
    import numpy as np

    step, loss = history["step"], history["loss"]
    width = -(-len(step) // POINTS)
    starts = np.arange(0, len(step), width)
    ends = np.minimum(starts + width, len(step))
    means = np.exp(np.add.reduceat(np.log(loss), starts) / (ends - starts))
    return {
        "step": step[ends - 1].tolist(),
        "loss": [float(f"{mean:.5g}") for mean in means],
    }
