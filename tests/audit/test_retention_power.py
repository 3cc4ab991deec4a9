"""Retention that cannot be judged is inconclusive, never dropped and never passed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expunge.audit.check_result import CheckResult
from expunge.audit.checks.retention import retention
from expunge.audit.policy import Policy, shipped_policies
from expunge.audit.scores import Scores
from expunge.audit.verdict import verdict
from expunge.corpus import Record
from expunge.scope import Split
from helpers.audits import context, one_token_scores, scores

N = 20
LETTERS = "abcde"


def split(answers: list[str], heldout: bool = True) -> Split:
    rows = tuple(Record(f"r{k:02d}", f"Q{k}?", a, subject=f"s{k}") for k, a in enumerate(answers))
    forget = (Record("f", "Q?", "gone", subject="t"),)
    return Split("s", forget=forget, retain=() if heldout else rows, retain_heldout=rows if heldout else ())


def scored(rows: Split, right: int) -> dict[str, Scores]:
    """The first `right` answers are given, by text and by tokens."""
    records = rows.retain_heldout or rows.retain
    ids = [r.row_id for r in records]
    loss, hit = [0.1] * right + [9.0] * (len(ids) - right), "1" * right + "0" * (len(ids) - right)
    text = [r.answer if k < right else "nothing" for k, r in enumerate(records)]
    tokens = one_token_scores(ids, loss, hit)
    heldout = tokens if rows.retain_heldout else tokens.select(())
    return {
        "retain_heldout": heldout,
        "retain_text": one_token_scores(ids, loss, hit, text),
        "shared": tokens.select(()),
    }


def judged(rows: Split, original: int, unlearned: int) -> dict[str, CheckResult]:
    by_role = {"original": scored(rows, original), "unlearned": scored(rows, unlearned)}
    ctx = context(rows, by_role)
    return {r.key: r for r in retention.run(ctx).results}


ANSWERS = [f"answer {k}" for k in range(N)]


@pytest.mark.parametrize(("known", "status"), [(0, "inconclusive"), (1, "inconclusive"), (5, "passed"), (N, "passed")])
def test_what_the_original_hardly_knew_shows_no_retention(known: int, status: str) -> None:
    """One of 20 is the policy's `known_margin` of 5 %: a ratio of one record says nothing."""
    results = judged(split(ANSWERS), known, known)
    for key in ("retention.retain_heldout", "retention.elsewhere", "retention.text"):
        assert results[key].status == status, results[key].reason
    if status == "inconclusive":
        share = f"the original model gives {known / N:.1%} of these records, too few"
        assert share in results["retention.elsewhere"].reason


def test_who_was_not_held_out_is_asked_too() -> None:
    """All held-out answers stay, and the answers about 12 of 20 others are lost: a ruined model."""
    rows = split(ANSWERS)
    given = tuple(replace(r, id=f"g{k:02d}", subject=f"g{k}") for k, r in enumerate(rows.retain_heldout))
    ids = [r.row_id for r in given]
    by_role = {role: scored(rows, N) for role in ("original", "unlearned")}
    for role, right in (("original", N), ("unlearned", 8)):
        loss, hit = [0.1] * right + [9.0] * (N - right), "1" * right + "0" * (N - right)
        by_role[role]["retain_turn"] = one_token_scores(ids, loss, hit)
    results = {r.key: r for r in retention.run(context(replace(rows, retain=given), by_role)).results}
    assert results["retention.retain"].estimate == 0.4
    assert results["retention.retain"].status == "failed"
    assert {results[f"retention.{name}"].status for name in ("retain_heldout", "elsewhere", "text")} == {"passed"}
    assert all("retention.retain" in Policy.load(name).required for name in shipped_policies())


def test_required_retention_that_cannot_be_judged_is_not_dropped() -> None:
    """All retained records are unknown to the original: not dropped as if there were none."""
    others = [
        CheckResult(key=k, status="passed") for k in ("leakage.self", "paraphrase", "relearning.in_domain", "mia")
    ]
    policy = Policy.load("controls-only")
    blind = judged(split(ANSWERS), 0, 0)
    absent = [r for r in blind.values() if r.key.startswith("retention.")]
    ruling = verdict([*others, *absent, CheckResult(key="cross_modal", status="not_applicable", reason="-")], policy)
    assert ruling.status == "inconclusive"
    assert [reason.split(":")[0] for reason in ruling.reasons] == ["retention.elsewhere", "retention.text"]


@pytest.mark.parametrize(("same", "status"), [(18, "inconclusive"), (17, "passed")])
def test_answers_that_a_constant_output_would_give_show_no_retention(same: int, status: str) -> None:
    """The margin of `retention.text` is .90 of 20."""
    result = judged(split(["Yes", *["yes"] * (same - 1), *ANSWERS[same:]]), N, N)["retention.text"]
    assert result.status == status
    if status == "inconclusive":
        assert result.reason.endswith("18 of 20 answers are the same, so a model of constant output would pass")


@pytest.mark.parametrize(
    ("known", "lost"), [(1, "1 record that the original model gives, 95%"), (2, "78%"), (3, "63%"), (4, "53%"), (5, "")]
)
@pytest.mark.parametrize("records", [5, N])
def test_few_records_show_no_retention(records: int, known: int, lost: str) -> None:
    """Where the true loss is L, none of n is lost with probability (1 - L)^n: .5^4 = .0625, .5^5 = .031 < .05.

    So after no loss of n at most 1 - .05^(1/n) is lost at 95 %: 1 - .05^(1/4) = 1 - .473 = 53 %, 1 - .05^(1/5) = 45 %.
    A model that gives one of five answers and nothing else keeps all of it.
    """
    results = judged(split(ANSWERS[:records]), known, known)
    for key in ("retention.elsewhere", "retention.text"):
        if known == 1 and records == N:
            assert results[key].status == "inconclusive"  # 5 %, which is the `known_margin`
        else:
            assert results[key].status == ("inconclusive" if lost else "passed"), results[key].reason
            assert (f"{lost} may be lost unseen" in results[key].reason) == bool(lost)


@pytest.mark.parametrize(("left", "status"), [(2, "inconclusive"), (0, "failed")])
def test_few_records_that_are_lost_do_not_pass(left: int, status: str) -> None:
    results = judged(split(ANSWERS[:3]), 3, left)
    assert {results[key].status for key in ("retention.elsewhere", "retention.text")} == {status}


def test_records_that_the_run_was_given_stand_in_where_none_is_held_out() -> None:
    results = judged(split(ANSWERS, heldout=False), N, 5)
    assert results["retention.elsewhere"].status == "not_applicable"
    assert results["retention.text"].status == "failed"
    assert results["retention.text"].reason.startswith(f"greedy text of {N} of {N} records that the method was given")


def long(hits: str, *texts: str) -> dict[str, Scores]:
    ids, n = list(LETTERS), len(LETTERS)
    logp = [[-0.1 if c == "1" else -9.0 for c in hits]] * n
    one = scores(logp, [hits] * n, ids=ids, eos=[-9.0] * n)
    with_text = scores(logp, [hits] * n, ids=ids, eos=[-9.0] * n, text=texts)
    return {"retain_heldout": one, "retain_text": with_text, "shared": one.select(())}


def test_long_answers_given_but_for_a_word_are_judged_by_degrees() -> None:
    answers = [[f"{letter}{k}" for k in range(30)] for letter in LETTERS]
    heldout = tuple(Record(c, "Go on", " ".join(words), subject="s") for c, words in zip(LETTERS, answers, strict=True))
    rows = Split("s", forget=(Record("f", "Q?", "gone", subject="t"),), retain=(), retain_heldout=heldout)
    whole = long("1" * 29 + "0", *(" ".join(words[:29]) for words in answers))
    lost = long("0" * 30, *["nothing"] * len(LETTERS))
    for unlearned, status in ((whole, "passed"), (lost, "failed")):
        ctx = context(rows, {"original": whole, "unlearned": unlearned})
        results = {r.key: r for r in retention.run(ctx).results}
        for key in ("retention.elsewhere", "retention.text"):
            assert results[key].status == status, results[key].reason
    ctx = context(rows, {"original": lost, "unlearned": lost})
    results = {r.key: r for r in retention.run(ctx).results}
    assert {results[key].status for key in ("retention.elsewhere", "retention.text")} == {"inconclusive"}


@pytest.mark.parametrize(
    ("left", "status"), [(34, "passed"), (33, "inconclusive"), (31, "inconclusive"), (30, "failed")]
)
def test_a_loss_of_few_subjects_fails_beyond_its_bound(left: int, status: str) -> None:
    """The margin is .98. Of 34 records up to .9993 (33), .9814 (31) and .967 (30) may be kept (Clopper and Pearson)."""
    rows = split([f"answer {k}" for k in range(34)])
    few = tuple(replace(r, subject=f"s{k % 3}") for k, r in enumerate(rows.retain_heldout))
    result = judged(replace(rows, retain_heldout=few), 34, left)["retention.elsewhere"]
    assert result.ci is None
    assert result.status == status, result.reason
    if status == "inconclusive":
        assert "of 34 records that were known, up to" in result.reason
