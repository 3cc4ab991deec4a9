"""Log-log plots with fitted slopes, as SVG.

A slope is the power p in y = c·xᵖ, fitted by least squares on the logarithms: 0 is flat, 1 is proportional.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.bench.plots import COLORS, MARKERS, STYLE, figure_svg

MIN_SPAN = 8.0  # the vertical axis covers at least this factor, so that noise on a flat line looks small


@dataclass(frozen=True)
class Line:
    """Measured points, x ascending, all above 0."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    @property
    def slope(self) -> float:
        """Over all points."""
        return fit_power(self.x, self.y)

    @property
    def last_slope(self) -> float:
        """Between the last two points: where a line bends, the better extrapolation."""
        return fit_power(self.x[-2:], self.y[-2:])


@dataclass(frozen=True)
class LogLogPlot:
    """One plot; `key` is part of its file name, the labels name the axes with their units."""

    key: str
    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]


def fit_power(x: Sequence[float], y: Sequence[float]) -> float:
    """p of y = c·xᵖ; `ValueError` for fewer than two different x, or a value that is not above 0."""
    if min(*x, *y) <= 0 or len(set(x)) < 2:
        raise ValueError("a slope needs two different places and values above 0")
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def format_slope(slope: float) -> str:
    """Two decimals, a typographic minus, and no minus before zero."""
    return f"{round(slope, 2) + 0.0:.2f}".replace("-", "−")


def ticks(low: float, high: float) -> list[float]:
    """Round values on a log axis, at most seven unless these are powers of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    finest, fine, coarse = (
        [f * 10.0**k for k in powers for f in factors if low <= f * 10.0**k <= high]
        for factors in ((1, 2, 3, 5, 7), (1, 2, 5), (1,))
    )
    return next((values for values in (finest, fine) if len(values) <= 7), coarse)


def draw(plot: LogLogPlot) -> str:
    """The plot as SVG, slopes in its legend; the same numbers give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    values = [v for line in plot.lines for v in line.y]
    margin = max(1.4, math.sqrt(max(MIN_SPAN * min(values) / max(values), 1.0)))
    low, high = min(values) / margin, max(values) * margin
    with matplotlib.rc_context(STYLE):
        figure: Any = Figure(figsize=(7.6, 3.6), facecolor="white", layout="constrained")
        axes = figure.add_subplot(xscale="log", yscale="log", title=plot.title, ylim=(low, high))
        for k, line in enumerate(plot.lines):
            label = f"{line.name}: slope {format_slope(line.slope)}"
            axes.plot(line.x, line.y, color=COLORS[k], marker=MARKERS[k], markersize=5, label=label)
        for axis, marks in (
            (axes.xaxis, sorted({v for line in plot.lines for v in line.x})),
            (axes.yaxis, ticks(low, high)),
        ):
            axis.set_ticks(marks, labels=[f"{v:,.0f}" if v >= 1 else f"{v:g}" for v in marks])
            axis.set_ticks([], minor=True)
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        axes.grid(True, color="#d0d7de", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False)
        return figure_svg(figure, plot.title)
