"""What the first page answers while the libraries behind it are still being imported.

That takes seconds, and a reader wants to move something at once. So the answers for every value of
one slider, all else as the page opens, lie in a file of the package. They are what the page itself
answers; `python scripts/gallery.py --first-page` records them anew after any change to it.
"""

import functools
import json
import lzma
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seq2seq import explorer
from seq2seq.explorer.page import Message, answer, settle

FILE = Path(__file__).with_name("first_page.json.xz")

PAGE, SLIDER = "shift", "k"

#: CSS pixels of figures in a window of 1200 or more: `explorer.css` makes none wider.
WIDTH = 840


def requests() -> Iterator[Message]:
    """What `explorer.js` asks for as the slider moves, the page's own value first."""
    controls, values = settle(explorer.build(PAGE), {})
    slider = next(control for control in controls if control["name"] == SLIDER)
    places = range(slider["minimum"], slider["maximum"] + 1)
    for place in sorted(places, key=lambda place: place != slider["value"]):
        chosen = values | {SLIDER: place}
        yield {"page": PAGE, "values": chosen, "seed": 1, "width": WIDTH, "started": False}


def record() -> Path:
    """Write the page's answers to `FILE`: pairs of a request and its messages."""
    page = explorer.build(PAGE)
    answers = [(request, list(answer(page, request))) for request in requests()]
    FILE.write_bytes(lzma.compress(json.dumps(answers, ensure_ascii=False).encode()))
    return FILE


def find(request: Mapping[str, Any]) -> list[Message]:
    """The messages recorded for this very request; none where there are none."""
    return next((messages for asked, messages in _recorded() if asked == request), [])


@functools.cache
def _recorded() -> list[tuple[Message, list[Message]]]:
    answers: list[tuple[Message, list[Message]]] = json.loads(lzma.decompress(FILE.read_bytes()))
    return answers
