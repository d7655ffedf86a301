"""From overrides to a config that can be run."""

import functools
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import lightning
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from seq2seq import schema
from seq2seq.build import build, refusing
from seq2seq.schema import ConfigError


def configure(overrides: Sequence[str] = ()) -> DictConfig:
    """The config of the run that `python train.py <overrides>` would train.

    Raises:
        ConfigError: the overrides do not make a config that can be run.
    """
    try:
        schema.register(overrides)
        if GlobalHydra.instance().is_initialized():
            cfg = compose("train", overrides=list(overrides))
        else:
            with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
                cfg = compose("train", overrides=list(overrides))
        check(cfg)
    except Exception as error:
        raise ConfigError(schema.explain(error, overrides)) from None
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
