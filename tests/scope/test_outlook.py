"""What an audit will be able to judge, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expunge.audit.checks import relearning
from expunge.audit.policy import Policy
from expunge.corpus import Record, Variant
from expunge.scope.outlook import MIN_CONTROLS, RELEARNT_CONTROLS, audit_outlook, outlook_lines
from expunge.scope.split import Split

FORGET = tuple(
    Record(f"f{k}", "Q?", "x", subject="a", path=("ward:1", "patient:a"), variants=(Variant("R?", "x"),)) for k in "12"
)
BARE = Split("subject:a", tuple(replace(r, variants=(), path=()) for r in FORGET), (Record("r", "Q?", "y"),), ())


def controls(count: int, of: str = "a") -> tuple[Record, ...]:
    return tuple(Record(f"{of}{k}", "Q?", "z", subject=f"{of}{k}", attributes={"control_of": of}) for k in range(count))


def judged(split: Split, has_retrained: bool = False) -> set[str]:
    return {o.check for o in audit_outlook(split, has_retrained) if o.judgeable}


FULL = replace(
    BARE,
    forget=FORGET,
    retain_heldout=(Record("h", "Q?", "y"),),
    controls=controls(40),
    utility=(Record("u", "Q?", "y"),),
)


@pytest.mark.parametrize(
    ("split", "retrained", "checks"),
    [
        (BARE, False, set()),
        (BARE, True, {"leakage", "relearning"}),
        (replace(BARE, controls=controls(2)), False, {"leakage"}),
        (replace(BARE, controls=controls(39)), False, {"leakage", "relearning"}),
        (replace(BARE, controls=controls(40)), False, {"leakage", "relearning", "membership", "over-unlearning"}),
        (replace(BARE, forget=BARE.forget[:1], controls=controls(1)), False, {"leakage"}),
        (replace(BARE, controls=controls(40, of="b")), False, set()),
        (
            FULL,
            False,
            {"leakage", "paraphrase", "membership", "over-unlearning", "relearning", "retention"}
            | {"general ability", "reconstruction"},
        ),
    ],
)
def test_judgeable_checks_by_hand(split: Split, retrained: bool, checks: set[str]) -> None:
    assert judged(split, retrained) == checks


def test_reasons_name_the_subject_and_the_remedy() -> None:
    lines = outlook_lines(audit_outlook(replace(BARE, controls=controls(3))))
    assert lines[0] == "an audit of this run will be able to judge leakage, relearning"
    short = "a has 3 never-trained controls, a rank needs 40"
    assert f"not membership, over-unlearning: {short}; `expunge data prepare` makes them" in lines
    assert outlook_lines(audit_outlook(BARE))[0] == "an audit of this run will be able to judge nothing"


def test_the_least_supplied_subject_decides() -> None:
    two = replace(BARE, forget=(*BARE.forget, Record("g", "Q?", "x", subject="b")), controls=controls(40))
    reasons = {o.check: o.reason for o in audit_outlook(two)}
    assert reasons["leakage"].startswith("b has no never-trained controls")


def test_the_number_of_controls_is_that_of_the_policy() -> None:
    assert Policy.load().matched_controls.controls == MIN_CONTROLS
    assert relearning.MIN_CONTROLS == RELEARNT_CONTROLS


def test_a_training_digest_sees_trained_sets_only() -> None:
    assert FULL.training_digest == replace(FULL, controls=(), utility=(), holdout=controls(2)).training_digest
    assert FULL.digest != replace(FULL, controls=()).digest
    assert FULL.training_digest != replace(FULL, retain_heldout=()).training_digest
    assert FULL.training_digest != replace(FULL, excluded_ids=frozenset("x")).training_digest
    assert FULL.training_digest != replace(FULL, scope="ids:f1,f2").training_digest
