"""Picture: where a forgotten subject stands among never-trained controls, by each attack and by the worst of them.

Surprising: the lowest row decides. It takes the worst attack for the subject and for every control alike, so that
adding attacks raises the bar for both. Values beyond eight standard deviations stand at the border.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from expunge.audit.details import ControlPanel
from expunge.audit.schema import AuditFile
from expunge.report.formatting import number
from expunge.report.labels import role, score
from expunge.report.plots.svg import FORGOTTEN, INK, SOFT, UNSEEN, Drawing, Scale, ticks

FAR = 8.0  # standard deviations
WIDTH, LEFT, RIGHT, TOP, ROW, DOT = 340, 8, 332, 30, 66, 2.6
WORST = "worst of all"


@dataclass(frozen=True)
class ControlPanels:
    """One subject: its name, its worst z on the unlearned model, and a panel for each model."""

    subject: str
    highest: float
    panels: tuple[Markup, ...]


def control_panels(audit: AuditFile) -> list[ControlPanels]:
    """One set of panels per subject, the most conspicuous first; empty without controls."""
    ranks = audit.details.membership.control_ranks if audit.details.membership else {}
    subjects = ranks.get("unlearned", {})
    found = []
    for name, ours in subjects.items():
        places = {r: ranks[r][name] for r in audit.roles if name in ranks.get(r, {})}
        rows = {r: _rows(p) for r, p in places.items()}
        ends = [v for of in rows.values() for mine, controls in of.values() for v in (mine, *controls)]
        low = min(max(min(ends) - 0.5, -FAR), FAR - 1)
        across = Scale(low, max(min(max(ends) + 0.5, FAR), low + 1), LEFT + 8, RIGHT - 8)
        panels = tuple(
            _panel(r, places[r], of, across, audit.policy.matched_controls.percentile) for r, of in rows.items()
        )
        found.append(ControlPanels(name, max(ours.z.values()), panels))
    return sorted(found, key=lambda s: -s.highest)


def _rows(place: ControlPanel) -> dict[str, tuple[float, Sequence[float]]]:
    """Row → (the subject's z, its controls' z); the last row is the worst attack of each."""
    rows: dict[str, tuple[float, Sequence[float]]] = {
        f"by {score(a)}": (place.z[a], place.controls[a]) for a in place.z
    }
    worst = np.max([place.controls[a] for a in place.z], axis=0).tolist()
    return {**rows, WORST: (max(place.z.values()), worst)}


def _panel(
    name: str, place: ControlPanel, rows: dict[str, tuple[float, Sequence[float]]], across: Scale, percentile: float
) -> Markup:
    floor = TOP + ROW * len(rows)
    said = "; ".join(f"{row}: {number(mine, 2, True)} standard deviations" for row, (mine, _) in rows.items())
    pen = Drawing(WIDTH, floor + 42, f"Forgotten subject among {place.m} controls on the {name} model. {said}.")
    pen.text(LEFT, 16, f"{role(name)} model", colour=INK, bold=True, size=14)
    pen.line(across(0), TOP + 22, across(0), floor, dash="2 3")
    for tick in ticks(across.low, across.high):
        pen.line(across(tick), floor, across(tick), floor + 4, SOFT)
        pen.text(across(tick), floor + 17, number(tick, 0 if tick == int(tick) else 1), "middle")
    for k, (row, (mine, controls)) in enumerate(rows.items()):
        base = TOP + ROW * (k + 1)
        pen.line(LEFT, base, RIGHT, base)
        pen.text(LEFT, base - 50, row, bold=row == WORST, colour=INK if row == WORST else SOFT)
        pen.text(RIGHT, base - 50, f"{number(mine, 2, True)} s.d.", "end", colour=FORGOTTEN, bold=row == WORST)
        if row == WORST:
            limit = across(float(np.percentile(controls, percentile)))
            pen.line(limit, base - 44, limit, base, INK, 1.5, "5 3")
        _dots(pen, controls, across, base - 22)
        x, y = across(mine), base - 22
        pen.shape("path", d=f"M{x:.1f} {y - 8:.1f}l7 8l-7 8l-7 -8z", fill=FORGOTTEN, stroke="#fff", stroke_width=1.5)
    pen.text(LEFT, floor + 35, "← less known than strangers")
    pen.text(RIGHT, floor + 35, "more known →", "end")
    return pen.markup()


def _dots(pen: Drawing, controls: Sequence[float], across: Scale, middle: float) -> None:
    """A swarm: dots of equal places stand one above the other around the middle line."""
    columns: dict[int, list[float]] = defaultdict(list)
    for z in sorted(controls):
        columns[round(across(z) / (2 * DOT))].append(across(z))
    step = min(2 * DOT, 36 / max(len(c) for c in columns.values()))
    for column in columns.values():
        for k, x in enumerate(column):
            pen.shape(
                "circle",
                cx=x,
                cy=middle + (k - (len(column) - 1) / 2) * step,
                r=DOT,
                fill="#fff",
                stroke=UNSEEN,
                stroke_width=1,
            )
