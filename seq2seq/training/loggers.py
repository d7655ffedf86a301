"""TensorBoard and other loggers of a run: what it is called there, its config, its result."""

import shlex
import textwrap
import time
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import yaml
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig

from seq2seq.runs import ending, resolved
from seq2seq.runs.locks import Claims
from seq2seq.training.hparams import settings


def build_loggers(cfg: DictConfig, folder: Path, step: int) -> list[Logger]:
    """The loggers of a run that continues from `step`, writing into its folder."""
    loggers: list[Logger] = []
    for node in cfg.logger.values():
        if node is None:
            continue
        kind = str(node._target_).rpartition(".")[2]
        if kind == "WandbLogger":
            logger = _wandb(node, folder)
        elif kind == "MLFlowLogger":
            logger = _mlflow(node, folder)
        else:
            logger = instantiate(node, save_dir=str(folder))
        if step and isinstance(logger, TensorBoardLogger):
            # What a killed run logged after its last checkpoint is logged again, so the first
            # writer drops it. Those opened later, for the final metrics, must not.
            logger = instantiate(node, save_dir=str(folder), purge_step=step + 1)
            logger.experiment.purge_step = None
        loggers.append(logger)
    _describe(resolved(cfg), loggers, step)
    return loggers


def _wandb(node: DictConfig, folder: Path) -> Logger:
    """A run of Weights & Biases beside others of this process, which Lightning's own is not."""
    import wandb

    known = signature(wandb.init).parameters
    own = {str(key): value for key, value in node.items() if key in known}
    usual = {"name": folder.name, "group": folder.parent.name, "id": ending(folder.name)}
    run = wandb.init(
        **usual | own,
        dir=str(folder),
        mode="offline" if node.get("offline") else "online",
        resume=None if node.get("offline") else "allow",
        reinit="create_new",
        settings=wandb.Settings(silent=True),
    )
    logger: Logger = instantiate(node, save_dir=str(folder), experiment=run)
    return logger


def _mlflow(node: DictConfig, folder: Path) -> Logger:
    """A run of MLflow, in the experiment that is called like the folder of the runs."""
    usual = {"run_name": folder.name, "experiment_name": folder.parent.name}
    missing = {key: value for key, value in usual.items() if node.get(key) is None}
    logger: MLFlowLogger = instantiate(node, save_dir=str(folder), **missing)
    with Claims() as claims:  # of several processes at once, each would make the experiment
        while not claims.claim(folder.parent / ".mlflow"):
            time.sleep(0.05)
        logger.experiment  # noqa: B018
    return logger


def _describe(nodes: dict[str, Any], loggers: Sequence[Logger], step: int) -> None:
    """Tell the loggers the config; in TensorBoard's Text also the claim and the command."""
    typed = (nodes.get("command") or {}).get("overrides") or []
    command = shlex.join(["python", "train.py", *typed])
    told = {key: value for key, value in nodes.items() if key != "command"}
    texts = {
        "command": " \\\n  ".join(textwrap.wrap(command, 88, break_long_words=False)),
        "config": yaml.safe_dump(told, sort_keys=False, allow_unicode=True),
    }
    for logger in loggers:
        if not isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(settings(nodes))
            continue
        logger.hparams.update(settings(nodes))  # for its hparams.yaml
        if step == 0:
            for name, text in texts.items():  # indented, so that line breaks stay
                logger.experiment.add_text(name, textwrap.indent(text, "    "), 0)
            if nodes.get("claim"):
                logger.experiment.add_text("claim", str(nodes["claim"]), 0)


def log_outcome(loggers: Sequence[Logger], result: Mapping[str, Any]) -> None:
    """Log what a run took; TensorBoard gets that beside its parameters, see `hparams.tabulate`."""
    taken = {f"work/{name}": float(result[name]) for name in ("steps", "parameters")}
    for logger in loggers:
        if not isinstance(logger, TensorBoardLogger):
            logger.log_metrics(taken, step=result["steps"])


def close_loggers(loggers: Sequence[Logger], good: bool) -> None:
    """Let the loggers write what they hold."""
    for logger in loggers:
        logger.finalize("success" if good else "failed")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish(exit_code=int(not good))
