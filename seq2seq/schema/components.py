"""Schemas as Hydra wants them: a dataclass per class that a config may name, and the root's."""

import argparse
import contextlib
import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import MISSING, ListConfig, OmegaConf

from seq2seq.errors import ConfigError
from seq2seq.schema.signatures import NO_DEFAULT, UNKNOWN, package_path, signature
from seq2seq.schema.training import steps

PACKAGE = Path(__file__).parents[1]
#: In a checkout the configs lie beside the package, in an installed wheel inside it.
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"


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
    name: str | None = None
    claim: str | None = None
    refuted_if: list[Any] = field(default_factory=list)
    force: bool = False
    dry_run: bool = False
    allow: list[str] = field(default_factory=list)
    paths: Paths = field(default_factory=Paths)


@functools.cache
def component_schema(target: str) -> type[Component]:
    """A dataclass with the arguments of `target`; a required one is MISSING (`???`).

    So is one whose default the source does not tell: `check` removes it unless a value was given.
    """
    columns: list[Any] = []
    for parameter in signature(target):
        default = parameter.default
        if default is NO_DEFAULT or default is UNKNOWN:
            default = MISSING
        if isinstance(default, (list, dict, set)):
            column = field(default_factory=functools.partial(type(default), default))
        else:
            column = field(default=default)
        columns.append((parameter.name, parameter.type, column))
    return make_dataclass(target.rsplit(".", 1)[1], columns, bases=(Component,))


def register(arguments: Sequence[str] = ()) -> None:
    """Register every `<name>_schema` in Hydra's ConfigStore; calling it again changes nothing.

    A group's YAML that lists `<its name>_schema` in its defaults is checked, key by key and type by
    type, against the constructor signature of its `_target_`. Configs may multiply, as in
    `length: ${mul:3,${task.k}}`, and count epochs (`steps`).

    Args:
        arguments: of the command line, which may name further folders of configs.

    A YAML whose schema cannot be told keeps nobody from the others: see `unread`.

    Raises:
        ConfigError: a folder of configs is not there.
    """
    OmegaConf.register_new_resolver("mul", lambda *factors: math.prod(factors), replace=True)
    OmegaConf.register_new_resolver("steps", steps, replace=True)
    # Hydra copies the store with each config that it composes, and again what it takes from it.
    ConfigStore.__deepcopy__ = lambda store, _: store  # type: ignore[attr-defined]
    _store("train_schema", Config)
    # As Hydra takes the first of several files of one name, its schema is stored last.
    for group, path in reversed([*_groups(arguments)]):
        with contextlib.suppress(ConfigError):
            if (node := _schema(path)) is not None:
                _store(f"{path.stem}_schema", node, group)


def _store(name: str, node: type, group: str = "") -> None:
    """Store a schema in Hydra's ConfigStore, unless it is there."""
    store = ConfigStore.instance()
    there = store._open(f"{group}/{name}.yaml")
    if there is None or OmegaConf.get_type(there.node) is not node:
        store.store(group=group or None, name=name, node=node)


def unread(group: str, name: str, arguments: Sequence[str] = ()) -> str | None:
    """What is wrong with the YAML of a choice, where its schema cannot be told."""
    for path in (path for home, path in _groups(arguments) if (home, path.stem) == (group, name)):
        try:
            _schema(path)
        except ConfigError as error:
            return str(error)
    return None


def _schema(path: Path) -> type[Component] | None:
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
        return component_schema(target.group(1))
    except (OSError, SyntaxError, ValueError) as error:
        reason = "it is no text in UTF-8" if isinstance(error, UnicodeError) else error
        raise ConfigError(f"{path}: {reason}") from None


def choices(arguments: Sequence[str] = ()) -> dict[str, list[str]]:
    """The groups of configs, as in `task` or `task/input`, and what can be chosen in each."""
    found: dict[str, list[str]] = {}
    for group, path in _groups(arguments):
        found.setdefault(group, []).append(path.stem)
    return dict(sorted(found.items()))


def _groups(arguments: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for folder in _folders(arguments):
        for path in sorted(folder.glob("*/**/*.yaml")):
            yield path.parent.relative_to(folder).as_posix(), path


def _folders(arguments: Sequence[str]) -> list[Path]:
    """Where Hydra looks for configs: the project's, `--config-dir`, and `hydra.searchpath`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--config-name", "-cn", default="train")
    given, overrides = parser.parse_known_args(list(arguments))
    folders = [CONFIGS, *([Path(given.config_dir)] if given.config_dir else [])]
    named = [text for text in overrides if re.match(r"\+{0,2}hydra\.searchpath=", text)]
    if named:
        further: Any = OverridesParser.create().parse_override(named[-1]).value()
    else:
        primary = [f / f"{given.config_name.removesuffix('.yaml')}.yaml" for f in folders]
        cfg = OmegaConf.load(next((path for path in primary if path.exists()), primary[0]))
        further = OmegaConf.select(cfg, "hydra.searchpath", default=None)
    if not isinstance(further or [], list | ListConfig):
        raise ConfigError(f"hydra.searchpath must be a list; write hydra.searchpath=[{further}]")
    for place in further or ():
        scheme, _, rest = str(place).rpartition("://")
        if scheme == "pkg":
            top, *below = rest.split(".")
            folders.append(package_path(top).parent.joinpath(*below))
        elif scheme in ("file", ""):
            folders.append(Path(rest))
        if not folders[-1].is_dir():
            raise ConfigError(f"hydra.searchpath={place} is no folder; name one with configs")
    return folders
