"""Leakage of a few subjects beside a retrained model: an excess that controls show too is chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from expunge.audit.check_result import CheckResult
from expunge.audit.checks import leakage
from expunge.audit.context import Context
from expunge.audit.scoring import score
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


def test_controls_are_asked_in_the_wordings_of_the_target(case: Case) -> None:
    ctx = scored(case, "again")
    answers = leakage.ControlAnswers(ctx)
    rates = answers.rates(ctx, "unlearned", "leakage.self", leakage.kind_values)
    target = ctx.split.targets[0]
    assert set(rates.subjects) <= set(ctx.control_groups(target))
    assert len(set(rates.subjects)) == leakage.CONTROLS
    assert all(np.nanmax(v) <= 1 for v in rates.values.values())
    rephrased = answers.rates(ctx, "unlearned", "paraphrase", leakage.kind_values)
    assert 0 < len(rephrased.subjects) < len(rates.subjects)
    amid = answers.rates(ctx, "unlearned", "leakage.self", leakage.included)
    assert set(amid.values) == {"includes"}


def test_an_excess_that_controls_show_too_passes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = scored(case, "again")
    monkeypatch.setattr(leakage.ControlAnswers, "rates", lambda self, ctx, role, **_: by_role(ctx, role, 0.4))
    result = result_of(ctx, monkeypatch, -1.0)
    assert (result.status, "is inside the range of that of" in result.reason) == ("passed", True)
    monkeypatch.setattr(leakage.ControlAnswers, "rates", lambda self, ctx, role, **_: by_role(ctx, role, -0.9))
    assert result_of(ctx, monkeypatch, -1.0).status == "failed"


def test_a_model_that_knows_fails_whatever_controls_show(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = scored(case, "original")
    monkeypatch.setattr(leakage.ControlAnswers, "rates", lambda self, ctx, role, **_: by_role(ctx, role, 0.4))
    assert result_of(ctx, monkeypatch, 0.05).status == "failed"


def by_role(ctx: Context, role: str, excess: float) -> leakage.KindRates:
    """Controls with twelve wordings each, whose rate on the unlearned model is larger by `excess`."""
    names = sorted(ctx.control_groups(ctx.split.targets[0]))
    count = len(ctx.scores["unlearned"]["forget"].ids)
    values = np.full(len(names) * count, excess if role == "unlearned" else 0.0)
    return leakage.KindRates({"generation": values}, [n for n in names for _ in range(count)])
