"""Processes that others start, and the signals that ask one to end. Imports nothing heavy."""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Ctrl-C, what a scheduler sends, and what Slurm sends before it queues a job again.
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
]


#: In the environment of whatever is started by a sweep that tells how far all its jobs have come.
TOLD = "SEQ2SEQ_TOLD"


def is_told() -> bool:
    """Whether a run is to be silent on this terminal, where its sweep has a line about all."""
    return TOLD in os.environ and sys.stderr.isatty()


@contextmanager
def importing() -> Iterator[None]:
    """Search for no garbage while torch and Lightning are imported, nor among them later.

    They leave none, and the searches would take a tenth of the time until a first step.
    """
    if "lightning" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def end_with_parent() -> None:
    """Let this process be killed when the one that started it ends, in whatever way (Linux)."""
    parent = multiprocessing.parent_process()
    if parent is not None and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG
        if os.getppid() != parent.pid:
            os._exit(1)


def serve_parent() -> None:
    """In a process of a launcher's pool, leave it to the process that started it to end it.

    A pool of which one process ends by a signal kills the others before they have saved. Where
    somebody else handles signals, as the process that launches does, nothing is changed.
    """
    is_main = threading.current_thread() is threading.main_thread()
    pooled = is_main and multiprocessing.parent_process() is not None
    if pooled and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        end_with_parent()
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def keep_memory() -> None:
    """Let this process keep what it frees for itself, as one that trains needs it again at once.

    Else glibc gives large blocks back after each use, and a fifth of the time goes into pages that
    the system has to clear.
    """
    with suppress(AttributeError):  # another C library
        adjust = ctypes.CDLL(None).mallopt
        adjust(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        adjust(-3, 2**25)  # M_MMAP_THRESHOLD, the largest that there is
