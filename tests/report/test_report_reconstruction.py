"""The picture of the reconstruction attack: places by hand, and nothing where there was no attack."""

from __future__ import annotations

import re

import pytest

from expunge.audit.schema import AuditFile
from expunge.report.reconstruction import told
from helpers.report import Page

HEAD = "What comes back when the place in the tree is told"


def attack(ci=None):
    """Three models at two levels: the original gives all answers once the guest is named."""
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
    picture = told(AuditFile.model_validate(build() | {"details": {"reconstruction": attack()}}))
    assert picture is not None
    assert "Unlearned: nothing 0.000, &lt;guest&gt; 0.500" in picture
    assert "<guest>" not in picture
    assert len(re.findall(r'stroke-dasharray="5 3"', picture)) == 3
    assert "M354.0 44.0" in picture  # the original's last place: right half (361, less 7), at the top
    assert picture.count("n 8") == 2


def test_bounds_are_drawn_where_there_are_some(build):
    plain, bounded = (
        told(AuditFile.model_validate(build() | {"details": {"reconstruction": attack(ci)}}))
        for ci in (None, [0.1, 0.9])
    )
    assert bounded.count("<line") == plain.count("<line") + 6


def test_the_page_shows_it_only_where_the_attack_was_made(build, page):
    with_it = Page(page(build() | {"details": {"reconstruction": attack()}}))
    assert (3, HEAD) in with_it.headings
    assert (3, HEAD) not in Page(page(build())).headings
    nothing = attack() | {"rows": []}
    assert (3, HEAD) not in Page(page(build() | {"details": {"reconstruction": nothing}})).headings


def test_a_level_that_is_not_there_is_refused(build):
    broken = attack()
    broken["rows"][0]["level"] = 7
    with pytest.raises(ValueError, match="one of the levels"):
        AuditFile.model_validate(build() | {"details": {"reconstruction": broken}})
