"""Lines on a log-log panel: their fitted slopes, and the picture as SVG.

A slope is the power p in y = c·xᵖ: 0 is flat, 1 is in proportion. Surprising: the names stand at the ends of the
lines and are moved apart where lines end close together, so no legend has to be read.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

COLOURS = ("#0072b2", "#c2410c", "#007a5e", "#57606a", "#8e3a80")  # each with a mark of its own
MARKS = ("o", "s", "^", "D", "v")
INK, SOFT, RULE = "#1b1f24", "#57606a", "#d0d7de"
GAP = 0.075  # least distance between two names, as a share of the height
LEAST_SPAN = 8.0  # the vertical axis covers at least this factor, so that noise on a flat line looks small
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "expunge", "font.size": 10}


def fit(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """(p, c) of y = c·xᵖ by least squares on the logarithms.

    `ValueError` for fewer than two different x, or a value that is not above 0.
    """
    if min(*x, *y) <= 0 or len(set(x)) < 2:
        raise ValueError("a slope needs two different places and values above 0")
    across, up = [math.log(v) for v in x], [math.log(v) for v in y]
    middle, height = sum(across) / len(across), sum(up) / len(up)
    p = sum((a - middle) * (u - height) for a, u in zip(across, up, strict=True)) / sum(
        (a - middle) ** 2 for a in across
    )
    return p, math.exp(height - p * middle)


@dataclass(frozen=True)
class Line:
    """Measured points, x ascending, all above 0."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    @property
    def slope(self) -> float:
        """Over all points."""
        return fit(self.x, self.y)[0]

    @property
    def last(self) -> float:
        """Between the last two points: where a line bends, the better guess of how it goes on."""
        return fit(self.x[-2:], self.y[-2:])[0]


@dataclass(frozen=True)
class Panel:
    """One picture; `key` names its file, `across` and `up` are the axes with their units."""

    key: str
    title: str
    across: str
    up: str
    lines: tuple[Line, ...]


def apart(places: Sequence[float], gap: float) -> list[float]:
    """`places` moved as little as needed so that any two are at least `gap` apart; their order stays."""
    groups: list[list[int]] = []

    def centre(group: list[int]) -> float:
        return sum(places[k] for k in group) / len(group)

    for k in sorted(range(len(places)), key=lambda k: places[k]):
        groups.append([k])
        while len(groups) > 1 and (
            centre(groups[-1]) - centre(groups[-2]) < gap * (len(groups[-1]) + len(groups[-2])) / 2
        ):
            last = groups.pop()
            groups[-1] += last
    found = [0.0] * len(places)
    for group in groups:
        for place, k in enumerate(group):
            found[k] = centre(group) + gap * (place - (len(group) - 1) / 2)
    return found


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Ends of a log axis around `values`, some air included."""
    low, high = min(values), max(values)
    wide = max(1.4, math.sqrt(max(LEAST_SPAN / (high / low), 1.0)))
    return low / wide, high * wide


def marks(low: float, high: float) -> list[float]:
    """Round values on a log axis, at most seven unless these are powers of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    finest, fine, coarse = (
        [f * 10.0**k for k in powers for f in steps if low <= f * 10.0**k <= high]
        for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1,))
    )
    return next((found for found in (finest, fine) if len(found) <= 7), coarse)


def signed(slope: float) -> str:
    """Two decimals, a proper minus, and no minus before nought."""
    return f"{round(slope, 2) + 0.0:.2f}".replace("-", "−")


def draw(panel: Panel) -> str:
    """The panel as SVG; the same numbers give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure: Any = Figure(figsize=(7.6, 3.6), facecolor="white")
        axes = figure.add_axes((0.095, 0.145, 0.53, 0.755))
        axes.set_xscale("log")
        axes.set_yscale("log")
        low, high = limits([v for line in panel.lines for v in line.y])
        axes.set_ylim(low, high)
        _ticks(axes.yaxis, marks(low, high))
        _ticks(axes.xaxis, sorted({v for line in panel.lines for v in line.x}))
        ends = apart([math.log(line.y[-1] / low) / math.log(high / low) for line in panel.lines], GAP)
        for k, (line, end) in enumerate(zip(panel.lines, ends, strict=True)):
            colour = COLOURS[k % len(COLOURS)]
            axes.plot(line.x, line.y, color=colour, marker=MARKS[k % len(MARKS)], markersize=5, linewidth=1.6)
            axes.text(
                1.03,
                end,
                f"{line.name}: slope {signed(line.slope)}",
                transform=axes.transAxes,
                va="center",
                color=colour,
            )
        axes.set_title(panel.title, loc="left", color=INK, fontsize=11, fontweight="bold")
        axes.set_xlabel(panel.across, color=SOFT)
        axes.set_ylabel(panel.up, color=SOFT)
        axes.grid(True, color=RULE, linewidth=0.6)
        axes.tick_params(colors=SOFT, length=3, which="major")
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(RULE)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Title": panel.title})
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _ticks(axis: Any, values: Sequence[float]) -> None:
    axis.set_ticks(values, labels=[f"{v:,.0f}" if v >= 1 else f"{v:g}" for v in values])
    axis.set_ticks([], minor=True)
