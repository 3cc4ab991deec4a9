"""Picture and table: what is still known around the target, by distance in the tree and by relation.

Retention is after over before, so 1 is "as before" and more than 1 is possible. Circles and squares, solid and
dashed lines tell the two measures apart without colour.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from expunge.audit.check_result import CheckResult, IntervalEstimate
from expunge.audit.schema import AuditFile
from expunge.report.formatting import number
from expunge.report.labels import relation
from expunge.report.plots.svg import FORGOTTEN, INK, KEPT, Drawing, Scale, ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, FLOOR = 480, 300, 44, 468, 40, 230
SERIES = (
    ("exact_match", "exact answers", KEPT, "none", -5.0),
    ("answer_prob", "answer probability", FORGOTTEN, "5 3", 5.0),
)


@dataclass(frozen=True)
class RetentionRelation:
    """A row of the table: one group of kept records."""

    name: str
    entry: CheckResult
    measures: dict[str, IntervalEstimate]


def relations(audit: AuditFile) -> list[RetentionRelation]:
    """Every retention entry, with both of its measures and the retrained model's exact answers."""
    return [
        RetentionRelation(relation(e.key), e, {c.key: c for c in e.controls})
        for e in audit.results
        if e.key.startswith("retention.")
    ]


def curve(audit: AuditFile) -> Markup | None:
    """Retention against tree distance; None if no record has a distance."""
    points = audit.details.retention.curve if audit.details.retention else ()
    ends = [v for p in points for m, *_ in SERIES for v in _ends(getattr(p, m)) if v is not None]
    if not ends:
        return None
    up = Scale(0, max(1.1, max(ends) * 1.05), FLOOR, TOP)
    places = {p.distance: LEFT + (k + 0.5) * (RIGHT - LEFT) / len(points) for k, p in enumerate(points)}
    said = "; ".join(
        f"distance {p.distance}: exact {number(p.exact_match.estimate)}, probability "
        f"{number(p.answer_prob.estimate)}, {p.n_records} records"
        for p in points
    )
    pen = Drawing(WIDTH, HEIGHT, f"Retention against tree distance. {said}.")
    for tick in ticks(0, up.high, 5):
        pen.line(LEFT, up(tick), RIGHT, up(tick))
        pen.text(LEFT - 8, up(tick) + 4, f"{tick:g}", "end")
    pen.line(LEFT, up(1), RIGHT, up(1), INK, 1)
    pen.text(RIGHT, up(1) - 5, "as before", "end", INK)
    for distance, x in places.items():
        n = next(p.n_records for p in points if p.distance == distance)
        pen.text(x, FLOOR + 18, str(distance), "middle", INK)
        pen.text(x, FLOOR + 34, f"n {n}", "middle")
    pen.text((LEFT + RIGHT) / 2, FLOOR + 56, "distance in the tree (steps from the target)", "middle")
    for k, (metric, name, colour, dash, shift) in enumerate(SERIES):
        found = [(places[p.distance] + shift, getattr(p, metric)) for p in points]
        there = [(x, float(b.estimate), b) for x, b in found if b.estimate is not None]
        if len(there) > 1:
            pen.path([(x, up(value)) for x, value, _ in there], colour, 1.5, dash)
        for x, value, bounded in there:
            _whisker(pen, x, bounded, up, colour)
            _mark(pen, metric, x, up(value), colour)
        start = LEFT + 150 * k
        pen.line(start, 15, start + 26, 15, colour, 1.5, dash)
        _mark(pen, metric, start + 13, 15, colour)
        pen.text(start + 32, 19, name, colour=colour, bold=True)
    return pen.markup()


def _ends(bounded: IntervalEstimate) -> tuple[float | None, ...]:
    return (bounded.estimate, *(bounded.ci or ()))


def _whisker(pen: Drawing, x: float, bounded: IntervalEstimate, up: Scale, colour: str) -> None:
    low, high = bounded.ci or (None, None)
    if low is not None and high is not None:
        pen.line(x, up(low), x, up(high), colour, 1.5)
        for end in (low, high):
            pen.line(x - 4, up(end), x + 4, up(end), colour, 1.5)


def _mark(pen: Drawing, metric: str, x: float, y: float, colour: str) -> None:
    if metric == "exact_match":
        pen.shape("circle", cx=x, cy=y, r=4.5, fill=colour, stroke="#fff", stroke_width=1)
    else:
        pen.shape("rect", x=x - 4, y=y - 4, width=8, height=8, fill="#fff", stroke=colour, stroke_width=2)
