"""Plot: a chain of requests, one row each; a cell for every model, from the original to the last run.

A cell shows the share of true answers that the model gives. Its color is how far that lies above the controls, on the
scale of the tree; the outlined cell of a row is the run that forgot it.
"""

from __future__ import annotations

from markupsafe import Markup

from expunge.audit.request_file import RequestHistory, RequestRow, RequestState
from expunge.report.formatting import format_number, pluralize
from expunge.report.plots.svg import INK, SOFT, Drawing
from expunge.report.plots.tree import tint

LEFT, TOP, WIDTH, HEIGHT = 96, 34, 76, 44


def draw_requests(history: RequestHistory | None) -> Markup | None:
    """The plot; None where there is no chain, or nothing of it could be asked."""
    rows = [r for r in history.requests if r.states] if history else []
    if not rows:
        return None
    runs = sorted({s.run for r in rows for s in r.states})
    drawing = Drawing(LEFT + len(runs) * WIDTH + 8, TOP + len(rows) * HEIGHT + 8, _summary(rows))
    for k, run in enumerate(runs):
        drawing.text(LEFT + (k + 0.5) * WIDTH, 20, f"run {run}" if run else "original", "middle", INK)
    for j, row in enumerate(rows):
        y = TOP + j * HEIGHT
        drawing.text(LEFT - 12, y + HEIGHT / 2 + 4, f"request {row.number}", "end", INK)
        for state in row.states:
            _draw_cell(drawing, LEFT + runs.index(state.run) * WIDTH, y, state, own=state.run == row.number)
    return drawing.markup()


def _draw_cell(drawing: Drawing, x: float, y: float, state: RequestState, own: bool) -> None:
    box = {"x": x + 3, "y": y + 3, "width": WIDTH - 6, "height": HEIGHT - 6, "rx": 5}
    edge = {"stroke": INK if own else SOFT, "stroke_width": 2.5 if own else 1}
    drawing.shape("rect", **box, fill=tint(state.share - (state.controls or 0.0)), **edge)
    drawing.text(x + WIDTH / 2, y + 21, format_number(state.share, 2), "middle", INK, bold=True, size=13)
    if state.controls is not None:
        drawing.text(x + WIDTH / 2, y + 35, f"({format_number(state.controls, 2)})", "middle", size=11)


def _summary(rows: list[RequestRow]) -> str:
    parts = [
        f"request {r.number}: {', '.join(format_number(s.share, 2) for s in r.states)} of "
        f"{pluralize(r.questions, 'record')}, {r.status.replace('_', ' ')}"
        for r in rows
    ]
    return f"Share of true answers given, from the original model to the last run. {'; '.join(parts)}."
