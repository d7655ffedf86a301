"""The pages in a notebook: one widget, drawn by the same `explorer.js` as in a browser."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from seq2seq.explorer.page import Page, answer, described
from seq2seq.schema import nearest

FOLDER = Path(__file__).parent


class Widget(anywidget.AnyWidget):
    """A page whose controls are set to `values` at first.

    Answers are computed in threads of their own, so that the kernel stays free to hear that a
    newer one is wanted.

    Raises:
        ValueError: the page has no such control.
    """

    _esm = FOLDER / "explorer.js"
    _css = FOLDER / "explorer.css"
    page = traitlets.Dict().tag(sync=True)

    def __init__(self, page: Page, values: Mapping[str, Any]) -> None:
        spec = described(page, values)
        known = [control["name"] for control in spec["controls"]]
        for name in values:
            if name not in known:
                raise ValueError(f"{page.title} has no control {name!r}{nearest(name, known)}")
        super().__init__(page=spec)
        self._page = page
        self._wanted: set[str] = set()
        self.on_msg(self._receive)

    def _receive(self, _: Any, content: Mapping[str, Any], buffers: Any) -> None:
        if "stop" in content:
            self._wanted.discard(content["stop"])
        else:
            asked = content["ask"], content["request"]
            self._wanted.add(content["ask"])
            threading.Thread(target=self._answer, args=asked, daemon=True).start()

    def _answer(self, asked: str, request: Mapping[str, Any]) -> None:
        for message in answer(self._page, request):
            if asked not in self._wanted:
                return
            self.send({"answer": asked, "message": message})
        self._wanted.discard(asked)
        self.send({"answer": asked, "message": None})
