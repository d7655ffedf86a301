"""What a config may ask of a training, beyond its keys and types."""

import math
import os
from collections.abc import Mapping
from numbers import Real
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seq2seq import checks
from seq2seq.errors import ConfigError
from seq2seq.schema.signatures import signature

CALLBACKS = "callbacks.stop_at_target or callbacks.stop_after_escape, which alone end a run early"

#: The arguments of `lightning.Trainer`: None for one that is heeded as it is written; for another
#: its only value, and what to use in its place.
TRAINER: dict[str, tuple[Any, str] | None] = {
    "accelerator": None,
    "strategy": None,
    "devices": None,
    "num_nodes": (1, "hydra/launcher=submitit, which gives every run of a sweep a machine"),
    "precision": None,
    "logger": (None, "logger=<name>"),
    "callbacks": (None, "callbacks.<name>"),
    "fast_dev_run": (False, "trainer=debug"),
    "max_epochs": None,
    "min_epochs": (None, CALLBACKS),
    "max_steps": None,
    "min_steps": (None, CALLBACKS),
    "max_time": None,
    "limit_train_batches": (None, "trainer.max_steps or task.train_size"),
    "limit_val_batches": (None, "task.val_size"),
    "limit_test_batches": (None, "task.test_size"),
    "limit_predict_batches": (None, "scripts/generate.py"),
    "overfit_batches": (0.0, "task.train_size"),
    "val_check_interval": None,
    "check_val_every_n_epoch": (None, "trainer.val_check_interval, in steps"),
    "num_sanity_val_steps": (0, "trainer=debug, which validates early"),
    "log_every_n_steps": None,
    "enable_checkpointing": (False, "callbacks.checkpoints"),
    "enable_progress_bar": None,
    "enable_model_summary": None,
    "accumulate_grad_batches": (1, "task.batch_size"),
    "gradient_clip_val": (None, "gradient_clip_val, without trainer"),
    "gradient_clip_algorithm": (None, "gradient_clip_val, which bounds the norm"),
    "deterministic": None,
    "benchmark": None,
    "inference_mode": None,
    "use_distributed_sampler": (True, "trainer.devices: the task shares its batches itself"),
    "profiler": (None, "scripts/benchmark.py or python -m cProfile"),
    "detect_anomaly": None,
    "barebones": (False, "logger=none and callbacks.<name>=null"),
    "plugins": (None, "trainer.precision or trainer.strategy"),
    "sync_batchnorm": None,
    "reload_dataloaders_every_n_epochs": (0, "task.online=true for fresh batches"),
    "default_root_dir": (None, "paths.outputs"),
    "enable_autolog_hparams": (True, "logger=<name>"),
    "model_registry": (None, "logger=<name>"),
}

#: Short names of precisions, which results should have one name of.
PRECISIONS = {"64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}

#: Keys of Hydra that would move a run's folder, and what stands there unless a user sets them.
HYDRA = {
    "run.dir": "${hydra.sweep.dir}",
    "sweep.dir": "${paths.outputs}",
    "sweep.subdir": "${hydra.job.num}",
    "job.chdir": False,
}


def steps(otherwise: int, *, _root_: Mapping[str, Any] | DictConfig) -> int:
    """⌈trainer.max_epochs · task.train_size / task.batch_size⌉, or `otherwise` without max_epochs.

    Batches run on from one permutation of the training set into the next, so that an epoch is
    train_size / batch_size steps and n epochs are the fewest steps that show every sequence n
    times. In YAML, `${steps:1500}`.
    """
    epochs, task = _root_["trainer"].get("max_epochs"), _root_["task"]
    sizes = task.get("train_size"), task.get("batch_size")
    if not all(isinstance(n, int) and n > 0 for n in (epochs, *sizes)):
        return otherwise  # `check_training` says what is wrong with it
    return math.ceil(epochs * sizes[0] / sizes[1])


def check_training(cfg: DictConfig | Mapping[str, Any]) -> None:
    """Refuse what a training would not heed or could not do, before torch is imported.

    Raises:
        ConfigError: one line that names the key, the value and the remedy.
    """
    trainer = cfg["trainer"]
    for name, rule in TRAINER.items():
        if rule is not None and (value := trainer.get(name, rule[0])) != rule[0]:
            raise ConfigError(f"trainer.{name}={value} has no effect here; use {rule[1]}")
    checks.one_of(
        "trainer.deterministic", trainer.get("deterministic"), (False, True, "warn", None)
    )
    if not isinstance(trainer.get("max_time"), str | Mapping | DictConfig | None):
        form = "be a text 'DD:HH:MM:SS' or a mapping of days, hours, minutes, seconds"
        checks.refuse("trainer.max_time", trainer["max_time"], form, "00:01:00:00")
    if (given := str(trainer.get("precision"))) in PRECISIONS:
        name = PRECISIONS[given]
        raise ConfigError(
            f"trainer.precision={given} is called {name}; set trainer.precision={name}"
        )
    checks.integer("trainer.max_steps", trainer.get("max_steps"))
    checks.integer("trainer.val_check_interval", trainer.get("val_check_interval"))
    checks.integer("trainer.log_every_n_steps", trainer.get("log_every_n_steps", 50))
    if trainer.get("max_epochs") not in (None, -1):
        checks.integer("trainer.max_epochs", trainer["max_epochs"])
        wanted = steps(0, _root_=cfg)
        if not wanted:
            raise ConfigError("trainer.max_epochs needs a task.train_size; set trainer.max_steps")
        if trainer["max_steps"] != wanted:
            raise ConfigError(
                f"trainer.max_epochs={trainer['max_epochs']} means {wanted} steps here, and "
                f"trainer.max_steps={trainer['max_steps']} is set too; leave out "
                f"trainer.max_epochs and set trainer.max_steps={wanted}"
            )
    cores = os.cpu_count() or 1
    if cfg["threads"] > cores:
        checks.refuse("threads", cfg["threads"], f"be at most the {cores} cores here", cores)
    for group in ("optimizer", "scheduler"):
        for parameter in signature(cfg[group]["_target_"]) if cfg.get(group) else ():
            value, usual = cfg[group].get(parameter.name), parameter.default
            if (
                isinstance(value, Real)
                and value < 0
                and not (isinstance(usual, Real) and usual < 0)
            ):
                remedy = usual if isinstance(usual, Real) else 0
                checks.refuse(f"{group}.{parameter.name}", value, "not be negative", remedy)
    if isinstance(momentum := cfg["optimizer"].get("momentum"), Real):
        checks.within("optimizer.momentum", float(momentum), "[0, 1)", 0.9)


def check_folders(hydra: DictConfig) -> None:
    """Refuse keys of Hydra that would write elsewhere, in vain: a run's folder is its identity's.

    Raises:
        ConfigError: one line that names the key, the value and the remedy.
    """
    plain = OmegaConf.to_container(hydra, resolve=False)
    for key, usual in HYDRA.items():
        group, name = key.split(".")
        value = plain[group][name]  # type: ignore[call-overload, index]
        if value != usual:
            raise ConfigError(
                f"hydra.{key}={value} would move a run, whose folder is "
                "<paths.outputs>/<name>/<what it is>; use paths.outputs and name"
            )
