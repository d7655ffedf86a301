"""Figures as pixels, for TensorBoard.

A sweep of 64 runs draws a thousand of them, whose axes, ticks and legends take nearly all the time
(380 of 390 ms of one of predictions) and differ only with the range of the values. So ranges have
round ends, and curves are drawn onto the empty figure of their range.
"""

import functools
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from seq2seq.analysis import figures
from seq2seq.analysis.figures import array

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]


def prediction(x: Any, y: Any, output: Any, memoryless: Any) -> Pixels:
    """What `figures.prediction` draws of (sequences, time, channels) each: (height, width, 3)."""
    return _drawn(np.stack([array(part)[:, :, 0] for part in (x, y, output, memoryless)], 1))


def impulse_response(true: Any, learned: Any) -> Pixels:
    """What `figures.impulse_response` draws of (lags,) each: (height, width, 3)."""
    return _drawn(np.stack([array(true), array(learned)])[None])


#: Pixels: the height of a row of symbols, the widest that it gets, the labels before it.
ROW, WIDEST, LABEL = 22, 1600, 56

#: The symbol that says nothing.
BLANK = "·"

Words = Sequence[Sequence[str]]


def answers(x: Words, y: Words, output: Words, probability: Sequence[Sequence[float]]) -> Pixels:
    """Symbols of a few sequences: the inputs, what is asked, and a model's answers.

    A right answer is green and a wrong one vermilion; the bar below it is as high as the
    probability that the model gives it. Where symbols have no room there are only colours, and
    blanks are left out.

    Args:
        x: symbols, (sequences, time).
        y, output: the same, empty where nothing is asked.
        probability: of `output`, (sequences, time).
    """
    width = max(2, min(ROW, WIDEST // len(x[0])))
    image = Image.new("RGB", (LABEL + width * len(x[0]) + 8, 5 * ROW * len(x)), "white")
    canvas, font = ImageDraw.Draw(image), _font()
    for number, (*rows, shares) in enumerate(zip(x, y, output, probability, strict=True)):
        found = [
            figures.GREEN if a == b else figures.VERMILION for a, b in zip(*rows[1:], strict=True)
        ]
        inks = [figures.GREY] * len(found), [figures.BLACK] * len(found), found
        middle = 5 * ROW * number + ROW
        for name, words, colours in zip(("input", "target", "model"), rows, inks, strict=True):
            canvas.text((LABEL - 8, middle), name, figures.DARK, font, anchor="rm")
            for t, (word, colour) in enumerate(zip(words, colours, strict=True)):
                left = LABEL + width * t
                if word and width == ROW:
                    canvas.text((left + width / 2, middle), word, colour, font, anchor="mm")
                elif word not in ("", BLANK):
                    canvas.rectangle((left, middle - 6, left + width - 1, middle + 6), colour)
            middle += ROW
        for t, (word, share) in enumerate(zip(rows[1], shares, strict=True)):
            if word:
                left, low = LABEL + width * t + 1, middle + ROW // 2
                canvas.rectangle((left, low - (ROW - 2) * share, left + width - 3, low), found[t])
    return np.array(image)


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """The one of the figures."""
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 12)


def png(pixels: Pixels) -> bytes:
    """A PNG of 64 colours, a third of the size that one of all colours has."""
    buffer = io.BytesIO()
    octree = Image.Quantize.FASTOCTREE
    Image.fromarray(pixels).quantize(64, octree, dither=Image.Dither.NONE).save(buffer, "PNG")
    return buffer.getvalue()


def _drawn(curves: Array) -> Pixels:
    """The figure of curves (panels, lines, time): four lines are predictions, two responses."""
    canvas, background, lines = _empty(curves.shape, *_range(curves))
    canvas.restore_region(background)
    for line, values in zip(lines, curves.reshape(len(lines), -1), strict=True):
        line.set_ydata(values)
    for line in sorted(lines, key=Line2D.get_zorder):
        line.axes.draw_artist(line)
    return np.array(np.asarray(canvas.buffer_rgba())[:, :, :3])


def _range(values: Array) -> tuple[float, float]:
    """A range with round ends that holds zero and all values that are finite."""
    finite = values[np.isfinite(values)]
    low, high = -float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    largest = max(low, high) or 1.0
    scale = 10.0 ** math.floor(math.log10(largest))
    quarter = next(end * scale for end in (1, 2, 3, 5, 10) if largest <= end * scale) / 4
    low, high = (quarter * math.ceil(side / quarter) for side in (low, high))
    return -low, high or 4 * quarter * (low == 0)


@functools.lru_cache(maxsize=8)  # up to 3 MB each
def _empty(shape: tuple[int, int, int], low: float, high: float) -> Any:
    """A figure drawn without its curves: its canvas, those pixels, and the curves' lines."""
    panels, lines, time = shape
    if lines == 4:
        figure = figures.prediction(*np.zeros((lines, panels, time, 1)))
    else:
        figure = figures.impulse_response(*np.zeros((lines, time)))
    margin = 0.04 * (high - low)
    for ax in figure.axes:
        ax.set_ylim(low - margin, high + margin)
    every = [line for ax in figure.axes for line in ax.lines]
    curves = [line for line in every if not str(line.get_label()).startswith("_")]
    for line in curves:
        line.set_animated(True)  # left out by `draw`
    canvas = FigureCanvasAgg(figure)
    with figures.style():
        canvas.draw()
    return canvas, canvas.copy_from_bbox(figure.bbox), curves
