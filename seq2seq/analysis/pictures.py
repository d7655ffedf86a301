"""Figures as pixels, for TensorBoard: what repeats from picture to picture is drawn once.

A sweep draws the same kinds of figure hundreds of times. Its axes, ticks, labels and legend take
nearly all of a drawing's time, and differ only with the range of the values. So ranges have round
ends, and curves are drawn onto the empty figure of their range.
"""

import functools
import io
import math
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from seq2seq.analysis import plots

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

#: The larger end of a range, times a power of ten, and the smaller one as a share of it: few, so
#: that ranges repeat.
ENDS = (1.0, 2.0, 3.0, 5.0, 10.0)
SHARES = (0.0, 0.25, 0.5, 1.0)


def prediction(x: Any, y: Any, output: Any, memoryless: Any) -> Pixels:
    """What `plots.prediction` draws of (sequences, time, channels) each: (height, width, 3)."""
    curves = np.stack([plots.array(part)[:, :, 0] for part in (x, y, output, memoryless)], 1)
    return _drawn("prediction", curves)


def impulse_response(true: Any, learned: Any) -> Pixels:
    """What `plots.impulse_response` draws of (lags,) each: (height, width, 3)."""
    return _drawn("impulse_response", np.stack([plots.array(true), plots.array(learned)])[None])


def png(pixels: Pixels) -> bytes:
    """A PNG of 64 colours, a third of the size that one of all colours has."""
    buffer = io.BytesIO()
    octree = Image.Quantize.FASTOCTREE
    Image.fromarray(pixels).quantize(64, octree, dither=Image.Dither.NONE).save(buffer, "PNG")
    return buffer.getvalue()


def _drawn(kind: str, curves: Array) -> Pixels:
    """The figure called `kind` of curves (panels, lines, time)."""
    return _empty(kind, curves.shape, *_range(curves))(curves)


def _range(values: Array) -> tuple[float, float]:
    """A range with round ends that holds zero and all values that are finite."""
    finite = values[np.isfinite(values)]
    low, high = -float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    largest = max(low, high) or 1.0
    scale = 10.0 ** math.floor(math.log10(largest))
    end = next(end * scale for end in ENDS if largest <= end * scale)
    low, high = (
        end * next(share for share in SHARES if side <= share * end) for side in (low, high)
    )
    return -low, high or end * (low == 0)


@functools.lru_cache(maxsize=8)  # up to 3 MB each
def _empty(kind: str, shape: tuple[int, int, int], low: float, high: float) -> "Empty":
    panels, lines, time = shape
    if kind == "prediction":
        figure = plots.prediction(*np.zeros((lines, panels, time, 1)))
    else:
        figure = plots.impulse_response(*np.zeros((lines, time)))
    margin = 0.04 * (high - low)
    for ax in figure.axes:
        ax.set_ylim(low - margin, high + margin)
    return Empty(figure)


class Empty:
    """A figure without its curves, drawn once, onto which curves can be drawn many times."""

    def __init__(self, figure: Figure) -> None:
        self._figure, self._canvas = figure, FigureCanvasAgg(figure)
        self._lines = [
            [line for line in ax.lines if not str(line.get_label()).startswith("_")]
            for ax in figure.axes
        ]
        for panel in self._lines:
            for line in panel:
                line.set_animated(True)  # left out by `draw`
        with plots.style():
            self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(figure.bbox)

    def __call__(self, curves: Array) -> Pixels:
        """The figure with curves (panels, lines, time), in the order in which it has its lines."""
        self._canvas.restore_region(self._background)
        for ax, panel, values in zip(self._figure.axes, self._lines, curves, strict=True):
            for line, own in zip(panel, values, strict=True):
                line.set_ydata(own)
            for line in sorted(panel, key=lambda line: line.get_zorder()):
                ax.draw_artist(line)
        return np.array(np.asarray(self._canvas.buffer_rgba())[:, :, :3])
