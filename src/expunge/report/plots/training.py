"""Picture: forget loss and retain loss of every step, each in a panel with an axis of its own.

Long runs are drawn as means over equal stretches of steps, because a page cannot show thousands of points.
"""

from __future__ import annotations

from markupsafe import Markup

from expunge.report.formatting import number
from expunge.report.plots.svg import FORGOTTEN, INK, KEPT, SOFT, Drawing, Scale, ticks
from expunge.report.run_reader import RunRecord

MOST = 300  # points
WIDTH, HEIGHT, LEFT, RIGHT, TOP, FLOOR = 440, 250, 52, 428, 34, 196
PANELS = (("forget", "Forget loss", FORGOTTEN, "none"), ("retain", "Retain loss", KEPT, "6 3"))


def training(run: RunRecord) -> list[Markup]:
    """A panel for each loss that the run computed; empty if it wrote down none."""
    found = {
        name: [(s.step, value) for s in run.steps if (value := getattr(s, name)) is not None] for name, *_ in PANELS
    }
    changes = [b.step for a, b in zip(run.steps, run.steps[1:], strict=False) if a.phase != b.phase]
    return [_panel(title, found[name], changes, colour, dash) for name, title, colour, dash in PANELS if found[name]]


def thinned(points: list[tuple[int, float]], most: int = MOST) -> list[tuple[float, float]]:
    """At most `most` points: means of step and value over stretches of equal numbers of points."""
    size = -(-len(points) // most)
    parts = [points[k : k + size] for k in range(0, len(points), size)]
    return [(sum(s for s, _ in p) / len(p), sum(v for _, v in p) / len(p)) for p in parts]


def _panel(title: str, points: list[tuple[int, float]], changes: list[int], colour: str, dash: str) -> Markup:
    drawn = thinned(points)
    values = [v for _, v in drawn]
    low, high = min(0.0, *values), max(0.0, *values)
    across = Scale(points[0][0], max(points[-1][0], points[0][0] + 1), LEFT, RIGHT)
    up = Scale(low, high if high > low else low + 1, FLOOR, TOP)
    pen = Drawing(
        WIDTH,
        HEIGHT,
        f"{title} over {len(points)} steps, from {number(points[0][1])} at the first "
        f"to {number(points[-1][1])} at the last.",
    )
    pen.text(LEFT, 16, title, colour=colour, bold=True, size=14)
    pen.text(RIGHT, 16, f"{number(points[0][1])} → {number(points[-1][1])}", "end")
    for tick in ticks(up.low, up.high, 4):
        pen.line(LEFT, up(tick), RIGHT, up(tick))
        pen.text(LEFT - 8, up(tick) + 4, f"{tick:g}".replace("-", "−"), "end")
    for tick in (t for t in ticks(across.low, across.high, 5) if t == int(t)):
        pen.line(across(tick), FLOOR, across(tick), FLOOR + 4, SOFT)
        pen.text(across(tick), FLOOR + 18, f"{tick:g}", "middle")
    for step in changes:
        pen.line(across(step), TOP, across(step), FLOOR, INK, 1, "3 3")
    pen.path([(across(s), up(v)) for s, v in drawn], colour, 2, dash)
    pen.text((LEFT + RIGHT) / 2, FLOOR + 40, "step", "middle")
    return pen.markup()
