"""Without a retrained model: what must pass passes, what must fail fails, and a wrong yardstick is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from expunge.audit.policy import Policy
from expunge.audit.run import audit
from expunge.audit.scoring import score
from expunge.engine.relearning import relearned
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.errors import InputError
from expunge.models.language_model import load
from expunge.models.tiny import TinyConfig
from helpers.audited import TINY, WORLD, Case

pytestmark = pytest.mark.trains


def test_a_model_that_never_knew_passes_and_says_what_that_means(case: Case) -> None:
    found = case.run("again", retrained=None, data_name="clinic.jsonl")
    assert found.verdict.status == "passed", found.verdict.reasons
    assert 'policy "controls-only"' in found.verdict.sentence
    file = found.file
    assert (file.data, file.reference, file.known["forget"].n) == ("clinic.jsonl", "controls", 9)
    assert file.known["forget"].by_text == file.known["forget"].by_tokens == 1.0
    for key in ("leakage.self", "paraphrase", "relearning.in_domain"):
        assert found[key].reference is not None
        assert found[key].reference.role == "controls", key
    assert "8 controls" in found["relearning.in_domain"].reason
    assert found["retention.text"].reason.startswith("greedy text of 24 of 24 held-out records")
    assert file.control_records == {"scored": 360, "has": 360}


def test_four_records_of_one_person_are_enough_to_pass_and_to_fail(case: Case, tmp_path: Path) -> None:
    few = tuple(r for r in case.split.forget if r.kind != "classification")[:4]
    split = replace(case.split, forget=few)
    ignorant = case.run("again", retrained=None, split=split, out=tmp_path)
    assert ignorant.verdict.status == "passed", ignorant.verdict.reasons
    assert case.run("original", retrained=None, split=split, out=tmp_path).verdict.status == "failed"


def test_a_model_that_forgot_nothing_and_a_ruined_one_fail(case: Case) -> None:
    knows = case.run("original", retrained=None)
    assert knows.verdict.status == "failed"
    assert {key: knows[key].status for key in ("leakage.self", "paraphrase", "relearning.in_domain", "mia")} == {
        "leakage.self": "failed",
        "paraphrase": "failed",
        "relearning.in_domain": "failed",
        "mia": "failed",
    }
    assert (knows.file.assurance.level, knows.file.policy.name) == ("L1", "controls-only")
    ruined = case.run("noise", retrained=None)
    assert ruined.verdict.status == "failed"
    for key in ("retention.same_institution", "retention.elsewhere", "retention.text", "retention.retain"):
        assert ruined[key].status == "failed", key


def test_strict_wants_both_references_and_intervals(case: Case) -> None:
    found = case.run("again", policy=Policy.load("strict"))
    assert found.verdict.status == "inconclusive"
    assert found["leakage.self"].status == "inconclusive"
    assert "the policy wants one: too few subjects" in found["leakage.self"].reason
    assert found.file.assurance.level == "L3"
    worst = case.run("original", policy=Policy.load("strict"))
    assert worst.verdict.status == "failed"
    assert worst.file.assurance.level == "L2"


def test_a_policy_that_needs_a_retrained_model_says_so(case: Case) -> None:
    for name in ("with-retrained", "strict"):
        with pytest.raises(InputError, match=f'policy "{name}": needs a retrained model; give one, or'):
            case.run("again", retrained=None, policy=Policy.load(name))


def test_a_retrained_model_may_be_shown_without_deciding(case: Case) -> None:
    found = case.run("again", policy=Policy.load("controls-only"))
    assert (found.verdict.status, found.file.reference) == ("passed", "controls")
    assert "retrained" in found.file.models
    assert found["reconstruction"].reference is None or found["reconstruction"].reference.role == "controls"


def test_yardsticks_that_are_none_are_refused_in_a_line(case: Case, tmp_path: Path) -> None:
    shutil.copytree(case.root / "again", tmp_path / "copy")
    (tmp_path / "copy" / "train.json").unlink()
    refused = {
        "again": "is the unlearned model itself, so it is no yardstick",
        str(tmp_path / "copy"): "is the unlearned model itself, so it is no yardstick",
        "noise": r"does not know what it should: of 64 retained records the original .*, the retrained .* 0\.0%",
    }
    for retrained, message in refused.items():
        with pytest.raises(InputError, match=message) as caught:
            case.run("again", retrained=retrained, out=tmp_path / "audit")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "audit" / "audit.json").exists()


def test_a_model_of_another_shape_is_refused(case: Case, tmp_path: Path) -> None:
    other = TinyConfig(**{**TINY.model_dump(), "width": 32})
    records = WORLD.corpus().trained
    train(
        records, tmp_path / "small", tiny=other, settings=TrainConfig(epochs=1), tokenizer_from=case.root / "original"
    )
    with pytest.raises(InputError, match="is of another architecture"):
        audit(case.root / "original", tmp_path / "small", case.split, tmp_path / "audit")


def test_relearning_leaves_the_model_as_it_was(case: Case) -> None:
    lm = load(case.root / "original")
    rows = case.split.controls[:6]
    before = score(lm, rows)
    with relearned(lm, case.split.controls[:3], 10, 1e-2) as taught:
        assert score(taught, rows).logp.tolist() != before.logp.tolist()
    after = score(lm, rows)
    assert after.logp.tolist() == before.logp.tolist()
    with relearned(lm, case.split.controls[:3], 1, 1e-3):
        pass  # an adapter can be put on again
