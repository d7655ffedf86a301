"""Figures of bounds and of stability: what a size allows, and how much noise a model bears."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from seq2seq.analysis.figures import canvas
from seq2seq.analysis.figures.canvas import Look, array, style
from seq2seq.theory import bounds

if TYPE_CHECKING:
    import pandas as pd

    from seq2seq.analysis.perturbation import Perturbed

#: A perturbed loss from here on is drawn as lost: how far beyond it lies tells nothing more.
LOST = 1e4

#: Relative errors below this are drawn at it: they are rounding.
SMALLEST = 1e-12


@style()
def spectra(kernels: Mapping[str, ArrayLike], sizes: int = 16, finite: bool = False) -> Figure:
    """What recurrences and dilated convolutions of growing size must miss of each kernel.

    Drawn are the lower bounds of the relative error: of a recurrence with n states
    (`bounds.order_bound`) and of a linear dilated network of filter size 2 with n channels between
    its layers (`bounds.tail_bounds` of the tensor train).

    Args:
        kernels: per title ρ, (lags,).
        sizes: largest n.
        finite: count errors on the lags of ρ only, as tasks of that length do; otherwise a
            recurrence has to be silent on all later ones too.
    """
    n = range(1, sizes + 1)
    unit = "relative error at least"
    figure, axes = canvas.grid(kernels, 2.4, "size $n$", unit, most=4)
    for ax, kernel in zip(axes, kernels.values(), strict=True):
        rho = array(kernel)
        weights = np.ones(len(rho)) if finite else None
        unfoldings = bounds.train_spectra(rho)
        recurrence = bounds.order_bounds(rho, n, weights)
        convolution = [bounds.tail_bounds(unfoldings, size)[0] for size in n]
        for label, errors, line in (
            ("recurrence, $n$ states", recurrence, "o-"),
            ("dilated convolution, $n$ channels", convolution, "s--"),
        ):
            relative = np.maximum(np.asarray(errors) / (rho @ rho), SMALLEST)
            ax.plot(n, relative, line, ms=3, label=label)
        ax.set(yscale="log", ylim=(SMALLEST / 2, 2))
    canvas.legend(figure, 2)
    return figure


@dataclass(frozen=True)
class BoundedErrors:
    """A panel of `order_bounds`.

    Attributes:
        kernel: ρ, (lags,).
        weights: w_s of the squared errors of the impulse response, (lags,).
        errors: per label the numbers of real states n and the NMSE found with them.
    """

    kernel: ArrayLike
    weights: ArrayLike
    errors: Mapping[str, tuple[ArrayLike, ArrayLike]]


@style()
def order_bounds(panels: Mapping[str, BoundedErrors]) -> Figure:
    """Errors of trained recurrences beside the least that n real states allow a linear one.

    Args:
        panels: per title the kernel and the errors found.
    """
    labels = list(dict.fromkeys(label for panel in panels.values() for label in panel.errors))
    looks: dict[str, Look] = {}
    for index, label in enumerate(labels):
        turn, place = divmod(index, len(canvas.PALETTE))
        marker = canvas.MARKERS[(place + turn) % len(canvas.MARKERS)]  # no two look alike
        look: Look = {"color": canvas.PALETTE[place], "marker": marker}
        looks[label] = look | {"mfc": "none", "ms": 4, "ls": ""}
    figure, axes = canvas.grid(panels, 2.6, "real states $n$", "test NMSE", share=False)
    for ax, panel in zip(axes, panels.values(), strict=True):
        rho, weights = array(panel.kernel), array(panel.weights)
        total = float((weights * rho**2).sum())
        sizes = np.concatenate([array(n) for n, _ in panel.errors.values()])
        n = np.arange(int(sizes.min()), int(sizes.max()) + 1)
        if len(n) > 64:
            n = np.unique(np.geomspace(n[0], n[-1], 64).round().astype(int))
        least = bounds.order_bounds(rho, n.tolist(), weights) / total
        seen = least > SMALLEST
        ax.plot(n[seen], least[seen], color=canvas.BLACK, lw=1.0)
        ax.fill_between(n, 0, np.maximum(least, 0), color=canvas.GREY, alpha=0.2, lw=0)
        for label, (states, errors) in panel.errors.items():
            # Equal sizes stand side by side.
            aside = 1.015 ** (2 * labels.index(label) - len(labels) + 1)
            ax.plot(array(states) * aside, array(errors), **looks[label])
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        found = np.concatenate([array(e) for _, e in panel.errors.values()])
        ax.set_ylim(max(found.min() / 3, SMALLEST), max(2.0, 1.3 * found.max()))
        canvas.ticks_at(ax, sizes)
    line = canvas.entry("least of a linear recurrence", color=canvas.BLACK, lw=1.0)
    named = [canvas.entry(label, **look) for label, look in looks.items() if label]
    canvas.legend(figure, 3, line, *named)
    return figure


@style()
def perturbation(
    panels: Mapping[str, Mapping[int, "Perturbed"]], limit: float | None = None, unit: str = "loss"
) -> Figure:
    """Envelopes of the loss under noise in the parameters, one line per width.

    A line ends in an upward triangle where the loss reaches `LOST`, or is no number. The
    horizontal ticks at the left edge are the losses without noise.

    Args:
        panels: per title (a parameterisation, say) and width the perturbed losses.
        limit: the loss up to which noise counts as tolerated, drawn dashed.
        unit: label of the vertical axes.
    """
    every = [one for widths in panels.values() for one in widths.values()]
    widths = sorted({width for found in panels.values() for width in found})
    finite = np.concatenate([one.envelope[one.envelope < LOST] for one in every] + [[1e-30]])
    top = 3 * finite.max()
    colours = dict(
        zip(widths, mpl.colormaps["viridis_r"](np.linspace(0.1, 1, len(widths))), strict=True)
    )
    size = "relative size of the noise $\\beta$"
    figure, axes = canvas.grid(panels, 2.6, size, unit, most=4)
    for ax, found in zip(axes, panels.values(), strict=True):
        for width, one in sorted(found.items()):
            color = colours[width]
            gone = ~(one.envelope < LOST)
            until = int(np.argmax(gone)) + 1 if gone.any() else len(gone)
            drawn = np.where(gone, top, one.envelope)[:until]
            ax.plot(one.sizes[:until], drawn, "o-", color=color, ms=2.5)
            if gone.any():
                ax.plot(one.sizes[until - 1], top, "^", color=color, ms=5)
            ax.plot(0.02, one.clean, "_", color=color, transform=ax.get_yaxis_transform())
        if limit is not None:
            ax.axhline(limit, color=canvas.GREY, lw=0.9, ls=canvas.DASHED)
        ax.set(xscale="log", yscale="log")
    entries = (canvas.entry(f"width {m}", color=c, marker="o", ms=2.5) for m, c in colours.items())
    canvas.legend(figure, 6, *entries)
    return figure


@dataclass(frozen=True)
class Approximation:
    """A panel of `approximations`.

    Attributes:
        best: by the width the error of the best sum found.
        trained: per label, by the width the mean error and the ends of its interval.
    """

    best: "pd.Series[float]"
    trained: Mapping[str, "pd.Series[Any]"]


@style()
def approximations(panels: Mapping[str, Approximation]) -> Figure:
    """The least errors that sums of exponentials reach, those of training, and their ratio.

    Args:
        panels: per title what was found.
    """
    titles = [f"{title}: {what}" for title in panels for what in ("error", "gap")]
    figure, axes = canvas.grid(titles, 2.6, "states $n$", "NMSE, or ratio", most=2, share=False)
    for error, gap, panel in zip(axes[::2], axes[1::2], panels.values(), strict=True):
        least = panel.best
        error.plot(least.index, least, "o-", color=canvas.BLACK, ms=3, label="best sum found")
        for (label, found), marker in zip(panel.trained.items(), cycle(canvas.MARKERS)):
            mean, low, high = np.array(found.tolist()).T
            look: Look = {"marker": marker, "ms": 4, "lw": 1.0, "capsize": 2}
            for ax, by in ((error, 1.0), (gap, least[found.index].to_numpy())):
                ends = [(mean - low) / by, (high - mean) / by]
                ax.errorbar(found.index, mean / by, ends, label=f"trained, {label}", **look)
        for ax in (error, gap):
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            canvas.ticks_at(ax, least.index.to_numpy(float))
    canvas.legend(figure, 4)
    return figure
