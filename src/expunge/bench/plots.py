"""Pictures of a page as SVG, drawn from results: the same numbers give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from expunge.bench.analysis import Point, pareto_front
from expunge.bench.experiment import REFERENCES
from expunge.bench.table import interval_of, matches, value_at

COLORS = ("#0072b2", "#c2410c", "#007a5e", "#57606a", "#8e3a80")
MARKERS = ("o", "s", "^", "D", "v")
INK, SOFT, RULE = "#1b1f24", "#57606a", "#d0d7de"
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "expunge", "font.size": 10}
WIDTH = 8.6  # inches
DASHED = (0, (4, 3))
Results = Mapping[str, Any]


def draw(kind: str, results: Results, settings: Mapping[str, Any]) -> str:
    """The picture of a kind; an empty string where the results hold nothing to draw."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure: Any = Figure(figsize=(WIDTH, 3), facecolor="white")
        if not KINDS[kind](figure, results, settings):
            return ""
        return figure_svg(figure, kind)


def figure_svg(figure: Any, title: str) -> str:
    """SVG of a matplotlib figure: equal figures give equal text."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _dress(axes: Any, visible: Sequence[str] = ("bottom",), grid: str = "x") -> None:
    axes.grid(True, axis=grid, color=RULE, linewidth=0.6)
    axes.tick_params(colors=SOFT, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in visible)
        spine.set_color(RULE)


def _value(value: Any) -> float | None:
    middle = value.get("mean") if isinstance(value, Mapping) else value
    return None if middle is None else float(middle)


def forest(figure: Any, results: Results, settings: Mapping[str, Any]) -> bool:
    """Two columns of intervals over the same rows.

    Settings: `title`, `of` (path of the rows), `columns` and `heads` (two each), `groups` (name to its rows), `lines`
    (column, place or path, text), `sort` by the first column, `same_scale`.
    """
    columns, of = settings["columns"], settings.get("of", "methods/*")
    stored = results.get("intervals", {}) if of == "methods/*" else {}
    group = {name: label for label, names in settings.get("groups", {}).items() for name in names}
    rows = [(names[0], [value_at(value, c) for c in columns]) for names, value in matches(results, of)]
    rows = [row for row in rows if any(_value(v) is not None for v in row[1])]
    if settings.get("sort"):
        rows = sorted((r for r in rows if _value(r[1][0]) is not None), key=lambda r: _value(r[1][0]) or 0.0)
    if not rows:
        return False
    groups = list(dict.fromkeys(group.get(name, "others") for name, _ in rows))
    color = {name: COLORS[groups.index(group.get(name, "others")) % len(COLORS)] for name, _ in rows}
    height = 1.3 + 0.27 * len(rows)
    figure.set_size_inches(WIDTH, height)
    panes = [figure.add_axes((left, 0.62 / height, 0.37, (height - 1.3) / height)) for left in (0.19, 0.61)]
    for k, axes in enumerate(panes):
        for y, (name, values) in enumerate(rows):
            middle = _value(values[k])
            interval = interval_of(values[k]) or stored.get(name, {}).get(columns[k])
            if middle is not None and interval:
                axes.plot(interval, (y, y), color=color[name], linewidth=1.6, solid_capstyle="butt", zorder=2)
            if middle is not None:
                axes.plot([middle], [y], marker="o", markersize=5, color=color[name], zorder=3)
        for column, place, text in settings.get("lines", ()):
            at = _value(value_at(results, place)) if isinstance(place, str) else place
            if column == k and at is not None:
                axes.axvline(at, color=SOFT, linewidth=0.9, linestyle=DASHED, zorder=1)
                axes.text(at, -0.85, text, color=SOFT, fontsize=8, ha="center", va="bottom")
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows] if k == 0 else [])
        axes.set_xlabel(settings["heads"][k], color=SOFT)
        _dress(axes)
    if settings.get("same_scale"):
        limits = [axes.get_xlim() for axes in panes]
        for axes in panes:
            axes.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
    for label, (name, _) in zip(panes[0].get_yticklabels(), rows, strict=True):
        label.set_color(color[name])
    _title(figure, settings["title"], 1 - 0.24 / height)
    for k, name in enumerate(groups if len(groups) > 1 else ()):
        figure.text(0.98 - 0.19 * (len(groups) - 1 - k), 0.06 / height, name, color=COLORS[k], fontsize=9, ha="right")
    return True


def _title(figure: Any, text: str, y: float) -> None:
    figure.text(0.012, y, text, color=INK, fontsize=11, fontweight="bold", va="center")


def pareto(figure: Any, results: Results, settings: Mapping[str, Any]) -> bool:
    """Retention against distance, one pane per request; a line joins the arms that no other beats.

    Settings: `least` retention and `most` distance of the axes (an arm outside is hollow, at the edge), `goal`.
    """
    requests = list(results["domains"])
    arms = [n for n in results["by_domain"] if n not in REFERENCES]
    figure.set_size_inches(WIDTH, 3.9 * -(-len(requests) // 2))
    for k, request in enumerate(requests):
        of = {n: results["by_domain"][n][request] for n in (*arms, "retrained-2")}
        points: dict[str, Point] = {
            n: (c["distance_to_retrained"], c["retention"])
            for n, c in of.items()
            if c["distance_to_retrained"] is not None and c["retention"] is not None
        }
        axes = figure.add_subplot(-(-len(requests) // 2), min(2, len(requests)), k + 1)
        _pareto_pane(axes, points, settings["least"], settings["most"])
        axes.axhline(settings["goal"], color=RULE, linewidth=0.8, linestyle=DASHED, zorder=0)
        axes.set_title(request, fontsize=9, color=INK)
        axes.set_xlabel("distance to retrained (0 best)", color=SOFT, fontsize=8)
        axes.set_ylabel("retention", color=SOFT, fontsize=8)
    figure.tight_layout()
    return True


def _pareto_pane(axes: Any, points: Mapping[str, Point], least: float, most: float) -> None:
    best = pareto_front({name: p for name, p in points.items() if name not in REFERENCES})
    inside = {name: (min(far, most), max(kept, least)) for name, (far, kept) in points.items()}
    line = [inside[name] for name in best]
    axes.step([x for x, _ in line], [y for _, y in line], where="post", color=COLORS[0], linewidth=1, zorder=1)
    labels = 0
    for name, (x, y) in inside.items():
        color = INK if name in REFERENCES else COLORS[0] if name in best else SOFT
        hollow = (x, y) != points[name]
        axes.plot(x, y, "o", color=color, markersize=5, markerfacecolor="white" if hollow else color, zorder=2)
        if name in best or name in REFERENCES or hollow:
            labels += 1
            at = (5, 5 if labels % 2 else -11)
            axes.annotate(name, (x, y), at, textcoords="offset points", fontsize=7, color=color)
    axes.set_xlim(0, most * 1.12)
    axes.set_ylim(least - 0.005, 1.015)
    _dress(axes, ("left", "bottom"), "both")


def lines(figure: Any, results: Results, settings: Mapping[str, Any]) -> bool:
    """Columns over arms at equal steps, with intervals.

    Settings: `title`, `label` of the axis, `arms` (arm to its tick), `panes`: lists of columns.
    """
    arms = [arm for arm in settings["arms"] if arm in results["methods"]]
    figure.set_size_inches(WIDTH, 3.5)
    k = 0
    for pane, columns in enumerate(settings["panes"]):
        axes = figure.add_subplot(1, len(settings["panes"]), pane + 1)
        for column in columns:
            values = [(results["methods"][arm][column], results["intervals"][arm][column]) for arm in arms]
            there = [(x, value, interval) for x, (value, interval) in enumerate(values) if value is not None]
            style = {"color": COLORS[k % len(COLORS)], "marker": MARKERS[k % len(MARKERS)], "markersize": 5}
            axes.plot([x for x, *_ in there], [y for _, y, _ in there], linewidth=1.6, label=column, **style)
            for x, _, interval in there:
                if interval is not None:
                    axes.plot((x, x), (max(0.0, interval[0]), interval[1]), color=style["color"], linewidth=1.0)
            k += 1
        axes.set_xticks(range(len(arms)), [settings["arms"][arm] for arm in arms])
        axes.set_xlabel(settings["label"], color=SOFT)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
        _dress(axes, ("left", "bottom"), "both")
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    _title(figure, settings["title"], 0.96)
    return bool(arms)


def fronts(figure: Any, results: Results, settings: Mapping[str, Any]) -> bool:
    """Retention against forgetting, one pane per request: all trials as dots, the line through the best with its band.

    Settings: `arms` drawn in color (all trials of the others are gray), `title`, `guessing`: forgetting of a guess,
    `label` of the forgetting.
    """
    stored = {request: of for request, of in results.get("fronts", {}).items() if of}
    figure.set_size_inches(WIDTH, 4.2)
    for k, (request, of) in enumerate(stored.items()):
        axes = figure.add_subplot(1, len(stored), k + 1)
        for name, front in of.items():
            shown = settings["arms"].index(name) if name in settings["arms"] else None
            color = RULE if shown is None else COLORS[shown % len(COLORS)]
            dots = [(t["forgetting"], t["retention"]) for t in front["trials"] if t["retention"] is not None]
            axes.plot([x for x, _ in dots], [y for _, y in dots], "o", color=color, markersize=3, zorder=2)
            line = [p for p in front["line"] if p["mean"] is not None] if shown is not None else []
            xs = [p["forgetting"] for p in line]
            axes.plot(xs, [p["mean"] for p in line], color=color, linewidth=1.5, label=name if line else None, zorder=3)
            whole = [p for p in line if p["low"] is not None]
            ends = [[p[end] for p in whole] for end in ("low", "high")]
            axes.fill_between([p["forgetting"] for p in whole], *ends, color=color, alpha=0.15, linewidth=0)
        if "guessing" in settings:
            axes.axvline(settings["guessing"], color=SOFT, linewidth=0.9, linestyle=DASHED, zorder=1)
        label = settings.get("label", "forgetting: 1 - accuracy among options on L4")
        axes.set_xlabel(label, color=SOFT, fontsize=8)
        _finish_pane(axes, request, "retention")
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    _title(figure, settings["title"], 0.96)
    return bool(stored)


def _finish_pane(axes: Any, title: str, label: str) -> None:
    """Title, label of the values, and legend of one pane."""
    axes.set_title(title, fontsize=9, color=INK)
    axes.set_ylabel(label, color=SOFT, fontsize=8)
    axes.legend(frameon=False, fontsize=7)
    _dress(axes, ("left", "bottom"), "both")


def profiles(figure: Any, results: Results, settings: Mapping[str, Any]) -> bool:
    """Values of each row over the same ticks, one pane per key of `of`, for example losses by level of the word.

    Settings: `of` (key of the results: pane to row to columns), `columns` (column to tick), `rows`, `label`, `title`.
    """
    stored = results.get(settings["of"], {})
    figure.set_size_inches(WIDTH, 3.8)
    columns = settings["columns"]
    for k, (pane, of) in enumerate(stored.items()):
        axes = figure.add_subplot(1, len(stored), k + 1)
        for n, name in enumerate(name for name in settings["rows"] if name in of):
            there = [(x, v) for x, c in enumerate(columns) if (v := _value(of[name].get(c))) is not None]
            style = {"color": COLORS[n % len(COLORS)], "marker": MARKERS[n % len(MARKERS)], "markersize": 5}
            axes.plot([x for x, _ in there], [y for _, y in there], linewidth=1.4, label=name, **style)
        axes.set_xticks(range(len(columns)), list(columns.values()), fontsize=8)
        _finish_pane(axes, pane, settings["label"])
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    _title(figure, settings["title"], 0.96)
    return bool(stored)


KINDS: dict[str, Callable[[Any, Results, Mapping[str, Any]], bool]] = {
    "forest": forest,
    "pareto": pareto,
    "lines": lines,
    "fronts": fronts,
    "profiles": profiles,
}
