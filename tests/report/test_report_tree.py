"""The plot of the tree: positions and colors by hand, hostile names, and no plot without a tree."""

from __future__ import annotations

import re

import pytest

from expunge.audit.schema import AuditFile
from expunge.report.plots.tree import TreePlot, draw_tree, tint
from helpers.report import Page

HEAD = (3, "The tree around the target")
EVIL = '<script>"'


def node(relation="siblings", branch=1, depth=2, distance=2, retention=0.75, ci=None, n=1234):
    return {
        "relation": relation,
        "branch": branch,
        "depth": depth,
        "distance": distance,
        "n_records": n,
        "n_subjects": 3,
        "retention": {"estimate": retention, "ci": ci},
    }


def tree(*nodes, way=("house", "guest"), name="A"):
    return {"way": [{"level": level, "name": name, "count": 1} for level in way], "targets": 1, "nodes": list(nodes)}


def plot_of(build, tree_data) -> TreePlot:
    plot = draw_tree(AuditFile.model_validate(build() | {"details": {"retention": {"tree": tree_data}}}))
    assert plot is not None
    return plot


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_the_tint_runs_from_white_at_zero_to_full_color_at_one_half():
    assert tint(0) == tint(-0.3) == tint(None) == "#ffffff"
    assert tint(0.5) == tint(1.0) == "#f08a4b"
    assert tint(0.125) == "#f8c4a5"  # the root of a quarter: half way


def test_every_position_is_a_card_with_its_numbers_and_color(build):
    plot = plot_of(
        build,
        tree(
            node(ci=[0.5, 1.0]),
            node("ancestors", 1, 1, 1, 1.0),
            node("cousins", 0, 2, 4, 1.25),
            node("unrelated", 0, 0, None, None),
        ),
    )
    shown = texts(plot.svg)
    for text in (
        "◆ A",
        "leakage +0.125",
        "0.062 to 0.188",
        "12 wordings",
        "siblings",
        "retention 0.750",
        "0.500 to 1.000",
        "n 1\u202f234, 3 subjects",
        "retention 1.000",
        "cousins, 4 steps",
        "retention 1.250",
        "no interval",
        "unrelated",
        "not measured",
        "house",
        "guest",
    ):
        assert text in shown, text
    fills = re.findall(r'rx="7" fill="(#\w+)" stroke="[^"]+" stroke-width="([\d.]+)"', plot.svg)
    assert ("#f8c4a5", "2.5") in fills  # the target: .125 above the reference
    assert (tint(0.25), "1") in fills
    assert plot.width == 92 + 4 * 150  # the way, and three positions beside it
    assert (
        'aria-label="The tree around the target. target: leakage above the reference 0.125; '
        "siblings at distance 2: retention 0.750 of 1"
    ) in plot.svg


def test_branches_start_on_the_way_and_end_at_their_cards(build):
    plot = plot_of(build, tree(node(), node("cousins", 0, 2, 4), node("unrelated", 0, 0, None)))
    paths = re.findall(r'<path d="([^"]+)"', plot.svg)
    assert paths == [
        "M159.0 149.0L309.0 149.0L309.0 220.0",  # from the middle of the house's card
        "M159.0 78.0L459.0 78.0L459.0 220.0",
    ]  # from the root; what is unrelated hangs on nothing


def test_hostile_names_are_shortened_and_escaped(build, page):
    data = tree(node(EVIL), name=EVIL * 9, way=(EVIL * 3, "guest"))
    plot = plot_of(build, data)
    assert "<script" not in plot.svg
    assert "◆ &lt;script&gt;&#34;&lt;script…" in plot.svg
    assert not Page(page(build() | {"details": {"retention": {"tree": data}}})).all("script")


def test_the_page_shows_the_plot_only_where_there_is_a_tree(build, page):
    assert HEAD in Page(page(build() | {"details": {"retention": {"tree": tree(node())}}})).headings
    assert HEAD not in Page(page(build())).headings


def test_an_empty_way_is_refused(build):
    with pytest.raises(ValueError, match="way"):
        AuditFile.model_validate(build() | {"details": {"retention": {"tree": tree(way=())}}})
