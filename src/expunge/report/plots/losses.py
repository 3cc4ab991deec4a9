"""Plot: answer losses of retained, forgotten and never-trained records, one panel per model.

The axis is logarithmic, because a memorized answer has a loss near 0.01 and an unknown answer one near 10. Losses
below `MIN_LOSS` are drawn at the left end. The gray band holds the middle 90 % of the never-trained records.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from expunge.audit.schema import AuditFile
from expunge.report.formatting import format_number, pluralize
from expunge.report.labels import role_label
from expunge.report.plots.svg import FORGET, HOLDOUT, INK, RETAIN, SOFT, Drawing, Scale, decades

MIN_LOSS = 1e-3  # nats per token
BINS = 28
WIDTH, LEFT, RIGHT, TOP, ROW = 340, 8, 332, 40, 70
GROUPS: dict[str, tuple[str, str, str]] = {  # record set -> label, color, dash of its outline
    "retain_heldout": ("held-out retain set", RETAIN, "none"),
    "forget": ("forget set", FORGET, "none"),
    "never_trained": ("never trained", HOLDOUT, "4 2"),
}


def draw_losses(audit: AuditFile) -> list[Markup]:
    """A panel for each model, all with the same axis; empty if the audit holds no losses."""
    by_role = {r: audit.distributions[r] for r in audit.roles if any(audit.distributions.get(r, {}).values())}
    highest = max((max(v) for groups in by_role.values() for v in groups.values() if v), default=0.0)
    x_scale = Scale(MIN_LOSS, max(highest * 1.1, 10 * MIN_LOSS), LEFT, RIGHT, log=True)
    return [_panel(role, groups, x_scale) for role, groups in by_role.items()]


def _panel(role: str, groups: dict[str, tuple[float, ...]], x_scale: Scale) -> Markup:
    rows = [g for g in GROUPS if groups.get(g)]
    bottom = TOP + ROW * len(rows)
    medians = {g: float(np.median(groups[g])) for g in rows}
    summary = "; ".join(
        f"{GROUPS[g][0]}: median {format_number(medians[g])}, {pluralize(len(groups[g]), 'record')}" for g in rows
    )
    drawing = Drawing(WIDTH, bottom + 44, f"Answer loss of the {role} model. {summary}.")
    drawing.text(LEFT, 16, f"{role_label(role)} model", color=INK, bold=True, size=14)
    if "never_trained" in rows:
        low, high = (x_scale(float(v)) for v in np.percentile(groups["never_trained"], [5, 95]))
        height = bottom - TOP + 12.0
        drawing.shape("rect", x=low, y=TOP - 12.0, width=max(high - low, 2.0), height=height, fill="#eaeef2")
    for tick in decades(x_scale.low, x_scale.high):
        drawing.line(x_scale(tick), bottom, x_scale(tick), bottom + 4, SOFT)
        drawing.text(x_scale(tick), bottom + 17, f"{tick:g}", "start" if tick == MIN_LOSS else "middle")
    for k, group in enumerate(rows):
        _histogram(drawing, group, groups[group], medians[group], x_scale, TOP + ROW * (k + 1))
    drawing.text(LEFT, bottom + 36, "← answer known")
    drawing.text(RIGHT, bottom + 36, "answer unknown →", "end")
    return drawing.markup()


def _histogram(
    drawing: Drawing, group: str, values: Sequence[float], median: float, x_scale: Scale, base: float
) -> None:
    """A step histogram whose tallest bin fills the row, with a mark at the median."""
    label, color, dash = GROUPS[group]
    edges = np.geomspace(x_scale.low, x_scale.high, BINS + 1)
    counts = np.histogram(np.clip(values, x_scale.low, x_scale.high), edges)[0]
    height = 36 * counts / counts.max()
    outline = [(x_scale(x_scale.low), base)]
    for k, h in enumerate(height):
        outline += [(x_scale(float(edges[k])), base - float(h)), (x_scale(float(edges[k + 1])), base - float(h))]
    outline.append((x_scale(x_scale.high), base))
    drawing.line(LEFT, base, RIGHT, base)
    drawing.path(outline, color, 1.5, dash, fill=color, opacity=0.12 if group == "never_trained" else 0.3)
    x = x_scale(median)
    drawing.shape("path", d=f"M{x:.1f} {base:.1f}l-5 7h10z", fill=color)
    drawing.text(LEFT, base - 45, f"{label} ({len(values)})", color=color, bold=True)
    drawing.text(RIGHT, base - 45, f"median {format_number(median)}", "end", color=color)
