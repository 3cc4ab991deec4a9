"""The frontier as SVG: what is left of the target and what is kept at every epsilon, and how far from retraining.

Surprising: epsilons stand side by side at equal steps, since there is no place for infinity on an axis.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from expunge.bench.panel import COLOURS, INK, MARKS, RULE, SOFT, STYLE, apart

LEFT = {"retention": "retention", "leak_mean": "exact answers on the target"}
RIGHT = {"distance_to_retrained": "distance to retrained"}
GAP = 0.09  # least distance between two names, as a share of the height


def draw(found: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The picture; `names`: row → what stands on the axis, in this order. The same numbers give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = [row for row in names if row in found["methods"]]
    noise = found["methods"]["retrained-2"]["distance_to_retrained"]
    with matplotlib.rc_context(STYLE):
        figure: Any = Figure(figsize=(8.6, 3.5), facecolor="white")
        for left, columns, first in ((0.06, LEFT, 0), (0.66, RIGHT, len(LEFT))):
            axes = figure.add_axes((left, 0.16, 0.30, 0.70))
            _lines(axes, found, rows, columns, first)
            axes.set_xticks(range(len(rows)), [names[row] for row in rows])
            axes.set_xlabel("ε", color=SOFT)
            axes.set_ylim(bottom=0)
            axes.grid(True, color=RULE, linewidth=0.6)
            axes.tick_params(colors=SOFT, length=3)
            for side, spine in axes.spines.items():
                spine.set_visible(side in ("left", "bottom"))
                spine.set_color(RULE)
            if columns is LEFT:
                _name(axes, found, rows, columns)
            else:
                axes.set_title("distance to the retrained model", loc="left", color=COLOURS[first], fontsize=10)
                axes.axhline(noise, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
                axes.text(0, noise, "a second retrained seed", color=SOFT, fontsize=8, va="bottom")
        figure.text(
            0.012, 0.96, "Forgetting under differential privacy", color=INK, fontsize=11, fontweight="bold", va="center"
        )
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Title": "privacy frontier"})
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _lines(axes: Any, found: Mapping[str, Any], rows: Sequence[str], columns: Mapping[str, str], first: int) -> None:
    for k, column in enumerate(columns, first):
        there = [
            (x, found["methods"][row][column], found["intervals"][row][column])
            for x, row in enumerate(rows)
            if found["methods"][row][column] is not None
        ]
        axes.plot(
            [x for x, *_ in there],
            [y for _, y, _ in there],
            color=COLOURS[k],
            marker=MARKS[k],
            markersize=5,
            linewidth=1.6,
        )
        for x, _, interval in there:
            if interval is not None:
                axes.plot((x, x), (max(0.0, interval[0]), interval[1]), color=COLOURS[k], linewidth=1.0)


def _name(axes: Any, found: Mapping[str, Any], rows: Sequence[str], columns: Mapping[str, str]) -> None:
    """Names at the ends of the lines, moved apart where these end close together."""
    top = axes.get_ylim()[1]
    last = {column: found["methods"][rows[-1]][column] for column in columns if rows}
    there = [column for column, value in last.items() if value is not None]
    for k, place in zip(there, apart([last[c] / top for c in there], GAP), strict=True):
        axes.text(
            1.03,
            place,
            columns[k],
            transform=axes.transAxes,
            va="center",
            fontsize=9,
            color=COLOURS[list(columns).index(k)],
        )
