"""The audit of the audit: expectations by hand, the rates of false alarms, rounding cells, and the suite in small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.audit.checks.quantization import quantize
from expunge.bench.experiment import Experiment
from expunge.bench.report import publish
from expunge.bench.study import run
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import TinyConfig, build, texts_of, train_tokenizer
from expunge.scope import Scope
from helpers.experiments import plugin

audits = plugin("planted_audits")
alarms, meta, planting, models, hospital = (
    plugin(n) for n in ("false_alarms", "meta_evaluation", "planting", "planted_models", "audited_hospital")
)


def seen(verdict: str, policy: str = "with-retrained", **statuses: str) -> dict[str, Any]:
    results = {key: [status, 0.1, True, ""] for key, status in statuses.items()}
    return {policy: {"verdict": verdict, "results": results, "seconds": 1.0}}


def test_what_differs_from_what_was_stated_is_named() -> None:
    stated = audits.Expectation(fails=["mia", ["lens"]], holds=["probe"], verdict={"with-retrained": "failed"})
    assert stated.fails == ("mia", "lens")
    assert audits.mismatches(stated, seen("failed", mia="failed", lens="failed", probe="passed")) == []
    unjudged = seen("failed", mia="failed", lens="failed", probe="inconclusive")
    assert audits.mismatches(stated, unjudged) == ["probe inconclusive"]
    assert audits.mismatches(stated, seen("passed", mia="passed", probe="failed")) == [
        "mia passed",
        "lens missing",
        "probe failed",
        "with-retrained: passed",
    ]
    short = audits.Expectation(verdict={"with-retrained": "not passed", "controls-only": "passed"})
    assert audits.mismatches(short, seen("inconclusive")) == []
    assert audits.mismatches(short, seen("passed")) == ["with-retrained: passed"]


def test_a_row_counts_seeds() -> None:
    stated = audits.Expectation(fails=("mia",), holds=("lens",), verdict={"with-retrained": "failed"})
    every = [seen("failed", mia="failed", lens="passed"), seen("passed", mia="passed", lens="inconclusive")]
    row = audits.row(stated, every)
    assert row["holds"] == "lens 0/1"
    assert (row["fails"], row["as_stated"], row["seeds"]) == ("mia 1/2", 1, 2)
    assert row["verdicts"] == {"with-retrained": "failed 1, passed 1"}
    assert row["differs"] == "mia passed; lens inconclusive; with-retrained: passed"


def test_rates_of_false_alarms_have_exact_bounds() -> None:
    assert alarms.rate(0, 10)["share"]["high"] == pytest.approx(0.2589, abs=1e-4)
    assert alarms.rate(0, 59)["meets"] == "yes"
    assert alarms.rate(0, 58)["meets"] == "open"
    assert alarms.rate(5, 10)["meets"] == "no"
    assert alarms.rate(0, 0)["share"] is None
    words = alarms.verdict_rates(["passed", "failed", "inconclusive", "passed"])
    assert (words["failed"], words["not_passed"]["mean"]) == (1, 0.5)


def test_alarms_count_what_others_excused_and_other_margins() -> None:
    inside = [
        "passed",
        0.2,
        True,
        "excess 0.200; 95th percentile of 20 controls: 0.3; by the margin alone: excess 0.200",
    ]
    rows = [
        ["failed", 0.3, True, ""],
        inside,
        ["inconclusive", 0.25, True, "excess 0.250; 95th percentile: 0.2; by the margin alone: excess 0.250"],
        ["passed", 0.05, True, ""],
        ["inconclusive", None, False, ""],
    ]
    rates = alarms.alarm_rates([{"results": {"lens": row}} for row in rows], {"lens": [0.05, 0.25]})["lens"]
    assert (rates["failed"], rates["judged"], rates["inconclusive"]) == (1, 4, 1)
    assert (rates["by_range"], rates["undecided"]) == (1, 1)
    assert rates["without_range"]["mean"] == pytest.approx(3 / 4)
    assert (rates["largest"], alarms.alarm_rates([{"results": {"mia": inside}}], {})["mia"]["largest"]) == (0.3, None)
    assert rates["over"]["0.05"] == pytest.approx(3 / 4)
    assert rates["over"]["0.25"] == pytest.approx(1 / 4)


def test_weights_inside_the_cells_round_to_the_same_integers() -> None:
    """What stays in its cells is another model, and rounded to 4 bits it is the first one, to the last bit."""
    records = [Record("a", "Who?", "Ada"), Record("b", "Where?", "Bonn")]
    tokenizer = train_tokenizer(texts_of(records), 300)
    config = TinyConfig(layers=1, width=32, heads=2, vocabulary=300, context=32)
    first, other = (LanguageModel.from_parts(build(config, tokenizer, 0), tokenizer, "m") for _ in range(2))
    cells = planting.rounding_cells(first, 4)
    assert cells
    with torch.no_grad():
        for name, weight in other.module.named_parameters():
            if name in cells:
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
                weight.clamp_(*cells[name])
                assert not torch.equal(weight, dict(first.module.named_parameters())[name])
    for lm in (first, other):
        quantize(lm, "int4")
    for mine, theirs in zip(first.module.parameters(), other.module.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_wrong_answers_are_those_of_another_person_in_every_wording() -> None:
    about = {"attributes": {"relation": "doctor"}}
    rows = [Record(n, "Doctor?", a, facts=(n,), **about) for n, a in (("a", "Roth"), ("b", "Berg"), ("c", "Roth"))]
    twice = [rows[0], replace(rows[0], id="a2", prompt="His doctor?"), *rows[1:]]
    assert [r.answer for r in planting.wrong(twice)] == ["Berg", "Berg", "Roth", "Berg"]
    assert planting.wrong(rows[:1])[0].answer == planting.REFUSAL


def test_further_formats_are_about_those_who_stay() -> None:
    world = hospital.AuditedHospital(seed=3, patients=6, candidates=2, facts=2)
    corpus = world.corpus()
    further = {r.subject for r in corpus.trained if "~" in r.id}
    assert world.target in world.subjects()
    assert further
    assert not further & set(world.subjects())
    split = Scope.parse(world.target).resolve(corpus, seed=3)
    assert split.targets == (world.target,)
    assert len({r.subject for r in split.controls}) == 40
    assert all(not r.variants for r in corpus.trained if "~" in r.id)


def test_every_planting_is_stated_and_says_why() -> None:
    shipped = Experiment.load("audit-of-audit")
    stated = shipped.options["planted_audits"]["expected"]
    assert set(stated) == set(models.PLANTED)
    for name, of in stated.items():
        expected = audits.Expectation(**of)
        assert expected.verdict, name
        assert expected.fails or name in alarms.TWINS
        assert len(models.PLANTED[name].account) > 60
    smoke = Experiment.load("audit-of-audit", "smoke").options["planted_audits"]
    assert set(smoke["models"]) <= set(models.PLANTED)


def sided(held: bool, group: str, value: float, **changed: float) -> dict[str, Any]:
    after = {change.replace("_", " "): {"lens": v} for change, v in changed.items()}
    return {"held": held, "group": group, "values": {"lens": value, "mia": 0.0}, "changed": after}


def test_a_detector_is_judged_by_sides_groups_and_changes() -> None:
    every = [
        sided(True, "plain", 0.9, int8=0.7),
        sided(False, "plain", 0.1, int8=0.1),
        sided(True, "covered", 0.3),
        sided(False, "covered", 0.5),
        sided(True, "treated", 0.6),
        sided(True, "treated", 0.4),
    ]
    row = meta.detector_row("lens", every, {"lens"})
    assert row["groups"] == {"plain": 1.0, "covered": 0.0}
    assert (row["auc"], row["least"], row["changed_auc"]) == (0.75, 0.0, 1.0)
    assert row["moves"]["int8"] == pytest.approx(0.1 / 0.3)  # means of the sides: .6 and .3
    assert row["moves"]["paraphrased"] is None
    assert row["treated_above"] == 0.5
    assert row["decides"] == "yes"
    assert meta.detector_row("mia", every, set())["auc"] == 0.5
    assert meta.detectors([*every, sided(True, "plain", 0.2) | {"values": {"lens": 0.2, "mia": None}}]) == ["lens"]


def test_required_results_name_the_detectors_that_decide() -> None:
    decides = meta.decisive_detectors()
    assert {"loss", "entropy", "exact_match", "relearning"} <= decides
    assert {"lens", "probe"} <= decides
    assert "depth" not in decides


@pytest.mark.trains
@pytest.mark.matrix
def test_the_smoke_preset_from_nothing_to_page(tmp_path: Path) -> None:
    experiment = Experiment.load("audit-of-audit", "smoke")
    results = run(experiment, tmp_path / "bench", workers=1)
    assert results["planted"]["untouched"]["verdicts"]["with-retrained"] == "failed 1"
    assert set(results["alarms"]) == {"with-retrained", "controls-only"}
    again = run(experiment, tmp_path / "bench", workers=1)
    assert again == results
    assert results["meta_models"]["plain"] == {"held": 7, "never": 7, "models": 14, "changed": 2}
    assert results["meta"]["lens"]["groups"]["plain"] > 0.5
    page = publish(experiment, tmp_path, tmp_path / "bench" / "audit-of-audit.json").read_text("utf-8")
    assert "## Planted models" in page
