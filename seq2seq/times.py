"""Durations and times of day as one says them."""

import time


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
