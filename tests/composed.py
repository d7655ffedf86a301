"""Configs as the project composes them, without starting a program."""

from hydra import initialize_config_dir
from omegaconf import DictConfig, open_dict

from seq2seq import schema
from seq2seq.compose import compose


def composed(*overrides: str, hydra: bool = False) -> DictConfig:
    """The config of a run; with Hydra's node if `hydra`."""
    schema.register()
    with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
        cfg = compose(overrides)
    if not hydra:
        with open_dict(cfg):
            del cfg["hydra"]
    return cfg
