"""Picture: the tree around the target, coloured by what is left at the target and by what was lost elsewhere.

Surprising: one scale of colour serves both, because both are distances from where a card should stand: leakage above
the yardstick at the target, and lost retention at every other place. From left to right the tree gets further away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from expunge.audit.check_result import Bounds
from expunge.audit.details import TreeLevel, TreeNode, TreeRetention
from expunge.audit.schema import AuditFile
from expunge.report.formatting import count, foreign, interval, number, plural
from expunge.report.plots.svg import INK, SOFT, Drawing

CARD, TALL, GAP, ROW = 134, 82, 16, 112
LEFT, TOP, HEAD = 92, 78, 30
WORST = (240, 138, 75)  # light enough for dark letters
FULL = 0.5  # from here on the colour is the same
SCALE = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5)
NAMES = {"ancestors": "above", "siblings": "siblings", "unrelated": "unrelated"}


@dataclass(frozen=True)
class TreePlot:
    """A picture and the width that its letters are made for, in pixels."""

    picture: Markup
    width: int


@dataclass(frozen=True)
class Card:
    """What stands on a card; `off`: how far from where it should be, None if nothing was measured."""

    title: str
    value: str
    bounds: str
    basis: str
    off: float | None
    target: bool = False
    loose: bool = False
    many: bool = False


def tree(audit: AuditFile) -> TreePlot | None:
    """The drawing; None where the target stands in no tree."""
    found = audit.details.retention.tree if audit.details.retention else None
    if found is None:
        return None
    beside = [p for p in found.nodes if p.relation != "ancestors"]
    end = len(found.way)
    deepest = max([end, *(p.depth for p in beside)])
    width = LEFT + (1 + len(beside)) * (CARD + GAP)
    pen = Drawing(width, TOP + HEAD + deepest * ROW, f"The tree around the target. {_said(audit, found)}.")
    _legend(pen)
    _levels(pen, found.way)
    pen.line(_middle(0), _top(0), _middle(0), _top(end), SOFT, 1.5)
    for column, place in enumerate(beside, 1):
        if place.distance is not None:
            start = _top(place.branch) + (TALL / 2 if place.branch else 0)
            pen.path([(_middle(0), start), (_middle(column), start), (_middle(column), _top(place.depth))], SOFT, 1.5)
    pen.shape("circle", cx=_middle(0), cy=float(_top(0)), r=5, fill=INK)
    pen.text(_middle(0) - 12, _top(0) + 4, "root", "end")
    for depth, step in enumerate(found.way, 1):
        _card(pen, 0, depth, _target(audit, step) if depth == end else _ancestor(found, step, depth))
    for column, place in enumerate(beside, 1):
        _card(pen, column, max(place.depth, 1), _beside(place))
    return TreePlot(pen.markup(), width)


def _middle(column: int) -> float:
    return LEFT + column * (CARD + GAP) + CARD / 2


def _top(depth: int) -> float:
    """The upper edge of cards at a depth; the root is a point."""
    return TOP + (HEAD + (depth - 1) * ROW if depth else 0)


def tint(off: float | None) -> str:
    """White for 0 or better, orange from `FULL` on; the root makes small values visible."""
    share = min(max(off or 0.0, 0.0) / FULL, 1.0) ** 0.5
    return "#" + "".join(f"{round(255 + (c - 255) * share):02x}" for c in WORST)


def _target(audit: AuditFile, step: TreeLevel) -> Card:
    entry = audit.result("leakage.self")
    value, ci = (entry.estimate, entry.ci) if entry else (None, None)
    basis = plural(entry.n_records, "wording") if entry else ""
    return Card(
        f"◆ {_name(step)}",
        _value("leak", value, signed=True),
        _bounds(value, ci),
        basis,
        value,
        target=True,
        many=step.count > 1,
    )


def _ancestor(found: TreeRetention, step: TreeLevel, depth: int) -> Card:
    place = next((p for p in found.nodes if p.relation == "ancestors" and p.depth == depth), None)
    if place is None:
        return Card(_name(step), "", "not measured", "", None, many=step.count > 1)
    return _of(place, _name(step), step.count > 1)


def _beside(place: TreeNode) -> Card:
    title = NAMES.get(place.relation) or _short(place.relation)
    if place.relation == "cousins":
        title = f"cousins, {place.distance} steps"
    return _of(place, title, place.n_subjects > 1)


def _of(place: TreeNode, title: str, many: bool) -> Card:
    kept = place.retention.estimate
    basis = f"n {count(place.n_records)}, {plural(place.n_subjects, 'subject')}"
    return Card(
        title,
        _value("kept", kept),
        _bounds(kept, place.retention.ci),
        basis,
        None if kept is None else 1 - kept,
        loose=place.distance is None,
        many=many,
    )


def _name(step: TreeLevel) -> str:
    return _short(step.name if step.name else f"{count(step.count)} nodes")


def _short(text: str, most: int = 17) -> str:
    text = foreign(" ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _value(word: str, value: float | None, signed: bool = False) -> str:
    return "" if value is None else f"{word} {number(value, 3, signed)}"


def _bounds(value: float | None, ci: Bounds) -> str:
    return "not measured" if value is None else interval(ci) or "no interval"


def _card(pen: Drawing, column: int, depth: int, card: Card) -> None:
    x, y = _middle(column) - CARD / 2, _top(depth)
    edge = {
        "stroke": INK if card.target else SOFT,
        "stroke_width": 2.5 if card.target else 1,
        "stroke_dasharray": "4 3" if card.loose or card.off is None else "none",
    }
    if card.many:
        pen.shape("rect", x=x + 5, y=y + 5, width=CARD, height=TALL, rx=7, fill="#fff", **edge | {"stroke_width": 1})
    pen.shape("rect", x=x, y=y, width=CARD, height=TALL, rx=7, fill=tint(card.off), **edge)
    lines = (
        (card.title, 12, False, 19),
        (card.value, 15, True, 39),
        (card.bounds, 11, False, 56 if card.value else 42),
        (card.basis, 11, False, 72),
    )
    for words, size, bold, down in lines:
        if words:
            pen.text(_middle(column), y + down, words, "middle", INK, bold, size)


def _legend(pen: Drawing) -> None:
    pen.text(LEFT, 16, "How far from where it should be", colour=INK, bold=True)
    for k, (low, high) in enumerate(zip(SCALE, (*SCALE[1:], None), strict=True)):
        x = LEFT + 46 * k
        pen.shape("rect", x=x, y=24, width=46, height=12, fill=tint(low), stroke=SOFT, stroke_width=0.5)
        pen.text(x + 23, 50, f"{low:g}" + ("" if high else "+"), "middle", size=11)


def _levels(pen: Drawing, way: Sequence[TreeLevel]) -> None:
    for depth, step in enumerate(way, 1):
        pen.text(LEFT - 14, _top(depth) + TALL / 2 + 4, _short(step.level, 12), "end", INK)


def _said(audit: AuditFile, found: TreeRetention) -> str:
    entry = audit.result("leakage.self")
    told = [f"target: leak above the yardstick {number(entry.estimate if entry else None)}"]
    for p in found.nodes:
        where = "" if p.distance is None else f" at distance {p.distance}"
        told.append(
            f"{foreign(p.relation)}{where}: kept {number(p.retention.estimate)} of {plural(p.n_records, 'record')}"
        )
    return "; ".join(told)
