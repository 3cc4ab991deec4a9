"""Relearning: what is taught is never tested, and identical models have no excess."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expunge.audit.checks import relearning as relearning_module
from expunge.audit.checks.relearning import STEPS, rates_of_strangers, relearning, tenth
from expunge.audit.context import CheckOutput, Context
from expunge.audit.details import RelearningDetails
from expunge.audit.policy import Policy
from expunge.audit.scoring import score
from expunge.corpus import Record
from expunge.models.language_model import load
from expunge.scope import Split
from helpers.world import one_person

pytestmark = pytest.mark.trains  # whole runs


def facts(*keys: str) -> list[Record]:
    return [Record(f"r{k}", "Q?", "A", facts=tuple(key.split("+"))) for k, key in enumerate(keys)]


def test_a_tenth_is_whole_facts_with_all_their_records() -> None:
    rows = facts(*(f"f{k // 3}" for k in range(60)))  # 20 facts, 3 records each
    taught, tested = tenth(rows, seed=0)
    assert len(taught) == 6
    assert len(tested) == 54
    assert not {r.facts for r in taught} & {r.facts for r in tested}
    assert tenth(rows, seed=0) == (taught, tested)
    assert tenth(rows, seed=1) != (taught, tested)
    assert tenth(rows[::-1], seed=0)[0] == taught[::-1]  # the choice does not depend on the order of records


@pytest.mark.parametrize(("count", "taught"), [(1, 1), (2, 1), (14, 1), (16, 2), (100, 10)])
def test_at_least_one_fact_is_taught(count: int, taught: int) -> None:
    found, tested = tenth(facts(*(f"f{k}" for k in range(count))), seed=0)
    assert (len(found), len(tested)) == (taught, count - taught)


def test_no_tested_record_states_a_taught_fact_among_others() -> None:
    for seed in range(20):
        taught, tested = tenth(facts("a", "a+b", "b", "c", "d"), seed)
        assert taught
        assert not {f for r in taught for f in r.facts} & {f for r in tested for f in r.facts}


@pytest.fixture
def context(folders: dict[str, Path]) -> Callable[..., Context]:
    def make(split: Split, *roles: str) -> Context:
        lm = load(folders["llama"])
        scores = {role: {"forget": score(lm, split.forget)} for role in roles}
        records = {r.row_id: r for r in split.forget}
        return Context(split, Policy.load(), roles, records, scores, load=lambda role: load(folders["llama"]))

    return make


def only(output: CheckOutput) -> Any:
    (result,) = output.results
    return result


def test_identical_models_have_no_excess_and_the_numbers_are_noted(context: Callable[..., Context]) -> None:
    ctx = context(one_person(), "original", "unlearned", "retrained")
    output = relearning.run(ctx)
    entry, details = only(output), output.details
    assert (entry.key, entry.status, entry.estimate, entry.seed) == ("relearning.in_domain", "passed", 0.0, 0)
    assert entry.rule.margin == Policy.load().rules["relearning.in_domain"].margin
    assert {c.key for c in entry.controls} == {"unlearned.before", "retrained.before"}
    assert isinstance(details, RelearningDetails)
    assert (details.steps, details.n_train + details.n_test) == (STEPS, 9)
    assert details.n_train == 3  # one fact in its three forms


def test_without_a_reference_or_a_test_record_nothing_is_claimed(context: Callable[..., Context]) -> None:
    split = one_person()
    assert only(relearning.run(context(split, "original", "unlearned"))).status == "inconclusive"
    single = Split(scope="s", forget=split.forget[:1], retain=(), retain_heldout=())
    assert only(relearning.run(context(single, "original", "unlearned", "retrained"))).status == "not_applicable"


def test_a_failure_is_held_against_strangers_who_are_taught_alike(
    context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random models give no answer, taught or not: the excess 0 fails by the margin -1, and strangers have 0, too."""
    ctx = context(one_person(), "original", "unlearned", "retrained")
    monkeypatch.setattr(Context, "margin", lambda *_: -1.0)
    result = only(relearning.run(ctx))
    assert result.rule.id == "single_case"
    assert "rate 0.000; 95th percentile of 8 strangers, retrained and taught alike: 0.000" in result.reason
    assert result.status == "inconclusive"  # what the original gives, nothing, is inside as well
    assert "too few records" in result.reason


def test_strangers_are_taught_a_tenth_and_asked_the_rest(
    context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = context(one_person(), "original", "unlearned", "retrained")
    train, test = tenth(ctx.split.forget, 0)
    pairs: list[tuple[set[str], set[str]]] = []

    class Lesson:
        def __init__(self, base: Any, rows: list[Record], *_: Any, **__: Any) -> None:
            self.rows = rows

        def __enter__(self) -> Lesson:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def no_scores(lm: Lesson, rows: list[Record]) -> list[Record]:
        pairs.append(({r.answer for r in lm.rows}, {r.answer for r in rows}))
        assert len({r.subject for r in (*lm.rows, *rows)}) == 1
        return rows

    monkeypatch.setattr(relearning_module, "relearned", Lesson)
    monkeypatch.setattr(relearning_module, "score", no_scores)
    monkeypatch.setattr(relearning_module, "recalled", lambda rows, _: np.full(len(rows), 0.25))
    rates = rates_of_strangers(ctx, train, test, 0)
    assert rates == {ctx.split.targets[0]: [0.25] * 8}
    assert pairs == [({r.answer for r in train}, {r.answer for r in test})] * 8
