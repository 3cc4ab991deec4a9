"""Plot: the ROC of membership by answer loss, both axes logarithmic, so that the few sure guesses can be seen.

An attacker who accuses a record of the training data below a loss is right in a share of the records to forget (true
positives) and wrong in a share of the never-trained records (false positives). On the diagonal he guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from expunge.audit.schema import AuditFile
from expunge.audit.statistics import auc
from expunge.report.formatting import format_number
from expunge.report.labels import role_label
from expunge.report.plots.svg import FORGET, HOLDOUT, INK, RETAIN, RULE, SOFT, Drawing, Scale, decades

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 430, 56, 446, 52, 372
SERIES = (("original", RETAIN, "none"), ("unlearned", FORGET, "none"), ("retrained", HOLDOUT, "5 3"))


def roc(members: Sequence[float], others: Sequence[float]) -> list[tuple[float, float]]:
    """(false positive rate, true positive rate) at every threshold; a record up to it counts as a member."""
    a, b = np.sort(members), np.sort(others)
    thresholds = np.unique(np.concatenate([a, b]))
    true = np.searchsorted(a, thresholds, "right") / len(a)
    false = np.searchsorted(b, thresholds, "right") / len(b)
    return [(0.0, 0.0), *zip(false.tolist(), true.tolist(), strict=True)]


def draw_roc(audit: AuditFile) -> Markup | None:
    """The curves of all models; None without never-trained records."""
    groups = {
        role: (own.get("forget", ()), own.get("never_trained", ()))
        for role, own in audit.distributions.items()
        if own.get("forget") and own.get("never_trained")
    }
    shown = [s for s in SERIES if s[0] in groups]
    if not shown:
        return None
    n, m = (max(len(groups[role][k]) for role, *_ in shown) for k in (0, 1))
    low = 10.0 ** np.floor(np.log10(min(0.1, 1 / n, 1 / m)))
    x_scale, y_scale = Scale(low, 1, LEFT, RIGHT, log=True), Scale(low, 1, BOTTOM, TOP, log=True)
    areas = {role: auc([-v for v in own], [-v for v in others]) for role, (own, others) in groups.items()}
    summary = "; ".join(f"{role_label(role)}: AUC {format_number(areas[role])}" for role, *_ in shown)
    drawing = Drawing(WIDTH, HEIGHT, f"ROC of membership by answer loss. {summary}. {n} records against {m}.")
    for tick in decades(low, 1):
        drawing.line(x_scale(tick), TOP, x_scale(tick), BOTTOM, RULE)
        drawing.line(LEFT, y_scale(tick), RIGHT, y_scale(tick), RULE)
        drawing.text(x_scale(tick), BOTTOM + 17, f"{tick:g}", "middle")
        drawing.text(LEFT - 8, y_scale(tick) + 4, f"{tick:g}", "end")
    drawing.line(LEFT, BOTTOM, RIGHT, TOP, SOFT, 1, "1 3")
    drawing.text((LEFT + RIGHT) / 2, BOTTOM + 36, f"never-trained records taken for trained (of {m})", "middle")
    drawing.text(LEFT, TOP - 12, f"forget records recognized (of {n})")
    for k, (role, color, dash) in enumerate(shown):
        drawing.path(_steps(roc(*groups[role]), x_scale, y_scale), color, 1.8, dash)
        start = LEFT - 16 + 145 * k
        drawing.line(start, 15, start + 22, 15, color, 1.8, dash)
        drawing.text(start + 27, 19, f"{role_label(role)} {format_number(areas[role], 2)}", color=color, bold=True)
    drawing.text(RIGHT, BOTTOM + 52, "behind each model: its AUC", "end", INK, size=11)
    return drawing.markup()


def _steps(points: Sequence[tuple[float, float]], x_scale: Scale, y_scale: Scale) -> list[tuple[float, float]]:
    """The points as a staircase: first up, then to the right; rates of 0 lie on the border."""
    line: list[tuple[float, float]] = []
    before = points[0][0]
    for x, y in points:
        line += [(x_scale(before), y_scale(y)), (x_scale(x), y_scale(y))]
        before = x
    return [point for k, point in enumerate(line) if k == 0 or point != line[k - 1]]
