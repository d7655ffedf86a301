"""Figures as pixels, for TensorBoard.

A sweep of 64 runs draws a thousand of them, whose axes, ticks and legends take nearly all the time
(380 of 390 ms of one of predictions) and differ only with the range of the values. So ranges have
round ends, and curves are drawn onto the empty figure of their range.
"""

import functools
import io
import math
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image

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
