"""Interactive pages: in a browser with `python scripts/explore.py`, in a notebook with `show`.

Neither torch nor Lightning is imported before a page draws its first figure.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seq2seq.explorer.page import Page
    from seq2seq.explorer.widget import Widget

#: Every page in the order of the menu: the name of its module and, in lower case, of its class.
PAGES = (
    "shift",
    "convolution",
    "lorenz96",
    "models",
    "training",
    "text",
    "architectures",
    "atlas",
)


def build(name: str, outputs: str | Path = "outputs", allow: Sequence[str] = ()) -> "Page":
    """The page called `name`, which may show the runs in the folder `outputs`; see `Page`.

    Raises:
        ValueError: there is none.
    """
    from seq2seq.schema import nearest

    if name not in PAGES:
        raise ValueError(f"there is no page {name!r}{nearest(name, PAGES)}")
    module = import_module(f"seq2seq.explorer.{name}")
    made: Page = getattr(module, name.capitalize())(outputs, allow)
    return made


def show(name: str, outputs: str | Path = "outputs", **values: Any) -> "Widget":
    """The page called `name` as a widget for a notebook, its controls set to `values`.

    Raises:
        ValueError: no such page, or one without such a control.
    """
    from seq2seq.explorer.widget import Widget

    return Widget(build(name, outputs), values)
