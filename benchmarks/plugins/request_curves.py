"""Picture of requests over time: columns against the number of requests, one pane each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.bench.plots import COLORS, INK, KINDS, MARKERS, RULE, SOFT, WIDTH, Results

DASHED = (0, (4, 3))


def request_curves(figure: Any, results: Results, settings: Mapping[str, Any]) -> bool:
    """One line a mode, means over seeds; a mode with a single model is a point.

    Settings: `title`, `arms` (names of modes), `columns` (column to label), `lines` (column to a limit).
    """
    stored = [(name, results["curves"][name]) for name in settings["arms"] if name in results.get("curves", {})]
    columns = settings["columns"]
    rows = -(-len(columns) // 2)
    figure.set_size_inches(WIDTH, 2.6 * rows + 0.7)
    for k, (column, label) in enumerate(columns.items()):
        axes = figure.add_subplot(rows, 2, k + 1)
        for n, (name, curve) in enumerate(stored):
            there = [(x, y) for x, y in zip(curve["number"], curve[column], strict=True) if y is not None]
            joint = len(curve["number"]) == 2 and curve["number"][1] > 1
            there = there[-1:] if joint else there
            style = {"color": COLORS[n % len(COLORS)], "marker": MARKERS[n % len(MARKERS)], "markersize": 4}
            axes.plot([x for x, _ in there], [y for _, y in there], linewidth=1.3, label=name, **style)
        if column in settings.get("lines", {}):
            axes.axhline(settings["lines"][column], color=SOFT, linewidth=0.9, linestyle=DASHED, zorder=1)
        axes.set_title(label, fontsize=9, color=INK)
        axes.grid(True, color=RULE, linewidth=0.6)
        axes.tick_params(colors=SOFT, length=0)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(RULE)
        if k >= len(columns) - 2:
            axes.set_xlabel("requests so far", color=SOFT, fontsize=8)
    if stored:
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="lower center", ncol=3, frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.09 if rows > 1 else 0.16, 1, 0.94))
    figure.text(0.012, 0.97, settings["title"], color=INK, fontsize=11, fontweight="bold", va="center")
    return bool(stored)


KINDS["request_curves"] = request_curves
