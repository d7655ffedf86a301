"""A process that has imported what the programs import, and forks itself to run one of them.

A program as a user starts it spends seconds on imports. Tests start hundreds; they ask this
process, through `shell.py`, which becomes the program after a fork. It has run nothing before, so
what a test sees is what a fresh interpreter does, but for variables that are read at import. It
ends as an interpreter does, but for taking apart what was imported, which takes half a second.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import NoReturn

from hydra.core.plugins import Plugins

from seq2seq import schema

#: What runs, sweeps and reports import.
HEAVY = (
    "matplotlib.backends.backend_agg",
    "matplotlib.font_manager",
    "seq2seq.analysis.report",
    "seq2seq.batched.launcher",
    "seq2seq.sweep.multirun",
    "seq2seq.training",
    "torch.utils.tensorboard",
)


def requests(connection: socket.socket) -> tuple[dict[str, object], list[int]]:
    """Answer each request by a fork; returns, in the fork, what it is to become."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # leaves no zombies
    while True:
        text, fds, _, _ = socket.recv_fds(connection, 1 << 20, 4)
        if not text:
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            connection.close()
            *streams, told = fds
            if (pid := os.fork()) == 0:
                os.close(told)
                return json.loads(text), streams
            os.setsid()
            for stream in streams:
                os.close(stream)
            os.write(told, f"{pid}\n".encode())
            _, status = os.waitpid(pid, 0)
            os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        for fd in fds:
            os.close(fd)


def become(program: Callable[[], object]) -> NoReturn:
    """Run a program and end this process, as an interpreter does."""
    code: object = 0
    try:
        program()
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    for module in HEAVY:
        import_module(module)
    schema.register()
    Plugins.instance()
    gc.freeze()  # collecting garbage in a fork would copy all of its memory
    request, streams = requests(socket.socket(fileno=int(sys.argv[1])))
    os.setsid()
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    sys.path[:1] = [os.path.dirname(sys.argv[0]), *request["path"]]
    become(lambda: runpy.run_path(sys.argv[0], run_name="__main__"))
