"""Picture: how often the true answer comes first, the more of its place in the tree is told.

Surprising: the aim is not a low line but the retrained model's. The place alone lets every model guess some answers.
"""

from __future__ import annotations

from markupsafe import Markup

from expunge.audit.details import CountedEstimate, ReconstructionDetails
from expunge.audit.schema import AuditFile
from expunge.report.formatting import number
from expunge.report.labels import role
from expunge.report.plots.svg import FORGOTTEN, INK, KEPT, SOFT, UNSEEN, Drawing, Scale, ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, FLOOR = 480, 310, 40, 468, 44, 240
TRUE, WRONG = "true", "wrong branch"
SERIES = (
    ("original", KEPT, "M{x:.1f} {y:.1f}m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", -7.0),
    ("unlearned", FORGOTTEN, "M{x:.1f} {y:.1f}m0 -6l6 6l-6 6l-6 -6z", 0.0),
    ("retrained", UNSEEN, "M{x:.1f} {y:.1f}m-4.5 -4.5h9v9h-9z", 7.0),
    ("controls", UNSEEN, "M{x:.1f} {y:.1f}m-4.5 -4.5h9v9h-9z", 7.0),
)


def told(audit: AuditFile) -> Markup | None:
    """First places against levels of context, for every model; None if the attack was not made."""
    found = audit.details.reconstruction
    if found is None or not any(row.scores["top1"].estimate is not None for row in found.rows):
        return None
    up = Scale(0, 1, FLOOR, TOP)
    step = (RIGHT - LEFT) / len(found.levels)
    places = [LEFT + (k + 0.5) * step for k in range(len(found.levels))]
    series = [s for s in SERIES if any(r.model == s[0] for r in found.rows)]
    pen = Drawing(WIDTH, HEIGHT, f"True answers that come first, by level of context. {_said(found, series)}.")
    for tick in ticks(0, 1, 5):
        pen.line(LEFT, up(tick), RIGHT, up(tick))
        pen.text(LEFT - 8, up(tick) + 4, f"{tick:g}", "end")
    pen.line(LEFT, up(found.chance), RIGHT, up(found.chance), SOFT, 1.5, "1 3")
    for k, (name, x) in enumerate(zip(found.levels, places, strict=True)):
        pen.text(x, FLOOR + 18, name if k == 0 else f"+ {name}", "middle", INK, size=12 if step > 70 else 10)
        n = max((r.scores["top1"].n for r in found.rows if (r.level, r.vector) == (k, TRUE)), default=0)
        pen.text(x, FLOOR + 34, f"n {n}", "middle")
    pen.text((LEFT + RIGHT) / 2, FLOOR + 56, "what is told of the place in the tree, level by level", "middle")
    for k, (model, colour, mark, shift) in enumerate(series):
        wrong = [(places[n] + shift, up(b.estimate)) for n, b in _line(found, model, WRONG) if b.estimate is not None]
        if len(wrong) > 1:
            pen.path(wrong, colour, 1.2, "5 3")
        there = [(places[n] + shift, b) for n, b in _line(found, model, TRUE)]
        if len(there) > 1:
            pen.path([(x, up(b.estimate or 0)) for x, b in there], colour, 1.8)
        for x, bounded in there:
            low, high = bounded.ci or (None, None)
            if low is not None and high is not None:
                pen.line(x, up(low), x, up(high), colour, 1.5)
            pen.shape(
                "path", d=mark.format(x=x, y=up(bounded.estimate or 0)), fill=colour, stroke="#fff", stroke_width=1
            )
        start = LEFT + 130 * k
        pen.line(start, 15, start + 26, 15, colour, 1.8)
        pen.shape("path", d=mark.format(x=start + 13.0, y=15.0), fill=colour, stroke="#fff", stroke_width=1)
        pen.text(start + 32, 19, role(model), colour=colour, bold=True)
    return pen.markup()


def _line(found: ReconstructionDetails, model: str, vector: str) -> list[tuple[int, CountedEstimate]]:
    """(level, first places) of a model, shallow levels first."""
    rows = {
        r.level: r.scores["top1"]
        for r in found.rows
        if (r.model, r.vector) == (model, vector) and r.scores["top1"].estimate is not None
    }
    return sorted(rows.items())


def _said(found: ReconstructionDetails, series: list[tuple[str, str, str, float]]) -> str:
    return "; ".join(
        f"{role(model)}: " + ", ".join(f"{found.levels[n]} {number(b.estimate)}" for n, b in _line(found, model, TRUE))
        for model, *_ in series
    )
