"""Two columns of intervals over the same rows, as SVG: how far from the retrained model, how much was kept.

Surprising: no scatter. Twenty methods crowd into one corner of it; here every row has its name at its own height.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.bench.panel import COLOURS, INK, RULE, SOFT, STYLE


@dataclass(frozen=True)
class Mark:
    """One row: values of the two columns, their intervals (None: there is none), and its group (a colour)."""

    name: str
    values: tuple[float | None, float | None]
    intervals: tuple[Sequence[float] | None, Sequence[float] | None]
    group: str


@dataclass(frozen=True)
class Forest:
    """Rows from top to bottom; `lines`: (column, place, words) of vertical rules; `heads` name the two columns.

    same_scale   both columns have one axis
    """

    title: str
    heads: tuple[str, str]
    marks: tuple[Mark, ...]
    lines: tuple[tuple[int, float, str], ...] = ()
    same_scale: bool = False


def marks(found: Mapping[str, Any], columns: tuple[str, str], groups: Mapping[str, str]) -> tuple[Mark, ...]:
    """Rows of a summary with a value in the first column, nearest to 0 first; `groups`: row → group."""
    methods, intervals = found["methods"], found["intervals"]
    there = [row for row in methods if methods[row][columns[0]] is not None]
    first, second = columns
    return tuple(
        Mark(
            row,
            (methods[row][first], methods[row][second]),
            (intervals[row][first], intervals[row][second]),
            groups.get(row, "baselines"),
        )
        for row in sorted(there, key=lambda row: methods[row][first])
    )


def draw(forest: Forest) -> str:
    """The picture as SVG; the same numbers give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys(m.group for m in forest.marks))
    height = 1.3 + 0.27 * len(forest.marks)
    with matplotlib.rc_context(STYLE):
        figure: Any = Figure(figsize=(8.6, height), facecolor="white")
        low, tall = 0.62 / height, (height - 1.3) / height
        panes = [figure.add_axes((left, low, 0.37, tall)) for left in (0.19, 0.61)]
        for column, axes in enumerate(panes):
            for y, mark in enumerate(forest.marks):
                _mark(axes, y, mark.values[column], mark.intervals[column], COLOURS[groups.index(mark.group)])
            for _, place, words in (line for line in forest.lines if line[0] == column):
                axes.axvline(place, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
                axes.text(place, -0.85, words, color=SOFT, fontsize=8, ha="center", va="bottom")
            axes.set_ylim(len(forest.marks) - 0.4, -0.6)
            axes.set_yticks(range(len(forest.marks)), [m.name for m in forest.marks] if column == 0 else [])
            axes.set_xlabel(forest.heads[column], color=SOFT)
            axes.grid(True, axis="x", color=RULE, linewidth=0.6)
            axes.tick_params(colors=SOFT, length=0)
            for side, spine in axes.spines.items():
                spine.set_visible(side == "bottom")
                spine.set_color(RULE)
        if forest.same_scale:
            ends = [axes.get_xlim() for axes in panes]
            for axes in panes:
                axes.set_xlim(min(low for low, _ in ends), max(high for _, high in ends))
        for label, mark in zip(panes[0].get_yticklabels(), forest.marks, strict=True):
            label.set_color(COLOURS[groups.index(mark.group)])
        figure.text(0.012, 1 - 0.24 / height, forest.title, color=INK, fontsize=11, fontweight="bold", va="center")
        x = 0.98
        crowded = 0.0125 * len(forest.title) + sum(0.012 * len(group) + 0.02 for group in groups) > 0.96
        for k, group in reversed(list(enumerate(groups))):
            figure.text(
                x, 1 - (0.5 if crowded else 0.24) / height, group, color=COLOURS[k], fontsize=9, ha="right", va="center"
            )
            x -= 0.012 * len(group) + 0.02
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Title": forest.title})
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _mark(axes: Any, y: int, value: float | None, interval: Sequence[float] | None, colour: str) -> None:
    if value is None:
        return
    if interval is not None:
        axes.plot(interval, (y, y), color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
    axes.plot([value], [y], marker="o", markersize=5, color=colour, zorder=3)
