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
    strangers = [q for _, q in stranger_records(rows, ctx.split, 0)[target]]
    guesses = rates(strangers, "paraphrase", leakage.kind_values)
    assert guesses.count(f"{target} stranger 1") == len(rows)
    assert len(set(guesses.subjects)) == STRANGERS


def test_an_excess_that_controls_show_too_passes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = scored(case, "again")
    monkeypatch.setattr(
        leakage.AnswersOfOthers, "rates", lambda self, ctx, role, rows, **_: by_role(ctx, role, rows, 0.4)
    )
    result = result_of(ctx, monkeypatch, -1.0)
    assert (result.status, "is inside the range of that of" in result.reason) == ("passed", True)
    monkeypatch.setattr(
        leakage.AnswersOfOthers, "rates", lambda self, ctx, role, rows, **_: by_role(ctx, role, rows, -0.9)
    )
    assert result_of(ctx, monkeypatch, -1.0).status == "failed"


def test_a_model_that_knows_fails_whatever_controls_show(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = scored(case, "original")
    monkeypatch.setattr(
        leakage.AnswersOfOthers, "rates", lambda self, ctx, role, rows, **_: by_role(ctx, role, rows, 0.4)
    )
    assert result_of(ctx, monkeypatch, 0.05).status == "failed"


def answer_others(monkeypatch: pytest.MonkeyPatch, excess: float) -> None:
    def rates(_: object, ctx: Context, role: str, rows: Sequence[Record], **__: object) -> KindRates:
        return by_role(ctx, role, rows, excess)

    monkeypatch.setattr(leakage.AnswersOfOthers, "rates", rates)


def by_role(ctx: Context, role: str, rows: Sequence[Record], excess: float) -> KindRates:
    """Others with as many wordings, whose rate on the unlearned model is `excess`; strangers are given nothing."""
    is_stranger = any("stranger" in r.subject for r in rows)
    target = ctx.split.targets[0]
    names = [f"{target} stranger {k + 1}" for k in range(20)] if is_stranger else sorted(ctx.control_groups(target))
    count = len(ctx.scores["unlearned"]["forget"].ids)
    values = np.full(len(names) * count, excess if role == "unlearned" else -0.9 * is_stranger)
    return KindRates({"generation": values}, [n for n in names for _ in range(count)])
