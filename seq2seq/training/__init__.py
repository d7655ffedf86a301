"""From a config to a finished run: `train.py` and `seq2seq.train` both end up here."""

import functools
import gc
import json
import logging
import math
import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from seq2seq import schema
from seq2seq.build import build, refusing, threads
from seq2seq.callbacks import Interruption, Pruning, Together, members
from seq2seq.module import SequenceModule
from seq2seq.runs import (
    FINAL,
    Run,
    checkpoint_step,
    load_checkpoint,
    run_folder,
    telling,
    write_atomically,
)
from seq2seq.runs.locks import Claims
from seq2seq.schema import ConfigError
from seq2seq.tasks.text import Text

log = logging.getLogger("seq2seq")


def train(overrides: Sequence[str] = ()) -> Run:
    """Train one run as `python train.py <overrides>` would, and return it.

    Raises:
        ConfigError: the overrides do not make a config that can be run; nothing was written.
    """
    return run(configure(overrides))


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
    except Exception as error:
        raise ConfigError(schema.explain(error)) from None
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


def _gather(callbacks: Sequence[lightning.Callback]) -> list[lightning.Callback]:
    """The project's own callbacks as one; Lightning may want to know others by their class."""
    own = [callback for callback in callbacks if type(callback).__module__ == Together.__module__]
    return [Together(own), *(callback for callback in callbacks if callback not in own)]


def run(cfg: DictConfig) -> Run:
    """Train, or finish training, the run that `cfg` describes; a final one is returned as it is.

    An interrupted run continues from its last readable checkpoint, and ends on CPU bit for bit
    where the uninterrupted one ends. The outcome stands in `result.json`: its `status` is
    `finished`, `diverged`, `failed` (see `traceback.txt`) or `stopped`. A run that another process
    is training is left to it.

    Raises:
        KeyboardInterrupt: after noting `stopped`, when the user interrupts.
    """
    the_run = Run(run_folder(cfg))
    if the_run.status in FINAL and not cfg.force:
        return the_run
    with Claims() as claims:
        if not claim(claims, the_run):
            log.info("%s is being trained by another process", the_run.folder)
        elif the_run.status not in FINAL or cfg.force:  # unless another has just finished it
            _train(cfg, the_run)
            gc.collect()  # trainer, module and figures hold one another
    return the_run


def claim(claims: Claims, the_run: Run) -> bool:
    """Lock the run's folder for this process; False if another is training it.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return True  # started by the process that has the lock, to share its batches
    try:
        return claims.claim(the_run.folder)
    except OSError as error:
        raise _unwritable(the_run, error) from None


def _train(cfg: DictConfig, the_run: Run) -> None:
    begin(cfg, the_run)
    start = time.perf_counter()
    try:
        result = fit(cfg, the_run)
    except (KeyboardInterrupt, SystemExit):
        the_run.write_result({"status": "stopped", "seconds": time.perf_counter() - start})
        raise KeyboardInterrupt from None
    except Exception as error:
        note_failure(the_run, error, time.perf_counter() - start)
        return
    the_run.write_result(result | {"seconds": round(time.perf_counter() - start, 3)})


def begin(cfg: DictConfig, the_run: Run) -> None:
    """Make the run's folder and store the config in it; with `force` nothing older remains.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    if cfg.force:
        the_run.clear()
    try:
        the_run.write_config(cfg)
        (the_run.folder / "result.json").unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(the_run, error) from None


def _unwritable(the_run: Run, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write to {the_run.folder}: {error.strerror}; set paths.outputs")


def note_failure(the_run: Run, error: Exception, seconds: float) -> None:
    """Write the traceback and a result with the status `failed` into the run's folder."""
    line = " ".join(str(error).split()) or type(error).__name__
    log.error("%s failed: %s", the_run.folder, line)
    text = "".join(traceback.format_exception(error))
    (the_run.folder / "traceback.txt").write_text(text)
    the_run.write_result({"status": "failed", "error": line[:500], "seconds": seconds})


def fit(
    cfg: DictConfig, the_run: Run, extra_callbacks: Sequence[lightning.Callback] = ()
) -> dict[str, Any]:
    """Train in the folder of `the_run`, then validate and test; what `result.json` will hold."""
    task, module = build(cfg)
    if isinstance(task, Text):
        write_atomically(the_run.vocabulary, task.vocabulary.to_json().encode())
    warn_of_short_sight(task, module.model)
    if cfg.trainer.get("precision") == "64-true":
        module.double()  # Lightning would do so only after it has read the checkpoint in float32
    checkpoint = find_checkpoint(the_run, module)
    step = checkpoint_step(checkpoint) if checkpoint else 0
    loggers = build_loggers(cfg, the_run.folder, step)
    with quiet(), threads(cfg.threads), interruptible() as interruption:
        trainer = instantiate(
            cfg.trainer,
            logger=loggers or False,
            callbacks=_gather([*build_callbacks(cfg), *extra_callbacks, interruption]),
            default_root_dir=str(the_run.folder),
        )
        try:
            trainer.fit(module, task, ckpt_path=checkpoint, weights_only=True)
            result = outcome(trainer, module, task, the_run)
            if result["status"] == "finished":
                result |= _evaluate(trainer, module, task)
            log_hyperparameters(cfg, loggers, result)
        finally:
            for logger in loggers:
                logger.finalize("success")
            task.release()  # trainer and module hold each other, and it, until the next collection
    return result


def warn_of_short_sight(task: Any, model: torch.nn.Module) -> None:
    """Say so when a model cannot see as far back as its target depends on."""
    sight, memory = getattr(model, "receptive_field", None), getattr(task, "memory", None)
    if sight is not None and memory is not None and sight <= memory:
        log.warning(
            "the target depends on inputs %d steps back, the model's receptive field is %d steps; "
            "raise model.num_layers or model.kernel_size",
            memory,
            sight,
        )


def find_checkpoint(the_run: Run, module: SequenceModule) -> Path | None:
    """The newest readable checkpoint of this run, or else of a shorter one that it continues."""
    shorter = the_run.shorter()
    for source in [the_run] + ([shorter] if shorter else []):
        for path in source.checkpoints:
            try:
                load_checkpoint(path)
                module.history.restore(source.history, checkpoint_step(path))
            except (OSError, ValueError) as error:
                log.warning("%s; falling back to an earlier one", error)
                continue
            log.info("continuing from step %d of %s", checkpoint_step(path), source.folder)
            return path
    return None


def build_loggers(cfg: DictConfig, folder: Path, step: int) -> list[Logger]:
    """The loggers of a run that continues from `step`, writing into its folder."""
    loggers = []
    for node in cfg.logger.values():
        if node is None:
            continue
        logger = instantiate(node, save_dir=str(folder))
        if step and isinstance(logger, TensorBoardLogger):
            # What a killed run logged after its last checkpoint is logged again, so the first
            # writer drops it. Those opened later, for the final metrics, must not.
            logger = instantiate(node, save_dir=str(folder), purge_step=step + 1)
            logger.experiment.purge_step = None
        loggers.append(logger)
    return loggers


def outcome(
    trainer: lightning.Trainer, module: SequenceModule, task: Any, the_run: Run
) -> dict[str, Any]:
    losses = the_run.history["loss"]
    pruned = any(isinstance(c, Pruning) and c.pruned for c in members(trainer))
    status = "stopped" if pruned else "finished"
    result = ({"pruned": True} if pruned else {}) | {
        "status": "diverged" if module.diverges(losses, losses[0]) else status,
        "steps": int(the_run.history["step"][-1]),
        "parameters": sum(p.numel() for p in module.model.parameters()),
    }
    states = getattr(module.model, "state_size", None)
    if states is not None:
        result["state_size"] = states
    return result | {f"reference/{key}": value for key, value in task.reference_losses().items()}


def _evaluate(trainer: lightning.Trainer, module: SequenceModule, task: Any) -> dict[str, Any]:
    measured: dict[str, float] = {}
    for evaluate in (trainer.validate, trainer.test):
        evaluate(module, task, verbose=False)
        measured |= {key: float(value) for key, value in trainer.callback_metrics.items()}
    return finite(measured)


def finite(measured: dict[str, float]) -> dict[str, float | None]:
    """JSON knows no infinity: None in place of what is not finite."""
    return {key: value if math.isfinite(value) else None for key, value in measured.items()}


def log_hyperparameters(cfg: DictConfig, loggers: list[Logger], result: dict[str, Any]) -> None:
    """Give the HParams tab this run's config beside its final metrics."""
    parameters = {
        key: value if isinstance(value, (int, float, str, bool)) else str(value)
        for key, value in telling(cfg).items()
    }
    metrics = {
        key: value
        for key, value in result.items()
        if key.startswith(("val/", "test/")) and value is not None
    }
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(parameters, metrics, step=result["steps"])
        else:
            logger.log_hyperparams(parameters)


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


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turn the first Ctrl-C or SIGTERM into a stop between two steps, after a checkpoint."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {s: signal.signal(s, interruption.request) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
