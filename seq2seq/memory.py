"""How much memory there is, and refusing what cannot fit into it."""

import math
import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

from seq2seq.errors import ConfigError


def available() -> float:
    """Bytes that this process may still take: of the machine's, its control group's, its limit."""
    page = os.sysconf("SC_PAGE_SIZE")
    found = [float(page * os.sysconf("SC_PHYS_PAGES")), *map(_left, _control_groups())]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    try:
        told = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text())
        found.append(float(told.group(1)) * 1024 if told else found[0])
        if limit != resource.RLIM_INFINITY:
            found.append(limit - page * float(Path("/proc/self/statm").read_text().split()[0]))
    except OSError:
        pass  # another system than Linux
    return max(0.0, min(found))


def _control_groups() -> Iterator[Path]:
    """The folders of the control groups of memory that this process is in, of both versions."""
    own = Path("/proc/self/cgroup")
    for line in own.read_text().splitlines() if own.exists() else ():
        _, kind, path = line.split(":", 2)
        if kind in ("", "memory"):
            root = Path("/sys/fs/cgroup", kind)
            group = root / path.lstrip("/")
            yield from (one for one in (group, *group.parents) if one.is_relative_to(root))


def _left(group: Path) -> float:
    """Bytes that a control group has left, pages that only mirror files not counted."""
    for most, taken in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            limit, used = (float((group / name).read_text()) for name in (most, taken))
            mirrors = re.findall(r"inactive_file (\d+)", (group / "memory.stat").read_text())
        except (OSError, ValueError):  # no such group, or "max"
            continue
        return limit - used + float(mirrors[-1])
    return float("inf")


def fit(what: str, needed: float, remedy: str) -> None:
    """Refuse what needs more bytes than there are.

    Raises:
        ConfigError: names the estimate, what is there, and the remedy.
    """
    there = available()
    if needed > there:
        raise ConfigError(
            f"{what} would take {shown(needed)} of memory, of which {shown(there)} are free; "
            f"{remedy}"
        )


def shown(size: float) -> str:
    """Bytes as a person reads them, as in 1.5 GB."""
    if size == math.inf:
        return "over 1000 PB"
    power = min(max(math.floor(math.log10(max(size, 1)) / 3), 1), 5)
    return f"{size / 1000**power:.3g} {('kB', 'MB', 'GB', 'TB', 'PB')[power - 1]}"
