"""Strict configs: schemas derived from constructor signatures, and the checks made on every job.

Signatures are read from source with `ast`, so that composing, `--help` and the check of keys and
types import neither torch nor lightning. What needs Hydra is loaded when first asked for.
"""

from typing import TYPE_CHECKING, Any

from seq2seq.errors import ConfigError, nearest
from seq2seq.schema.catalogue import CONFIGS, Catalogue, Key, choices, shown
from seq2seq.schema.signatures import (
    NO_DEFAULT,
    RUN_TIME,
    UNKNOWN,
    Parameter,
    class_attribute,
    signature,
)

if TYPE_CHECKING:
    from seq2seq.schema.checks import check, one_device, plain
    from seq2seq.schema.components import Component, component_schema, register
    from seq2seq.schema.messages import explain
    from seq2seq.schema.training import TRAINER, check_folders, check_training

__all__ = [
    "CONFIGS",
    "NO_DEFAULT",
    "RUN_TIME",
    "TRAINER",
    "UNKNOWN",
    "Catalogue",
    "Component",
    "ConfigError",
    "Key",
    "Parameter",
    "check",
    "check_folders",
    "check_training",
    "choices",
    "class_attribute",
    "component_schema",
    "explain",
    "nearest",
    "one_device",
    "plain",
    "register",
    "shown",
    "signature",
]

_HOMES = {
    "TRAINER": "training",
    "Component": "components",
    "check": "checks",
    "check_folders": "training",
    "check_training": "training",
    "component_schema": "components",
    "explain": "messages",
    "one_device": "checks",
    "plain": "checks",
    "register": "components",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
