"""Where a run's numbers come from: the code, the machine and the command, beside its config.

It is no part of what a run is, which is its config alone.
"""

import functools
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import seq2seq
from seq2seq.schema.catalogue import PACKAGE

#: The packages whose versions decide about numbers.
PACKAGES = ("torch", "lightning", "numpy", "scipy", "hydra-core", "omegaconf")


def provenance(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `provenance.json` holds of a run of this config that begins now."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    own = {"date": now, "threads": config["threads"], "folder": os.getcwd()}
    return own | _of_process(tuple(sys.argv))


@functools.cache
def _of_process(arguments: tuple[str, ...]) -> dict[str, Any]:
    """What is the same for all runs of a process."""
    commit, clean = checkout()
    return {
        "version": seq2seq.__version__,
        "commit": commit,
        "clean": clean,
        "machine": {
            "host": platform.node(),
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "gpus": _gpus(),
        },
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "command": shlex.join([Path(sys.executable).name, *arguments]),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def checkout(*left_out: str) -> tuple[str | None, bool | None]:
    """The commit of the checkout that the package lies in, and whether its files are as committed.

    Of files that git does not know those count that a run may have read: its code and configs.

    Both are None for an installed package, whatever repository it lies in.

    Args:
        left_out: patterns of files that do not count.
    """
    excluded = [f":!{pattern}" for pattern in left_out]
    command = ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", "."]
    root = PACKAGE.parent
    own = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    own |= {"GIT_CEILING_DIRECTORIES": str(root.parent), "GIT_OPTIONAL_LOCKS": "0"}
    try:
        told = subprocess.run(
            [*command, *excluded], cwd=root, env=own, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None, None
    commit = re.search(r"^# branch\.oid (\w+)$", told.stdout, re.MULTILINE)
    if commit is None:
        return None, None
    changed = r'^(?:[^#?]|\? "?(?:configs|hydra_plugins|seq2seq)/)'
    return commit[1], not re.search(changed, told.stdout, re.MULTILINE)


def _processor() -> str:
    """The processor's model, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return _value("model name", lines) or platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """The models of NVIDIA's GPUs, as their driver names them."""
    told = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return [_value("Model", path.read_text().splitlines()) for path in told]


def _value(key: str, lines: list[str]) -> str:
    """What stands behind the first `key:` of some lines."""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
