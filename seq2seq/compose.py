"""Compose configs: what several of them share once, what tells them apart each."""

import copy
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra import compose as compose_alone
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.utils import JobRuntime
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from seq2seq import schema
from seq2seq.runs import chosen

#: Most configs that are kept to be changed; each takes 200 kB.
MOST_SHARED = 64


def compose(overrides: Sequence[str]) -> DictConfig:
    """What `hydra.compose("train", overrides, return_hydra_config=True)` gives, sooner if again.

    Files are chosen and merged once for all configs of a process that choose the same, and again
    when a file of the project's configs has changed. Hydra must be initialised.

    Raises:
        HydraException: the overrides do not make a config.
    """
    composer = _composer(_files())
    if not composer.serves(overrides):
        return compose_alone("train", [*overrides], return_hydra_config=True)
    cfg = composer(overrides)
    cfg.hydra.runtime.cwd = os.getcwd()
    cfg.hydra.job.name = JobRuntime.instance().get("name")
    return cfg


@functools.lru_cache(maxsize=1)
def _composer(files: tuple[tuple[str, int], ...]) -> "Composer":
    """For single runs: the config of no overrides; `files` tells what it was made from."""
    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoaderImpl)
    return Composer(loader, loader.load_configuration("train", [], RunMode.RUN))


def _files() -> tuple[tuple[str, int], ...]:
    """The project's configs and when each was written."""
    paths = sorted(schema.CONFIGS.rglob("*.yaml"))
    return tuple((str(path), path.stat().st_mtime_ns) for path in paths)


class Composer:
    """Gives what Hydra's `load_sweep_config` gives, jobs with the same group choices sooner.

    Hydra takes 320 ms for a config, nearly all of it to choose and merge files; this takes 20: in a
    sweep of 128 runs 3 s in place of 40, for which it reaches into Hydra's own parts. Values come
    last, into what has been merged, so jobs with the same choices get copies of one merged config,
    and each its own values. `plain`, enough to check a job and to find its folder, takes 1.

    Args:
        loader: Hydra's.
        config: the sweep's own config.
    """

    def __init__(self, loader: ConfigLoaderImpl, config: DictConfig) -> None:
        self.loader = loader
        self.config = config
        parser = OverridesParser.create(config_loader=loader)
        # Jobs have most of their overrides in common.
        self._parse = functools.cache(lambda text: parser.parse_overrides([text])[0])
        self._is_group = functools.cache(lambda key: bool(loader.repository.get_group_options(key)))
        self._is_choice = functools.cache(self._chooses)
        self._is_single = functools.cache(self._sets_one)
        self._leaves = functools.cache(self._changeable)
        self._merged: dict[tuple[str, ...], DictConfig] = {}
        self._shared: dict[tuple[tuple[str, ...], ...], _Shared] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.loader, self.config)

    def load_sweep_config(self, config: DictConfig, overrides: Sequence[str]) -> DictConfig:
        """What launchers ask Hydra's loader for; `config` is the sweep's own."""
        return self(overrides)

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one job, Hydra's node included.

        Raises:
            HydraException: the overrides do not make a config.
        """
        if self.config.hydra.searchpath:  # which groups there are is not known from the loader
            return self.loader.load_sweep_config(self.config, list(overrides))
        parsed = [self._parse(override) for override in overrides]
        cfg = copy.deepcopy(self._merge(self._choices(overrides)))
        values = [self._parse(text) for text in overrides if not self._is_choice(text)]
        ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
        self._note(cfg, parsed)
        return cfg

    def serves(self, overrides: Sequence[str]) -> bool:
        """Whether they are of one run, and of Hydra's node leave that alone which finds files."""
        try:
            parsed = [self._parse(override) for override in overrides]
        except HydraException:  # Hydra itself says what is wrong with which
            return False
        return not any(o.is_sweep_override() or o.is_hydra_override() for o in parsed)

    def plain(self, overrides: Sequence[str]) -> dict[str, Any]:
        """What `schema.plain` makes of a job's config, and `command` with its `choices`.

        Jobs share the nodes in which they agree.

        Raises:
            HydraException, OmegaConfBaseException: the overrides do not make a config.
        """
        if self.config.hydra.searchpath:
            return _plain(self(overrides))
        keys = tuple(self._parse(text).key_or_group for text in overrides)
        leaves = self._leaves(self._choices(overrides), keys)
        single = {
            key: text
            for key, text in zip(keys, overrides, strict=True)
            if key in leaves and self._is_single(text)
        }
        group = tuple(text for text in overrides if text not in single.values()), tuple(single)
        if group not in self._shared:
            if len(self._shared) >= MOST_SHARED:
                self._shared.clear()
            self._shared[group] = _Shared(self(overrides), single)
        shared = self._shared[group]
        if shared.names_hydra:
            return _plain(self(overrides))
        changes = [self._parse(text) for key, text in single.items() if shared.given[key] != text]
        try:
            return shared.changed(changes, single)
        except Exception:
            del self._shared[group]  # it is half changed
            raise

    def _choices(self, overrides: Sequence[str]) -> tuple[str, ...]:
        return tuple(text for text in overrides if self._is_choice(text))

    def _chooses(self, text: str) -> bool:
        """Whether it chooses a file, as `task=shift` does and `task={k:4}`, a value, does not."""
        override = self._parse(text)
        return not isinstance(override.value(), dict) and self._is_group(override.key_or_group)

    def _sets_one(self, text: str) -> bool:
        """Whether it gives a key another value, a number or a text that refers to nothing."""
        override, value = self._parse(text), self._parse(text).value()
        other = override.is_hydra_override() or override.package is not None or "[" in text
        plain = value is None or isinstance(value, str | int | float)
        return override.type is OverrideType.CHANGE and not other and plain and "$" not in text

    def _changeable(self, choices: tuple[str, ...], keys: tuple[str, ...]) -> set[str]:
        """Those of `keys` that are a leaf of the files' config, and above or below no other one."""
        unfolded = OmegaConf.to_container(self._merge(choices), resolve=False)
        found = set()
        for key in keys:
            node: Any = unfolded
            for part in key.split("."):
                node = node.get(part, unfolded) if isinstance(node, dict) else unfolded
            alone = sum(f"{other}.".startswith(f"{key}.") for other in keys) == 1
            above = any(key.startswith(f"{other}.") for other in keys)
            if not isinstance(node, dict | list) and alone and not above:
                found.add(key)
        return found

    def _merge(self, choices: tuple[str, ...]) -> DictConfig:
        """The config of the chosen files, not to be changed."""
        if choices not in self._merged:
            self._merged[choices] = self.loader.load_sweep_config(self.config, list(choices))
        return self._merged[choices]

    def _note(self, cfg: DictConfig, overrides: Sequence[Override]) -> None:
        """Tell Hydra's node of all overrides, as Hydra would."""
        own = [override for override in overrides if not override.is_hydra_override()]
        hydra = [str(o.input_line) for o in overrides if o.is_hydra_override()]
        cfg.hydra.overrides.task = [str(override.input_line) for override in own]
        cfg.hydra.overrides.hydra = [*self.config.hydra.overrides.hydra, *hydra]
        style = cfg.hydra.job.config.override_dirname
        cfg.hydra.job.override_dirname = get_overrides_dirname(
            overrides=own,
            kv_sep=style.kv_sep,
            item_sep=style.item_sep,
            exclude_keys=style.exclude_keys,
        )


class _Shared:
    """A config that is changed from one job to the next.

    Args:
        cfg: of the first job.
        given: its overrides, by the keys in which the jobs differ.
    """

    def __init__(self, cfg: DictConfig, given: Mapping[str, str]) -> None:
        self.cfg, self.given = cfg, dict(given)
        self.plain = _plain(cfg)
        unfolded = OmegaConf.to_container(cfg, resolve=False)
        assert isinstance(unfolded, dict)
        del unfolded["hydra"]
        references = dict(_references(unfolded))
        self.following = [path for path in references if ".".join(map(str, path)) not in given]
        self.names_hydra = any("hydra" in text for text in references.values())

    def changed(self, changes: list[Override], given: Mapping[str, str]) -> dict[str, Any]:
        """The config with `changes`, and with what follows from them."""
        if changes:
            ConfigLoaderImpl._apply_overrides_to_config(changes, self.cfg)
            own = [tuple(change.key_or_group.split(".")) for change in changes]
            for path in (*own, *self.following):
                value: Any = self.cfg
                for key in path:
                    value = value[key]
                if OmegaConf.is_config(value):
                    value = OmegaConf.to_container(value, resolve=True)
                self.plain = _with(self.plain, path, value)
            self.given = dict(given)
        return self.plain


def _plain(cfg: DictConfig) -> dict[str, Any]:
    return schema.plain(cfg) | {"command": {"choices": chosen(cfg.hydra)}}


def _references(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """The texts in a config that refer to other values, and where they stand."""
    if isinstance(node, str) and "${" in node:
        yield path, node
    if isinstance(node, dict | list):
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _references(item, (*path, key))


def _with(node: Any, path: Sequence[Any], value: Any) -> Any:
    """A nested dictionary or list with another value; what leads to it is copied."""
    if not path:
        return value
    old = node[path[0]]
    new = _with(old, path[1:], value)
    if new is old or (type(new) is type(old) and new == old and not isinstance(new, dict | list)):
        return node
    node = copy.copy(node)
    node[path[0]] = new
    return node
