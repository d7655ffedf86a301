"""What a page is: controls to move, and what to show for their values.

A page knows nothing of browsers and notebooks. `answer` turns a page, the values of its controls
and a seed into messages, plain dictionaries, which `explorer.js` draws wherever it runs.
"""

import math
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from seq2seq.files import place

Message = dict[str, Any]


class Refused(ValueError):
    """A value that a page cannot use: one line, shown beside the control called `name`."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


# ------------------------------------------------------------------------------- controls


def number(raw: Any) -> float:
    """The number that a reader wrote, or nan."""
    try:
        return float(raw)
    except (OverflowError, TypeError, ValueError):
        return math.nan


@dataclass(frozen=True)
class Slider:
    """A number from `minimum` to `maximum`, in steps of `step`; with `log` evenly in its logarithm.

    A whole `step` gives an int, any other a float. A value outside the range, as when another
    control has narrowed it, becomes the nearest one inside.
    """

    name: str
    label: str
    minimum: float
    maximum: float
    value: float
    step: float = 1
    unit: str = ""
    log: bool = False

    def parse(self, raw: Any) -> float:
        value = number(raw)
        if not math.isfinite(value):
            raise Refused(self.name, f"{self.label} must be a number, got {str(raw)[:40]!r}")
        value = min(max(value, self.minimum), self.maximum)
        return round(value) if isinstance(self.step, int) and not self.log else value


@dataclass(frozen=True)
class Choice:
    """One of `options`: values, or pairs of a value and the text to show for it.

    A value that is not (or no longer) among them becomes `value`, by default the first option.
    """

    name: str
    label: str
    options: Sequence[str | tuple[str, str]]
    value: str = ""

    def pairs(self) -> list[tuple[str, str]]:
        return [(o, o) if isinstance(o, str) else o for o in self.options]

    def parse(self, raw: Any) -> str:
        values = [value for value, _ in self.pairs()]
        default = self.value if self.value in values else values[0]
        return raw if raw in values else default


@dataclass(frozen=True)
class Several(Choice):
    """Up to `most` of `options`, a list of values; also written as one text, with commas.

    Values that are not (or no longer) among them are left out. Where none is left, `value` stands.
    """

    most: int = 6

    def parse(self, raw: Any) -> list[str]:  # type: ignore[override]
        if isinstance(raw, list | tuple) and not raw:
            raise Refused(self.name, f"{self.label}: choose at least one")
        values = [value for value, _ in self.pairs()]
        named = raw if isinstance(raw, list | tuple) else str(raw).split(",")
        found = [one for one in dict.fromkeys(map(str, named)) if one in values]
        return found[: self.most] or [super().parse(self.value)]


@dataclass(frozen=True)
class TextBox:
    """A text of one line, or of several `rows`; `hint` stands below it."""

    name: str
    label: str
    value: str
    rows: int = 1
    hint: str = ""

    #: A request that carries more characters is refused.
    most: ClassVar[int] = 10_000

    def parse(self, raw: Any) -> str:
        if not isinstance(raw, str) or len(raw) > self.most:
            raise Refused(self.name, f"{self.label} must be a text of at most {self.most} letters")
        return raw


Control = Slider | Choice | TextBox

#: A generator that yields each control and is sent the value it has.
Controls = Generator[Control, Any, None]

# ---------------------------------------------------------------------- what a page shows


@dataclass(frozen=True)
class Figure:
    """A drawing, as `drawing.block` makes it.

    Attributes:
        svg: as `drawing.svg` writes it.
        description: what it says to readers who cannot see it.
        panels: what is drawn, for who points at it and to be saved: see `drawing.panels_of`.
    """

    name: str
    svg: str
    description: str
    panels: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Table:
    """Cells already written as text: in the first column names, in the others numbers.

    Attributes:
        colours: of the curves that rows belong to, "" for none; empty where no row has one.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    colours: Sequence[str] = ()


@dataclass(frozen=True)
class Note:
    """A line or a paragraph of plain text."""

    name: str
    text: str


@dataclass(frozen=True)
class Writing:
    """A piece of text, put at the end of what the block `name` shows."""

    name: str
    text: str


Blocks = Iterator[Figure | Table | Note | Writing]


class Page(ABC):
    """One page. Its module imports neither torch nor Lightning before `update` runs.

    Args:
        outputs: the folder whose runs the page may show.
        allow: packages outside the project whose classes the configs of those runs may name.
    """

    title: ClassVar[str]
    #: What a reader finds there, in a sentence.
    sentence: ClassVar[str]
    #: One or two sentences and the formula, in HTML.
    about: ClassVar[str]
    #: The label of a button that raises `seed`; "": there is none.
    refresh: ClassVar[str] = "New sample"
    #: The label of a button that runs `update`, as opening the page does; "": every change does.
    start: ClassVar[str] = ""

    def __init__(self, outputs: str | Path = "outputs", allow: Sequence[str] = ()) -> None:
        self.outputs, self.allow = place(outputs), tuple(allow)

    @property
    def name(self) -> str:
        """That of its module."""
        return type(self).__name__.lower()

    @abstractmethod
    def controls(self) -> Controls:
        """Yields the controls in their order; each `yield` returns the value that control has.

        So later controls may depend on earlier ones:
        `length = yield Slider("length", …)` and then `yield Slider("k", …, maximum=length - 1)`.
        """

    @abstractmethod
    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        """Yields what to show for the controls' `values`, by name; each block is shown as it comes.

        The same values and seed give the same blocks. A block replaces the one of its name, whose
        kind it has; those that are not yielded again vanish at the end.

        Args:
            seed: for everything random.
            width: of the figures in CSS pixels.

        Raises:
            Refused: a value that cannot be used. What was yielded before it is shown; what the
                page showed for other values is not, but beside a text that is being written.
            ValueError: the same, not owed to one control; one line.
        """


def answer(page: Page, request: Mapping[str, Any]) -> Generator[Message, None, None]:
    """The messages for one state of the page: its controls, then its blocks, then `done`.

    A refusal ends the answer in place of `done`. One message of the process is computed at a time,
    as matplotlib's settings belong to all its threads.

    Args:
        request: `values` by the controls' names, `seed`, `width`, and `started`: whether the page
            is opened or its start button was pressed, where there is one.

    Raises:
        KeyError, OverflowError, TypeError, ValueError: it is no such request; raised at once.
    """
    return _alone(_messages(page, *understood(request)))


def understood(request: Mapping[str, Any]) -> tuple[dict[str, Any], int, int, bool]:
    """The values, the seed, the width and whether to start, of a request; raises as `answer`."""
    values = dict(request["values"])
    seed = int(request["seed"])
    if not 0 <= seed < 2**31:
        raise ValueError(f"the seed must lie in [0, 2**31), got {str(seed)[:40]}")
    width = min(max(int(request["width"]), 200), 2000)
    return values, seed, width, bool(request["started"])


def _messages(
    page: Page, raw: Mapping[str, Any], seed: int, width: int, started: bool
) -> Iterator[Message]:
    try:
        controls, values = settle(page, raw)
        yield {"kind": "controls", "controls": controls}
        if started or not page.start:
            for block in page.update(values, seed, width):
                yield {"kind": type(block).__name__.lower(), **asdict(block)}
            yield {"kind": "done"}
    except ValueError as error:
        name = error.name if isinstance(error, Refused) else ""
        yield {"kind": "refused", "name": name, "message": " ".join(str(error).split())}
    except Exception:
        traceback.print_exc()
        text = "This page failed; what it printed beside this says how."
        yield {"kind": "refused", "name": "", "message": text}


#: Held by whoever computes a message.
computing = threading.Lock()


def _alone(messages: Iterator[Message]) -> Generator[Message, None, None]:
    while True:
        with computing:
            message = next(messages, None)
        if message is None:
            return
        yield message


def settle(page: Page, raw: Mapping[str, Any]) -> tuple[list[Message], dict[str, Any]]:
    """The page's controls as messages and their values, given what the reader set.

    Raises:
        Refused: a value that its control cannot take.
    """
    shown: list[Message] = []
    values: dict[str, Any] = {}
    generator = page.controls()
    try:
        control = next(generator)
        while True:
            value = control.parse(raw.get(control.name, control.value))
            values[control.name] = value
            message = {"kind": type(control).__name__.lower(), **asdict(control), "value": value}
            if isinstance(control, Choice):
                message["options"] = control.pairs()
            shown.append(message)
            control = generator.send(value)
    except StopIteration:
        return shown, values


def described(page: Page, values: Mapping[str, Any] | None = None) -> Message:
    """What `explorer.js` must know to put up the page, its controls set to `values`."""
    return {
        "name": page.name,
        "title": page.title,
        "sentence": page.sentence,
        "about": page.about,
        "refresh": page.refresh,
        "start": page.start,
        "controls": settle(page, values or {})[0],
    }
