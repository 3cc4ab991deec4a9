"""Further ways to make a ruined or leaking model pass, as a person would try them who wants it to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expunge.audit.run import Audit
from expunge.errors import InputError
from expunge.models.language_model import load
from helpers.audited import Case
from helpers.planted import plant

pytestmark = pytest.mark.trains


def not_passed(result: Audit) -> list[str]:
    """The required checks that did not pass, of an audit that did not pass."""
    assert result.verdict.status != "passed", result.verdict.sentence
    assert result.verdict.exit_code == 3
    return [reason.split(":")[0] for reason in result.verdict.reasons]


def flattened(case: Case, start: str) -> str:
    """A model that writes the same greedy text with far lower probabilities."""
    name = f"flat-{start}"
    if not (case.root / name).exists():
        lm = load(case.root / start)
        with torch.no_grad():
            lm.module.get_output_embeddings().weight.mul_(0.05)
        lm.save(case.root / name)
    return name


def test_right_answers_of_low_probability_are_a_leak(case: Case) -> None:
    result = case.run(flattened(case, "original"))
    assert "leakage.self" in not_passed(result)
    probability = {m.model: m.value for m in result.file.measures if (m.metric, m.set) == ("answer_prob", "forget")}
    assert probability["unlearned"] < 0.1 < 0.9 < probability["original"]


def test_an_honest_model_without_its_probabilities_is_a_ruin(case: Case) -> None:
    result = case.run(flattened(case, "again"))
    assert "retention.elsewhere" in not_passed(result)
    assert result["retention.text"].status == "passed"  # its text is as before: tokens show the ruin


@pytest.mark.parametrize("retrained", ["retrained", None])
def test_an_empty_retain_set_hides_no_ruin(case: Case, retrained: str | None) -> None:
    bare = replace(case.split, retain=(), retain_heldout=(), shared=())
    for name in (plant(case, "lost-block"), "again"):
        result = case.run(name, retrained=retrained, split=bare)
        keys = [key for key in not_passed(result) if key.startswith("retention.")]
        assert keys == [f"retention.{name}" for name in ("same_institution", "elsewhere", "text", "retain")]


def test_without_held_out_records_the_given_ones_show_the_ruin(case: Case) -> None:
    bare = replace(case.split, retain_heldout=(), shared=())
    result = case.run(plant(case, "lost-block"), retrained=None, split=bare)
    assert not_passed(result) == ["retention.text", "retention.retain"]
    assert result.verdict.status == "failed"
    assert result["retention.text"].reason.startswith("greedy text of 64 of 72 records that the method was given; by ")
    assert case.run("again", retrained=None, split=bare).verdict.status == "passed"


def test_weights_that_overflow_are_an_error_and_no_verdict(case: Case, tmp_path: Path) -> None:
    lm = load(case.root / "again")
    with torch.no_grad():
        lm.module.model.norm.weight.fill_(3e38)
    lm.save(case.root / "overflows")
    with pytest.raises(InputError, match="what it predicts is not finite"):
        case.run("overflows", out=tmp_path)
    assert not (tmp_path / "audit.json").exists()


def test_a_model_that_ends_its_text_elsewhere_is_refused(case: Case, tmp_path: Path) -> None:
    """Cut after its first space, a leaking text would hold no answer."""
    lm = load(case.root / "original")
    lm.module.generation_config.eos_token_id = [lm.tokenizer.eos_token_id, lm.tokenizer.convert_tokens_to_ids("Ġ")]
    lm.save(case.root / "cut")
    with pytest.raises(InputError, match="the unlearned model writes the records in other tokens, or ends an answer"):
        case.run("cut", out=tmp_path)


def test_a_yardstick_that_leaks_as_much_as_the_model_is_no_way_out(case: Case) -> None:
    """Half of the facts are known to both, so that the excess over the yardstick is none."""
    plant(case, "half")
    plant(case, "half-again")
    result = case.run("half-again", retrained="half")
    assert (result["leakage.self"].estimate or 0) < 0.2  # against an honest yardstick .444
    assert "mia" in not_passed(result)


def test_retained_records_that_the_original_never_knew_show_nothing(case: Case) -> None:
    """As where one of 87 is known by chance: the ratio would be that of a single record."""
    rows = case.split.retain_heldout
    unknown = tuple(replace(r, answer=f"never {k}", options=()) for k, r in enumerate(rows))
    result = case.run("again", retrained=None, split=replace(case.split, retain_heldout=unknown, shared=()))
    assert result.verdict.status == "inconclusive"
    assert "retention.elsewhere" in not_passed(result)
    assert "the original model gives 0.0% of these records, too few" in result["retention.elsewhere"].reason
