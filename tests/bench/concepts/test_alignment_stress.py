"""Cosines, drifts and what a rule is worth, by numbers that can be checked by hand; then the suite from end to end."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from made_cells import BENCH, DOMAIN, asked

from expunge.bench.concepts import alignment, alignment_stress
from expunge.bench.concepts.alignment_section import GROUPS, warnings
from expunge.bench.concepts.alignment_worth import kept_at, matched, sure, worth
from expunge.bench.concepts.rows import REFERENCES
from expunge.bench.tune import Setting
from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.errors import InputError
from expunge.models.language_model import load
from helpers.world import people

OVERLAPS = (0.0, 0.75)
Found = tuple[Path, dict[str, Any]]


def asks(name: str, relation: str, answer: str) -> Record:
    return Record(id=name, prompt=f"{relation} of {name}?", answer=answer, attributes={"relation": relation})


def test_shuffled_answers_stay_within_their_kind_of_question_and_nobody_keeps_its_own() -> None:
    records = [
        *(asks(f"p{k}", "ward", f"ward {k}") for k in range(5)),
        *(asks(f"p{k}", "town", f"town {k}") for k in range(5)),
        asks("p0", "age", "8"),
    ]
    found = alignment.shuffled(records, seed=3)
    own = {(r.id, answer_type(r)): r.answer for r in records}
    assert len(found) == 10  # the only question on age is left out
    assert all(r.answer != own[r.id, answer_type(r)] for r in found)
    kept = [r for r in records if r.attributes["relation"] != "age"]
    assert Counter((answer_type(r), r.answer) for r in found) == Counter((answer_type(r), r.answer) for r in kept)


def test_cosines_are_taken_matrix_by_matrix() -> None:
    g_f = {"a": torch.tensor([[3.0, 4.0]]), "b": torch.tensor([[1.0, 0.0]]), "c": torch.ones(1, 1)}
    g_r = {"a": torch.tensor([[4.0, 3.0]]), "b": torch.tensor([[0.0, 2.0]]), "c": torch.zeros(1, 1)}
    found = alignment.by_tensor(g_f, g_r)
    assert found["a"] == pytest.approx(0.96)
    assert found["b"] == 0
    assert found["c"] is None


def test_a_gradient_is_the_mean_over_records_on_matrices_inside_the_blocks(folders: dict[str, Path]) -> None:
    lm, rows = load(folders["llama"]), people().records[:2]
    both, *alone = (alignment.gradient(lm, part) for part in (rows, rows[:1], rows[1:]))
    inside = {n for n, p in lm.module.named_parameters() if ".layers." in n and p.dim() == 2}
    assert set(both) == {n.removeprefix("model.layers.").removesuffix(".weight") for n in inside}
    for name, g in both.items():
        torch.testing.assert_close(g, (alone[0][name] + alone[1][name]) / 2, rtol=1e-4, atol=1e-6)


def test_columns_of_a_start_are_means_over_matrices_and_shares_of_short_gradients() -> None:
    found = alignment.start_columns(
        {
            "cosines": {"all": {"a": -0.5, "b": 0.1, "c": None}, "L1": {"a": None}},
            "norms": {"a": 2.0, "b": 1e-3, "c": 0.0, "d": 9e-6},
        }
    )
    assert found["cosine_all"] == pytest.approx(-0.2)
    assert found["cosine_L1"] is None
    assert (found["least"], found["most"], found["small"]) == (-0.5, 0.1, 0.5)


def test_columns_of_a_run_add_up_its_drift_and_count_its_conflicts() -> None:
    events = [
        {"cosine": -0.5, "drift": 0.3},
        {"cosine": 0.1, "drift": -0.1},
        {"cosine": -0.2, "drift": 0.1},
        {"cosine": None, "drift": None},
    ]
    found = alignment.run_columns(events)
    assert found == {
        "cosine": pytest.approx(-0.2),
        "conflict": pytest.approx(2 / 3),
        "drift": pytest.approx(0.3),
        "rises": pytest.approx(2 / 3),
    }
    assert set(alignment.run_columns([]).values()) == {None}


def test_what_the_sum_keeps_is_read_off_straight_lines_between_its_runs() -> None:
    points = [(1.0, 1.0), (0.5, 0.8), (0.1, 0.2)]
    assert kept_at(0.75, points) == pytest.approx(0.9)
    assert kept_at(0.3, points) == pytest.approx(0.5)
    assert kept_at(1.2, points) == 1.0
    assert kept_at(0.05, points) is None  # it never forgets that much
    assert kept_at(0.1, [*points, (0.1, 0.6)]) == 0.6  # of equals the best
    assert matched(
        {"leak_mean": 0.3, "retention": 0.7}, [{"leak_mean": x, "retention": y} for x, y in points]
    ) == pytest.approx(0.2)
    assert matched({}, [{"leak_mean": 1.0, "retention": 1.0}]) is None


def test_a_rule_is_worth_what_it_keeps_beside_a_sum_that_leaks_alike() -> None:
    def cells(*values: tuple[float, float]) -> dict[str, dict[str, dict[str, float | None]]]:
        return {"d": {str(k): {"leak_mean": x, "retention": y} for k, (x, y) in enumerate(values)}}

    full, half, original = cells((0.0, 0.4), (0.0, 0.2)), cells((0.5, 0.8), (0.5, 0.8)), cells((1, 1), (1, 1))
    found = worth(cells((0.5, 0.9), (0.25, 0.6)), full, {"rate": [original, half, full]})
    assert found["equal_steps"]["retention"]["mean"] == pytest.approx(0.45)  # .5 and .4
    assert found["equal_steps"]["leak"]["mean"] == pytest.approx(0.375)
    beside = found["equal_leak"]["rate"]
    assert beside["mean"] == pytest.approx(0.1)  # .9 - .8 and .6 - .5
    assert (beside["compared"], beside["runs"]) == (2, 2)
    assert beside["by_domain"]["d"]["mean"] == beside["mean"]


def test_only_an_interval_on_one_side_of_nought_is_sure() -> None:
    assert [sure({"interval": i}) for i in ([0.1, 0.2], [-0.2, -0.1], [-0.1, 0.1], None)] == [1, -1, 0, 0]


def test_rows_differ_in_the_rule_alone() -> None:
    names = alignment_stress.PRESETS["cpu"].rows
    assert {name.rpartition("-")[0] for name in names} == set(GROUPS) == set(alignment_stress.LOSSES)
    made = {name: alignment_stress.row(name).known()[name] for name in names}
    assert {r.method for r in made.values()} == {"dual"}
    for name, recipe in made.items():
        plain = made[f"{name.rpartition('-')[0]}-sum"]
        alpha = {"settings": plain.settings | {"alpha": None}, "rule_settings": None}
        assert recipe.model_copy(update=alpha | {"settings": recipe.settings | {"alpha": None}}) == plain.model_copy(
            update=alpha
        )
    assert made["npo-sum"].resolve().method.projection("L4") == 0
    assert made["npo-level"].resolve().method.projection("L4") == 0.2
    assert made["npo-adam"].resolve().rule.preconditions
    with pytest.raises(InputError, match='unknown row "npo-tensr"; did you mean "npo-tensor"'):
        alignment_stress.row("npo-tensr")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Found:
    out, full = tmp_path_factory.mktemp("stress"), Setting(lr_factor=1, steps=4)
    domains = tuple(DOMAIN.model_copy(update={"settings": {**DOMAIN.settings, "overlap": o}}) for o in OVERLAPS)
    tiny = alignment_stress.Stress(
        domains=domains,
        bench=BENCH,
        rows=("npo-sum", "npo-tensor", "npo-adam"),
        seeds=(1,),
        settings=(full,),
        rates=(0.5,),
        weights=(4.0,),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(alignment_stress.PRESETS, "tiny", tiny)
        patch.setattr(alignment_stress, "FULL", full)
        return out, alignment_stress.main(out=out / "bench", results=out / "docs", **asked())


def test_the_suite_measures_conflict_before_and_along_the_way(finished: Found) -> None:
    out, found = finished
    assert list(found["methods"]) == [*REFERENCES, "npo-sum", "npo-tensor", "npo-adam"]
    none, much = found["start"].values()
    assert none["shared_facts"]["mean"] == 0 < much["shared_facts"]["mean"]
    assert all(-1 <= of["cosine_all"]["mean"] <= 1 for of in (none, much))
    assert {"cosine_L1", "cosine_L2", "cosine_L3", "cosine_shuffled"} <= set(none)
    plain, tensor = (found["run"][name]["drift"]["mean"] for name in ("npo-sum", "npo-tensor"))
    assert plain != tensor
    assert all(of["cosine"]["mean"] is not None for of in found["run"].values())  # the sum's, too
    assert set(found["worth"]) == {"npo-tensor", "npo-adam"}
    assert set(found["worth"]["npo-tensor"]["equal_leak"]) == set(found["lines"]) == {"rate", "weight"}
    assert found["worth"]["npo-tensor"]["equal_steps"]["drift"]["mean"] == pytest.approx(tensor - plain, abs=2e-6)
    assert json.loads((out / "bench" / "alignment-stress.json").read_text()) == found


def test_the_page_answers_both_questions(finished: Found) -> None:
    out, found = finished
    page = (out / "docs" / "dual.md").read_text("utf-8")
    assert "expunge bench alignment-stress --preset tiny --seeds 1 " in page
    assert "NPO, retain term: at equal steps `tensor` − `sum` is" in page
    assert "orthogonal before Adam or after" in page
    assert all(
        line.count("|") == page.splitlines()[k - 1].count("|")
        for k, line in enumerate(page.splitlines())
        if line.startswith("| ---")
    )  # no head tears its table
    assert (out / "docs" / "dual" / "alignment-stress.svg").read_text("utf-8").startswith("<?xml")
    assert found["table"].splitlines()[0].startswith("row")


def test_losing_what_stays_where_most_is_shared_is_a_warning() -> None:
    def kept(value: float) -> dict[str, Any]:
        return {"most": {"retention": {"mean": value, "interval": None}}}

    found = {
        "start": {"most": {"small": {"mean": 0.2}}},
        "domains": {"none": {}, "most": {}},
        "failed": {},
        "run_by_domain": {"npo-sum": kept(0.9), "npo-tensor": kept(0.96)},
    }
    assert warnings(found) == [
        "Warning: in most more than 5% of the matrices have hardly any retain gradient.",
        "Warning: at most more than 5% of retention is lost by `npo-sum` (0.100).",
    ]
