"""The page of the two-scale Lorenz 96 system."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure as Drawing

from seq2seq.analysis import figures
from seq2seq.explorer import drawing
from seq2seq.explorer.page import Blocks, Controls, Page, Slider

LENGTH = 128

#: Colours of negative and positive values, the same on both sides of 0.
COLOURS = "RdBu_r"


class Lorenz96(Page):
    title = "Lorenz 96"
    sentence = "A nonlinear task with hidden fast variables that no model sees."
    about = (
        "<i>K</i> slow variables <i>y</i> on a circle, driven by the input <i>x</i>, each coupled "
        "to <i>J</i> fast ones <i>z</i>. A model sees <i>x</i> and must answer <i>y</i>; it never "
        "sees <i>z</i>."
        '<span class="equation formula">d<i>y<sub>k</sub></i>/d<i>t</i> = '
        "−<i>y</i><sub><i>k</i>−1</sub>(<i>y</i><sub><i>k</i>−2</sub> − "
        "<i>y</i><sub><i>k</i>+1</sub>) − <i>y<sub>k</sub></i> + <i>x<sub>k</sub></i> + "
        "<i>h<sub>x</sub></i> mean<sub><i>j</i></sub> <i>z<sub>j,k</sub></i></span>"
        '<span class="equation formula"><i>ε</i> d<i>z<sub>j,k</sub></i>/d<i>t</i> = '
        "−<i>z</i><sub><i>j</i>+1,<i>k</i></sub>(<i>z</i><sub><i>j</i>+2,<i>k</i></sub> − "
        "<i>z</i><sub><i>j</i>−1,<i>k</i></sub>) − <i>z<sub>j,k</sub></i> + "
        "<i>h<sub>y</sub> y<sub>k</sub></i></span>"
    )

    def controls(self) -> Controls:
        yield Slider("K", "Slow variables K", 1, 10, 8)
        yield Slider("J", "Fast per slow, J", 1, 10, 8)
        yield Slider("epsilon", "Fast time scale ε", 0.2, 1, 0.5, step=0.05)
        yield Slider("h_x", "h_x, fast to slow", -2, 2, -1, step=0.1)
        yield Slider("h_y", "h_y, slow to fast", -2, 2, 1, step=0.1)
        yield Slider("scale", "Forcing scale", 0.1, 10, 5, step=0.1)

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        from seq2seq.seeds import generator
        from seq2seq.tasks import GP
        from seq2seq.tasks import Lorenz96 as Task

        parameters = {name: values[name] for name in ("K", "J", "epsilon", "h_x", "h_y")}
        process = GP(scale=values["scale"])
        task = Task(**parameters, length=LENGTH, input=process)
        x = process.sample(1, LENGTH, task.K, generator(seed, "explorer"))[0]
        y, z = task.trajectory(x)
        yield drawing.block(
            "curves",
            _curves(x[:, 0], y[:, 0], z[:, 0, 0], task.dt, width),
            f"The forcing, slow variable and one fast variable of the first place over "
            f"{LENGTH} steps of {task.dt}. The slow one runs from {y[:, 0].min():.3g} to "
            f"{y[:, 0].max():.3g}, the fast one from {z[:, 0, 0].min():.3g} to "
            f"{z[:, 0, 0].max():.3g}.",
        )
        if task.K > 1:
            yield drawing.block(
                "space-time",
                _space_time(y, task.dt, width),
                f"All {task.K} slow variables over time, as an image: from {y.min():.3g} to "
                f"{y.max():.3g}.",
            )


@figures.style()
def _curves(x: Any, y: Any, z: Any, dt: float, width: int) -> Drawing:
    figure, (forcing, slow, fast) = drawing.panels(width, (70, 70, 70))
    drawing.curve(forcing, x.numpy(), figures.BLUE, "forcing x₁", step=dt)
    drawing.curve(slow, y.numpy(), figures.VERMILION, "slow y₁", step=dt)
    drawing.curve(fast, z.numpy(), figures.GREEN, "fast z₁,₁", step=dt)
    fast.set_xlabel("time t")
    return figure


@figures.style()
def _space_time(y: Any, dt: float, width: int) -> Drawing:
    T, K = y.shape
    most = float(abs(y).max())
    figure, (axes,) = drawing.panels(width, (14 * K + 10,))
    axes.imshow(
        y.numpy().T,
        origin="lower",
        aspect="auto",
        extent=(-dt / 2, (T - 0.5) * dt, 0.5, K + 0.5),
        cmap=COLOURS,
        vmin=-most,
        vmax=most,
        interpolation="none",
    )
    axes.set_xlim(-dt, T * dt)
    axes.spines[:].set_visible(False)
    axes.set_title(f"slow y₁ to y{_index(K)}", loc="left", y=1.0)
    axes.set_yticks(range(1, K + 1))
    axes.set_xlabel("time t")
    # The scale of the colours, at the right of the title.
    place = axes.get_position()
    high = 8 / drawing.DPI / figure.get_figheight()
    bar = figure.add_axes((place.x1 - 130 / width, place.y1 + high, 90 / width, high))
    bar.imshow([range(32)], aspect="auto", cmap=COLOURS)
    bar.set_axis_off()
    for x, align, value in ((-0.06, "right", -most), (1.06, "left", most)):
        text = f"{value:.1f}".replace("-", "−")
        bar.text(x, 0.5, text, ha=align, va="center", fontsize=8, transform=bar.transAxes)
    return figure


def _index(number: int) -> str:
    """The number in subscript digits."""
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
