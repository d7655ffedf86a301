"""Locks on run folders: several processes, on several machines, share a sweep's jobs.

A lock is a file in the run's folder that names its owner. While the owner lives, a thread touches
its files every few seconds. An owner is dead when its process is gone or, seen from another
machine, when the file has not been touched for a minute, or says that it will be touched in more
than one; the clocks of machines that share a folder must agree to within half of that. An owner
that was taken for dead, as it was frozen for so long, is kept from writing to the folder.
"""

import contextlib
import json
import math
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from seq2seq import files

NAME = ".lock"
#: Seconds between two touches, and the age at which an untouched lock is dead.
HEARTBEAT, STALE = 5.0, 60.0


class Owner(NamedTuple):
    """What a lock file says: whose it is, and a token that no other lock has."""

    host: str
    pid: int
    started: str
    token: str


class LostLease(OSError):
    """A process would write to a run that another has taken over from it."""


class Claims:
    """The locks that this process holds, released at the end of the `with` block.

    One thread keeps them all fresh, however many they are. Until then no file below a folder that
    was locked is replaced, by this process or one forked from it, unless the lock is still its own.
    """

    def __init__(self) -> None:
        self._held: dict[Path, Owner] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Claims":
        self._thread.start()
        files.guards.append(self.verify)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        for folder in list(self._held):
            self.release(folder)
        files.guards.remove(self.verify)

    def claim(self, folder: Path) -> bool:
        """Lock a folder, made if need be; False if another process that lives has locked it.

        Raises:
            OSError: the folder cannot be written to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / NAME
        me = _myself()
        if not _create(path, me) and not _take_over(path, me):
            return False
        self._held[Path(os.path.abspath(folder))] = me
        return True

    def verify(self, path: Path) -> None:
        """Refuse to write the file of a run that another process has taken over.

        Raises:
            LostLease: the lock in a folder above `path` is no longer that which was claimed.
        """
        for folder in Path(os.path.abspath(path)).parents:
            if folder in self._held and _read(folder / NAME)[0] != self._held[folder]:
                raise LostLease(f"{folder} was taken over by another process, which goes on")

    def release(self, folder: Path) -> None:
        """Unlock a folder, unless it has been taken over meanwhile."""
        me = self._held.pop(Path(os.path.abspath(folder)), None)
        owner, _ = _read(folder / NAME)
        if me is not None and owner == me:
            (folder / NAME).unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            for folder, me in list(self._held.items()):
                with contextlib.suppress(OSError):  # the folder was deleted, or the disk is away
                    if _read(folder / NAME)[0] == me:
                        os.utime(folder / NAME)


def is_held(folder: Path) -> bool:
    """Whether a living process has locked the folder."""
    return _lives(*_read(folder / NAME))


def holder(folder: Path) -> Owner | None:
    """Who has locked the folder, if it is a living process of this machine."""
    owner, age = _read(folder / NAME)
    return owner if owner and owner.host == _host() and _lives(owner, age) else None


def _create(path: Path, owner: Owner) -> bool:
    """Write a lock if there is none."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, json.dumps(owner).encode())
    finally:
        os.close(descriptor)
    return True


def _take_over(path: Path, me: Owner) -> bool:
    """Replace a dead owner's lock; of several that try, one succeeds."""
    if _lives(*_read(path)):
        return False
    guard = path.with_name(f"{NAME}.takeover")
    if not _create(guard, me):
        if not _lives(*_read(guard)):
            guard.unlink(missing_ok=True)  # killed in the midst of this; the next attempt succeeds
        return False
    try:
        if _lives(*_read(path)):  # another was faster
            return False
        path.unlink(missing_ok=True)
        return _create(path, me)
    finally:
        guard.unlink(missing_ok=True)


def _read(path: Path) -> tuple[Owner | None, float]:
    """The owner, None where none can be read, and the age of a lock in seconds."""
    try:
        text = files.read(path, path.parent, 4096)  # which makes network file systems look anew
        age = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return None, math.inf
    try:
        host, pid, started, token = json.loads(text)
        return Owner(str(host), int(pid), str(started), str(token)), age
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None, age


def _lives(owner: Owner | None, age: float) -> bool:
    if owner is not None and owner.started and owner.host == _host():
        return _started(owner.pid) == owner.started
    return abs(age) < STALE  # a lock without an owner is being written


def _myself() -> Owner:
    pid = os.getpid()
    return Owner(_host(), pid, _started(pid), secrets.token_hex(8))


def _host() -> str:
    """The name under which process numbers are unique: containers may share that of their host."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """When a process was started, as the kernel writes it, so that a number used again is told.

    Empty if there is no such process, if it has ended and is only waited for, or if the system
    has no `/proc`: then the age of the lock decides.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
