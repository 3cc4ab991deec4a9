"""Plot: a subject among its matched controls, by each membership score and by the worst score.

The last row decides: it takes the largest z-score of the subject and of every control alike. Values beyond `CLIP`
standard deviations are drawn at the border.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from expunge.audit.details import ControlPanel
from expunge.audit.schema import AuditFile
from expunge.report.formatting import format_number, pluralize
from expunge.report.labels import role_label, score_label
from expunge.report.plots.svg import FORGET, HOLDOUT, INK, SOFT, Drawing, Scale, ticks

CLIP = 8.0  # standard deviations
WIDTH, LEFT, RIGHT, TOP, ROW, DOT = 340, 8, 332, 30, 66, 2.6
WORST = "worst of all"


@dataclass(frozen=True)
class ControlPanels:
    """One subject: its name, its largest z-score on the unlearned model, and a panel for each model."""

    subject: str
    max_z: float
    panels: tuple[Markup, ...]


@dataclass(frozen=True)
class _Row:
    z: float
    controls: Sequence[float]


def draw_controls(audit: AuditFile) -> list[ControlPanels]:
    """One set of panels per subject, the largest z-score first; empty without controls."""
    ranks = audit.details.membership.control_ranks if audit.details.membership else {}
    subjects = []
    for name, unlearned in ranks.get("unlearned", {}).items():
        panels = {role: ranks[role][name] for role in audit.roles if name in ranks.get(role, {})}
        rows = {role: _rows(panel) for role, panel in panels.items()}
        values = [v for by_name in rows.values() for row in by_name.values() for v in (row.z, *row.controls)]
        low = min(max(min(values) - 0.5, -CLIP), CLIP - 1)
        x_scale = Scale(low, max(min(max(values) + 0.5, CLIP), low + 1), LEFT + 8, RIGHT - 8)
        percentile = audit.policy.matched_controls.percentile
        drawings = tuple(_panel(role, panels[role].m, rows[role], x_scale, percentile) for role in rows)
        subjects.append(ControlPanels(name, max(unlearned.z.values()), drawings))
    return sorted(subjects, key=lambda s: -s.max_z)


def _rows(panel: ControlPanel) -> dict[str, _Row]:
    """Rows by name: one per membership score, and last the worst score of each."""
    rows = {f"by {score_label(score)}": _Row(z, panel.controls[score]) for score, z in panel.z.items()}
    worst = np.max([panel.controls[score] for score in panel.z], axis=0).tolist()
    return {**rows, WORST: _Row(max(panel.z.values()), worst)}


def _panel(role: str, m: int, rows: dict[str, _Row], x_scale: Scale, percentile: float) -> Markup:
    bottom = TOP + ROW * len(rows)
    summary = "; ".join(f"{name}: {format_number(row.z, 2, True)} standard deviations" for name, row in rows.items())
    drawing = Drawing(
        WIDTH, bottom + 42, f"Subject among {pluralize(m, 'matched control')} on the {role} model. {summary}."
    )
    drawing.text(LEFT, 16, f"{role_label(role)} model", color=INK, bold=True, size=14)
    drawing.line(x_scale(0), TOP + 22, x_scale(0), bottom, dash="2 3")
    for tick in ticks(x_scale.low, x_scale.high):
        drawing.line(x_scale(tick), bottom, x_scale(tick), bottom + 4, SOFT)
        drawing.text(x_scale(tick), bottom + 17, format_number(tick, 0 if tick == int(tick) else 1), "middle")
    for k, (name, row) in enumerate(rows.items()):
        base = TOP + ROW * (k + 1)
        drawing.line(LEFT, base, RIGHT, base)
        drawing.text(LEFT, base - 50, name, bold=name == WORST, color=INK if name == WORST else SOFT)
        z_text = f"{format_number(row.z, 2, True)} s.d."
        drawing.text(RIGHT, base - 50, z_text, "end", color=FORGET, bold=name == WORST)
        if name == WORST:
            limit = x_scale(float(np.percentile(row.controls, percentile)))
            drawing.line(limit, base - 44, limit, base, INK, 1.5, "5 3")
        _dots(drawing, row.controls, x_scale, base - 22)
        x, y = x_scale(row.z), base - 22
        diamond = f"M{x:.1f} {y - 8:.1f}l7 8l-7 8l-7 -8z"
        drawing.shape("path", d=diamond, fill=FORGET, stroke="#fff", stroke_width=1.5)
    drawing.text(LEFT, bottom + 35, "← less familiar")
    drawing.text(RIGHT, bottom + 35, "more familiar →", "end")
    return drawing.markup()


def _dots(drawing: Drawing, controls: Sequence[float], x_scale: Scale, middle: float) -> None:
    """A swarm of dots: controls of nearly equal value are stacked around the middle line."""
    columns: dict[int, list[float]] = defaultdict(list)
    for z in sorted(controls):
        columns[round(x_scale(z) / (2 * DOT))].append(x_scale(z))
    step = min(2 * DOT, 36 / max(len(c) for c in columns.values()))
    for column in columns.values():
        for k, x in enumerate(column):
            y = middle + (k - (len(column) - 1) / 2) * step
            drawing.shape("circle", cx=x, cy=y, r=DOT, fill="#fff", stroke=HOLDOUT, stroke_width=1)
