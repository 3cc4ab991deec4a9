"""Levels, claims and the suite from nothing to page on the smallest chapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_cells import BENCH, asked

from expunge.bench.concepts import hierarchy_validation as suite
from expunge.bench.concepts.cell import Cell
from expunge.bench.concepts.chapters import made, whole
from expunge.bench.concepts.hierarchy_section import section, verdict
from expunge.bench.concepts.levels import Reading, by_subject, column
from expunge.bench.concepts.suite import Preset
from expunge.bench.tune import Setting
from expunge.corpus import Record
from expunge.corpus.record import LEVELS
from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from expunge.methods.dual import ALPHA, BETA, Dual

TINY = Preset(
    domains=(whole("finance", targets=3, per_level=3, facts=2, foundations=2),),
    bench=BENCH.model_copy(update={"model": BENCH.model.model_copy(update={"context": 192})}),
    rows=("full", "L4-swapped"),
    seeds=(1,),
    settings=(Setting(lr_factor=1, steps=4),),
)


def test_a_chapter_is_the_target_and_fundamentals_that_nobody_retains() -> None:
    sets = Cell(domain=TINY.domains[0], seed=1).sets()
    counts = {level: len({r.subject for r in sets.forget if r.concept == level}) for level in LEVELS}
    assert counts == {"L1": 2, "L2": 2, "L3": 2, "L4": 3}
    kept = {r.subject for r in (*sets.split.retain, *sets.retain_heldout)}
    assert kept
    assert not kept & {r.subject for r in sets.forget}


def test_the_hospital_takes_the_same_settings() -> None:
    domain = whole("hospital", targets=2, per_level=3, facts=1, foundations=4)
    world = made(domain, 5)
    assert (world.procedures, world.knowledge_per_level, world.knowledge_foundations, world.seed) == (2, 3, 4, 5)
    assert domain.target == world.chapter
    assert str(Cell(domain=domain, seed=5)) == "hospital, seed 5"


@pytest.mark.parametrize(
    ("name", "alpha", "beta"),
    [
        ("full", {}, {}),
        ("L4-swapped", {"L4": 1.0}, {"L4": 0.1}),
        ("L1-swapped", {"L1": 0.2}, {"L1": 1.0}),
        ("both-swapped", {"L1": 0.2, "L4": 1.0}, {"L1": 1.0, "L4": 0.1}),
        ("L4-alpha", {"L4": 1.0}, {}),
        ("L4-beta", {}, {"L4": 0.1}),
        ("L1-alpha", {"L1": 0.2}, {}),
        ("L1-beta", {}, {"L1": 1.0}),
    ],
)
def test_a_condition_exchanges_what_it_says_and_nothing_else(
    name: str, alpha: Mapping[str, float], beta: Mapping[str, float]
) -> None:
    row = suite.CONDITIONS[name]
    recipe = Recipe.load(row.recipe, row.sets)
    method = recipe.resolve().method
    assert isinstance(method, Dual)
    assert (method.alpha, method.beta) == (ALPHA | alpha, BETA | beta)
    assert recipe.model_copy(update={"settings": {}}) == Recipe.load("dual").model_copy(update={"settings": {}})


def test_conditions_need_full_once() -> None:
    with pytest.raises(InputError, match="lacks full"):
        suite.conditions(("flat",))
    with pytest.raises(InputError, match="L1-swapped"):
        suite.conditions(("full", "L1-swap"))


def test_a_concept_is_the_mean_of_its_records() -> None:
    records = [Record(id=str(k), prompt="p", answer="a", subject=s) for k, s in enumerate("baa")]
    assert by_subject(np.array([1.0, 0.0, 0.5]), records) == {"a": 0.25, "b": 1.0}


def _reading(four: tuple[float, ...], one: tuple[float, ...]) -> Reading:
    """Concepts with these values on L4 and L1, the same by either measure."""
    units = {"L4": {f"t{k}": v for k, v in enumerate(four)}, "L1": {f"b{k}": v for k, v in enumerate(one)}}
    columns = {
        column(part, m, level): sum(of.values()) / len(of) if (of := units.get(level)) else None
        for part in ("chapter", "retain_heldout")
        for m in ("exact", "probability")
        for level in LEVELS
    }
    return Reading(columns, {(m, level): units.get(level, {}) for m in ("exact", "probability") for level in LEVELS})


def _read(swapped: tuple[tuple[float, ...], tuple[float, ...]]) -> suite.Readings:
    full = {("w", s): _reading((0.1, 0.1, 0.1), (0.9, 0.8, 1.0)) for s in ("1", "2")}
    return {
        "original": full,
        "retrained": full,
        "full": full,
        "L4-swapped": {("w", s): _reading(swapped[0], (0.9, 0.8, 1.0)) for s in ("1", "2")},
        "L1-swapped": {("w", s): _reading((0.1, 0.1, 0.1), swapped[1]) for s in ("1", "2")},
    }


def test_both_claims_hold_where_the_exchange_turns_the_outcome_round() -> None:
    found = suite.judged(_read(((0.9, 0.9, 0.9), (0.5, 0.4, 0.6))))
    a, b = found["claims"]
    assert (a["holds"], b["holds"]) == (True, True)
    assert a["effects"]["exact"]["mean"] == pytest.approx(0.8)
    assert b["effects"]["exact"]["mean"] == pytest.approx(-0.4)
    assert verdict(a).startswith(
        "(a) exchanging L4 keeps the target: holds. L4-swapped − full on the chapter's L4: "
        "exact answers +0.800 [seeds +0.800 to +0.800"
    )
    assert found["by_world"]["w"]["L1-swapped"]["exact"]["L1"]["mean"] == pytest.approx(-0.4)


def test_a_claim_of_the_wrong_sign_or_of_no_effect_does_not_hold() -> None:
    a, b = suite.judged(_read(((0.1, 0.1, 0.1), (1.0, 0.9, 1.0))))["claims"]
    assert (a["holds"], b["holds"]) == (False, False)
    assert "does not hold" in verdict(b)


def test_the_suite_writes_levels_effects_and_its_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(suite.PRESETS, "tiny", TINY)
    found: dict[str, Any] = suite.main(out=tmp_path / "bench", results=tmp_path / "docs", **asked())
    assert list(found["levels"]) == ["original", "retrained", "full", "L4-swapped"]
    assert found["levels"]["original"][column("chapter", "exact", "L4")]["mean"] > 0.9
    assert found["levels"]["retrained"][column("chapter", "exact", "L4")]["mean"] < 0.5
    assert [c["key"] for c in found["claims"]] == ["a"]  # (b) has no condition here
    assert found["effects"]["L4-swapped"]["exact"]["L4"]["units"] == 3
    page = (tmp_path / "docs" / "dual.md").read_text()
    assert "## Does the hierarchy decide what goes?" in page
    assert verdict(found["claims"][0]) in page
    assert (tmp_path / "docs" / "dual" / "hierarchy-validation.svg").read_text().startswith("<?xml")
    two = {
        name: {(w, s): r for (_, s), r in of.items() for w in ("w", "v")}
        for name, of in _read(((0.9, 0.9, 0.9), (0.5, 0.4, 0.6))).items()
    }
    told = section(found | suite.judged(two) | {"seeds": [1, 2]}, "dual")
    assert "| v | +0.800 [+0.800 to +0.800] | −0.400 [−0.400 to −0.400] |" in told
    assert "if the one over seeds (Student's t) excludes 0" in told
    lines: list[str] = []
    assert suite.main(out=tmp_path / "bench", **asked(say=lines.append)) == found  # nothing is made twice
    assert not lines
