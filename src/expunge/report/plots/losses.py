"""Picture: how well each model knows kept, forgotten and never-seen records, one panel per model.

Surprising: the axis is logarithmic, because a memorised answer has a loss near 0.01 and an unknown one near 10;
losses below 0.001 stand at its left end. The grey band is the aim: where most never-seen records lie.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from expunge.audit.schema import AuditFile
from expunge.report.formatting import number, plural
from expunge.report.labels import role
from expunge.report.plots.svg import FORGOTTEN, INK, KEPT, SOFT, UNSEEN, Drawing, Scale, decades

LEAST = 1e-3  # nats per token
BINS = 28
WIDTH, LEFT, RIGHT, TOP, ROW = 340, 8, 332, 40, 70
GROUPS: dict[str, tuple[str, str, str]] = {  # group of the audit → name, colour, dash of its outline
    "retain_heldout": ("kept", KEPT, "none"),
    "forget": ("forgotten", FORGOTTEN, "none"),
    "never_trained": ("never seen", UNSEEN, "4 2"),
}


def losses(audit: AuditFile) -> list[Markup]:
    """A panel for each model, all with the same axis; empty if no losses were written down."""
    found = {r: audit.distributions[r] for r in audit.roles if any(audit.distributions.get(r, {}).values())}
    highest = max((max(v) for groups in found.values() for v in groups.values() if v), default=0.0)
    across = Scale(LEAST, max(highest * 1.1, 10 * LEAST), LEFT, RIGHT, log=True)
    return [_panel(r, groups, across) for r, groups in found.items()]


def _panel(name: str, groups: dict[str, tuple[float, ...]], across: Scale) -> Markup:
    rows = [g for g in GROUPS if groups.get(g)]
    floor = TOP + ROW * len(rows)
    medians = {g: float(np.median(groups[g])) for g in rows}
    said = "; ".join(f"{GROUPS[g][0]}: median {number(medians[g])}, {plural(len(groups[g]), 'record')}" for g in rows)
    pen = Drawing(WIDTH, floor + 44, f"Answer loss of the {name} model. {said}.")
    pen.text(LEFT, 16, f"{role(name)} model", colour=INK, bold=True, size=14)
    if "never_trained" in rows:
        low, high = (across(float(v)) for v in np.percentile(groups["never_trained"], [5, 95]))
        pen.shape("rect", x=low, y=TOP - 12.0, width=max(high - low, 2.0), height=floor - TOP + 12.0, fill="#eaeef2")
    for tick in decades(across.low, across.high):
        pen.line(across(tick), floor, across(tick), floor + 4, SOFT)
        pen.text(across(tick), floor + 17, f"{tick:g}", "start" if tick == LEAST else "middle")
    for k, group in enumerate(rows):
        _row(pen, group, groups[group], medians[group], across, TOP + ROW * (k + 1))
    pen.text(LEFT, floor + 36, "← knows the answer")
    pen.text(RIGHT, floor + 36, "does not know it →", "end")
    return pen.markup()


def _row(pen: Drawing, group: str, values: Sequence[float], median: float, across: Scale, base: float) -> None:
    """A step histogram whose tallest bin fills the row, with a mark at the median."""
    name, colour, dash = GROUPS[group]
    edges = np.geomspace(across.low, across.high, BINS + 1)
    counts = np.histogram(np.clip(values, across.low, across.high), edges)[0]
    height = 36 * counts / counts.max()
    outline = [(across(across.low), base)]
    for k, h in enumerate(height):
        outline += [(across(float(edges[k])), base - float(h)), (across(float(edges[k + 1])), base - float(h))]
    pen.line(LEFT, base, RIGHT, base)
    pen.path(
        [*outline, (across(across.high), base)],
        colour,
        1.5,
        dash,
        fill=colour,
        opacity=0.12 if group == "never_trained" else 0.3,
    )
    at = across(median)
    pen.shape("path", d=f"M{at:.1f} {base:.1f}l-5 7h10z", fill=colour)
    pen.text(LEFT, base - 45, f"{name} ({len(values)})", colour=colour, bold=True)
    pen.text(RIGHT, base - 45, f"median {number(median)}", "end", colour=colour)
