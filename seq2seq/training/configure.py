"""From overrides to a config that can be run."""

import functools
import json
import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import lightning
from hydra import compose, initialize_config_dir
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from seq2seq import checks, schema
from seq2seq.build import build, refusing
from seq2seq.schema import ConfigError

#: Held while a thread composes, trains or sweeps, the others wait: Hydra's state, torch's global
#: random numbers and the handlers of signals belong to the whole process.
ALONE = threading.RLock()


@contextmanager
def composing(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Hydra with this project's configs, whatever Hydra the caller is at; gives the overrides.

    Raises:
        ConfigError: they are no list of texts, or what is done within fails.
    """
    with ALONE:
        shared = {kind: kind.instance() for kind in (ConfigStore, Plugins, SourcesRegistry)}
        before, Singleton._instances = Singleton._instances, shared
        try:
            arguments = checks.texts("overrides", overrides)
            schema.register(arguments)
            with initialize_config_dir(str(schema.CONFIGS), "train", version_base="1.3"):
                yield arguments
        except Exception as error:
            raise ConfigError(schema.explain(error)) from None
        finally:
            Singleton._instances = before


def configure(overrides: Sequence[str] = ()) -> DictConfig:
    """The config of the run that `python train.py <overrides>` would train.

    Raises:
        ConfigError: the overrides do not make a config that can be run.
    """
    with composing(overrides) as arguments:
        cfg = compose("train", overrides=arguments)
    check(cfg)
    return cfg


def check(cfg: DictConfig) -> None:
    """Refuse a config that cannot be run: keys and types, then the constructors' own rules.

    Raises:
        ConfigError: with one line that names the key, the value and the remedy.
    """
    build(cfg)
    shared = ("trainer", "callbacks")
    plain = {key: OmegaConf.to_container(cfg[key], resolve=True) for key in shared}
    _check_shared(json.dumps(plain))


@functools.lru_cache(maxsize=64)
def _check_shared(nodes: str) -> None:
    """Build the trainer and the callbacks, once for all jobs of a sweep that share them."""
    cfg = OmegaConf.create(json.loads(nodes))
    with quiet(), refusing("trainer"):
        instantiate(cfg.trainer, logger=False)
    with refusing("callbacks"):
        build_callbacks(cfg)


def build_callbacks(cfg: DictConfig) -> list[lightning.Callback]:
    return [instantiate(node) for node in cfg.callbacks.values() if node is not None]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's notices and tips out of the terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
            warnings.filterwarnings("ignore", message=r".*No `val_dataloader`.*")
            yield
    finally:
        logger.setLevel(level)
