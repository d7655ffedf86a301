"""Experiments on how sequence models learn long memory.

Importing this package is cheap: torch, lightning and matplotlib are loaded when first needed.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seq2seq.build import load_model as load_model
    from seq2seq.pretrained import load_pretrained as load_pretrained
    from seq2seq.runs import Run as Run
    from seq2seq.runs import collect as collect
    from seq2seq.sweep.multirun import multirun as multirun
    from seq2seq.training import train as train

__version__ = "0.2.0"

__all__ = ["Run", "collect", "load_model", "load_pretrained", "multirun", "train"]

_HOMES = {
    "Run": "runs",
    "collect": "runs",
    "load_model": "build",
    "load_pretrained": "pretrained",
    "multirun": "sweep.multirun",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module, util

    if name in _HOMES:
        return getattr(import_module(f"seq2seq.{_HOMES[name]}"), name)
    if util.find_spec(f"seq2seq.{name}"):
        return import_module(f"seq2seq.{name}")
    raise AttributeError(f"module 'seq2seq' has no attribute {name!r}")
