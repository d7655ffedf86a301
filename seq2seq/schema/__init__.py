"""Strict configs: schemas derived from constructor signatures, and the checks made on every job.

Signatures are read from source with `ast`, so that composing, `--help` and the check of keys and
types import neither torch nor lightning.
"""

from seq2seq.errors import ConfigError, nearest
from seq2seq.schema.checks import check, one_device, plain
from seq2seq.schema.components import CONFIGS, Component, choices, component_schema, register
from seq2seq.schema.messages import explain
from seq2seq.schema.signatures import (
    NO_DEFAULT,
    RUN_TIME,
    UNKNOWN,
    Parameter,
    class_attribute,
    signature,
)
from seq2seq.schema.training import TRAINER, check_folders, check_training

__all__ = [
    "CONFIGS",
    "NO_DEFAULT",
    "RUN_TIME",
    "TRAINER",
    "UNKNOWN",
    "Component",
    "ConfigError",
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
    "signature",
]
