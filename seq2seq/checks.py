"""What constructors demand of their arguments: a rule, the value and the remedy, in one line.

`key` is the full config key, as in `task.input.scale`.
"""

import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from seq2seq.errors import ConfigError


def integer(key: str, value: Any, least: int = 1) -> None:
    """Raise ValueError unless `value` is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool):
        near = int(value) if isinstance(value, float) and value.is_integer() else least
        refuse(key, value, "be a whole number", max(near, least))
    if value < least:
        refuse(key, value, f"be at least {least}", least)


def texts(key: str, value: Any) -> list[str]:
    """`value` as a list; raise ValueError unless it is a sequence of texts, and not itself one."""
    if isinstance(value, str):
        refuse(key, value, "be a list of texts", value.split())
    if not isinstance(value, Sequence) or not all(isinstance(text, str) for text in value):
        refuse(key, value, "be a list of texts", '["seed=1"]')
    return list(value)


def positive(key: str, value: float, remedy: Any = 1.0) -> None:
    """Raise ValueError unless `value` is above 0 and finite."""
    if not 0 < value < math.inf:
        refuse(key, value, "be positive", remedy)


def within(key: str, value: float, interval: str, remedy: float) -> None:
    """Raise ValueError unless `value` lies in `interval`, as in "[0, 1)"."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        refuse(key, value, "be a number", remedy)
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = low <= value if interval[0] == "[" else low < value
    below = value <= high if interval[-1] == "]" else value < high
    if not (above and below):
        refuse(key, value, f"lie in {interval}", remedy)


#: Magnitudes whose squares, and sums of many of these, float32 can hold.
MAGNITUDES = "[1e-15, 1e+15]"


def one_of(key: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        refuse(key, value, f"be one of {', '.join(map(str, choices))}", choices[0])


def even(key: str, value: int) -> None:
    """Raise ValueError unless `value` is even, as complex numbers take two real ones."""
    if value % 2:
        refuse(key, value, "be even here", value + 1)


def divides(key: str, value: int, whole_key: str, whole: int, remedy: str) -> None:
    """Raise ValueError unless `value` divides `whole`; `remedy` is what to set."""
    if whole % value:
        names = (part.rpartition(".")[2] for part in (key, whole_key))
        given = ", ".join(f"{n}={v}" for n, v in zip(names, (value, whole), strict=True))
        raise ValueError(f"{key} must divide {whole_key}, got {given}; set {remedy}")


def ordered(low_key: str, low: float, high_key: str, high: float) -> None:
    """Raise ValueError unless 0 < low <= high."""
    positive(low_key, low, high if high > 0 else 1.0)
    if not low <= high:
        raise ValueError(
            f"{low_key} must not exceed {high_key}, got {low} and {high}; set {high_key}={low}"
        )


def folder(path: Path) -> None:
    """Raise ConfigError unless `path` is a folder; that it holds runs is seen when it is read."""
    if not os.path.isdir(path):
        raise ConfigError(f"no folder {path}; give one that holds run folders")


def writable(key: str, path: Path | None) -> None:
    """Raise ConfigError unless a file can be written to `path`, whose folders are made with it."""
    if path is None:
        return
    above = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    reason = ""
    if os.path.isdir(path):
        reason = "this is a folder"
    elif not above.is_dir():
        reason = f"{above} is no folder"
    else:
        try:
            tempfile.TemporaryFile(dir=above).close()
        except OSError as error:
            reason = f"no file can be made in {above} ({error.strerror})"
    if reason:
        raise ConfigError(f"{key} must name a file to write, got {path}: {reason}; choose another")


def refuse(key: str, value: Any, rule: str, remedy: Any) -> NoReturn:
    """Raise ConfigError, a ValueError: `key` must `rule`."""
    name = key.rpartition(".")[2]
    raise ConfigError(f"{key} must {rule}, got {name}={value!r}; set {key}={remedy}")
