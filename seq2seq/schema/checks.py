"""What composing lets through is refused here, before anything is built."""

import ast
import functools
import math
import os
from collections.abc import Iterator
from dataclasses import field, fields, make_dataclass
from pathlib import PurePath
from typing import Any

from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import ValidationError

from seq2seq.errors import ConfigError, nearest
from seq2seq.schema.components import CONFIGS, Config, choices
from seq2seq.schema.signatures import (
    NO_DEFAULT,
    UNKNOWN,
    Parameter,
    all_parameters,
    dotted,
    locate,
    signature,
    type_name,
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


def check(cfg: DictConfig) -> None:
    """Refuse what composing lets through, before anything is built.

    That is: unknown keys added with `+`, keys of components without a registered schema, missing
    values, values of the wrong type, and targets that neither the project nor `allow` names.

    Raises:
        ConfigError: one line that names the key, the value and the remedy.
    """
    allow = tuple(cfg.get("allow") or ())
    known = [column.name for column in fields(Config)]
    for key in cfg:
        if str(key) not in known and key != "hydra":
            raise ConfigError(f"unknown key {key!r}{nearest(key, known)}")
    for key in ("task", "model", "objective", "optimizer", "trainer"):
        if OmegaConf.is_missing(cfg, key):
            raise ConfigError(f"no {key} chosen; add {key}=<name>")
        _check_component(key, cfg[key], allow)
    if cfg.get("scheduler") is not None:
        _check_component("scheduler", cfg.scheduler, allow)
    for group in ("callbacks", "logger"):
        for name, node in (cfg.get(group) or {}).items():
            if node is not None:
                _check_component(f"{group}.{name}", node, allow)
    for key, text in cfg.paths.items():
        if not text:
            raise ConfigError(f"paths.{key} must name a folder; set paths.{key}=<folder>")
    if cfg.name is not None and not _lies_below(cfg.name):
        raise ConfigError(
            f"name must be that of a folder below paths.outputs, got {cfg.name!r}; "
            "set name=<word>, and paths.outputs for another place"
        )
    for key, seed in (("seed", cfg.seed), ("task.seed", cfg.task.get("seed") or 0)):
        if seed < 0:
            raise ConfigError(f"{key} must not be negative, got {seed}; set {key}=0")
    if cfg.threads < 1:
        raise ConfigError(f"threads must be at least 1, got {cfg.threads}")
    if cfg.gradient_clip_val is not None and not 0 < cfg.gradient_clip_val < math.inf:
        raise ConfigError(
            f"gradient_clip_val must be positive, got {cfg.gradient_clip_val}; use null for none"
        )


def one_device(cfg: DictConfig, what: str) -> None:
    """Refuse several devices: each further one runs the caller's program from its start.

    Raises:
        ConfigError: `what` is the subject of the line.
    """
    devices = cfg.trainer.get("devices", 1)
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


def _check_component(path: str, node: Any, allow: tuple[str, ...]) -> None:
    if not isinstance(node, DictConfig) or not node.get("_target_"):
        known = nearest(path, choices().get(path.replace(".", "/"), ()))
        got = "a node without" if isinstance(node, DictConfig) else node
        raise ConfigError(
            f"{path} must be a group choice or a node with _target_, got {got}{known}"
        )
    target = str(node._target_)
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
    for name in map(str, list(node)):
        if name in ("_target_", "_partial_"):
            continue
        if name not in parameters:
            raise ConfigError(f"unknown key {path}.{name}{nearest(name, parameters)}")
        if OmegaConf.is_missing(node, name):
            if parameters[name].default is UNKNOWN:
                with open_dict(node):
                    del node[name]  # the constructor knows its default
                continue
            raise ConfigError(f"{path}.{name} has no value; add {path}.{name}=<value>")
        value = node[name]
        for where, nested in _components(f"{path}.{name}", value):
            _check_component(where, nested, allow)
        if not (isinstance(value, DictConfig) and "_target_" in value):
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


def _components(path: str, value: Any) -> Iterator[tuple[str, DictConfig]]:
    """The outermost nodes with a `_target_` in a value, its lists and mappings included."""
    if isinstance(value, DictConfig) and "_target_" in value:
        yield path, value
    elif isinstance(value, DictConfig):
        for key, item in value.items():
            name = str(key)
            yield from _components(f"{path}.{name}", item)
    elif isinstance(value, ListConfig):
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
        default = parameter.default
        raise ConfigError(f"{path} must have a value, got null; its default is {default}")
    if parameter.choices and value not in parameter.choices:
        raise ConfigError(
            f"{path} must be one of {', '.join(map(str, parameter.choices))}; got {value}"
        )
    if parameter.type is not Any:
        holder = _holder(parameter.type)
        try:
            holder.value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        except ValidationError:
            got = "null" if value is None else repr(value)
            remedy = f"; set {path}={parameter.default}" if value is None else ""
            raise ConfigError(
                f"{path} must be {type_name(parameter.type)}, got {got}{remedy}"
            ) from None


def _is_finite(value: Any) -> bool:
    """Whether no number in a value, its lists and mappings is infinite or undefined."""
    if isinstance(value, DictConfig):
        return "_target_" in value or all(map(_is_finite, value.values()))
    if isinstance(value, ListConfig):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@functools.cache
def _holder(kind: Any) -> DictConfig:
    """A config with one `value` of a type, which refuses others; made once, as that takes long."""
    return OmegaConf.structured(make_dataclass("Holder", [("value", kind, field(default=MISSING))]))
