"""One line for whatever is raised while a config is composed."""

import difflib
import inspect
import re
import shlex
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import Field, fields, is_dataclass
from typing import Any, get_args, get_origin

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import MissingConfigException, OverrideParseException
from hydra.utils import get_object
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigTypeError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from seq2seq.errors import ConfigError, nearest
from seq2seq.schema.catalogue import below, choices, settable
from seq2seq.schema.components import Config, unread
from seq2seq.schema.signatures import locate, signature, type_name, whole


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
            value = re.search(r"[Vv]alue '(.*?)'|value: (.*)|to string: '(.*)'", str(link))
            value = value or re.search(r"merging override [^=]*=(.*)", str(error))
            got = "null" if null else value and next(filter(None, value.groups()), None)
            remedy = f"; set {key}={_usual(link)}" if null else _rewritten(link, got)
            return f"{key} must be {_expected(link)}{f', got {got}' if got else ''}{remedy}{where}"
        if (
            isinstance(link, OmegaConfBaseException)
            and link.key is not None
            and "not in" in str(link)
        ):
            return f"unknown key {_full_key(link)}{_meant(link, arguments)}{where}"
        if isinstance(link, ConfigTypeError) and "does not support deletion" in str(link):
            return (
                f"~{_full_key(link)} leaves no value; set {_full_key(link)}={_usual(link)} instead"
            )
        empty = next((one for one in chain if isinstance(one, MissingMandatoryValue)), None)
        if empty is not None and empty.full_key:
            return f"{empty.full_key} has no value; add {empty.full_key}=<value>{where}"
        if isinstance(link, InterpolationResolutionError) and link.full_key:
            return f"{link.full_key}: {str(link).splitlines()[0]}; correct the ${{…}}{where}"
    if isinstance(error, RecursionError) and (names := _repeated(error)):
        return f"the defaults of {' and '.join(names)} lead back to it; correct its defaults list"
    text = str(error) if str(error) else type(error).__name__
    if absent := re.match("Could not delete.*?'([^']+)'", text):
        return f"~{absent.group(1)} has nothing to take out; leave ~{absent.group(1)} out"
    if several := re.match("Ambiguous value for argument '([^=]*)=(.*)'", text):
        key, values = several.groups()
        return f"{key}={values} has several values; a sweep is seq2seq.multirun, a list [{values}]"
    argument = re.search(r"target '([\w.]+)'.*unexpected keyword argument '(\w+)'", text, re.DOTALL)
    node = re.search(r"full_key: (hydra\.\w+)", text)
    if argument and node:
        takes = inspect.signature(get_object(argument.group(1))).parameters
        name, above = argument.group(2), f"{node.group(1)}."
        return f"unknown key {above}{name}{nearest(name, takes, prefix=above)}"
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
    key, equals, text = error.override.partition("=")
    if not equals:
        return f"cannot read {error.override}: it has no value; write {key}=<value>"
    quoted = shlex.quote(f"{key}={QuotedString(text, Quote.double).with_quotes()}")
    return f"cannot read {error.override}; close what is open, or for a text write {quoted}"


def _repeated(error: RecursionError) -> list[str]:
    """The configs whose defaults Hydra was reading again and again."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    read = Counter(
        frame.f_locals.get("path")
        for frame in frames
        if frame.f_code.co_name == "_create_defaults_tree_impl"
    )
    return sorted(f"{path}.yaml" for path, count in read.items() if path and count > 2)


def _rewritten(error: OmegaConfBaseException, got: str | None) -> str:
    """The remedy where a value means what it should, but is written otherwise."""
    column = _column(error)
    kind = column.type if column else None
    if get_origin(kind) is list and get_args(kind) != (Any,) and got:
        return f"; write {_full_key(error)}=[{got}]"
    return whole(got) if kind in (int, int | None) else ""


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


def _meant(error: OmegaConfBaseException, arguments: Sequence[str]) -> str:
    key = str(error.key)
    deeper = below(key, arguments) if _full_key(error) == key else None
    further, full = _further(error), _full_key(error)
    if key in further:
        return f"; write +{full}=<value>, which adds it"
    if full == f"callbacks.{key}" and (target := _callback(key)):
        return f"; write +{full}._target_={target}, which adds it"
    if full.count(".") == 1 and (others := settable().get(full)):
        return f"; it is a key of {', '.join(others[:3])}{' and others' * (len(others) > 3)}"
    added = {name: f"+{full.removesuffix(key)}{name}" for name in further}
    close = difflib.get_close_matches(key, [*_siblings(error), *further], n=1)
    deeper = deeper or (added.get(close[0]) if close else None)
    if deeper:
        return f"; did you mean {deeper!r}?"
    return nearest(key, _siblings(error), prefix=full.removesuffix(key))


def _siblings(error: OmegaConfBaseException) -> list[str]:
    if error.object_type is not None and hasattr(error.object_type, "__dataclass_fields__"):
        names = [column.name for column in fields(error.object_type)]
        return [name for name in names if name not in ("defaults", "_target_", "_partial_")]
    parent = error.parent_node
    return [str(key) for key in parent] if isinstance(parent, DictConfig) else []


def _callback(name: str) -> str | None:
    """The class of this project whose name a callback's key is."""
    target = f"seq2seq.callbacks.{name.title().replace('_', '')}"
    with suppress(ConfigError):
        locate(target)
        return target
    return None


def _further(error: OmegaConfBaseException) -> list[str]:
    """What the class of a node takes, and the node does not have."""
    parent = error.parent_node
    target = parent.get("_target_") if isinstance(parent, DictConfig) else None
    if error.object_type is dict and isinstance(target, str):
        with suppress(ConfigError):  # a class of Hydra's plugins, say, which no file here defines
            return [one.name for one in signature(target) if one.name not in parent]
    return []


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
    if below := group.partition("experiment/")[2]:  # a folder of experiments, no group
        group, name = "experiment", f"{below}/{name}"
        options = choices(arguments)[group]
    elif group == "experiment":
        options = choices(arguments)[group]
        if any(option.startswith(f"{name}/") for option in options):
            several = shlex.quote(f"experiment=glob({name}/*)")
            return f"experiment={name} is a folder; write {several} for all of it, with -m"
    what = f"{group}={name}: no such {group.rpartition('/')[2]}" if group else f"no config {name!r}"
    return f"{what}{nearest(name, options)}"


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
