"""What the framework costs on this machine, measured beside what it is compared with."""

from omegaconf import DictConfig

from seq2seq import schema


def configure(*overrides: str) -> DictConfig:
    """The config of `python train.py <overrides>`."""
    from hydra import compose, initialize_config_dir

    schema.register()
    with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
        return compose("train", overrides=list(overrides))
