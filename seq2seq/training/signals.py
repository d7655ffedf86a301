"""Signals that ask a process to end, and how the runs in it and in its workers are left."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from seq2seq.callbacks import Interruption
from seq2seq.processes import SIGNALS
from seq2seq.runs.locks import Owner, holder


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Note in what is yielded that a signal asks to end, so that a run stops between two steps.

    When the run has been left, the signal is passed on to whoever would have got it, such as a
    handler that puts the job back into Slurm's queue.

    Raises:
        KeyboardInterrupt: at the end of the block, if a signal came.
    """
    interruption = Interruption()
    try:
        with _handling(interruption.request) as before:
            yield interruption
    finally:
        if interruption.requested:
            if callable(handler := before[interruption.requested]):
                handler(interruption.requested, None)
            raise KeyboardInterrupt


@contextmanager
def stopping_workers(folders: Sequence[Path] = ()) -> Iterator[None]:
    """Turn a signal that asks to end into KeyboardInterrupt, once the workers have saved.

    Then it is passed on as `interruptible` does.

    Args:
        folders: of the runs that processes started by this one may be training.
    """
    stopped = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = number
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C waits no longer
        told: set[Owner] = set()
        workers = {child.pid for child in multiprocessing.active_children()}
        while owners := {one for one in map(holder, folders) if one and one.pid in workers}:
            for owner in owners - told:
                os.kill(owner.pid, signal.SIGTERM)
            told |= owners
            time.sleep(0.1)
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    try:
        with _handling(stop) as before:
            yield
    finally:
        if stopped and callable(handler := before[stopped]):
            handler(stopped, None)


@contextmanager
def _handling(handler: Any) -> Iterator[dict[int, Any]]:
    """Let `handler` have the signals that ask to end; yields who had them before.

    Only the main thread can have them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield before
    finally:
        for number, former in before.items():
            signal.signal(number, former)
