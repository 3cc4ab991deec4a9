"""Plot: the share of questions whose true answer ranks first, by level of context from the tree.

The target is the line of the reference, not zero: with context alone every model guesses some answers.
"""

from __future__ import annotations

from markupsafe import Markup

from expunge.audit.details import CountedEstimate, ReconstructionDetails
from expunge.audit.schema import AuditFile
from expunge.report.formatting import format_number
from expunge.report.labels import role_label
from expunge.report.plots.svg import FORGET, HOLDOUT, INK, RETAIN, SOFT, Drawing, Scale, ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 310, 40, 468, 44, 240
TRUE_CONTEXT, WRONG_BRANCH = "true", "wrong branch"
SERIES = (  # model, color, mark, horizontal offset
    ("original", RETAIN, "M{x:.1f} {y:.1f}m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", -7.0),
    ("unlearned", FORGET, "M{x:.1f} {y:.1f}m0 -6l6 6l-6 6l-6 -6z", 0.0),
    ("retrained", HOLDOUT, "M{x:.1f} {y:.1f}m-4.5 -4.5h9v9h-9z", 7.0),
    ("controls", HOLDOUT, "M{x:.1f} {y:.1f}m-4.5 -4.5h9v9h-9z", 7.0),
)


def draw_reconstruction(audit: AuditFile) -> Markup | None:
    """First ranks against levels of context, for every model; None if the attack was not run."""
    details = audit.details.reconstruction
    if details is None or not any(row.scores["top1"].estimate is not None for row in details.rows):
        return None
    y_scale = Scale(0, 1, BOTTOM, TOP)
    step = (RIGHT - LEFT) / len(details.levels)
    columns = [LEFT + (k + 0.5) * step for k in range(len(details.levels))]
    series = [s for s in SERIES if any(row.model == s[0] for row in details.rows)]
    summary = "; ".join(
        f"{role_label(model)}: "
        + ", ".join(f"{details.levels[k]} {format_number(value)}" for k, value, _ in _points(details, model))
        for model, *_ in series
    )
    drawing = Drawing(WIDTH, HEIGHT, f"True answers that rank first, by level of context. {summary}.")
    for tick in ticks(0, 1, 5):
        drawing.line(LEFT, y_scale(tick), RIGHT, y_scale(tick))
        drawing.text(LEFT - 8, y_scale(tick) + 4, f"{tick:g}", "end")
    drawing.line(LEFT, y_scale(details.chance), RIGHT, y_scale(details.chance), SOFT, 1.5, "1 3")
    for k, (name, x) in enumerate(zip(details.levels, columns, strict=True)):
        drawing.text(x, BOTTOM + 18, name if k == 0 else f"+ {name}", "middle", INK, size=12 if step > 70 else 10)
        rows = [row for row in details.rows if (row.level, row.vector) == (k, TRUE_CONTEXT)]
        drawing.text(x, BOTTOM + 34, f"n {max((row.scores['top1'].n for row in rows), default=0)}", "middle")
    drawing.text((LEFT + RIGHT) / 2, BOTTOM + 56, "context in the prompt, level by level", "middle")
    for k, (model, color, mark, offset) in enumerate(series):
        wrong = [(columns[n] + offset, y_scale(v)) for n, v, _ in _points(details, model, WRONG_BRANCH)]
        if len(wrong) > 1:
            drawing.path(wrong, color, 1.2, "5 3")
        points = [(columns[n] + offset, y_scale(v), e) for n, v, e in _points(details, model)]
        if len(points) > 1:
            drawing.path([(x, y) for x, y, _ in points], color, 1.8)
        for x, y, estimate in points:
            low, high = estimate.ci or (None, None)
            if low is not None and high is not None:
                drawing.line(x, y_scale(low), x, y_scale(high), color, 1.5)
            drawing.shape("path", d=mark.format(x=x, y=y), fill=color, stroke="#fff", stroke_width=1)
        start = LEFT + 130 * k
        drawing.line(start, 15, start + 26, 15, color, 1.8)
        drawing.shape("path", d=mark.format(x=start + 13.0, y=15.0), fill=color, stroke="#fff", stroke_width=1)
        drawing.text(start + 32, 19, role_label(model), color=color, bold=True)
    return drawing.markup()


def _points(
    details: ReconstructionDetails, model: str, vector: str = TRUE_CONTEXT
) -> list[tuple[int, float, CountedEstimate]]:
    """(level, share of first ranks, the estimate with its interval) of a model, lowest level first."""
    points = {
        row.level: (row.level, estimate.estimate, estimate)
        for row in details.rows
        if (row.model, row.vector) == (model, vector) and (estimate := row.scores["top1"]).estimate is not None
    }
    return [points[level] for level in sorted(points)]
