"""Plots of attacks: curves along a strength, the ladder of precisions, and depth pictures of block by model.

Places are evenly spaced and labelled, since strengths run from 10 to 1,000 as well as from -1 to 2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup

from expunge.audit.attack_details import AttackDetails
from expunge.audit.schema import AuditFile
from expunge.report.attack_rows import attack_name
from expunge.report.formatting import format_number
from expunge.report.labels import role_label
from expunge.report.plots.svg import FORGET, HOLDOUT, INK, RETAIN, SOFT, Drawing, Scale, ticks
from expunge.report.plots.tree import tint

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 300, 40, 468, 52, 236
DEPTH = "block"  # how the axis of a curve over blocks begins
BITS = re.compile(r"int(\d+)")
STORED = "as stored"
SERIES = (  # who, color, dash, mark
    ("original", RETAIN, "none", "M{x:.1f} {y:.1f}m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0"),
    ("unlearned", FORGET, "none", "M{x:.1f} {y:.1f}m0 -6l6 6l-6 6l-6 -6z"),
    ("retrained", HOLDOUT, "5 3", "M{x:.1f} {y:.1f}m-4 -4h8v8h-8z"),
    ("controls", INK, "2 3", "M{x:.1f} {y:.1f}m0 -5l5 9h-10z"),
)
CELL, ROW, WIDE = 44, 28, 860
Points = Sequence[tuple[str, float]]  # label of the place, rate


def draw_attack_curves(audit: AuditFile) -> list[tuple[str, Markup]]:
    """(name, plot) of each attack with a curve that is none over blocks."""
    return [
        (attack_name(d.title or key), _curves(attack_name(d.title or key), d.axis, _points(d), _numbers(d)))
        for key, d in sorted(audit.details.attacks.items())
        if d.curves and not d.axis.startswith(DEPTH) and any(_points(d).values())
    ]


def draw_depth(audit: AuditFile) -> list[tuple[str, Markup]]:
    """(name, picture of block by model) of each attack with a curve over blocks."""
    return [
        (attack_name(d.title or key), _depth(attack_name(d.title or key), d.axis, _points(d), _numbers(d)))
        for key, d in sorted(audit.details.attacks.items())
        if d.curves and d.axis.startswith(DEPTH) and any(_points(d).values())
    ]


def draw_precision_ladder(audit: AuditFile) -> Markup | None:
    """True answers by bits per weight, from the stored precision down; None where nothing was rounded."""
    for key, d in sorted(audit.details.attacks.items()):
        forms = {form: int(m[1]) for form in d.n if (m := BITS.fullmatch(form))}
        if not forms or len(forms) < len(d.n):
            continue
        steps = sorted(forms, key=lambda form: -forms[form])
        points: dict[str, Points] = {}
        for who, rates in d.rates.items():
            own = [(form, rates[form].estimate) for form in steps if form in rates]
            measured = audit.measure("exact_match", "controls" if who == "controls" else "forget", _model(who))
            first = [(STORED, measured.value)] if measured and measured.value is not None else []
            points[who] = [(label, value) for label, value in (*first, *own) if value is not None]
        return _curves(attack_name(d.title or key), "bits of a weight", points, _numbers(d))
    return None


def _model(who: str) -> str:
    return "unlearned" if who == "controls" else who


def _points(details: AttackDetails) -> dict[str, Points]:
    return {
        who: [(f"{point.x:g}", point.rate) for point in curve if point.x is not None and point.rate is not None]
        for who, curve in details.curves.items()
    }


def _numbers(details: AttackDetails) -> str:
    n = max(details.n.values(), default=0)
    controls = f", {details.n_controls} of controls" if details.n_controls else ""
    return f"n {n} records{controls}"


def _places(points: dict[str, Points]) -> list[str]:
    labels = {label for series in points.values() for label, _ in series}
    return sorted(labels, key=_place)


def _place(label: str) -> tuple[int, float]:
    """The stored precision first, then bits downwards, then numbers upwards."""
    if label == STORED:
        return 0, 0.0
    bits = BITS.fullmatch(label)
    return (1, -float(bits[1])) if bits else (2, float(label))


def _summary(points: dict[str, Points]) -> str:
    return "; ".join(
        f"{role_label(who)}: " + ", ".join(f"{label} {format_number(rate)}" for label, rate in series)
        for who, series in points.items()
        if series
    )


def _curves(name: str, axis: str, points: dict[str, Points], numbers: str) -> Markup:
    places = _places(points)
    most = max((rate for series in points.values() for _, rate in series), default=1.0)
    low = min(0.0, *(rate for series in points.values() for _, rate in series))
    y_scale = Scale(low, max(1.0, most), BOTTOM, TOP)
    step = (RIGHT - LEFT) / max(len(places), 1)
    at = {label: LEFT + (k + 0.5) * step for k, label in enumerate(places)}
    drawing = Drawing(WIDTH, HEIGHT, f"{name}: rate of true answers by {axis}. {_summary(points)}. {numbers}.")
    for tick in ticks(y_scale.low, y_scale.high, 5):
        drawing.line(LEFT, y_scale(tick), RIGHT, y_scale(tick))
        drawing.text(LEFT - 8, y_scale(tick) + 4, f"{tick:g}", "end")
    for k, label in enumerate(places):
        if len(places) <= 12 or k % (len(places) // 8) == 0:
            drawing.text(at[label], BOTTOM + 18, label, "middle", INK)
    drawing.text((LEFT + RIGHT) / 2, BOTTOM + 38, axis, "middle")
    drawing.text((LEFT + RIGHT) / 2, BOTTOM + 55, numbers, "middle", size=11)
    shown = [s for s in SERIES if points.get(s[0])]
    for k, (who, color, dash, mark) in enumerate(shown):
        line = [(at[label], y_scale(rate)) for label, rate in points[who]]
        if len(line) > 1:
            drawing.path(line, color, 1.8, dash)
        for x, y in line:
            drawing.shape("path", d=mark.format(x=x, y=y), fill=color, stroke="#fff", stroke_width=1)
        start = LEFT + 112 * k
        drawing.line(start, 15, start + 24, 15, color, 1.8, dash)
        drawing.shape("path", d=mark.format(x=start + 12.0, y=15.0), fill=color, stroke="#fff", stroke_width=1)
        drawing.text(start + 29, 19, "Controls" if who == "controls" else role_label(who), color=color, bold=True)
    return drawing.markup()


def _depth(name: str, axis: str, points: dict[str, Points], numbers: str) -> Markup:
    places = _places(points)
    shown = [s[0] for s in SERIES if points.get(s[0])]
    left, top = 92, 30
    cell = min(CELL, (WIDE - left - 12) / max(len(places), 1))
    bottom = top + ROW * len(shown)
    drawing = Drawing(WIDE, bottom + 66, f"{name}: by block and model ({axis}). {_summary(points)}. {numbers}.")
    drawing.text(8, 16, axis, color=INK, bold=True)
    for row, who in enumerate(shown):
        y = top + ROW * row
        drawing.text(left - 8, y + 17, "Controls" if who == "controls" else role_label(who), "end", INK)
        for label, rate in points[who]:
            x = left + cell * places.index(label)
            drawing.shape("rect", x=x, y=y, width=cell, height=ROW, fill=tint(rate / 2), stroke=SOFT, stroke_width=0.5)
            if cell >= 20:
                drawing.text(x + cell / 2, y + 17, f"{rate:.2f}".removeprefix("0"), "middle", INK, size=10)
    for k, label in enumerate(places):
        if len(places) <= 12 or k % 5 == 0 or k == len(places) - 1:
            drawing.text(left + cell * (k + 0.5), bottom + 16, label, "middle", size=11)
    drawing.text(left, bottom + 36, "block, counted from below", size=11)
    drawing.text(left, bottom + 54, f"white 0, orange 1; {numbers}", size=11)
    return drawing.markup()
