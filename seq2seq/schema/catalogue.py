"""What can be chosen and set, read from YAML files and sources alone.

`--help` and TAB want it at once, so that neither Hydra nor OmegaConf is imported for it.
"""

import argparse
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from seq2seq.errors import ConfigError, nearest
from seq2seq.schema.signatures import NO_DEFAULT, UNKNOWN, docstrings, package_path, signature

PACKAGE = Path(__file__).parents[1]
#: In a checkout the configs lie beside the package, in an installed wheel inside it.
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"

# That in C, where there is one, takes a tenth of the time.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Key(NamedTuple):
    """A value that can be set: its dotted key, its type, what it is, what it may be and means."""

    name: str
    type: str
    value: Any
    choices: tuple[Any, ...]
    meaning: str


# ------------------------------------------------------------------------------ files and choices


def choices(arguments: Sequence[str] = ()) -> dict[str, list[str]]:
    """The groups of configs, as in `task` or `task/input`, and what can be chosen in each."""
    found: dict[str, list[str]] = {}
    for group, name, _ in groups(arguments):
        found.setdefault(group, []).append(name)
    return dict(sorted(found.items()))


def groups(arguments: Sequence[str]) -> Iterator[tuple[str, str, Path]]:
    """Every YAML that can be chosen, its group and name, of the folders that a command names.

    A folder of experiments is part of their names, as in `experiment=atlas/parity`. What begins
    with an underscore is what others share.
    """
    for folder in _folders(arguments):
        for path in sorted(folder.glob("*/**/*.yaml")):
            group, name = path.parent.relative_to(folder).as_posix(), path.stem
            if name.startswith("_"):
                continue
            if below := group.partition("experiment/")[2]:
                group, name = "experiment", f"{below}/{name}"
            yield group, name, path


def _folders(arguments: Sequence[str]) -> list[Path]:
    """Where Hydra looks for configs: the project's, `--config-dir`, and `hydra.searchpath`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--config-name", "-cn", default="train")
    parser.add_argument("-c")  # else it would be taken for one of these
    given, overrides = parser.parse_known_args(list(arguments))
    folders = [CONFIGS, *([Path(given.config_dir)] if given.config_dir else [])]
    named = [text for text in overrides if re.match(r"\+{0,2}hydra\.searchpath=", text)]
    further: Any = None
    if named:
        from hydra.core.override_parser.overrides_parser import OverridesParser

        further = OverridesParser.create().parse_override(named[-1]).value()
    else:
        primary = [f / f"{given.config_name.removesuffix('.yaml')}.yaml" for f in folders]
        path = next((path for path in primary if path.exists()), primary[0])
        if "searchpath" in path.read_text(encoding="utf-8"):
            from omegaconf import OmegaConf

            further = OmegaConf.select(OmegaConf.load(path), "hydra.searchpath", default=None)
            further = OmegaConf.to_object(further) if OmegaConf.is_config(further) else further
    if not isinstance(further or [], list):
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


# ----------------------------------------------------------------------- a config as it is written


class Catalogue:
    """The config of a command as files and overrides state it, interpolations as written.

    Of several values of a sweep the first counts.

    Args:
        arguments: of the command line.

    Attributes:
        choices: as the function of that name gives them.
        picks: what is chosen in each group.
        config: the nodes.

    Raises:
        ConfigError: something is chosen that there is not.
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self.choices = choices(arguments)
        self._files: dict[tuple[str, str], Path] = {}
        for *choice, path in groups(arguments):
            self._files.setdefault((choice[0], choice[1]), path)
        words = (re.sub("^[+]+", "", word).partition("=") for word in arguments)
        given = {key: _first(text) for key, equals, text in words if equals}
        root = _read(CONFIGS / "train.yaml")
        self.picks = dict(_defaults(root, ""))
        body: dict[str, Any] = {}
        if experiment := given.get("experiment"):
            body = _read(self._file("experiment", experiment))
            self.picks |= dict(_defaults(body, "experiment"))
        self.picks |= {key: text for key, text in given.items() if key in self.choices}
        self.config = {key: value for key, value in root.items() if key != "hydra"}
        for group, name in [*self.picks.items()]:
            if "/" not in group and group in self.choices and group != "experiment":
                self.config[group] = self._node(group, name)
        self.config = _merged(self.config, body)
        for key, text in given.items():
            if key not in self.choices and not key.startswith("hydra"):
                *above, last = key.split(".")
                node = {last: _plain(text)}
                for part in reversed(above):
                    node = {part: node}
                self.config = _merged(self.config, node)

    def keys(self, name: str) -> Iterator[Key]:
        """What can be set of a component, or of the components in a group of several."""
        yield from _keys(name, self.config.get(name))

    def meaning(self, group: str) -> str:
        """What is chosen in a group, as the first comment of its YAML or its class says."""
        text = self._file(group, self.picks[group]).read_text(encoding="utf-8")
        if text.startswith("# "):
            return text.partition("\n")[0][2:].removesuffix(".")
        target = self.config[group].get("_target_")
        return _sentences(docstrings(target)[0].partition("\n\n")[0])[0] if target else ""

    def _file(self, group: str, name: str | None) -> Path:
        if not name or (group, name) not in self._files:
            known = self.choices.get(group, ())
            raise ConfigError(f"{group}={name} is not there{nearest(name, known)}")
        return self._files[group, name]

    def _node(self, group: str, name: str | None) -> dict[str, Any]:
        if name in (None, "null"):
            return {}
        body, merged = _read(self._file(group, str(name))), dict[str, Any]()
        for below, other in _defaults(body, group):
            if below == group:
                merged = _merged(merged, self._node(group, other))
            else:
                pick = self.picks.setdefault(below, other)
                part = self._node(below, pick)
                text = self._file(below, pick).read_text(encoding="utf-8") if pick else ""
                own = re.match(r"# @package (\S+)", text)  # where it puts its values
                within = own is not None and own[1] == group
                merged = _merged(merged, part if within else {below.rpartition("/")[2]: part})
        return _merged(merged, body)


def _read(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    return loaded if isinstance(loaded, dict) else {}


def _defaults(body: dict[str, Any], group: str) -> Iterator[tuple[str, str | None]]:
    """Takes the defaults out of a YAML: groups, and what it chooses in each."""
    for entry in body.pop("defaults", None) or ():
        if isinstance(entry, Mapping):
            ((key, name),) = entry.items()
            key = re.sub("^(override|optional) ", "", str(key))
            yield key[1:] if key.startswith("/") else f"{group}/{key}".strip("/"), name
        elif entry != "_self_" and not str(entry).endswith("_schema"):
            yield group, str(entry)


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(one[key], value)
        for key, value in other.items()
        if isinstance(value, Mapping) and isinstance(one.get(key), Mapping)
    }
    return {**one, **other, **both}


def _first(text: str) -> str:
    """The first of the values of a sweep."""
    return text if text[:1] in ("[", "{", "'", '"') else text.partition(",")[0]


def _plain(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text


@functools.cache
def settable() -> dict[str, list[str]]:
    """Every key that some choice has, as `model.cell`, with these choices, as `model=rnn`.

    What others add is left out.
    """
    found: dict[str, list[str]] = {}
    for group, name, _ in groups(()):
        if "/" not in group and group != "experiment":
            for key in Catalogue([f"{group}={name}"]).keys(group):
                found.setdefault(key.name, []).append(f"{group}={name}")
    return found


def below(name: str, arguments: Sequence[str]) -> str | None:
    """`optimizer.lr` for `lr`: what a command can set whose dotted key ends so."""
    try:
        catalogue = Catalogue([word for word in arguments if word.partition("=")[0] != name])
        parts = [key.name for part in catalogue.config for key in catalogue.keys(part)]
    except ConfigError:
        return None
    return next((key for key in parts if key.rpartition(".")[2] == name), None)


# ------------------------------------------------------------------------------ keys and meanings


def _keys(name: str, node: Any) -> Iterator[Key]:
    if not isinstance(node, Mapping):
        return
    target = str(node.get("_target_", ""))
    told = {parameter.name: parameter for parameter in signature(target)} if target else {}
    for key in dict.fromkeys([*told, *(one for one in node if one[0] != "_")]):
        parameter = told.get(key)
        value = node.get(key, parameter.default if parameter else None)
        if isinstance(value, Mapping) and value:
            yield from _keys(f"{name}.{key}", value)
            continue
        permitted = parameter.choices if parameter else ()
        kind = "|".join(map(shown, permitted)) or (parameter.annotation if parameter else "")
        meaning = _meaning(target, key) if target else ""
        yield Key(f"{name}.{key}", kind or type(value).__name__, value, permitted, meaning)


def shown(value: Any) -> str:
    """A value as one would write it on the command line."""
    if value is NO_DEFAULT or value is UNKNOWN:
        return ""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _meaning(target: str, key: str) -> str:
    """What docstrings say of an argument: its entry, or a first sentence that names it."""
    entry = rf"^( *)(?:\w+, )*{key}(?:, \w+)*(?: \([^)\n]*\))?: *(.+(?:\n\1 +.+)*)"
    for text in docstrings(target):
        for found in re.finditer(entry, text, re.MULTILINE):
            if not found[2].startswith(("see ", "likewise")):
                return _sentences(found[2])[0]
    summary = _sentences(docstrings(target)[0].partition("\n\n")[0])[0]
    return summary if re.search(rf"(?<![a-z_]){key}(?![a-z_])", summary) else ""


def _sentences(text: str) -> list[str]:
    """The sentences of a paragraph, each on one line, without marks of code."""
    line = " ".join(text.replace("`", "").split())
    return [one.removesuffix(".") for one in re.split(r"(?<=[\w)\]])\. (?=[A-Z])", line)]
