"""What a figure of a report is, and what it shows of many settings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

Item = TypeVar("Item")


@dataclass
class Panel:
    """A numbered figure of the page, and the data that it shows."""

    name: str
    figure: Figure = field(repr=False)
    caption: str
    data: "pd.DataFrame" = field(repr=False)


def chosen(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` items, evenly spaced."""
    count = min(len(items), most)
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


def left_out(count: int, most: int, what: str = "settings") -> str:
    """What a caption says where `chosen` leaves some out."""
    return f" Of {count} {what} {most} are shown, evenly spaced." if count > most else ""
