"""Schemas as Hydra wants them: a dataclass per class that a config may name, and the root's."""

import contextlib
import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from seq2seq.errors import ConfigError
from seq2seq.schema.catalogue import groups
from seq2seq.schema.signatures import NO_DEFAULT, UNKNOWN, signature
from seq2seq.schema.training import steps


@dataclass
class Component:
    """Anything a config group chooses: a class to build, with its arguments."""

    _target_: str = MISSING
    _partial_: bool = False


@dataclass
class Paths:
    """Where things are written; never part of a run's identity."""

    outputs: str = "outputs"
    cache: str = "outputs/.cache"


@dataclass
class Config:
    """The root config of `train.py`; a group's node takes the type of its own schema."""

    task: Any = MISSING
    model: Any = MISSING
    objective: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = None
    trainer: Any = MISSING
    callbacks: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    threads: int = 1
    gradient_clip_val: float | None = None
    init_from: str | None = None
    name: str | None = None
    claim: str | None = None
    refuted_if: list[Any] = field(default_factory=list)
    force: bool = False
    dry_run: bool = False
    allow: list[str] = field(default_factory=list)
    paths: Paths = field(default_factory=Paths)


@functools.cache
def component_schema(target: str, seeded: bool = False) -> type[Component]:
    """A dataclass with the arguments of `target`; a required one is MISSING (`???`).

    So is one whose default the source does not tell: `check` removes it unless a value was given.
    With `seeded` the default of `seed` is the root's.
    """
    columns: list[Any] = []
    for parameter in signature(target):
        default = parameter.default
        if default is NO_DEFAULT or default is UNKNOWN:
            default = MISSING
        elif seeded and parameter.name == "seed":
            default = "${seed}"
        if isinstance(default, (list, dict, set)):
            column = field(default_factory=functools.partial(type(default), default))
        else:
            column = field(default=default)
        columns.append((parameter.name, parameter.type, column))
    return make_dataclass(target.rsplit(".", 1)[1], columns, bases=(Component,))


#: Groups whose configs are classes, of which one is built.
ONE_CHOICE = ("task", "model", "objective", "optimizer", "scheduler", "trainer")


def register(arguments: Sequence[str] = ()) -> None:
    """Register every `<name>_schema` in Hydra's ConfigStore; calling it again changes nothing.

    A group's YAML that lists `<its name>_schema` in its defaults is checked, key by key and type by
    type, against the constructor signature of its `_target_`. Configs may multiply, as in
    `length: ${mul:3,${task.k}}`, and count epochs (`steps`).

    Args:
        arguments: of the command line, which may name further folders of configs.

    A YAML whose schema cannot be told keeps nobody from the others: see `unread`.

    Raises:
        ConfigError: a folder of configs is not there, or a list is chosen where Hydra would merge
            its members in silence.
    """
    for group, _, names in (argument.partition("=") for argument in arguments):
        if names.startswith("[") and group in ONE_CHOICE:
            sweep = f"-m {group}={names.strip('[]')}"
            raise ConfigError(
                f"{group} takes one choice, got {names}; a sweep over them is {sweep}"
            )
    OmegaConf.register_new_resolver("mul", lambda *factors: math.prod(factors), replace=True)
    OmegaConf.register_new_resolver("steps", steps, replace=True)
    # Hydra copies the store with each config that it composes, and again what it takes from it.
    ConfigStore.__deepcopy__ = lambda store, _: store  # type: ignore[attr-defined]
    _store("train_schema", Config)
    # As Hydra takes the first of several files of one name, its schema is stored last.
    for group, name, path in reversed([*groups(arguments)]):
        with contextlib.suppress(ConfigError):
            if (node := _schema(path, group)) is not None:
                _store(f"{name}_schema", node, group)


def _store(name: str, node: type, group: str = "") -> None:
    """Store a schema in Hydra's ConfigStore, unless it is there."""
    store = ConfigStore.instance()
    there = store._open(f"{group}/{name}.yaml")
    if there is None or OmegaConf.get_type(there.node) is not node:
        store.store(group=group or None, name=name, node=node)


def unread(group: str, name: str, arguments: Sequence[str] = ()) -> str | None:
    """What is wrong with the YAML of a choice, where its schema cannot be told."""
    for path in (path for *choice, path in groups(arguments) if choice == [group, name]):
        try:
            _schema(path, group)
        except ConfigError as error:
            return str(error)
    return None


def _schema(path: Path, group: str) -> type[Component] | None:
    """The schema that a YAML lists in its defaults, if it does.

    Raises:
        ConfigError: it is no text, or lists its schema but names no class, or one not found.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if f"{path.stem}_schema" not in text:
            return None
        target = re.search(r"^_target_:\s*(\S+)", text, re.MULTILINE)
        if target is None:
            raise ConfigError(f"it lists {path.stem}_schema but has no _target_; add one")
        return component_schema(target.group(1), seeded=group.partition("/")[0] == "task")
    except (OSError, SyntaxError, ValueError) as error:
        reason = "it is no text in UTF-8" if isinstance(error, UnicodeError) else error
        raise ConfigError(f"{path}: {reason}") from None
