"""Strict configs: schemas derived from constructor signatures, and the checks made on every job.

Signatures are read from source with `ast`, so that composing, `--help` and the check of keys and
types import neither torch nor lightning.
"""

import ast
import difflib
import functools
import importlib.util
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.config_store import ConfigStore
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

PACKAGE = Path(__file__).parents[1]
#: In a checkout the configs lie beside the package, in an installed wheel inside it.
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"

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

#: Constructor arguments that are passed at run time and so do not appear in a config.
RUN_TIME = {"input_dim", "output_dim", "params", "optimizer", "save_dir"}


class ConfigError(ValueError):
    """A config that cannot be run: one line says what is wrong, the value and the remedy."""


# ------------------------------------------------------------------------------------ signatures


class Parameter(NamedTuple):
    """One constructor argument: its OmegaConf type, its default and its permitted values."""

    name: str
    type: Any
    default: Any
    choices: tuple[Any, ...] = ()
    annotation: str = ""


@functools.cache
def _module(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _package_path(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ConfigError(f"no module named {name!r}; install it or correct _target_")
    return Path(spec.origin)


@functools.cache
def _locate(target: str) -> tuple[ast.ClassDef | ast.FunctionDef, Path]:
    """The definition behind a dotted name, following re-exports, without importing its module."""
    top, *rest = target.split(".")
    path = _package_path(top)
    while rest:
        name = rest[0]
        folder = path.parent / name
        if path.name == "__init__.py" and (folder / "__init__.py").exists():
            path = folder / "__init__.py"
        elif path.name == "__init__.py" and folder.with_suffix(".py").exists():
            path = folder.with_suffix(".py")
        else:
            return _definition(name, path, target)
        rest = rest[1:]
    raise ConfigError(f"_target_={target} names a module; name a class or function in it")


def _definition(name: str, path: Path, target: str) -> tuple[ast.ClassDef | ast.FunctionDef, Path]:
    available: list[str] = []
    for node in ast.walk(_module(path)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            if node.name == name:
                return node, path
            available.append(node.name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                available.append(alias.asname or alias.name)
                if (alias.asname or alias.name) == name:
                    return _locate(f"{_imported_module(node, path)}.{alias.name}")
    raise ConfigError(f"_target_={target}: {path.stem} has no {name!r}{nearest(name, available)}")


def _imported_module(node: ast.ImportFrom, path: Path) -> str:
    if node.level == 0:
        return node.module or ""
    folder = path
    for _ in range(node.level):
        folder = folder.parent
    package = [folder.name]
    while (folder.parent / "__init__.py").exists():
        folder = folder.parent
        package.insert(0, folder.name)
    return ".".join([*package, node.module] if node.module else package)


@functools.cache
def signature(target: str) -> tuple[Parameter, ...]:
    """The parameters of a class's constructor (or of a function) that a config may set."""
    definition, path = _locate(target)
    if isinstance(definition, ast.FunctionDef):
        return tuple(_arguments(definition))
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return tuple(_arguments(node))
    inherited: dict[str, Parameter] = {}
    for base in reversed(definition.bases):
        if isinstance(base, ast.Name) and base.id not in {"Protocol", "ABC", "NamedTuple"}:
            base_definition, base_path = _definition(base.id, path, target)
            if base_path.parts[-2:] != ("typing.py",):
                module = _dotted(base_path)
                inherited |= {p.name: p for p in signature(f"{module}.{base_definition.name}")}
    if any("dataclass" in ast.unparse(decorator) for decorator in definition.decorator_list):
        for node in definition.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                inherited[node.target.id] = _parameter(node.target.id, node.annotation, node.value)
    return tuple(inherited.values())


def _dotted(path: Path) -> str:
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def _arguments(function: ast.FunctionDef) -> Iterator[Parameter]:
    positional = [*function.args.posonlyargs, *function.args.args]
    required = len(positional) - len(function.args.defaults)
    defaults: list[ast.expr | None] = [*[None] * required, *function.args.defaults]
    everything = [*zip(positional, defaults, strict=True)]
    everything += zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    for argument, default in everything:
        if argument.arg != "self" and argument.arg not in RUN_TIME:
            yield _parameter(argument.arg, argument.annotation, default)


def _parameter(name: str, annotation: ast.expr | None, default: ast.expr | None) -> Parameter:
    kind, choices = _config_type(annotation)
    text = ast.unparse(annotation) if annotation is not None else ""
    if default is None:
        return Parameter(name, kind, NO_DEFAULT, choices, text)
    try:
        return Parameter(name, kind, ast.literal_eval(default), choices, text)
    except ValueError:
        return Parameter(name, Any, None, choices, text)


PRIMITIVES: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str}


def _config_type(annotation: ast.expr | None) -> tuple[Any, tuple[Any, ...]]:
    """Map an annotation to a type OmegaConf knows; what it cannot express becomes `Any`."""
    if annotation is None:
        return Any, ()
    members = list(_union(annotation))
    names = [ast.unparse(member) for member in members]
    optional = "None" in names
    literals = [m for m in members if ast.unparse(m).startswith(("Literal[", "typing.Literal["))]
    if literals:
        inner = literals[0].slice if isinstance(literals[0], ast.Subscript) else literals[0]
        choices = ast.literal_eval(inner)
        choices = choices if isinstance(choices, tuple) else (choices,)
        return Any, (*choices, None) if optional else choices
    # `float | Tensor` is a float to a config: a tensor cannot be written in YAML.
    kinds = [PRIMITIVES[name] for name in names if name in PRIMITIVES]
    if any(name not in PRIMITIVES and name not in ("None", "Tensor") for name in names):
        return Any, ()
    if len(kinds) != 1:
        return Any, ()
    return (kinds[0] | None if optional else kinds[0]), ()


def _union(annotation: ast.expr) -> Iterator[ast.expr]:
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        yield from _union(annotation.left)
        yield from _union(annotation.right)
    elif isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) in (
        "Union",
        "typing.Union",
    ):
        assert isinstance(annotation.slice, ast.Tuple)
        for member in annotation.slice.elts:
            yield from _union(member)
    elif isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) in (
        "Optional",
        "typing.Optional",
    ):
        yield from _union(annotation.slice)
        yield ast.Constant(None)
    else:
        yield annotation


# --------------------------------------------------------------------------------------- schemas


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
    force: bool = False
    dry_run: bool = False
    allow: list[str] = field(default_factory=list)
    paths: Paths = field(default_factory=Paths)


@functools.cache
def component_schema(target: str) -> type[Component]:
    """A dataclass with the arguments of `target`; a required one is MISSING (`???`)."""
    columns: list[Any] = []
    for parameter in signature(target):
        default = parameter.default
        if default is NO_DEFAULT:
            default = MISSING
        if isinstance(default, (list, dict, set)):
            column = field(default_factory=functools.partial(type(default), default))
        else:
            column = field(default=default)
        columns.append((parameter.name, parameter.type, column))
    return make_dataclass(target.rsplit(".", 1)[1], columns, bases=(Component,))


def register() -> None:
    """Register every `<name>_schema` in Hydra's ConfigStore; calling it again changes nothing.

    A group's YAML that lists `<its name>_schema` in its defaults is checked, key by key and type by
    type, against the constructor signature of its `_target_`. Configs may multiply, as in
    `length: ${mul:3,${task.k}}`.
    """
    OmegaConf.register_new_resolver("mul", lambda *factors: math.prod(factors), replace=True)
    store = ConfigStore.instance()
    store.store(name="train_schema", node=Config)
    for path in sorted(CONFIGS.glob("*/**/*.yaml")):
        group = path.parent.relative_to(CONFIGS).as_posix()
        text = path.read_text(encoding="utf-8")
        if f"{path.stem}_schema" in text:
            target = re.search(r"^_target_:\s*(\S+)", text, re.MULTILINE)
            if target is None:
                raise ConfigError(f"{path} lists {path.stem}_schema but has no _target_; add one")
            node = component_schema(target.group(1))
            store.store(group=group, name=f"{path.stem}_schema", node=node)


def choices() -> dict[str, list[str]]:
    """The groups of configs, as in `task` or `task/input`, and what can be chosen in each."""
    found: dict[str, list[str]] = {}
    for path in sorted(CONFIGS.glob("*/**/*.yaml")):
        found.setdefault(path.parent.relative_to(CONFIGS).as_posix(), []).append(path.stem)
    return dict(sorted(found.items()))


# ---------------------------------------------------------------------------------------- checks


def nearest(name: str, candidates: Iterable[Any], otherwise: str | None = None) -> str:
    """`; did you mean 'x'?` for the closest of `candidates`, `otherwise` (the list of them)."""
    known = sorted({str(candidate) for candidate in candidates})
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if otherwise is not None:
        return otherwise
    return f"; known: {', '.join(known)}" if known else ""


def check(cfg: DictConfig) -> None:
    """Refuse what composing lets through, before anything is built.

    That is: unknown keys added with `+`, keys of components without a registered schema, missing
    values, values of the wrong type, and targets that neither the project nor `allow` names.

    Raises:
        ConfigError: one line that names the key, the value and the remedy.
    """
    allow = tuple(cfg.get("allow") or ())
    known = {column.name for column in fields(Config)}
    for key in cfg:
        if str(key) not in known and key != "hydra":
            raise ConfigError(f"unknown key {key!r}{nearest(str(key), known)}")
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
    for key, seed in (("seed", cfg.seed), ("task.seed", cfg.task.get("seed") or 0)):
        if seed < 0:
            raise ConfigError(f"{key} must not be negative, got {seed}; set {key}=0")
    if cfg.threads < 1:
        raise ConfigError(f"threads must be at least 1, got {cfg.threads}")
    if cfg.gradient_clip_val is not None and not cfg.gradient_clip_val > 0:
        raise ConfigError(
            f"gradient_clip_val must be positive, got {cfg.gradient_clip_val}; use null for none"
        )
    max_steps = cfg.trainer.get("max_steps")
    if not isinstance(max_steps, int) or max_steps < 1:
        raise ConfigError(f"trainer.max_steps must be a positive whole number, got {max_steps}")


def _check_component(path: str, node: Any, allow: tuple[str, ...]) -> None:
    if not isinstance(node, DictConfig) or not node.get("_target_"):
        raise ConfigError(f"{path} must be a group choice or a node with _target_, got {node!r}")
    target = str(node._target_)
    if not _trusted(target, TRUSTED[path.split(".")[0]], allow):
        raise ConfigError(
            f"{path}._target_={target} is not a class of this project that can stand here; "
            f"if you trust it, add allow=[{target.split('.')[0]}]"
        )
    parameters = {parameter.name: parameter for parameter in signature(target)}
    for key in node:
        name = str(key)
        if name in ("_target_", "_partial_"):
            continue
        if name not in parameters:
            raise ConfigError(f"unknown key {path}.{name}{nearest(name, parameters)}")
        if OmegaConf.is_missing(node, name):
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


def _trusted(target: str, homes: tuple[str, ...], allow: tuple[str, ...]) -> bool:
    """Whether `allow` names the target, or it is a class that is defined below one of `homes`."""
    if any(target.startswith(f"{prefix}.") for prefix in allow):
        return True
    if not any(target.startswith(f"{prefix}.") for prefix in homes):
        return False
    definition, file = _locate(target)
    home = _dotted(file)  # a module also holds what it imports: pathlib.Path, zipfile.ZipFile, …
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
    if parameter.choices and value not in parameter.choices:
        raise ConfigError(
            f"{path} must be one of {', '.join(map(str, parameter.choices))}; got {value}"
        )
    if parameter.type is not Any:
        holder = _holder(parameter.type)
        plain = (
            OmegaConf.to_container(value) if isinstance(value, (DictConfig, ListConfig)) else value
        )
        try:
            holder.value = plain
        except ValidationError:
            raise ConfigError(
                f"{path} must be {_type_name(parameter.type)}, got {value!r}"
            ) from None


@functools.cache
def _holder(kind: Any) -> DictConfig:
    """A config with one `value` of a type, which refuses others; made once, as that takes long."""
    return OmegaConf.structured(make_dataclass("Holder", [("value", kind, field(default=MISSING))]))


def _type_name(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    if kind in names:
        return names[kind]
    return f"{names.get(kind.__args__[0], kind)} or null"


# ------------------------------------------------------------------------------- error messages


def explain(error: BaseException) -> str:
    """One line for an error raised while composing, parsing or checking a config."""
    if isinstance(error, MissingConfigException):
        return _explain_missing_choice(error)
    if isinstance(error, OverrideParseException):
        reason = " ".join(str(error).split())
        return f"cannot read {error.override}: {reason}; quote it for the shell, as in 'key=[1,2]'"
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    source = re.match(r"In '([^']+)':", str(error))
    where = f" (in configs/{source.group(1)}.yaml)" if source else ""
    for link in chain:
        if isinstance(link, ValidationError) and link.full_key:
            kind = getattr(link, "ref_type", None)
            value = re.search(r"[Vv]alue '(.*?)'", str(link)) or re.search(
                r"value: (.*)", str(link)
            )
            got = f", got {value.group(1)}" if value else ""
            return f"{_full_key(link)} must be {_expected(kind, link)}{got}{where}"
        if (
            isinstance(link, OmegaConfBaseException)
            and link.key is not None
            and "not in" in str(link)
        ):
            return f"unknown key {_full_key(link)}{nearest(str(link.key), _siblings(link))}{where}"
    text = str(error) if str(error) else type(error).__name__
    missing = re.search(r"Could not override '([^']+)'\.\s*No match in the defaults list", text)
    if missing:
        known = {column.name for column in fields(Config)}
        return f"unknown key {missing.group(1)}{nearest(missing.group(1), known)}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("See https", "Set the env")))


def _full_key(error: OmegaConfBaseException) -> str:
    return str(error.full_key or error.key)


def _expected(kind: Any, error: BaseException) -> str:
    text = str(error)
    for word, name in (
        ("Integer", "a whole number"),
        ("Float", "a number"),
        ("Boolean", "true or false"),
        ("subclass of", "a group choice (write group=name with a slash, as in task/input=white)"),
        ("String", "a text"),
    ):
        if word in text:
            return name
    return str(kind or "of another type")


def _siblings(error: OmegaConfBaseException) -> list[str]:
    if error.object_type is not None and hasattr(error.object_type, "__dataclass_fields__"):
        names = [column.name for column in fields(error.object_type)]
        return [name for name in names if name not in ("defaults", "_target_", "_partial_")]
    parent = error.parent_node
    return [str(key) for key in parent] if isinstance(parent, DictConfig) else []


def _explain_missing_choice(error: MissingConfigException) -> str:
    wanted = error.missing_cfg_file or ""
    group, _, name = wanted.rpartition("/")
    options = sorted(str(o) for o in error.options or () if not str(o).endswith("_schema"))
    what = f"{group}={name}: no such {group.rpartition('/')[2]}" if group else f"no config {name!r}"
    known = f" (known: {', '.join(options)})" if options else ""
    return f"{what}{nearest(name, options, otherwise='')}{known}"
