"""Plot: the tree around the target, one card per position.

One color scale serves all cards, because each shows a distance from the goal: leakage above the reference at the
target, lost retention at every other position. Positions further right are further from the target.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from expunge._printable import visible
from expunge.audit.check_result import Bounds
from expunge.audit.details import TreeLevel, TreeNode, TreeRetention
from expunge.audit.schema import AuditFile
from expunge.report.formatting import format_count, format_interval, format_number, pluralize
from expunge.report.plots.svg import INK, SOFT, Drawing

CARD_WIDTH, CARD_HEIGHT, GAP, ROW = 134, 82, 16, 112
LEFT, TOP, ROOT_HEIGHT = 92, 78, 30
WORST_COLOR = (240, 138, 75)  # light enough for dark letters
SATURATION = 0.5  # deviations from here on have the same color
LEGEND = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5)
TITLES = {"ancestors": "above", "siblings": "siblings", "unrelated": "unrelated"}


@dataclass(frozen=True)
class TreePlot:
    """The SVG and its natural width in pixels."""

    svg: Markup
    width: int


@dataclass(frozen=True)
class Card:
    """The lines of a card. `deviation` is the distance from the goal, None if nothing was measured."""

    title: str
    value: str
    bounds: str
    basis: str
    deviation: float | None
    target: bool = False
    detached: bool = False  # not connected to the target's tree
    stacked: bool = False  # stands for several nodes


def draw_tree(audit: AuditFile) -> TreePlot | None:
    """The plot; None where the target has no tree."""
    tree = audit.details.retention.tree if audit.details.retention else None
    if tree is None:
        return None
    beside = [node for node in tree.nodes if node.relation != "ancestors"]
    target_depth = len(tree.way)
    deepest = max([target_depth, *(node.depth for node in beside)])
    width = LEFT + (1 + len(beside)) * (CARD_WIDTH + GAP)
    drawing = Drawing(width, TOP + ROOT_HEIGHT + deepest * ROW, f"The tree around the target. {_summary(audit, tree)}.")
    _draw_legend(drawing)
    for depth, level in enumerate(tree.way, 1):
        drawing.text(LEFT - 14, _top(depth) + CARD_HEIGHT / 2 + 4, _short(level.level, 12), "end", INK)
    drawing.line(_middle(0), _top(0), _middle(0), _top(target_depth), SOFT, 1.5)
    for column, node in enumerate(beside, 1):
        if node.distance is not None:
            y = _top(node.branch) + (CARD_HEIGHT / 2 if node.branch else 0)
            drawing.path([(_middle(0), y), (_middle(column), y), (_middle(column), _top(node.depth))], SOFT, 1.5)
    drawing.shape("circle", cx=_middle(0), cy=float(_top(0)), r=5, fill=INK)
    drawing.text(_middle(0) - 12, _top(0) + 4, "root", "end")
    for depth, level in enumerate(tree.way, 1):
        card = _target_card(audit, level) if depth == target_depth else _ancestor_card(tree, level, depth)
        _draw_card(drawing, 0, depth, card)
    for column, node in enumerate(beside, 1):
        title = TITLES.get(node.relation) or _short(node.relation)
        if node.relation == "cousins":
            title = f"cousins, {pluralize(node.distance or 0, 'step')}"
        _draw_card(drawing, column, max(node.depth, 1), _node_card(node, title, node.n_subjects > 1))
    return TreePlot(drawing.markup(), width)


def _middle(column: int) -> float:
    return LEFT + column * (CARD_WIDTH + GAP) + CARD_WIDTH / 2


def _top(depth: int) -> float:
    """The upper edge of cards at a depth; the root is a point."""
    return TOP + (ROOT_HEIGHT + (depth - 1) * ROW if depth else 0)


def tint(deviation: float | None) -> str:
    """White at 0 or below, full orange from `SATURATION` on; the square root makes small values visible."""
    share = min(max(deviation or 0.0, 0.0) / SATURATION, 1.0) ** 0.5
    return "#" + "".join(f"{round(255 + (c - 255) * share):02x}" for c in WORST_COLOR)


def _target_card(audit: AuditFile, level: TreeLevel) -> Card:
    result = audit.result("leakage.self")
    value, ci = (result.estimate, result.ci) if result else (None, None)
    basis = pluralize(result.n_records, "wording") if result else ""
    text = _value("leakage", value, signed=True)
    return Card(f"◆ {_level_name(level)}", text, _bounds(value, ci), basis, value, True, stacked=level.count > 1)


def _ancestor_card(tree: TreeRetention, level: TreeLevel, depth: int) -> Card:
    node = next((n for n in tree.nodes if n.relation == "ancestors" and n.depth == depth), None)
    if node is None:
        return Card(_level_name(level), "", "not measured", "", None, stacked=level.count > 1)
    return _node_card(node, _level_name(level), level.count > 1)


def _node_card(node: TreeNode, title: str, stacked: bool) -> Card:
    retention = node.retention.estimate
    return Card(
        title,
        _value("retention", retention),
        _bounds(retention, node.retention.ci),
        f"n {format_count(node.n_records)}, {pluralize(node.n_subjects, 'subject')}",
        None if retention is None else 1 - retention,
        detached=node.distance is None,
        stacked=stacked,
    )


def _level_name(level: TreeLevel) -> str:
    return _short(level.name if level.name else pluralize(level.count, "node"))


def _short(text: str, most: int = 17) -> str:
    text = visible(" ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _value(label: str, value: float | None, signed: bool = False) -> str:
    return "" if value is None else f"{label} {format_number(value, 3, signed)}"


def _bounds(value: float | None, ci: Bounds) -> str:
    return "not measured" if value is None else format_interval(ci) or "no interval"


def _draw_card(drawing: Drawing, column: int, depth: int, card: Card) -> None:
    x, y = _middle(column) - CARD_WIDTH / 2, _top(depth)
    box = {"width": CARD_WIDTH, "height": CARD_HEIGHT, "rx": 7}
    edge = {
        "stroke": INK if card.target else SOFT,
        "stroke_width": 2.5 if card.target else 1,
        "stroke_dasharray": "4 3" if card.detached or card.deviation is None else "none",
    }
    if card.stacked:
        drawing.shape("rect", x=x + 5, y=y + 5, **box, fill="#fff", **edge | {"stroke_width": 1})
    drawing.shape("rect", x=x, y=y, **box, fill=tint(card.deviation), **edge)
    lines = (
        (card.title, 12, False, 19),
        (card.value, 13, True, 38),
        (card.bounds, 11, False, 56 if card.value else 42),
        (card.basis, 11, False, 72),
    )
    for text, size, bold, offset in lines:
        if text:
            drawing.text(_middle(column), y + offset, text, "middle", INK, bold, size)


def _draw_legend(drawing: Drawing) -> None:
    drawing.text(LEFT, 16, "Distance from the goal", color=INK, bold=True)
    for k, deviation in enumerate(LEGEND):
        x = LEFT + 46 * k
        drawing.shape("rect", x=x, y=24, width=46, height=12, fill=tint(deviation), stroke=SOFT, stroke_width=0.5)
        drawing.text(x + 23, 50, f"{deviation:g}" + ("+" if deviation == LEGEND[-1] else ""), "middle", size=11)


def _summary(audit: AuditFile, tree: TreeRetention) -> str:
    result = audit.result("leakage.self")
    parts = [f"target: leakage above the reference {format_number(result.estimate if result else None)}"]
    for node in tree.nodes:
        distance = "" if node.distance is None else f" at distance {node.distance}"
        value = f"retention {format_number(node.retention.estimate)} of {pluralize(node.n_records, 'record')}"
        parts.append(f"{visible(node.relation)}{distance}: {value}")
    return "; ".join(parts)
