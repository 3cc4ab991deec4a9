"""Builders for audit tests: scores and records from a few numbers that can be read at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import Context
from expunge.audit.policy import Policy
from expunge.audit.schema import AuditFile, sealed
from expunge.audit.scores import Scores
from expunge.audit.verdict import verdict
from expunge.corpus import Record
from expunge.scope import Split

OPTIONS = ("a0", "a1", "b b")


def scores(
    logp: Sequence[Sequence[float]],
    hit: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    eos: Sequence[float] | None = None,
    eos_hit: Sequence[bool] | None = None,
    **more: Any,
) -> Scores:
    """Scores of ragged log-probs; `hit` as strings of 0 and 1; default ids r0, r1, …; no end token."""
    n = len(logp)
    flat = [v for row in logp for v in row]
    hits = [c == "1" for row in (hit or ["0" * len(row) for row in logp]) for c in row]
    more = {"mu": np.full(len(flat), -1.0), "sigma": np.ones(len(flat))} | more
    return Scores(
        ids=tuple(ids or (f"r{i}" for i in range(n))),
        offsets=np.cumsum([0, *map(len, logp)]),
        logp=np.array(flat),
        hit=np.array(hits),
        eos_logp=np.array(eos or [np.nan] * n),
        eos_hit=np.array(eos_hit or [False] * n),
        **more,
    )


def hits(*rows: str) -> Scores:
    """Scores in which only the hits matter."""
    return scores([[-1.0] * len(row) for row in rows], rows)


def records(*answers: str, **fields: Any) -> dict[str, Record]:
    """Records r0, r1, … with these answers, by id."""
    return {f"r{i}": Record(f"r{i}", "question", answer, **fields) for i, answer in enumerate(answers)}


@st.composite
def ragged(draw: st.DrawFn, most: int = 6) -> Scores:
    """Random scores of 1 to `most` records with 1 to 8 tokens each, with and without end tokens."""
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=most))
    numbers = st.floats(-12, 0, width=32)
    rows = [draw(st.lists(numbers, min_size=n, max_size=n)) for n in lengths]
    bits = [draw(st.text("01", min_size=n, max_size=n)) for n in lengths]
    ends = [draw(st.one_of(st.just(float("nan")), numbers)) for _ in lengths]
    total = sum(lengths)
    mu = draw(st.lists(numbers, min_size=total, max_size=total))
    texts = [draw(st.sampled_from((*OPTIONS, "患者 a0", ""))) for _ in lengths]
    chances = [draw(st.tuples(*[numbers] * len(OPTIONS))) for _ in lengths]
    return scores(
        rows,
        bits,
        eos=ends,
        eos_hit=[not np.isnan(e) and e > -1 for e in ends],
        mu=np.array(mu),
        sigma=np.full(total, 0.5),
        text=tuple(texts),
        option_logprob=tuple(chances),
        option_bytes=((2, 2, 3),) * len(rows),
        option_tokens=((1, 1, 2),) * len(rows),
    )


def records_of(s: Scores) -> dict[str, Record]:
    """Records of `ragged` scores, of alternating kinds, by id."""
    kinds = ("cloze", "classification")
    return {
        name: Record(name, "question", OPTIONS[i % 2], kind=kinds[i % 2], options=OPTIONS)
        for i, name in enumerate(s.ids)
    }


def context(
    split: Split, by_role: dict[str, dict[str, Scores]], policy: Policy = Policy.load(), **more: Any
) -> Context:
    """A context without models: loading one is an error."""
    records = {
        w.row_id: w
        for rows in (split.forget, split.retain, split.retain_heldout, split.holdout, split.controls)
        for r in rows
        for w in r.wordings()
    }
    return Context(split, policy, tuple(by_role), records, by_role, **more)


def one_token_scores(ids: list[str], loss: list[float], hit: str, text: list[str] | None = None, **more: Any) -> Scores:
    """One token per record with this loss, hit or not, its end token right."""
    return scores(
        [[-v] for v in loss],
        hit=list(hit),
        ids=ids,
        eos=[-0.1] * len(ids),
        eos_hit=[True] * len(ids),
        text=None if text is None else tuple(text),
        mu=-np.array(loss),
        **more,
    )


ROLES = ("original", "unlearned", "retrained")
DIGESTS = {role: str(k) * 64 for k, role in enumerate(ROLES)}


def example_results(statuses: Mapping[str, str]) -> list[CheckResult]:
    """The required entries (passed unless `statuses` says otherwise) and two that are not required."""

    def entry(key: str, estimate: float, role: str, reference: float, rule: JudgedRule, **more: Any) -> CheckResult:
        status = statuses.get(key, "passed")
        return CheckResult(
            key=key,
            status=status,
            reason="" if status == "passed" else f"reason of {key}",
            n_records=12,
            n_subjects=1,
            estimate=estimate,
            reference=ReferenceValue(role=role, estimate=reference),
            rule=rule,
            ci_method="none: fewer than 10 subjects",
            **more,
        )

    kept = (
        Control(key="exact_match", estimate=0.975),
        Control(key="answer_prob", estimate=0.9625, ci=(0.9, 1.0)),
        Control(key="retrained.exact_match", estimate=1.0),
    )
    excess, retention = JudgedRule(id="excess", margin=0.05), JudgedRule(id="retention", margin=0.95)
    return [
        entry("leakage.self", 0.125, "retrained", 0.25, excess, ci=(0.0625, 0.1875)),
        entry("paraphrase", 0.0, "retrained", 0.125, excess),
        entry("relearning.in_domain", 0.03125, "retrained", 0.0, JudgedRule(id="excess", margin=0.1)),
        entry("mia", 1.25, "controls", 0.0, JudgedRule(id="matched_controls", margin=95), p=0.2, power=True),
        entry("lens", 0.0625, "retrained", 0.3125, JudgedRule(id="excess", margin=0.1)),
        entry("probe", 0.03125, "retrained", 0.25, JudgedRule(id="excess", margin=0.1)),
        entry("over_unlearning", 1.25, "controls", 0.0, JudgedRule(id="matched_controls", margin=97.5)),
        entry("retention.same_institution", 0.96, "original", 1.0, retention, controls=kept),
        entry("retention.elsewhere", 0.99, "original", 1.0, retention, controls=kept),
        entry("retention.retain_heldout", 0.97, "original", 1.0, retention, controls=kept),
        entry("retention.text", 1.0, "original", 1.0, JudgedRule(id="retention", margin=0.9)),
        entry("retention.retain", 1.0, "original", 1.0, JudgedRule(id="retention", margin=0.9)),
        CheckResult(key="retention.unrelated", status="not_applicable", reason="there are no such records"),
        CheckResult(
            key="cross_modal",
            status=(seen := statuses.get("cross_modal", "not_applicable")),
            reason="no forgotten record shows a picture" if seen == "not_applicable" else "reason of cross_modal",
        ),
    ]


def audit_data(
    statuses: Mapping[str, str] | None = None, retrained: bool = True, controls: bool = True, tree: bool = True
) -> dict[str, Any]:
    """The whole of an `audit.json`, sealed; `statuses` sets entries by key."""
    roles = ROLES if retrained else ROLES[:2]
    policy, results = Policy.load(), example_results(statuses or {})
    exact = {"original": 1.0, "unlearned": 0.375, "retrained": 0.25}
    rates = {
        role: {"worst": v, "worst_kind": "generation", "by_kind": {"generation": v, "classification": v - 0.5}}
        for role, v in exact.items()
        if role in roles
    }
    measures = [
        {"metric": metric, "set": name, "model": role, "value": exact[role], "n": n, "ci": None}
        for metric, name, n in (
            ("mcq_acc", "forget", 4),
            ("answer_prob", "forget", 12),
            ("answer_prob", "rephrased", 36),
            ("exact_match", "retain_heldout", 40),
        )
        for role in roles
    ]
    measures.append(
        {
            "metric": "answer_prob",
            "set": "controls",
            "model": "unlearned",
            "value": 0.3125,
            "n": 480,
            "ci": [0.28125, 0.34375],
        }
    )
    place = {
        "z": {"loss": 1.25, "entropy": -0.5},
        "m": 4,
        "p_two_sided": 0.4,
        "outside": False,
        "controls": {"loss": [-1.0, 0.0, 0.5, 2.0], "entropy": [-1.5, 0.25, 1.0, 0.25]},
    }
    losses = {"forget": [2.0, 4.0, 3.0], "retain_heldout": [0.01, 0.02, 0.03]}
    point = {"estimate": 0.96875, "ci": [0.9375, 1.0]}
    data: dict[str, Any] = {
        "schema_version": 3,
        "split": {
            "scope": "patient:P-1",
            "targets": ["patient:P-1"],
            "forget": 12,
            "retain": 100,
            "retain_heldout": 40,
            "holdout": 8,
            "controls": 480 if controls else 0,
            "shared": 3,
            "utility": 0,
        },
        "split_digest": "a" * 64,
        "policy": policy.model_dump(mode="json"),
        "policy_digest": policy.digest,
        "reference": "retrained" if retrained else "controls",
        "models": {r: {"digest": DIGESTS[r], "parameters": 252352, "template": "plain"} for r in roles},
        "verdict": verdict(results, policy).model_dump(mode="json"),
        "results": [e.model_dump(mode="json") for e in results],
        "measures": measures,
        "aggregates": {
            "exact_match": {r: exact[r] for r in roles},
            "fr_abs": 0.625,
            "fr_rel": None,
            "mia_resistance.loss": dict.fromkeys(roles, 0.5),
        },
        "distributions": {r: losses | ({"never_trained": [2.5, 3.5, 9.0]} if controls else {}) for r in roles},
        "examples": [
            {
                "prompt": "Date of birth of A?",
                "answer": "1 May 1950",
                "kind": "generation",
                "answers": {"original": "1 May 1950", "unlearned": ""}
                | ({"retrained": "2 June 1960"} if retrained else {}),
            }
        ],
        "not_tested": ["quantization (int8, int4)"],
        "environment": {"python": "3.11.7", "system": "Linux", "machine": "x86_64", "packages": {"torch": "2.13.0"}},
        "details": {
            "leakage": {"tables": {"leakage.self": {"models": rates, "n": {"generation": 8, "classification": 4}}}},
            "membership": {
                "auc": {"loss": {r: 0.5 + 0.25 * (r == "unlearned") for r in roles}} if controls else {},
                "control_ranks": {r: {"patient:P-1": place} for r in roles} if controls else {},
                "verbatim": {"unlearned": {"hits": 0, "facts": 4}},
            },
            "retention": {
                "curve": [
                    {"distance": d, "n_records": 10 * d, "n_subjects": d, "exact_match": point, "answer_prob": point}
                    for d in (2, 4)
                ]
                if tree
                else [],
                "area": 0.96875 if tree else None,
            },
        },
        "seconds": 7.5,
    }
    return data | {"seal": seal_of(data)}


def seal_of(data: Mapping[str, Any]) -> str:
    """The seal of an `audit.json` with this content; none for what is no audit."""
    try:
        return sealed(AuditFile.model_validate({k: v for k, v in data.items() if k != "seal"})).seal
    except ValueError:
        return ""


def without_times(data: dict[str, Any]) -> dict[str, Any]:
    """An audit file as data, less what another run of the same audit writes otherwise: times, and its seal."""

    def rest(value: Any) -> Any:
        return {k: rest(v) for k, v in value.items() if k != "seconds"} if isinstance(value, dict) else value

    kept: dict[str, Any] = rest({k: v for k, v in data.items() if k not in ("created", "stages", "seal")})
    return kept
