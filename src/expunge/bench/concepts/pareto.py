"""What is kept against how near the retrained model a row comes, one pane per request, as SVG.

The rows that no other beats in both are joined by a line; thin lines show where their seeds lie. Surprising: the axes
are cut, so that rows which keep nearly all can be told apart; a row outside stands at the edge, hollow.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from expunge.bench.concepts.rows import REFERENCES
from expunge.bench.panel import COLOURS, INK, RULE, SOFT, STYLE

Point = tuple[float, float]  # distance (0 best), retention (1 best)
LEAST = 0.85  # retention at the lower edge
MOST = 2.5  # distance at the right edge


def front(points: Mapping[str, Point]) -> list[str]:
    """The names that no other point beats: nearer and keeping as much, or keeping more and as near. Nearest first."""
    return sorted(
        (
            name
            for name, (far, kept) in points.items()
            if not any(f <= far and k >= kept and (f, k) != (far, kept) for f, k in points.values())
        ),
        key=lambda name: points[name],
    )


def draw(found: Mapping[str, Any]) -> str:
    """The picture; the same numbers give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    domains, rows = list(found["domains"]), [r for r in found["by_domain"] if r not in REFERENCES]
    with matplotlib.rc_context(STYLE):
        figure: Any = Figure(figsize=(8.6, 3.9 * -(-len(domains) // 2)), facecolor="white")
        for k, domain in enumerate(domains):
            points = {
                row: (of["distance_to_retrained"], of["retention"])
                for row in (*rows, "retrained-2")
                if (of := found["by_domain"][row][domain])["distance_to_retrained"] is not None
            }
            spread = {row: list(found["cells"][row][domain].values()) for row in points}
            axes = figure.add_subplot(-(-len(domains) // 2), min(2, len(domains)), k + 1)
            _pane(axes, domain, points, spread)
        figure.tight_layout()
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Title": "Near and kept"})
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _pane(axes: Any, domain: str, points: Mapping[str, Point], spread: Mapping[str, Sequence[Any]]) -> None:
    best = front({name: p for name, p in points.items() if name not in REFERENCES})
    inside = {name: (min(far, MOST), max(kept, LEAST)) for name, (far, kept) in points.items()}
    named = 0
    axes.plot(*_steps([inside[name] for name in best]), color=COLOURS[0], linewidth=1, zorder=1)
    for name, (x, y) in inside.items():
        colour = INK if name in REFERENCES else COLOURS[0] if name in best else SOFT
        hollow = (x, y) != points[name]
        axes.plot(x, y, "o", color=colour, markersize=5, markerfacecolor="white" if hollow else colour, zorder=2)
        if name in best or name in REFERENCES:
            seeds = [
                (min(s["distance_to_retrained"], MOST), max(s["retention"], LEAST))
                for s in spread[name]
                if s.get("distance_to_retrained") is not None
            ]
            axes.plot((min(x for x, _ in seeds), max(x for x, _ in seeds)), (y, y), color=colour, linewidth=0.6)
            axes.plot((x, x), (min(y for _, y in seeds), max(y for _, y in seeds)), color=colour, linewidth=0.6)
        if name in best or name in REFERENCES or hollow:
            named += 1
            axes.annotate(
                name, (x, y), (5, 5 if named % 2 else -11), textcoords="offset points", fontsize=7, color=colour
            )
    axes.axhline(0.99, color=RULE, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xlim(0, MOST * 1.12)
    axes.set_ylim(LEAST - 0.005, 1.015)
    axes.set_title(domain, fontsize=9, color=INK)
    axes.set_xlabel("distance to retrained (0 best)", color=SOFT, fontsize=8)
    axes.set_ylabel("retention on retain_heldout records", color=SOFT, fontsize=8)
    axes.tick_params(colors=SOFT, length=0, labelsize=7)
    for spine in axes.spines.values():
        spine.set_color(RULE)


def _steps(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """A staircase through the points, nearest first."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return [x for x in xs for _ in range(2)], [y for k, _ in enumerate(ys) for y in (ys[max(0, k - 1)], ys[k])]
