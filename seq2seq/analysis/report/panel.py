"""What a figure of a report is."""

from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure


@dataclass
class Panel:
    """A numbered figure of the page, and the data that it shows."""

    name: str
    figure: Figure = field(repr=False)
    caption: str
    data: "pd.DataFrame" = field(repr=False)
