"""Figures: what they draw, and that drawing leaves no trace."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from seq2seq.analysis import figures
from seq2seq.analysis.laws import compare
from seq2seq.analysis.perturbation import Perturbed


def history(loss: np.ndarray) -> dict[str, np.ndarray]:
    return {"step": np.arange(1, len(loss) + 1), "loss": loss}


def losses(history, references=None):
    return figures.loss_panels({"": [figures.Curve(history)]}, {"": references or {}})


def settings() -> dict[str, object]:
    # Reading the backend chooses one.
    return {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}


def test_prediction_draws_the_first_channel_of_every_sequence():
    x, y, output = torch.randn(3, 2, 20, 2, generator=torch.Generator().manual_seed(0))
    figure = figures.prediction(x, y, output, memoryless=0 * y)
    assert len(figure.axes) == 2
    for index, ax in enumerate(figure.axes):
        drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
        assert np.allclose(drawn["target $y_t$"], y[index, :, 0])
        assert np.allclose(drawn["prediction"], output[index, :, 0])
        assert np.allclose(drawn["without memory"], 0)


def test_impulse_response_draws_one_line_per_run():
    true, learned = np.eye(12)[3], np.zeros((4, 12))
    lines = figures.impulse_response(true, learned).axes[0].lines
    assert sum(len(np.atleast_1d(line.get_ydata())) == 12 for line in lines) == 5
    assert np.array_equal(lines[1].get_ydata(), true)


def test_loss_curves_leave_out_what_a_logarithm_cannot_show():
    loss = np.array([1.0, np.nan, 0.5, np.inf, 0.0, -1.0, 0.25])
    line = losses(history(loss)).axes[0].lines[0]
    assert list(line.get_xdata()) == [1, 3, 7]
    assert list(line.get_ydata()) == [1.0, 0.5, 0.25]


def test_every_reference_is_named():
    references = {"zero": 0.5, "memoryless": 0.5, "taps_2": 0.3, "taps_4": 1e-9, "taps_8": 0.0}
    figure = losses(history(np.geomspace(1, 0.1, 50)), references)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"zero", "memoryless", "taps 2", "taps 4–8 ↓"}
    assert min(text.get_position()[0] for text in figure.axes[0].texts) > 1  # beside the curves
    levels = [line.get_ydata()[0] for line in figure.axes[0].lines[1:]]
    assert levels == [0.5, 0.3]


def test_names_stand_beside_their_lines_whatever_later_panels_do_to_the_axes():
    curve = figures.Curve(history(np.geomspace(1, 0.1, 50)))
    levels = {"a": {"floor": 0.3}, "b": {"floor": 100.0}}
    figure = figures.loss_panels({"a": [curve], "b": [curve]}, levels)
    for ax, level in zip(figure.axes, (0.3, 100.0), strict=True):
        (name,), _ = ax.texts, ax.get_ylim()
        line = ax.transAxes.inverted().transform(ax.transData.transform((1, level)))[1]
        assert name.xy[1] == pytest.approx(line, abs=0.02)


def test_labels_are_spread_without_overlap_or_change_of_order():
    assert figures.spread([0.9, 0.5, 0.1], 0.1) == pytest.approx([0.9, 0.5, 0.1])
    moved = figures.spread([0.52, 0.5, 0.5, 0.48, 0.3], 0.1)
    assert np.diff(moved) == pytest.approx([-0.1] * 4)
    assert np.mean(moved) == pytest.approx(0.46)


def test_thinned_curves_keep_means_and_range():
    step, loss = figures.thin(history(np.exp(-np.arange(100_000) / 20_000)), points=200)
    assert len(step) <= 200
    assert step[0] == 1
    assert np.allclose(np.log(loss), -(step - 1) / 20_000, atol=1e-9)


def test_drawing_changes_no_global_setting_and_repeats_exactly():
    before = settings()
    documents = [
        figures.svg(figures.impulse_response(np.eye(9)[2], np.eye(9)[3])) for _ in range(2)
    ]
    assert settings() == before
    assert documents[0] == documents[1]
    assert "<svg" in documents[0]


def test_pyplot_is_never_imported():
    code = "import sys, seq2seq.analysis.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_references_below_the_plot_cost_no_space():
    references = {"zero": 0.5, "taps_64": 1e-12}
    ax = losses(history(np.geomspace(1, 0.1, 50)), references).axes[0]
    assert ax.get_ylim()[0] > 1e-3


def test_spectra_are_the_lower_bounds():
    figure = figures.spectra({"shift": np.eye(16)[9]}, sizes=12)
    recurrence, convolution = (line.get_ydata() for line in figure.axes[0].lines)
    assert recurrence[:9] == pytest.approx(1 - np.arange(1, 10) / 10)
    assert recurrence[9:] == pytest.approx(figures.SMALLEST)
    assert convolution == pytest.approx(figures.SMALLEST)


def test_spectra_on_a_finite_horizon_ask_for_less():
    kernel = (1 + 0.1 * np.arange(32)) ** -1.1  # its end is a jump that only later lags punish
    ends = [
        figures.spectra({"": kernel}, sizes=4, finite=finite).axes[0] for finite in (False, True)
    ]
    infinite, finite = (axes.lines[0].get_ydata() for axes in ends)
    assert (finite < infinite).all()
    assert finite[3] < 1e-3 * infinite[3]


def test_perturbation_marks_where_the_loss_is_lost():
    sizes = np.array([0.01, 0.1, 1.0])
    lost = Perturbed(0.1, sizes, np.array([[0.1, np.inf, np.inf]]))
    kept = Perturbed(0.2, sizes, np.array([[0.2, 0.3, 0.4]]))
    ax, other = figures.perturbation({"direct": {4: lost}, "stable": {4: kept, 8: kept}}).axes
    envelope, mark, _ = ax.lines
    assert list(envelope.get_xdata()) == [0.01, 0.1]
    assert mark.get_marker() == "^"
    assert mark.get_xdata()[0] == 0.1
    assert [len(line.get_xdata()) for line in other.lines] == [3, 1, 3, 1]


def test_escape_times_tell_observed_from_censored():
    k, tau = np.array([4, 4, 8, 8, 12, 12]), np.array([90.0, 110, 300, 330, 1000, 1000])
    censored, seed = k == 12, np.array([0, 1] * 3)
    times = figures.Times(k, tau, censored, compare(k, tau, censored, seed, resamples=20))
    lines = {line.get_label(): line for line in figures.escape_times({"": times}).axes[0].lines}
    (seen,) = [line for label, line in lines.items() if "escaped" in label]
    (open_,) = [line for label, line in lines.items() if "still on its plateau" in label]
    assert list(seen.get_ydata()) == [90, 110, 300, 330]
    assert list(open_.get_ydata()) == [1000, 1000]
    assert np.round(seen.get_xdata()).tolist() == [4, 4, 8, 8]
    assert any("exponential" in label for label in lines)


def test_bounds_have_the_colour_of_the_largest_and_alone_no_scale():
    """Which run was waited for longest says nothing of how long it would have taken."""
    values, known = np.array([[500.0, 783.0, 3000.0]]), np.array([[True, True, False]])
    axes = ("a", [1]), ("b", [4, 8, 16])
    some = figures.heat_map(values, *axes, "steps", known)
    assert np.ptp(some.axes[0].images[0].get_array()) == 0
    assert len(figures.heat_map(values, *axes, "steps", known & False).axes) == 2
    assert len(figures.heat_map(values, *axes, "steps", known | True).axes) == 1


@pytest.mark.parametrize(
    ("key", "form"),
    [("delay $k$ (steps)", r"e^{0.25\,k}"), ("length", r"\mathrm{length}^{\,"), ("T", r"T^{\,")],
)
def test_formulas_call_the_memory_as_its_axis_does(key, form):
    k, seed = np.tile(np.arange(4.0, 13, 2), 3), np.repeat(np.arange(3), 5)
    tau = np.exp(3 + 0.25 * k)
    found = compare(k, tau, k > 99, seed, resamples=20)
    figure = figures.escape_times({"": figures.Times(k, tau, k > 99, found)}, key)
    assert any(form in text.get_text() for text in figure.axes[0].texts)


def test_a_legend_lies_within_its_figure():
    groups = {f"a long name of a setting, {i}": ([1], [0.5], [[0.4, 0.6]]) for i in range(7)}
    figure = figures.means(groups, "x", "y")
    FigureCanvasAgg(figure).draw()
    box = figure.legends[0].get_window_extent()
    assert box.x1 <= figure.bbox.x1


def test_heat_map_writes_each_number_and_marks_bounds():
    values = np.array([[1.0, 20.0], [np.nan, 4000.0]])
    figure = figures.heat_map(
        values, ("width", [8, 16]), ("k", [4, 8]), "steps", lower_bounds=values == 4000
    )
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "20", "–", "≥4,000"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["4", "8"]


def test_means_carry_their_intervals():
    groups = {"rnn": ([4, 8], [0.1, 0.2], [[0.05, 0.15], [0.1, 0.3]])}
    (bars,) = figures.means(groups, "k", "NMSE").axes[0].containers
    segments = bars.lines[2][0].get_segments()
    assert [segment[:, 1].tolist() for segment in segments] == [
        pytest.approx([0.05, 0.15]),
        pytest.approx([0.1, 0.3]),
    ]


def test_means_over_decades_stand_where_they_are_on_a_logarithmic_scale():
    far = {
        "rnn": ([13, 14, 90], [1, 0.5, 0.1], np.ones((3, 2))),
        "gru": ([25, 929], [1, 0.1], np.ones((2, 2))),
    }
    ax = figures.means(far, "parameters", "NMSE").axes[0]
    assert ax.get_xscale() == "log"
    lines = [bars.lines[0].get_xdata().tolist() for bars in ax.containers]
    assert lines == [pytest.approx([13, 14, 90]), pytest.approx([25, 929])]
    shown = [t.get_text() for t in ax.get_xticklabels() if t.get_text()]
    assert "100" in shown
    assert "13" not in shown  # the label of 14 would cover it
    near = {"rnn": ([4, 8, 16], [1, 0.5, 0.1], np.ones((3, 2)))}
    ax = figures.means(near, "k", "NMSE").axes[0]
    assert ax.get_xscale() == "linear"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["4", "8", "16"]


def test_means_stand_beside_what_has_no_memory():
    groups = {"rnn": ([4, 8], [0.1, 0.2], [[0.05, 0.15], [0.1, 0.3]])}
    figure = figures.means(groups, "k", "loss", memoryless=([4, 8], [0.3, 0.4]))
    (levels,) = (one for one in figure.axes[0].collections if one.get_label() == "memoryless")
    assert [part.tolist() for part in levels.get_segments()] == [
        [[3, 0.3], [5, 0.3]],
        [[7, 0.4], [9, 0.4]],
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["memoryless", "rnn"]


@pytest.mark.parametrize("panels", [1, 4, 8])
def test_nothing_is_cut_off_around_the_unit_circle(panels):
    steps, values = [0, 10, 100], 0.9 * np.exp(1j * np.linspace(0, 6, 12)).reshape(3, 4)
    figure = figures.eigenvalues({f"k = {k}": (steps, values) for k in range(panels)})
    FigureCanvasAgg(figure).draw()
    frame, drawn = figure.bbox_inches, figure.get_tightbbox()
    assert drawn.y0 >= 0
    assert drawn.y1 <= frame.y1
    legend, title = figure.legends[0].get_window_extent(), figure.axes[0]._left_title
    assert title.get_window_extent().y1 < legend.y0


def test_numbers_are_short():
    shown = [figures.number(value) for value in (4, 0.5, 1234567, 0.00012, "rnn", True)]
    assert shown == ["4", "0.5", "1,234,567", "1.2e-4", "rnn", "True"]
