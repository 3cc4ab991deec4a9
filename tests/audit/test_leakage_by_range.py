"""Leakage of a few subjects beside a retrained model: an excess that controls show too is chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from expunge.audit.check_result import CheckResult
from expunge.audit.checks import leakage
from expunge.audit.context import Context
from expunge.audit.kind_rates import KindRates
from expunge.audit.scoring import score
from expunge.audit.strangers import STRANGERS, stranger_records
from expunge.corpus import Record
from helpers.attacked import attack_context
from helpers.audited import Case

pytestmark = pytest.mark.trains


def scored(case: Case, unlearned: str) -> Context:
    """A context with the scores that the check reads."""
    ctx = attack_context(case, unlearned)
    rows = [w for r in ctx.split.forget for w in r.wordings()]
    scores: dict[Any, Any] = {r: {"forget": score(ctx.fresh(r), rows, options=True, text=True)} for r in ctx.roles}
    return replace(ctx, scores=scores, records={**ctx.records, **{r.row_id: r for r in rows}})


def result_of(ctx: Context, monkeypatch: pytest.MonkeyPatch, margin: float) -> CheckResult:
    monkeypatch.setattr(Context, "margin", lambda *_: margin)
    return next(r for r in leakage.leakage.run(ctx).results if r.key == "leakage.self")


def test_controls_and_strangers_are_asked_in_the_wordings_of_the_target(case: Case) -> None:
    ctx = scored(case, "again")
    others, target = leakage.AnswersOfOthers(ctx), ctx.split.targets[0]

    def rates(rows: Sequence[Record], key: str, values_of: leakage.ValuesOf) -> KindRates:
        return others.rates(ctx, "unlearned", rows, key, values_of)

    controls = rates(others.controls, "leakage.self", leakage.kind_values)
    assert set(controls.subjects) <= set(ctx.control_groups(target))
    assert len(set(controls.subjects)) == leakage.CONTROLS
    rephrased = rates(others.controls, "paraphrase", leakage.kind_values)
    assert 0 < len(rephrased.subjects) < len(controls.subjects)
    assert set(rates(others.controls, "leakage.self", leakage.included).values) == {"includes"}
    rows = [w for r in ctx.split.forget for w in r.wordings()]
    strangers = stranger_records(rows, ctx.split, 0)[target]
    guesses = rates(strangers, "paraphrase", leakage.kind_values)
    assert guesses.count(f"{target} stranger 1") == len(rows)
    assert len(set(guesses.subjects)) == STRANGERS


def test_answers_that_strangers_are_given_too_pass(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = scored(case, "again")
    answer_others(monkeypatch, 0.4)
    result = result_of(ctx, monkeypatch, -1.0)
    assert (result.status, "20 strangers, retrained" in result.reason) == ("passed", True)
    answer_others(monkeypatch, -0.9)
    assert result_of(ctx, monkeypatch, -1.0).status != "passed"


def test_a_model_that_knows_fails_and_asks_nobody(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def rates(*_: object, **__: object) -> KindRates:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(leakage.AnswersOfOthers, "rates", rates)
    result = result_of(scored(case, "original"), monkeypatch, 0.05)
    assert (result.status, "could not be asked" in result.reason) == ("failed", False)


def answer_others(monkeypatch: pytest.MonkeyPatch, rate: float) -> None:
    """Strangers are given the target's answers at this rate."""

    def rates(_: object, ctx: Context, role: str, rows: Sequence[Record], **__: object) -> KindRates:
        assert (role, rows[0].subject) == ("retrained", f"{ctx.split.targets[0]} stranger 1")
        return KindRates({"generation": np.full(len(rows), rate)}, [r.subject for r in rows])

    monkeypatch.setattr(leakage.AnswersOfOthers, "rates", rates)
