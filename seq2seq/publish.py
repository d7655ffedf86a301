"""Making the trained models that come with the package (`seq2seq.pretrained`) by their recipes."""

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save
from torch import nn

from seq2seq import generate, pretrained
from seq2seq.build import load_model
from seq2seq.evaluate import evaluate
from seq2seq.pretrained import Pretrained
from seq2seq.runs import Run, resolved, write_atomically
from seq2seq.schema import nearest
from seq2seq.tasks import corpora
from seq2seq.training import train

#: Points of the loss curve that a card keeps.
POINTS = 500


def recipe(name: str) -> dict[str, Any]:
    """The recipe for the model called `name`.

    Raises:
        ValueError: there is none.
    """
    if name not in pretrained.recipes():
        raise ValueError(f"no recipe for {name!r}{nearest(name, pretrained.recipes())}")
    return pretrained.recipes()[name]


def rebuild(name: str, overrides: Sequence[str] = ()) -> Pretrained:
    """Train the model called `name`, or finish its training, and put it into the package.

    Raises:
        ValueError: there is no recipe, or the training did not finish.
    """
    return export(train([*recipe(name)["train"], *overrides]), name)


def export(trained: Run, name: str) -> Pretrained:
    """Put a finished run into the package as the model called `name`, and test what was stored.

    Raises:
        ValueError: there is no recipe for it, or the run has not finished.
    """
    steps = recipe(name)
    if trained.status != "finished":
        raise ValueError(f"{name}: the run {trained.folder} is {trained.status}; finish it first")
    made = Pretrained(pretrained.FOLDER / name)
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
    corpus = trained.plain_config["task"].get("path")
    if trained.vocabulary.exists():
        write_atomically(made.vocabulary, trained.vocabulary.read_bytes())
        passage = pretrained.table()["passage"]
        nats = pretrained.cross_entropy(*generate.load(made), passage["text"])
        card["passage"] = passage | {"nats": nats}
    card["result"] = trained.result  # what follows reads it
    made.card = card
    measured = evaluate(made, [f"task.path={corpus}"] if corpus else [])
    card |= {"result": trained.result | measured, "curve": _curve(trained.history)}
    text = json.dumps(card, indent=1)
    text = re.sub(r"\[[-+\d.e,\s]+\]", lambda numbers: " ".join(numbers[0].split()), text)
    write_atomically(made.folder / "card.json", f"{text}\n".encode())
    return Pretrained(made.folder)


def _stored(model: nn.Module, kind: str) -> dict[str, Any]:
    dtype = getattr(torch, kind)
    return {
        key: (value.to(dtype) if value.is_floating_point() else value).contiguous().clone()
        for key, value in model.state_dict().items()
    }


def _portable(trained: Run, overrides: Sequence[str]) -> dict[str, Any]:
    """The config of a run without the places where this machine keeps things."""
    plain = resolved(trained.config)
    plain["paths"] = {"outputs": "outputs", "cache": "outputs/.cache"}
    plain["task"] |= {key: None for key in ("path", "cache") if key in plain["task"]}
    for override in overrides:
        if override.startswith("task.corpus="):
            plain["task"]["corpus"] = override.partition("=")[2]
    return plain


def _data(trained: Run) -> str:
    """Where the data came from."""
    task = trained.plain_config["task"]
    if task.get("path"):
        content = b"".join(Path(file).read_bytes() for file in corpora.own_files(task["path"]))
        digest = hashlib.sha256(content).hexdigest()
        for name, published in corpora.PUBLISHED.items():
            for ending, but in ((b"", ""), (b"\n", " without its last line break")):
                if hashlib.sha256(content + ending).hexdigest() == published.files[0].sha256:
                    return f"the corpus {name}{but}, SHA-256 {digest}"
        return f"a text of {len(content):,} bytes, SHA-256 {digest}"
    if task.get("corpus"):
        return f"the corpus {task['corpus']}"
    train, test = task["train_size"], task["test_size"]
    return f"{train:,} training and {test:,} test sequences drawn from the seed"


def _curve(history: dict[str, np.ndarray]) -> dict[str, list[float]]:
    step, loss = history["step"], history["loss"]
    width = -(-len(step) // POINTS)
    starts = np.arange(0, len(step), width)
    ends = np.minimum(starts + width, len(step))
    means = np.exp(np.add.reduceat(np.log(loss), starts) / (ends - starts))
    return {
        "step": step[ends - 1].tolist(),
        "loss": [float(f"{mean:.5g}") for mean in means],
    }
