"""What composing lets through is refused here, before anything is built."""

import ast
import functools
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, make_dataclass
from numbers import Real
from pathlib import PurePath
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import ValidationError

from seq2seq.errors import ConfigError, nearest
from seq2seq.schema.catalogue import CONFIGS, choices, shown
from seq2seq.schema.components import Config
from seq2seq.schema.criteria import check_criteria, check_names
from seq2seq.schema.signatures import (
    NO_DEFAULT,
    UNKNOWN,
    Parameter,
    all_parameters,
    dotted,
    locate,
    signature,
    type_name,
    whole,
)

#: Where the classes come from that a part of the config may name without `allow`. What is built to
#: load a model stays narrow: a run folder may come from a stranger, and Lightning reads pickles.
TRUSTED = {
    "task": ("seq2seq.tasks", "seq2seq.theory.kernels"),
    "model": ("seq2seq.models",),
    "objective": ("seq2seq.objective",),
    "optimizer": ("torch.optim",),
    "scheduler": ("torch.optim.lr_scheduler",),
    "trainer": ("lightning",),
    "callbacks": ("seq2seq.callbacks", "lightning"),
    "logger": ("lightning",),
}

#: What is built only when the parameters are there.
PARTIAL = ("optimizer", "scheduler")


def plain(cfg: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """A config as dictionaries, interpolations resolved, without Hydra's own node.

    What has no value is `???`. Of dictionaries the first level is copied, the rest shared.
    """
    if not isinstance(cfg, DictConfig):
        return {str(key): node for key, node in cfg.items() if key != "hydra"}
    nodes = {str(key): MISSING if OmegaConf.is_missing(cfg, key) else cfg[key] for key in cfg}
    return {
        key: OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
        for key, node in nodes.items()
        if key != "hydra"
    }


def check(cfg: DictConfig | Mapping[str, Any], sound: set[str] | None = None) -> None:
    """Refuse what composing lets through, before anything is built.

    That is: unknown keys added with `+`, keys of components without a registered schema, missing
    values, values of the wrong type, and targets that neither the project nor `allow` names. Keys
    without a value whose default only the constructor knows are taken out of a `DictConfig`.

    Args:
        cfg: composed, or as `plain` gives it.
        sound: components found to be so in other jobs, which are not looked at again; this adds to
            it.

    Raises:
        ConfigError: one line that names the key, the value and the remedy.
    """
    root = plain(cfg)
    known = [column.name for column in fields(Config)]
    for key in root:
        if key not in (*known, "command"):  # which a run notes of how it was asked for
            raise ConfigError(f"unknown key {key!r}{nearest(key, known)}")
    allow = tuple(root.get("allow") or ())
    unset: list[str] = []
    for path, node in _root_components(root):
        seen = f"{path} {allow} {node!r}"
        if sound is None or seen not in sound:
            _check_component(path, node, allow, unset)
        if sound is not None:
            sound.add(seen)
    if isinstance(cfg, DictConfig):
        for path in unset:
            home, _, key = path.rpartition(".")
            holder = OmegaConf.select(cfg, home)
            with open_dict(holder):
                del holder[key]  # the constructor knows its default
    check_criteria(root.get("refuted_if"))
    check_names(root.get("refuted_if"), root)
    for key, folder in root["paths"].items():
        if not folder:
            raise ConfigError(f"paths.{key} must name a folder; set paths.{key}=<folder>")
    name, clip = root.get("name"), root.get("gradient_clip_val")
    if name is not None and len(name.encode()) > 200:
        raise ConfigError(f"name must have at most 200 letters, got {len(name)}; set name=<word>")
    if name is not None and not _lies_below(name):
        raise ConfigError(
            f"name must be that of a folder below paths.outputs, got {name!r}; "
            "set name=<word>, and paths.outputs for another place"
        )
    for key, seed in (("seed", root["seed"]), ("task.seed", root["task"].get("seed") or 0)):
        if seed < 0:
            raise ConfigError(f"{key} must not be negative, got {seed}; set {key}=0")
    if root["threads"] < 1:
        raise ConfigError(f"threads must be at least 1, got {root['threads']}")
    if clip is not None and not 0 < clip < math.inf:
        raise ConfigError(f"gradient_clip_val must be positive, got {clip}; use null for none")


def _root_components(root: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ("task", "model", "objective", "optimizer", "trainer"):
        if root.get(key) == MISSING:
            raise ConfigError(f"no {key} chosen; add {key}=<name>")
        yield key, root.get(key)
    if root.get("scheduler") is not None:
        yield "scheduler", root["scheduler"]
    for group in ("callbacks", "logger"):
        for name, node in (root.get(group) or {}).items():
            if node is not None:
                yield f"{group}.{name}", node


def one_device(cfg: DictConfig | Mapping[str, Any], what: str) -> None:
    """Refuse several devices: each further one runs the caller's program from its start.

    Raises:
        ConfigError: `what` is the subject of the line.
    """
    devices = cfg["trainer"].get("devices", 1)
    if str(devices) not in ("1", "auto"):
        raise ConfigError(
            f"{what} has one device, got trainer.devices={devices}; set trainer.devices=1, or give "
            "the run to train.py, by itself"
        )


def _lies_below(name: str) -> bool:
    """Whether a folder of that name lies below another one and is not hidden in it."""
    parts = PurePath(name).parts
    hidden = any(part.startswith((".", os.sep)) for part in parts)
    return bool(parts) and name.isprintable() and not hidden


def _check_component(path: str, node: Any, allow: tuple[str, ...], unset: list[str]) -> None:
    target = node.get("_target_") if isinstance(node, dict) else None
    if not target or target == MISSING:
        known = nearest(path, choices().get(path.replace(".", "/"), ()))
        got = "a node without" if isinstance(node, dict) else node
        raise ConfigError(
            f"{path} must be a group choice or a node with _target_, got {got}{known}"
        )
    target = str(target)
    if not _trusted(target, TRUSTED[path.split(".")[0]], allow):
        raise ConfigError(
            f"{path}._target_={target} is not a class of this project that can stand here; "
            f"if you trust it, add allow=[{target.split('.')[0]}]"
        )
    wanted = path in PARTIAL
    if bool(node.get("_partial_", False)) != wanted:
        raise ConfigError(f"{path}._partial_ must be {str(wanted).lower()}; set it so")
    if path == "model":
        _check_dimensions(target)
    parameters = {parameter.name: parameter for parameter in signature(target)}
    for name in map(str, node):
        if name in ("_target_", "_partial_"):
            continue
        if name not in parameters:
            meant = nearest(name, parameters, prefix=f"{path}.")
            raise ConfigError(f"unknown key {path}.{name}{meant}")
        value = node[name]
        if value == MISSING and parameters[name].default is UNKNOWN:
            unset.append(f"{path}.{name}")
            continue
        for where, nested in _components(f"{path}.{name}", value):
            _check_component(where, nested, allow, unset)
        if not (isinstance(value, dict) and "_target_" in value):
            _check_value(f"{path}.{name}", parameters[name], value)
    missing = [
        p.name for p in parameters.values() if p.default is NO_DEFAULT and p.name not in node
    ]
    if missing:
        raise ConfigError(f"{path}.{missing[0]} has no value; add {path}.{missing[0]}=<value>")


def _check_dimensions(target: str) -> None:
    parameters, further = all_parameters(target)
    names = [parameter.name for parameter in parameters]
    if not further and not {"input_dim", "output_dim"} <= set(names):
        raise ConfigError(
            f"model._target_={target} must take input_dim and output_dim, the channels of the "
            f"task, by name; it takes {', '.join(names) or 'nothing'}: add what is missing to it"
        )


def _trusted(target: str, homes: tuple[str, ...], allow: tuple[str, ...]) -> bool:
    """Whether `allow` names the target, or it is a class that is defined below one of `homes`."""
    if any(target.startswith(f"{prefix}.") for prefix in allow):
        return True
    if not any(target.startswith(f"{prefix}.") for prefix in homes):
        return False
    definition, file = locate(target)
    home = dotted(file)  # a module also holds what it imports: pathlib.Path, zipfile.ZipFile, …
    return isinstance(definition, ast.ClassDef) and f"{home}.".startswith(
        tuple(f"{prefix}." for prefix in homes)
    )


def _components(path: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The outermost nodes with a `_target_` in a value, its lists and mappings included."""
    if value == MISSING:
        raise ConfigError(f"{path} has no value; add {path}=<value>")
    if isinstance(value, dict) and "_target_" in value:
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _components(f"{path}.{key}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _components(f"{path}[{index}]", item)


def _check_value(path: str, parameter: Parameter, value: Any) -> None:
    group = path.replace(".", "/")
    takes_text = parameter.annotation == "Any" or "str" in parameter.annotation
    if isinstance(value, str) and not takes_text and (CONFIGS / group).is_dir():
        raise ConfigError(f"{path} chooses a config group, got {value}; write {group}={value}")
    if not _is_finite(value) and parameter.default not in (math.inf, -math.inf):
        raise ConfigError(f"{path} must be finite, got {value}; set a number")
    if value is None and parameter.needs_value:
        usual = shown(parameter.default)
        raise ConfigError(f"{path} must have a value, got null; its default is {usual}")
    number = "int" in parameter.annotation.split(" | ")
    other = not (number and isinstance(value, Real))  # which number is the constructor's to say
    if parameter.choices and value not in parameter.choices and other:
        words = ", ".join(map(str, parameter.choices)) + " or a whole number" * number
        raise ConfigError(f"{path} must be one of {words}; got {value}")
    usual = parameter.default
    if isinstance(usual, tuple) and parameter.annotation.lower().startswith("tuple["):
        numbers = all(isinstance(item, Real) for item in usual)
        listed = value if isinstance(value, list | tuple) else ()
        if "..." not in parameter.annotation and (
            len(listed) != len(usual) or (numbers and not all(isinstance(x, Real) for x in listed))
        ):
            what = "numbers" if numbers else "values"
            raise ConfigError(
                f"{path} must be {len(usual)} {what}, got {value}; its default is {[*usual]}"
            )
    if parameter.type is not Any:
        holder = _holder(parameter.type)
        try:
            holder.value = value
        except ValidationError:
            got = "null" if value is None else repr(value)
            remedy = f"; set {path}={parameter.default}" if value is None else ""
            if parameter.type in (int, int | None) and isinstance(value, float):
                remedy = whole(value)
            raise ConfigError(
                f"{path} must be {type_name(parameter.type)}, got {got}{remedy}"
            ) from None


def _is_finite(value: Any) -> bool:
    """Whether no number in a value, its lists and mappings is infinite or undefined."""
    if isinstance(value, dict):
        return "_target_" in value or all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@functools.cache
def _holder(kind: Any) -> DictConfig:
    """A config with one `value` of a type, which refuses others; made once, as that takes long."""
    return OmegaConf.structured(make_dataclass("Holder", [("value", kind, field(default=MISSING))]))
