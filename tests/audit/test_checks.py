"""Leak and membership on scores that can be read at a glance: no model is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from expunge.audit.check_result import CheckResult
from expunge.audit.checks.leakage import kind_values, leakage, worst
from expunge.audit.checks.membership import membership, verbatim
from expunge.audit.checks.reference_membership import judge_leads, reference_membership
from expunge.audit.checks.retention import retention
from expunge.audit.context import CheckOutput, Context
from expunge.audit.details import HitCount
from expunge.audit.kind_rates import excess_interval
from expunge.audit.matched_controls import ControlRank
from expunge.audit.policy import Policy
from expunge.audit.scores import Scores
from expunge.corpus import Record, Variant
from expunge.scope import Split
from helpers.audits import context, one_token_scores

PEOPLE = 12
BOOTSTRAP = Policy.load().bootstrap


def person(k: int, name: str = "p", **more: Any) -> Record:
    return Record(f"{name}{k:02d}", f"Who is {name}{k:02d}?", f"answer {name}{k}", subject=f"{name}{k:02d}", **more)


def only(output: CheckOutput, key: str) -> CheckResult:
    return next(r for r in output.results if r.key == key)


def test_the_excess_is_worst_kind_minus_worst_kind_by_hand() -> None:
    nan = np.nan
    ours = {"cloze": np.array([1.0, 0.0, nan, nan]), "generation": np.array([nan, nan, 0.0, 0.0])}
    theirs = {"cloze": np.array([0.0, 0.0, nan, nan]), "generation": np.array([nan, nan, 1.0, 0.0])}
    found = excess_interval(ours, theirs, ["a", "b", "a", "b"], BOOTSTRAP)
    assert (found.estimate, found.low, found.n_records, found.n_subjects) == (0.0, None, 4, 2)  # .5 - .5
    found = excess_interval(ours, {k: v * 0 for k, v in theirs.items()}, ["a", "b", "a", "b"], BOOTSTRAP)
    assert found.estimate == 0.5


def test_the_interval_of_the_excess_does_not_know_the_names_of_subjects() -> None:
    rng = np.random.default_rng(0)
    ours = {"cloze": rng.integers(0, 2, 40).astype(float)}
    theirs = {"cloze": rng.integers(0, 2, 40) * 0.5}
    names = [f"s{k % 20}" for k in range(40)]
    renamed = [f"t{(k * 7) % 20}" for k in range(40)]
    one, two = (excess_interval(ours, theirs, n, BOOTSTRAP) for n in (names, renamed))
    assert one == two
    assert one.low is not None
    assert one.low < one.estimate < one.upper
    same = excess_interval(ours, ours, names, BOOTSTRAP)
    assert (same.estimate, same.low, same.high) == (0.0, 0.0, 0.0)


def test_the_worst_kind_is_named() -> None:
    assert worst({"cloze": np.array([0.2]), "generation": np.array([0.7])}) == ("generation", 0.7)


def test_a_classification_without_options_is_judged_by_its_words() -> None:
    rows = (person(0, kind="classification"), person(1, kind="classification", options=("answer p1", "x")))
    split = Split("s", forget=rows, retain=(), retain_heldout=())
    found = one_token_scores(
        [r.id for r in rows], [1.0, 1.0], "10", option_logprob=((), (-1.0, -9.0)), option_bytes=((), (9, 1))
    )
    values = kind_values(context(split, {"unlearned": {"forget": found}}), "unlearned", [r.id for r in rows])
    assert values["classification"].tolist() == [1.0, 1.0]  # said exactly; chosen, 1 corrected for chance


def wordings() -> tuple[Split, list[str]]:
    """Ids with the sign that also numbers wordings, so that joining by text alone would go wrong."""
    rows = tuple(
        Record(f"r~{k}", "Q?", f"secret {k}", subject="s", variants=(Variant("P?", f"secret {k}"),)) for k in (1, 2, 3)
    )
    return Split("s", forget=rows, retain=(), retain_heldout=()), [w.row_id for r in rows for w in r.wordings()]


def test_a_fact_is_verbatim_as_soon_as_one_wording_is_whatever_its_id() -> None:
    split, ids = wordings()
    assert ids == ["r~1~0", "r~1~1", "r~2~0", "r~2~1", "r~3~0", "r~3~1"]
    said = one_token_scores(ids, [1.0] * 6, "000000", ["no", "Secret 1", "no", "no", "secret 3", "no"])
    assert verbatim(context(split, {"unlearned": {"forget": said}}), "unlearned") == HitCount(hits=2, facts=3)


def test_the_leak_axis_takes_the_worst_wording_of_each_record() -> None:
    split, ids = wordings()
    said = one_token_scores(ids, [0.01, 9, 9, 0.01, 9, 9], "100100", ["secret 1", "no", "no", "secret 2", "no", "no"])
    silent = one_token_scores(ids, [9.0] * 6, "000000", ["no"] * 6)
    ctx = context(split, {"original": {"forget": said}, "unlearned": {"forget": said}, "retrained": {"forget": silent}})
    found = leakage.run(ctx)
    assert only(found, "leakage.axis").estimate == pytest.approx(2 / 3)
    assert only(found, "leakage.self").estimate == pytest.approx(2 / 6)
    assert only(found, "paraphrase").estimate == pytest.approx(1 / 3)
    assert only(found, "leakage.self").status == "failed"


def test_what_the_original_never_knew_cannot_be_forgotten() -> None:
    split, ids = wordings()
    silent = one_token_scores(ids, [9.0] * 6, "000000", ["no"] * 6)
    ctx = context(split, {role: {"forget": silent} for role in ("original", "unlearned", "retrained")})
    entry = only(leakage.run(ctx), "leakage.self")
    assert entry.status == "inconclusive"
    assert "hardly knew it" in entry.reason


def crowd(losses: dict[str, tuple[float, float]]) -> Context:
    """Twelve targets and twelve strangers; role → (mean loss of targets, of strangers), spread over people."""
    members, strangers = ([person(k, name) for k in range(PEOPLE)] for name in ("p", "q"))
    split = Split("s", forget=tuple(members), retain=(), retain_heldout=(), holdout=tuple(strangers))

    def row(rows: list[Record], mean: float) -> Scores:
        spread = np.linspace(-0.5, 0.5, PEOPLE)
        return one_token_scores([r.id for r in rows], (mean + spread).tolist(), "0" * PEOPLE)

    return context(
        split, {role: {"forget": row(members, m), "holdout": row(strangers, s)} for role, (m, s) in losses.items()}
    )


@pytest.mark.parametrize(
    ("unlearned", "mia", "over"),
    [((3.0, 3.0), "passed", "passed"), ((1.0, 3.0), "failed", "passed"), ((9.0, 3.0), "passed", "failed")],
)
def test_many_subjects_are_judged_by_auc_against_the_reference(
    unlearned: tuple[float, float], mia: str, over: str
) -> None:
    found = membership.run(crowd({"original": (0.6, 3.0), "unlearned": unlearned, "retrained": (3.0, 3.0)}))
    assert only(found, "mia").status == mia
    assert only(found, "over_unlearning").status == over
    assert only(found, "mia").n_subjects == 2 * PEOPLE
    assert only(found, "mia").power is True


def test_sets_that_differ_and_tests_without_power_are_inconclusive() -> None:
    differ = membership.run(crowd({"original": (0.6, 3.0), "unlearned": (1.0, 3.0), "retrained": (1.0, 3.0)}))
    assert only(differ, "mia").status == "inconclusive"
    assert "sets differ" in only(differ, "mia").reason
    weak = membership.run(crowd({"original": (3.0, 3.0), "unlearned": (3.0, 3.0), "retrained": (3.0, 3.0)}))
    assert only(weak, "mia").status == "inconclusive"
    assert "no power" in only(weak, "mia").reason
    alone = membership.run(crowd({"original": (0.6, 3.0), "unlearned": (3.0, 3.0)}))
    assert {e.status for e in alone.results} == {"inconclusive"}


@pytest.mark.parametrize(("unlearned", "status"), [(1.0, "passed"), (0.9, "failed"), (1.2, "passed")])
def test_a_reference_model_takes_off_what_the_sets_differ_by(unlearned: float, status: str) -> None:
    """Answers of these targets are likely to any model; what counts is the lead over the retrained one."""
    crowd_of = {"original": (0.6, 3.0), "unlearned": (unlearned, 3.0), "retrained": (1.0, 3.0)}
    (result,) = reference_membership.run(crowd(crowd_of)).results
    assert (result.status, result.power) == (status, True)
    assert result.estimate == pytest.approx({1.0: 0.0, 0.9: 0.5, 1.2: -0.5}[unlearned])


def test_leads_need_a_reference_power_and_others() -> None:
    (alone,) = reference_membership.run(crowd({"original": (0.6, 3.0), "unlearned": (3.0, 3.0)})).results
    assert alone.status == "not_applicable"
    (weak,) = reference_membership.run(crowd(dict.fromkeys(("original", "unlearned", "retrained"), (3.0, 3.0)))).results
    assert weak.status == "inconclusive"
    assert "no power" in weak.reason


@pytest.mark.parametrize(
    ("lead", "before", "controls", "status"),
    [
        (0.0, 9.0, 40, "passed"),
        (2.0, 9.0, 40, "failed"),
        (0.0, 0.5, 40, "inconclusive"),
        (0.0, 9.0, 39, "inconclusive"),
    ],
)
def test_a_few_subjects_are_ranked_by_their_lead(lead: float, before: float, controls: int, status: str) -> None:
    leads = np.linspace(-1, 1, controls)
    ours, original = ({"p": ControlRank.of({"loss": one}, {"loss": leads})} for one in (lead, before))
    assert judge_leads(ours, original, 95, 40).status == status


def test_retention_is_by_the_worse_measure_of_what_was_known() -> None:
    rows = [person(k) for k in range(4)]
    split = Split(
        "s",
        forget=(person(9),),
        retain=(),
        retain_heldout=tuple(rows),
        same_institution=frozenset({"p00", "p01"}),
        relation={r.id: "siblings" if k < 2 else "cousins" for k, r in enumerate(rows)},
    )
    ids = [r.id for r in rows]
    before, after = one_token_scores(ids, [0.1] * 4, "1110"), one_token_scores(ids, [0.1, 0.1, 3.0, 0.1], "1000")
    shared = {"shared": one_token_scores([], [], "")}
    ctx = context(
        split, {"original": {"retain_heldout": before} | shared, "unlearned": {"retain_heldout": after} | shared}
    )
    found = {e.key: e for e in retention.run(ctx).results}
    assert found["retention.retain_heldout"].estimate == pytest.approx(1 / 3)
    assert found["retention.retain_heldout"].reason.startswith("by exact_match")
    assert found["retention.siblings"].estimate == found["retention.same_institution"].estimate == pytest.approx(1 / 2)
    assert found["retention.cousins"].estimate == 0.0
    assert found["retention.unrelated"].status == "not_applicable"
    nothing = context(
        split,
        {
            role: {"retain_heldout": one_token_scores(ids, [9.0] * 4, "0000")} | shared
            for role in ("original", "unlearned")
        },
    )
    unknown = {e.key: e.status for e in retention.run(nothing).results}
    assert unknown["retention.retain_heldout"] == unknown["retention.siblings"] == "inconclusive"  # K2: never dropped
    assert unknown["retention.unrelated"] == unknown["retention.shared"] == "not_applicable"  # there are none
