"""Start programs of the project as from a shell, without the seconds that their imports take."""

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
TRAIN = str(ROOT / "train.py")


@functools.cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        fd = theirs.fileno()
        command = [sys.executable, str(Path(__file__).parent / "fork_server.py"), str(fd)]
        server = subprocess.Popen(command, pass_fds=[fd], start_new_session=True)
    atexit.register(lambda: (ours.close(), server.wait()))
    return ours


class Program:
    """A file of Python that runs with its arguments, in a session of its own; as `Popen`."""

    def __init__(
        self,
        *arguments: object,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ):
        self.args = [str(argument) for argument in arguments]
        env = dict(os.environ if env is None else env)
        path = env["PYTHONPATH"].split(os.pathsep) if env.get("PYTHONPATH") else []
        request = {"argv": self.args, "cwd": str(cwd or Path.cwd()), "env": env, "path": path}
        self._out, self._err = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115
        told, write = os.pipe()
        with open(os.devnull, "rb") as null:
            fds = [null.fileno(), self._out.fileno(), self._err.fileno(), write]
            socket.send_fds(_server(), [json.dumps(request).encode()], fds)
        os.close(write)
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = int(self._told.readline())
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, or minus the number of the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: it runs after `timeout` seconds.
        """
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._told.readline())
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has written to its output and its errors when it has ended."""
        self.wait(timeout)
        return self.output(), self.errors()

    def output(self) -> str:
        """What it has written to its output so far."""
        return _text(self._out)

    def errors(self) -> str:
        """What it has written to its errors so far."""
        return _text(self._err)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind:
            self.kill()
        self.wait()
        for stream in (self._out, self._err, self._told):
            stream.close()


def _text(stream: IO[bytes]) -> str:
    """All of what a program writes to; where it writes is left where it was."""
    return os.pread(stream.fileno(), os.fstat(stream.fileno()).st_size, 0).decode()


def run(
    *arguments: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a file of Python with its arguments to its end.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout` seconds, and was killed.
    """
    with Program(*arguments, cwd=cwd, env=env) as program:
        out, err = program.communicate(timeout)
    return subprocess.CompletedProcess(program.args, program.wait(), out, err)
