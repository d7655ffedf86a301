"""One line for whatever is raised while a config is composed."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import Field, fields, is_dataclass
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import (
    InterpolationResolutionError,
    OmegaConfBaseException,
    ValidationError,
)

from seq2seq.errors import ConfigError, nearest
from seq2seq.schema.components import Config, choices, unread
from seq2seq.schema.signatures import type_name


def explain(error: BaseException, arguments: Sequence[str] = ()) -> str:
    """One line for an error raised while composing, parsing or checking a config.

    Args:
        error: what was raised.
        arguments: of the command, which some errors do not tell.
    """
    if isinstance(error, ConfigError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return _explain_missing_choice(error, arguments)
    if isinstance(error, UnicodeDecodeError):
        return _explain_no_text(error, arguments)
    if isinstance(error, OverrideParseException):
        return _explain_syntax(error)
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    source = re.match(r"In '([^']+)':", str(error))
    where = f" (in configs/{source.group(1)}.yaml)" if source else ""
    for link in chain:
        if isinstance(link, ValidationError) and link.full_key:
            key, null = _full_key(link), re.search("not Optional|'None'", str(link))
            value = re.search(r"[Vv]alue '(.*?)'|value: (.*)", str(link))
            got = "null" if null else value and (value.group(1) or value.group(2))
            remedy = f"; set {key}={_usual(link)}" if null else ""
            return f"{key} must be {_expected(link)}{f', got {got}' if got else ''}{remedy}{where}"
        if (
            isinstance(link, OmegaConfBaseException)
            and link.key is not None
            and "not in" in str(link)
        ):
            return f"unknown key {_full_key(link)}{nearest(str(link.key), _siblings(link))}{where}"
        if isinstance(link, InterpolationResolutionError) and link.full_key:
            return f"{link.full_key}: {str(link).splitlines()[0]}; correct the ${{…}}{where}"
    text = str(error) if str(error) else type(error).__name__
    if "Config group override must be" in text:
        return _explain_no_choice(arguments)
    missing = re.search(r"Could not override '([^']+)'\.\s*No match in the defaults list", text)
    if missing:
        known = [column.name for column in fields(Config)]
        return f"unknown key {missing.group(1)}{nearest(missing.group(1), known)}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("See https", "Set the env")))


def _explain_syntax(error: OverrideParseException) -> str:
    told = re.search(r"while evaluating .*?': ([^\n]+)", str(error))
    if told:
        return f"cannot read {error.override}: {told.group(1)}; correct it"
    key, _, text = error.override.partition("=")
    quoted = shlex.quote(f"{key}={QuotedString(text, Quote.double).with_quotes()}")
    return f"cannot read {error.override}; close what is open, or for a text write {quoted}"


def _full_key(error: OmegaConfBaseException) -> str:
    return str(error.full_key or error.key)


def _expected(error: OmegaConfBaseException) -> str:
    if "subclass of" in str(error):
        return "a group choice (write group=name with a slash, as in task/input=white)"
    column = _column(error)
    return type_name(column.type) if column else "of another type"


def _usual(error: OmegaConfBaseException) -> Any:
    """The default of what an error is about, if it has one that can be written."""
    column = _column(error)
    default = column and column.default
    return (
        default if isinstance(default, (bool, int, float, str)) and default != "???" else "<value>"
    )


def _column(error: OmegaConfBaseException) -> Field[Any] | None:
    """The field of the schema that an error is about."""
    kind: Any = error.object_type
    known = fields(kind) if is_dataclass(kind) else ()
    name = _full_key(error).rpartition(".")[2]
    return next((column for column in known if column.name == name), None)


def _siblings(error: OmegaConfBaseException) -> list[str]:
    if error.object_type is not None and hasattr(error.object_type, "__dataclass_fields__"):
        names = [column.name for column in fields(error.object_type)]
        return [name for name in names if name not in ("defaults", "_target_", "_partial_")]
    parent = error.parent_node
    return [str(key) for key in parent] if isinstance(parent, DictConfig) else []


def _explain_no_text(error: UnicodeDecodeError, arguments: Sequence[str]) -> str:
    """Hydra does not say which of the chosen configs it is."""
    chosen = [argument.lstrip("+").split("=", 1) for argument in arguments if "=" in argument]
    pairs = [(group, name) for group, names in chosen for name in re.findall(r"[^\[\],]+", names)]
    every = [(group, name) for group, names in choices(arguments).items() for name in names]
    found = (unread(group, name, arguments) for group, name in [*pairs, *every])
    return next((reason for reason in found if reason), str(error))


def _explain_missing_choice(error: MissingConfigException, arguments: Sequence[str]) -> str:
    wanted = error.missing_cfg_file or ""
    group, _, name = wanted.rpartition("/")
    if reason := unread(group, name.removesuffix("_schema"), arguments):
        return f"{group}={name.removesuffix('_schema')}: {reason}"
    options = sorted(str(o) for o in error.options or () if not str(o).endswith("_schema"))
    what = f"{group}={name}: no such {group.rpartition('/')[2]}" if group else f"no config {name!r}"
    known = f" (known: {', '.join(options)})" if options else ""
    return f"{what}{nearest(name, options, otherwise='')}{known}"


def _explain_no_choice(arguments: Sequence[str]) -> str:
    """Hydra does not say which group was given something other than a name or a list of them."""
    groups = choices(arguments)
    for argument in arguments:
        group, _, value = argument.lstrip("+").partition("=")
        known = groups.get(group.partition("@")[0])
        if not group:
            return f"cannot read {argument}: the key before = is missing"
        if known and not re.match(r"[A-Za-z_\[]+", value.removeprefix("null")):
            return f"{group} must be one of {', '.join(known)}; got {value or 'nothing'}"
    return "a config group must be given the name of a choice"
