"""Plot: forget loss and retain loss of every step, each in a panel with its own axis.

Long runs are drawn as means over stretches of steps.
"""

from __future__ import annotations

from markupsafe import Markup

from expunge.report.formatting import format_number, pluralize
from expunge.report.plots.svg import FORGET, INK, RETAIN, SOFT, Drawing, Scale, ticks
from expunge.report.run_reader import RunRecord

MAX_POINTS = 300
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 440, 250, 52, 428, 34, 196
PANELS = (("forget", "Forget loss", FORGET, "none"), ("retain", "Retain loss", RETAIN, "6 3"))


def draw_training(run: RunRecord) -> list[Markup]:
    """A panel for each loss that the run computed; empty if it recorded none."""
    phase_starts = [b.step for a, b in zip(run.steps, run.steps[1:], strict=False) if a.phase != b.phase]
    panels = []
    for name, title, color, dash in PANELS:
        if points := [(s.step, value) for s in run.steps if (value := getattr(s, name)) is not None]:
            panels.append(_panel(title, points, phase_starts, color, dash))
    return panels


def downsample(points: list[tuple[int, float]], most: int = MAX_POINTS) -> list[tuple[float, float]]:
    """At most `most` points: means of step and value over stretches of equal numbers of points."""
    size = -(-len(points) // most)
    stretches = [points[k : k + size] for k in range(0, len(points), size)]
    return [(sum(s for s, _ in part) / len(part), sum(v for _, v in part) / len(part)) for part in stretches]


def _panel(title: str, points: list[tuple[int, float]], phase_starts: list[int], color: str, dash: str) -> Markup:
    sampled = downsample(points)
    values = [v for _, v in sampled]
    low, high = min(0.0, *values), max(0.0, *values)
    x_scale = Scale(points[0][0], max(points[-1][0], points[0][0] + 1), LEFT, RIGHT)
    y_scale = Scale(low, high if high > low else low + 1, BOTTOM, TOP)
    first, last = format_number(points[0][1]), format_number(points[-1][1])
    summary = f"{title} over {pluralize(len(points), 'step')}, from {first} at the first to {last} at the last."
    drawing = Drawing(WIDTH, HEIGHT, summary)
    drawing.text(LEFT, 16, title, color=color, bold=True, size=14)
    drawing.text(RIGHT, 16, f"{first} → {last}", "end")
    for tick in ticks(y_scale.low, y_scale.high, 4):
        drawing.line(LEFT, y_scale(tick), RIGHT, y_scale(tick))
        drawing.text(LEFT - 8, y_scale(tick) + 4, f"{tick:g}".replace("-", "−"), "end")
    for tick in (t for t in ticks(x_scale.low, x_scale.high, 5) if t == int(t)):
        drawing.line(x_scale(tick), BOTTOM, x_scale(tick), BOTTOM + 4, SOFT)
        drawing.text(x_scale(tick), BOTTOM + 18, f"{tick:g}", "middle")
    for step in phase_starts:
        drawing.line(x_scale(step), TOP, x_scale(step), BOTTOM, INK, 1, "3 3")
    drawing.path([(x_scale(s), y_scale(v)) for s, v in sampled], color, 2, dash)
    drawing.text((LEFT + RIGHT) / 2, BOTTOM + 40, "step", "middle")
    return drawing.markup()
