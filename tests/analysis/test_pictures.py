"""Pictures for TensorBoard: the pixels of the figures they stand for."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from seq2seq.analysis import figures, pictures


def pixels(figure, low, high):
    """Drawn from scratch, as matplotlib does."""
    margin = 0.04 * (high - low)
    for ax in figure.axes:
        ax.set_ylim(low - margin, high + margin)
    canvas = FigureCanvasAgg(figure)
    with figures.style():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def series(seed, scale=1.0):
    return scale * np.sin(np.arange(96).reshape(2, 48, 1) / 5 + seed)


@pytest.mark.parametrize(("scale", "end"), [(1.0, 1.0), (2.4, 3.0), (0.04, 0.05)])
def test_predictions_are_drawn_as_matplotlib_draws_them(scale, end):
    parts = [series(seed, scale) for seed in range(4)]
    for _ in range(2):  # from scratch, and onto the empty figure that is kept
        drawn = pictures.prediction(*parts)
        assert drawn.dtype == np.uint8
        wanted = pixels(figures.prediction(*parts), -end, end).astype(int)
        differing = np.abs(drawn - wanted).max(2) > 64
        assert differing.mean() < 1e-3  # where curves and axes cross, another may lie on top


def test_impulse_responses_are_drawn_as_matplotlib_draws_them():
    true, learned = np.eye(30)[7], 0.9 * np.eye(30)[7]
    learned[3] = np.nan  # a diverged model still has a picture
    drawn = pictures.impulse_response(true, learned)
    wanted = pixels(figures.impulse_response(true, learned), 0.0, 1.0).astype(int)
    assert (np.abs(drawn - wanted).max(2) > 64).mean() < 1e-3


def test_a_picture_does_not_depend_on_those_before_it():
    first, second = [series(seed) for seed in range(4)], [series(seed + 9) for seed in range(4)]
    alone = pictures.prediction(*first)
    pictures.prediction(*second)
    assert np.array_equal(pictures.prediction(*first), alone)
    assert not np.array_equal(pictures.prediction(*second), alone)
