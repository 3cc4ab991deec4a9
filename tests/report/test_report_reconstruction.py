"""The plot of the reconstruction attack: positions by hand, and no plot without the attack."""

from __future__ import annotations

import re

import pytest

from expunge.audit.schema import AuditFile
from expunge.report.plots.reconstruction import draw_reconstruction
from helpers.report import Page

HEAD = "Reconstruction from context in the tree"


def attack(ci=None):
    """Three models at two levels: the original ranks every true answer first once the guest is context."""
    first = {"original": (0.0, 1.0), "unlearned": (0.0, 0.5), "retrained": (0.0, 0.25)}
    rows = [
        {
            "level": k,
            "vector": vector,
            "model": model,
            "scores": {
                "rank": {"estimate": None, "ci": None, "n": 0},
                "top1": {"estimate": value if vector == "true" else 0.125, "ci": ci, "n": 8},
            },
        }
        for model, values in first.items()
        for k, value in enumerate(values)
        for vector in ("true", "wrong branch")
    ]
    return {
        "levels": ["nothing", "<guest>"],
        "chance": 0.05,
        "rows": rows,
        "status": "failed",
        "reason": "",
        "parts": [],
        "left_out": {},
    }


def test_every_model_has_a_line_and_a_dashed_one_for_the_wrong_branch(build):
    svg = draw_reconstruction(AuditFile.model_validate(build() | {"details": {"reconstruction": attack()}}))
    assert svg is not None
    assert "Unlearned: nothing 0.000, &lt;guest&gt; 0.500" in svg
    assert "<guest>" not in svg
    assert len(re.findall(r'stroke-dasharray="5 3"', svg)) == 3
    assert "M354.0 44.0" in svg  # the original's last point: 361 less 7, at the top
    assert svg.count("n 8") == 2


def test_intervals_are_drawn_where_there_are_some(build):
    plain, with_ci = (
        draw_reconstruction(AuditFile.model_validate(build() | {"details": {"reconstruction": attack(ci)}}))
        for ci in (None, [0.1, 0.9])
    )
    assert with_ci.count("<line") == plain.count("<line") + 6


def test_the_page_shows_the_plot_only_where_the_attack_ran(build, page):
    attacked = Page(page(build() | {"details": {"reconstruction": attack()}}))
    assert (3, HEAD) in attacked.headings
    assert (3, HEAD) not in Page(page(build())).headings
    empty = attack() | {"rows": []}
    assert (3, HEAD) not in Page(page(build() | {"details": {"reconstruction": empty}})).headings


def test_an_unknown_level_is_refused(build):
    broken = attack()
    broken["rows"][0]["level"] = 7
    with pytest.raises(ValueError, match="one of the levels"):
        AuditFile.model_validate(build() | {"details": {"reconstruction": broken}})
