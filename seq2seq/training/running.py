"""The life of a run: claimed, begun, trained, ended in one way or another."""

import errno
import gc
import logging
import os
import traceback
from collections.abc import Sequence

from omegaconf import DictConfig

from seq2seq.callbacks import Clock, Interruption, TimeUp
from seq2seq.errors import unwritable
from seq2seq.files import place, remove_leftovers
from seq2seq.runs import LostLease, Run, run_folder, write_atomically
from seq2seq.runs.locks import Claims
from seq2seq.schema import one_device
from seq2seq.times import Taken
from seq2seq.training.configure import ALONE, configure
from seq2seq.training.fitting import fit
from seq2seq.training.hparams import tabulate
from seq2seq.training.signals import interruptible

log = logging.getLogger("seq2seq")

#: Errors of a disk that takes no more.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def train(overrides: Sequence[str] = ()) -> Run:
    """Train one run as `python train.py <overrides>` would, and return it.

    With `dry_run=true` it is only checked. Called from several threads, one trains after another.

    Raises:
        ConfigError: the overrides do not make a config that can be run; nothing was written.
    """
    with ALONE:
        cfg = configure(overrides)
        one_device(cfg, "a run started from Python")
        return Run(run_folder(cfg)) if cfg.dry_run else run(cfg)


def run(cfg: DictConfig) -> Run:
    """Train, or finish training, the run that `cfg` describes; a final one is returned as it is.

    An interrupted run continues from its last readable checkpoint, and ends on CPU bit for bit
    where the uninterrupted one ends. The outcome stands in `result.json`: its `status` is
    `finished`, `diverged`, `failed` (see `traceback.txt`) or `stopped`. A run that another process
    is training is left to it.

    Raises:
        KeyboardInterrupt: after a checkpoint and noting `stopped`, when a signal asks to end.
    """
    the_run = Run(run_folder(cfg), _trusted(cfg))
    if the_run.is_done(cfg):
        return the_run
    with interruptible() as interruption, Claims() as claims:
        if not claim(claims, the_run):
            log.info("%s is being trained by another process", the_run.folder)
        elif not the_run.is_done(cfg):  # unless another has just finished it
            _train(cfg, the_run, interruption)
            gc.collect()  # trainer, module and figures hold one another
    return the_run


def _trusted(cfg: DictConfig) -> list[str]:
    """What whoever trains a run lets it name: packages, and the file of its data."""
    path = cfg.task.get("path")
    return [*cfg.allow, *([str(place(path).absolute())] if path else [])]


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
        raise unwritable(the_run.folder, error) from None


def _train(cfg: DictConfig, the_run: Run, interruption: Interruption) -> None:
    begin(cfg, the_run)
    clock = Clock()
    try:
        result = fit(cfg, the_run, [interruption, clock])
        the_run.write_result(result | clock.taken.result)
        tabulate(the_run)
    except (KeyboardInterrupt, SystemExit, TimeUp) as end:
        the_run.write_result({"status": "stopped"} | clock.taken.result)
        if not isinstance(end, TimeUp):
            raise KeyboardInterrupt from None
    except Exception as error:
        note_failure(the_run, error, clock.taken)


def begin(cfg: DictConfig, the_run: Run) -> None:
    """Make the run's folder, store the config and the provenance; `force` leaves nothing older.

    What killed processes were about to write goes in any case.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    if cfg.force:
        the_run.clear()
    try:
        the_run.write_config(cfg)
        the_run.write_provenance(cfg)
        for folder in (the_run.folder, the_run.folder / "checkpoints"):
            remove_leftovers(folder)
        (the_run.folder / "result.json").unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(the_run.folder, error) from None


def note_failure(the_run: Run, error: Exception, taken: Taken | None = None) -> None:
    """Write the traceback and a result with the status `failed` into the run's folder.

    A run that another process has taken over has not failed.
    """
    if isinstance(error, LostLease):
        return log.warning("%s", error)
    line = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.errno in FULL:
        line += f", while writing below {the_run.folder}; free space there, or set paths.outputs"
    log.error("%s failed: %s", the_run.folder, line)
    text = "".join(traceback.format_exception(error))
    write_atomically(the_run.folder / "traceback.txt", text.encode())
    the_run.write_result({"status": "failed", "error": line[:500]} | (taken or Taken()).result)
    tabulate(the_run)
