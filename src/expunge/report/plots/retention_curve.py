"""Plot: retention (unlearned over original) by distance in the tree, by exact match and by answer probability.

1 means as before, and values above 1 occur. Circles and squares, solid and dashed lines separate the two measures
without color.
"""

from __future__ import annotations

from markupsafe import Markup

from expunge.audit.check_result import IntervalEstimate
from expunge.audit.schema import AuditFile
from expunge.report.formatting import format_number, pluralize
from expunge.report.plots.svg import FORGET, INK, RETAIN, Drawing, Scale, ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 300, 44, 468, 40, 230
SERIES = (  # metric, label, color, dash, horizontal offset
    ("exact_match", "exact match", RETAIN, "none", -5.0),
    ("answer_prob", "answer probability", FORGET, "5 3", 5.0),
)


def draw_retention_curve(audit: AuditFile) -> Markup | None:
    """Retention against tree distance; None if no record has a distance."""
    points = audit.details.retention.curve if audit.details.retention else ()
    values = [v for p in points for metric, *_ in SERIES for v in _values(getattr(p, metric)) if v is not None]
    if not values:
        return None
    y_scale = Scale(0, max(1.1, max(values) * 1.05), BOTTOM, TOP)
    summary = "; ".join(
        f"distance {p.distance}: exact match {format_number(p.exact_match.estimate)}, probability "
        f"{format_number(p.answer_prob.estimate)}, {pluralize(p.n_records, 'record')}"
        for p in points
    )
    drawing = Drawing(WIDTH, HEIGHT, f"Retention against tree distance. {summary}.")
    for tick in ticks(0, y_scale.high, 5):
        drawing.line(LEFT, y_scale(tick), RIGHT, y_scale(tick))
        drawing.text(LEFT - 8, y_scale(tick) + 4, f"{tick:g}", "end")
    drawing.line(LEFT, y_scale(1), RIGHT, y_scale(1), INK, 1)
    drawing.text(RIGHT, y_scale(1) - 10, "as before", "end", INK)
    columns = [LEFT + (k + 0.5) * (RIGHT - LEFT) / len(points) for k in range(len(points))]
    for point, x in zip(points, columns, strict=True):
        drawing.text(x, BOTTOM + 18, str(point.distance), "middle", INK)
        drawing.text(x, BOTTOM + 34, f"n {point.n_records}", "middle")
    drawing.text((LEFT + RIGHT) / 2, BOTTOM + 56, "distance in the tree (steps from the target)", "middle")
    for k, (metric, label, color, dash, offset) in enumerate(SERIES):
        estimates = [(x + offset, getattr(p, metric)) for p, x in zip(points, columns, strict=True)]
        measured = [(x, y_scale(e.estimate), e) for x, e in estimates if e.estimate is not None]
        if len(measured) > 1:
            drawing.path([(x, y) for x, y, _ in measured], color, 1.5, dash)
        for x, y, estimate in measured:
            _whisker(drawing, x, estimate, y_scale, color)
            _mark(drawing, metric, x, y, color)
        start = LEFT + 150 * k
        drawing.line(start, 15, start + 26, 15, color, 1.5, dash)
        _mark(drawing, metric, start + 13, 15, color)
        drawing.text(start + 32, 19, label, color=color, bold=True)
    return drawing.markup()


def _values(estimate: IntervalEstimate) -> tuple[float | None, ...]:
    return (estimate.estimate, *(estimate.ci or ()))


def _whisker(drawing: Drawing, x: float, estimate: IntervalEstimate, y_scale: Scale, color: str) -> None:
    low, high = estimate.ci or (None, None)
    if low is not None and high is not None:
        drawing.line(x, y_scale(low), x, y_scale(high), color, 1.5)
        for end in (low, high):
            drawing.line(x - 4, y_scale(end), x + 4, y_scale(end), color, 1.5)


def _mark(drawing: Drawing, metric: str, x: float, y: float, color: str) -> None:
    if metric == "exact_match":
        drawing.shape("circle", cx=x, cy=y, r=4.5, fill=color, stroke="#fff", stroke_width=1)
    else:
        drawing.shape("rect", x=x - 4, y=y - 4, width=8, height=8, fill="#fff", stroke=color, stroke_width=2)
