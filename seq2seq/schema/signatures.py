"""Constructor signatures, read from source with `ast` so that nothing is imported for them."""

import ast
import functools
import importlib.util
import math
import operator
from collections.abc import Iterator
from dataclasses import MISSING as NO_DEFAULT
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from seq2seq.errors import ConfigError, nearest

#: Constructor arguments that are passed at run time and so do not appear in a config.
RUN_TIME = {"input_dim", "output_dim", "params", "optimizer", "save_dir"}

#: A default that is not told by the source; an argument that has it is left out unless given.
UNKNOWN: Any = type("Unknown", (), {"__repr__": lambda self: "UNKNOWN"})()

#: Packages whose classes are not looked through when one from elsewhere is derived from them.
OPAQUE = ("abc", "collections", "lightning", "torch", "typing")

Definition = ast.ClassDef | ast.FunctionDef


class Parameter(NamedTuple):
    """One constructor argument: its OmegaConf type, its default and its permitted values."""

    name: str
    type: Any
    default: Any
    choices: tuple[Any, ...] = ()
    annotation: str = ""

    @property
    def needs_value(self) -> bool:
        """Whether a value of another kind than OmegaConf knows is annotated, and None is not."""
        optional = any(word in self.annotation for word in ("None", "Optional", "Any"))
        other = self.type is Any and bool(self.annotation) and self.default is not None
        return other and not optional and not self.choices


def signature(target: str) -> tuple[Parameter, ...]:
    """The parameters of a class's constructor (or of a function) that a config may set."""
    return tuple(p for p in all_parameters(target)[0] if p.name not in RUN_TIME)


@functools.cache
def all_parameters(target: str) -> tuple[tuple[Parameter, ...], bool]:
    """All parameters that can be given by name, and whether there is a `**` for further ones."""
    definition, path = locate(target)
    if isinstance(definition, ast.FunctionDef):
        return tuple(_arguments(definition, path)), definition.args.kwarg is not None
    ancestry = [(definition, path)] if _init(definition) else _ancestry(definition, path)
    for index, (kind, file) in enumerate(ancestry):
        if init := _init(kind):
            return tuple(_arguments(init, file)), init.args.kwarg is not None
        if _is_dataclass(kind):
            return tuple(_fields(ancestry[index:])), False
    return (), False


@functools.cache
def class_attribute(target: str, name: str, default: Any) -> Any:
    """What the class says of itself under `name`, in its own body or in one it is derived from."""
    definition, path = locate(target)
    for kind, file in _ancestry(definition, path) if isinstance(definition, ast.ClassDef) else ():
        bound = _bound(kind.body)
        if name in bound:
            value = bound[name]
            told = _value_or_unknown(value, file) if isinstance(value, ast.expr) else UNKNOWN
            return default if told is UNKNOWN else told
    return default


@functools.cache
def docstrings(target: str) -> tuple[str, ...]:
    """What a class or function says of itself, its constructor too, then what its bases say."""
    definition, path = locate(target)
    if isinstance(definition, ast.FunctionDef):
        return (ast.get_docstring(definition) or "",)
    parts = (part for kind, _ in _ancestry(definition, path) for part in (kind, _init(kind)))
    return tuple(ast.get_docstring(part) or "" for part in parts if part)


# ----------------------------------------------------------------------- definitions by their name


def package_path(name: str) -> Path:
    """The file of a package or module at the top, or its `__init__.py`."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ConfigError(f"no module named {name!r}; install it or correct _target_")
    return Path(spec.origin)


def locate(target: str) -> tuple[Definition, Path]:
    """The definition behind a dotted name, following re-exports, without importing its module."""
    found, path = _find(target)
    while isinstance(found, ast.Name | ast.Attribute):  # another name for it
        found, path = _find(_qualified(found, path))
    if not isinstance(found, Definition):
        raise ConfigError(f"_target_={target} is no class or function; name one")
    return found, path


@functools.cache
def _find(target: str) -> tuple[ast.AST, Path]:
    """The class, function or expression that a dotted name stands for, and the file it is in."""
    top, *rest = target.split(".")
    path = package_path(top)
    while rest and path.name == "__init__.py":
        inner = path.parent / rest[0] / "__init__.py", path.with_name(f"{rest[0]}.py")
        files = [file for file in inner if file.exists()]
        if not files:
            break
        path, rest = files[0], rest[1:]
    if not rest:
        raise ConfigError(f"_target_={target} names a module; name a class or function in it")
    names = _names(path)
    found = names.get(rest[0])
    if found is None:
        own = f"{top}."  # what a module imports from elsewhere is not meant
        classes = [
            name
            for name, kind in names.items()
            if isinstance(kind, ast.ClassDef)
            or (isinstance(kind, str) and kind.startswith(own) and name[0].isupper())
        ]
        hint = nearest(rest[0], classes)
        raise ConfigError(f"_target_={target}: {dotted(path)} has no {rest[0]!r}{hint}")
    return _find(found) if isinstance(found, str) else (found, path)


@functools.cache
def _names(path: Path) -> dict[str, ast.AST | str | None]:
    """What each name at the top of a module stands for, as `_bound` tells it."""
    package = dotted(path if path.name == "__init__.py" else path.with_name("__init__.py"))
    return _bound(ast.parse(path.read_text(encoding="utf-8")).body, package)


def _bound(body: list[ast.stmt], package: str = "") -> dict[str, ast.AST | str | None]:
    """Names with their definition, their value, or the dotted name that they import.

    None where a value is bound again: only running the module tells which one stays.
    """
    found: dict[str, ast.AST | str | None] = {}
    for node in _statements(body):
        match node:
            case ast.ClassDef() | ast.FunctionDef():
                found[node.name] = node
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(
                ast.Name(name), _, ast.expr() as value
            ):
                found[name] = None if isinstance(found.get(name), ast.expr) else value
            case ast.Import(aliases):
                for alias in aliases:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            case ast.ImportFrom(module, aliases, level):
                home = importlib.util.resolve_name("." * level + (module or ""), package)
                for alias in aliases:
                    found.setdefault(alias.asname or alias.name, f"{home}.{alias.name}")
    return found


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module or class, those under `if`, `try` and `with` included."""
    for node in body:
        yield node
        for part in ("body", "handlers", "orelse"):
            if not isinstance(node, Definition):
                yield from _statements(getattr(node, part, []))


def dotted(path: Path) -> str:
    """The dotted name of a source file's module."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def _qualified(node: ast.expr, path: Path) -> str:
    """The full dotted name of `name` or `module.name` in a file."""
    name, _, rest = ast.unparse(node).partition(".")
    found = _names(path).get(name)
    home = found if isinstance(found, str) else f"{dotted(path)}.{name}"
    return f"{home}.{rest}" if rest else home


def _ancestry(definition: ast.ClassDef, path: Path) -> list[tuple[ast.ClassDef, Path]]:
    """The class and those it is derived from, in the order in which Python looks through them."""
    found = [(definition, path)]
    top = dotted(path).partition(".")[0]
    for base in definition.bases:
        base = base.value if isinstance(base, ast.Subscript) else base
        if not isinstance(base, ast.Name | ast.Attribute):
            continue
        name = _qualified(base, path)
        home = name.partition(".")[0]
        if home in OPAQUE and home != top:
            continue
        try:
            kind, file = _find(name)
        except ConfigError:
            continue  # a builtin, or a class that is made while running
        if isinstance(kind, ast.ClassDef):
            inherited = _ancestry(kind, file)
            found = [pair for pair in found if pair not in inherited] + inherited
    return found


# --------------------------------------------------------------------------- arguments and fields


def _init(kind: ast.ClassDef) -> ast.FunctionDef | None:
    return next(
        (n for n in kind.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None
    )


def _arguments(function: ast.FunctionDef, path: Path) -> Iterator[Parameter]:
    given = function.args
    required = len(given.posonlyargs) + len(given.args) - len(given.defaults)
    defaults = ([None] * required + given.defaults)[len(given.posonlyargs) :]
    names = [*given.args, *given.kwonlyargs]
    for argument, default in zip(names, [*defaults, *given.kw_defaults], strict=True):
        if argument.arg != "self":
            yield _parameter(argument.arg, argument.annotation, default, path)


def _is_dataclass(kind: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in kind.decorator_list)


def _fields(ancestry: list[tuple[ast.ClassDef, Path]]) -> list[Parameter]:
    """The constructor arguments of a dataclass, keyword-only ones last."""
    found: dict[str, tuple[bool, Parameter | None]] = {}
    for kind, path in reversed(ancestry):
        if not _is_dataclass(kind):
            continue
        keyword_only = any(_option(decorator, "kw_only") for decorator in kind.decorator_list)
        for node in kind.body:
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            text = ast.unparse(node.annotation)
            if text.endswith("KW_ONLY"):
                keyword_only = True
            elif "ClassVar" not in text:
                found[node.target.id] = _field(node.target.id, node, path, keyword_only)
    arguments = sorted(found.values(), key=lambda pair: pair[0])
    return [parameter for _, parameter in arguments if parameter is not None]


def _field(
    name: str, node: ast.AnnAssign, path: Path, keyword_only: bool
) -> tuple[bool, Parameter | None]:
    """Whether a field is keyword-only, and its argument unless it has none."""
    value = node.value
    if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("field"):
        options = {str(option.arg): option.value for option in value.keywords}
        keyword_only = _option(value, "kw_only", keyword_only)
        if not _option(value, "init", True):
            return keyword_only, None
        value = options.get("default")
        if factory := options.get("default_factory"):
            value = getattr(factory, "body", ast.Call(factory, [], []))  # of a lambda
    return keyword_only, _parameter(name, node.annotation, value, path)


def _option(call: ast.expr, name: str, default: bool = False) -> bool:
    keywords = call.keywords if isinstance(call, ast.Call) else []
    given = [option.value for option in keywords if option.arg == name]
    return bool(ast.literal_eval(given[0])) if given else default


def _parameter(
    name: str, annotation: ast.expr | None, default: ast.expr | None, path: Path
) -> Parameter:
    kind, choices = _config_type(annotation)
    text = ast.unparse(annotation) if annotation is not None else ""
    if default is None:
        return Parameter(name, kind, NO_DEFAULT, choices, text)
    value = _value_or_unknown(default, path)
    return Parameter(name, Any if value is UNKNOWN else kind, value, choices, text)


def _value_or_unknown(node: ast.expr, path: Path) -> Any:
    try:
        return _value(node, path)
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        return UNKNOWN


OPERATORS: dict[type[ast.AST], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
MAKERS: dict[str, Any] = {"float": float, "list": list, "dict": dict, "tuple": tuple, "set": set}


def _value(node: ast.AST, path: Path) -> Any:
    """What an expression of literals, named constants, those of `math`, and arithmetic is worth.

    Raises:
        ValueError: it is of another kind (ConfigError: it names something that is not found).
    """
    match node:
        case ast.Name() | ast.Attribute():
            name = _qualified(node, path)
            if name.startswith("math."):
                return float(getattr(math, name.removeprefix("math.")))
            return _value(*_find(name))
        case ast.UnaryOp(op, operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(operand, path))
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(left, path), _value(right, path))
        case ast.Call(ast.Name(maker), arguments, []) if maker in MAKERS:
            return MAKERS[maker](*(_value(argument, path) for argument in arguments))
        case ast.Call(ast.Attribute(ast.Name("math"), function), arguments, []):
            return getattr(math, function)(*(_value(argument, path) for argument in arguments))
        case ast.Tuple(elements):
            return tuple(_value(element, path) for element in elements)
        case ast.List(elements):
            return [_value(element, path) for element in elements]
    return ast.literal_eval(node)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------- annotations

PRIMITIVES: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str}
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def type_name(kind: Any) -> str:
    """What a user calls a type of `_config_type`, or of the root config."""
    if get_origin(kind) is list:
        (member,) = get_args(kind)
        return "a list" + f" of {type_name(member).removeprefix('a ')}s" * (member is not Any)
    if get_origin(kind) is dict:
        return "a mapping"
    members = [KINDS.get(one, "null") for one in getattr(kind, "__args__", ())]
    return KINDS.get(kind) or " or ".join(members) or "of another type"


def whole(value: Any) -> str:
    """The remedy where a whole number is written as another one is, as in 1e9."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return ""
    return f"; write {int(number)}" if number.is_integer() else ""


def _config_type(annotation: ast.expr | None) -> tuple[Any, tuple[Any, ...]]:
    """Map an annotation to a type OmegaConf knows; what it cannot express becomes `Any`."""
    if annotation is None:
        return Any, ()
    members = list(_union(annotation))
    names = [ast.unparse(member).removeprefix("typing.") for member in members]
    optional = "None" in names
    for name, member in zip(names, members, strict=True):
        if name.startswith("Literal[") and isinstance(member, ast.Subscript):
            choices = ast.literal_eval(member.slice)
            choices = choices if isinstance(choices, tuple) else (choices,)
            return Any, (*choices, None) if optional else choices
    # `float | Tensor` is a float to a config: a tensor cannot be written in YAML.
    kinds = [PRIMITIVES.get(name, Any) for name in names if name not in ("None", "Tensor")]
    if len(kinds) != 1 or kinds[0] is Any:
        return Any, ()
    return (kinds[0] | None if optional else kinds[0]), ()


def _union(annotation: ast.expr) -> Iterator[ast.expr]:
    match annotation:
        case ast.BinOp(left, ast.BitOr(), right):
            yield from _union(left)
            yield from _union(right)
        case ast.Subscript(kind, inner) if ast.unparse(kind).endswith("Union"):
            for member in getattr(inner, "elts", [inner]):
                yield from _union(member)
        case ast.Subscript(kind, inner) if ast.unparse(kind).endswith("Optional"):
            yield from _union(inner)
            yield ast.Constant(None)
        case _:
            yield annotation
