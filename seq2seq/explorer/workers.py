"""Answers computed in processes of their own, each bounded in time and memory.

One that takes too long, or that the system ends, is replaced; the others go on meanwhile. All are
forked from one that has imported what pages need, so that starting them takes a moment.
"""

import multiprocessing
import resource
import signal
import threading
from collections.abc import Generator, Mapping
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

from seq2seq.explorer import PAGES
from seq2seq.explorer.page import Message, Page, answer

#: Seconds for one message, and bytes of memory that a process may have of its own.
SECONDS, BYTES = 30.0, 4 * 2**30
#: Requests to one page that are answered at once; others wait.
MOST = 2
#: What pages need.
NEEDED = ["seq2seq.build", "seq2seq.generate", "seq2seq.explorer.drawing"]
NEEDED += ["seq2seq.explorer.server", *(f"seq2seq.explorer.{name}" for name in PAGES)]


def prepare() -> None:
    """Begin to import what pages need, in the process from which others will be forked."""
    forkserver.set_forkserver_preload(NEEDED)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for the server
    forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Worker:
    """A process that answers requests to one page, one after another."""

    def __init__(self, page: Page) -> None:
        context = multiprocessing.get_context("forkserver")
        self._ours, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(page, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self._ours.recv()  # it has started

    def ask(self, what: Any) -> Message | None:
        """What follows a request (None), `True` (a message, None at the end), `False` (None: end).

        Raises:
            TimeoutError, EOFError, OSError: it takes too long, or the process has ended.
        """
        self._ours.send(what)
        if not self._ours.poll(SECONDS):
            raise TimeoutError(f"it took more than {SECONDS:g} seconds")
        message: Message | None = self._ours.recv()
        return message


def _work(page: Page, theirs: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    theirs.send(None)
    while True:
        try:
            messages = answer(page, theirs.recv())
            theirs.send(None)
            while theirs.recv():
                theirs.send(next(messages, None))
            messages.close()
            theirs.send(None)
        except (EOFError, OSError):  # the server has ended
            return


class Workers:
    """The processes of one page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._idle: list[Worker] = []
        self._free = threading.Semaphore(MOST)

    def answer(self, request: Mapping[str, Any]) -> Generator[Message, None, None]:
        """The messages of `answer`; what a process dies of becomes a refusal."""
        with self._free:
            worker = self._idle.pop() if self._idle else Worker(self.page)
            try:
                worker.ask(request)
                while (message := worker.ask(True)) is not None:
                    yield message
            except GeneratorExit:  # the reader has gone away
                self._rest(worker)
            except (EOFError, OSError) as error:
                worker.process.kill()
                late = isinstance(error, TimeoutError)
                reason = str(error) if late else "the system ended the process that computed it"
                text = f"This cannot be shown: {reason}; choose something smaller"
                yield {"kind": "refused", "name": "", "message": text}
            else:
                self._rest(worker)

    def _rest(self, worker: Worker) -> None:
        try:
            worker.ask(False)
            self._idle.append(worker)
        except (EOFError, OSError):
            worker.process.kill()
