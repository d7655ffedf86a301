"""Durations and times of day as one says them."""

import time
from dataclasses import dataclass


@dataclass
class Taken:
    """What something took, in seconds: by the clock, and of the processor, in all threads."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @classmethod
    def now(cls) -> "Taken":
        """The readings of both clocks, whose differences mean something."""
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: "Taken") -> "Taken":
        return Taken(self.seconds - other.seconds, self.cpu_seconds - other.cpu_seconds)

    def add(self, more: "Taken", share: float = 1.0) -> None:
        """Count a share of something else as well."""
        self.seconds += share * more.seconds
        self.cpu_seconds += share * more.cpu_seconds

    @property
    def result(self) -> dict[str, float]:
        """Both as a run's result holds them."""
        return {
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
        }


def duration(seconds: float) -> str:
    """A time as one says it, `40 s`, `12 min` or `3 h 20 min`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def clock(then: float) -> str:
    """The time of day, and the day where it is not within the next 20 hours."""
    near = then < time.time() + 20 * 3600
    return time.strftime("%H:%M" if near else "%a %d %b %H:%M", time.localtime(then))
