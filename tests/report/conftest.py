"""A small audit written in code, with the audit's own classes, and a run directory that fits it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.policy import Policy
from expunge.audit.verdict import verdict

ROLES = ("original", "unlearned", "retrained")
DIGESTS = {role: str(k) * 64 for k, role in enumerate(ROLES)}
Build = Callable[..., dict[str, Any]]


def entries(statuses: Mapping[str, str]) -> list[CheckResult]:
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
        entry("leak.self", 0.125, "retrained", 0.25, excess, ci=(0.0625, 0.1875)),
        entry("paraphrase", 0.0, "retrained", 0.125, excess),
        entry("relearn.in_domain", 0.03125, "retrained", 0.0, JudgedRule(id="excess", margin=0.1)),
        entry("mia", 1.25, "controls", 0.0, JudgedRule(id="few_subjects", margin=95), p=0.2, power=True),
        entry("over_unlearning", 1.25, "controls", 0.0, JudgedRule(id="few_subjects", margin=97.5)),
        entry("retention.same_institution", 0.96, "original", 1.0, retention, controls=kept),
        entry("retention.elsewhere", 0.99, "original", 1.0, retention, controls=kept),
        entry("retention.retain_heldout", 0.97, "original", 1.0, retention, controls=kept),
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
    """The whole of an `audit.json`; `statuses` sets entries by key."""
    roles = ROLES if retrained else ROLES[:2]
    policy, found = Policy.load(), entries(statuses or {})
    exact = {"original": 1.0, "unlearned": 0.375, "retrained": 0.25}
    rates = {
        role: {"generation": v, "classification": v - 0.5, "worst": v, "kind": "generation"}
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
    losses = {"forgotten": [2.0, 4.0, 3.0], "retained": [0.01, 0.02, 0.03]}
    point = {"estimate": 0.96875, "ci": [0.9375, 1.0]}
    data: dict[str, Any] = {
        "format": "expunge-audit/1",
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
        "policy": {**policy.model_dump(mode="json"), "digest": policy.digest},
        "reference": "retrained" if retrained else "controls",
        "models": {r: {"digest": DIGESTS[r], "parameters": 252352, "template": "plain"} for r in roles},
        "verdict": verdict(found, policy).model_dump(mode="json"),
        "entries": [e.as_json() for e in found],
        "measures": measures,
        "aggregates": {
            "exact_match": {r: exact[r] for r in roles},
            "fr_abs": 0.625,
            "fr_rel": None,
            "mia_resistance.loss": dict.fromkeys(roles, 0.5),
        },
        "distributions": {r: losses | ({"never seen": [2.5, 3.5, 9.0]} if controls else {}) for r in roles},
        "examples": [
            {
                "prompt": "Date of birth of A?",
                "answer": "1 May 1950",
                "kind": "generation",
                "original": "1 May 1950",
                "unlearned": "",
            }
            | ({"retrained": "2 June 1960"} if retrained else {})
        ],
        "not_tested": ["quantization (int8, int4)"],
        "environment": {"python": "3.11.7", "system": "Linux", "machine": "x86_64", "packages": {"torch": "2.13.0"}},
        "leak": {"leak.self": {**rates, "n": {"generation": 8, "classification": 4}}},
        "membership_auc": {"loss": {r: 0.5 + 0.25 * (r == "unlearned") for r in roles}} if controls else {},
        "standing": {r: {"patient:P-1": place} for r in roles} if controls else {},
        "verbatim": {"unlearned": {"hits": 0, "facts": 4}},
        "retention_curve": [
            {"distance": d, "n_records": 10 * d, "n_subjects": d, "exact_match": point, "answer_prob": point}
            for d in (2, 4)
        ]
        if tree
        else [],
        "retention_area": 0.96875 if tree else None,
        "seconds": 7.5,
    }
    return data


@pytest.fixture
def build() -> Build:
    return audit_data


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A finished run of 40 steps on the audited split and model."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(
        json.dumps(
            {
                "status": "finished",
                "identity": {"split": "a" * 64, "model": DIGESTS["original"], "recipe": "b" * 64},
                "method": "twin",
                "seconds": 12.0,
            }
        )
    )
    (folder / "recipe.yaml").write_text("method: control\nrule: null\n")
    rows = [
        {
            "step": k,
            "phase": int(k >= 30),
            "forget": 4.0 - 0.1 * k,
            "retain": None if k < 3 else 0.01 * k,
            "norm": 1.0,
            "lr_factor": 1.0,
            "seconds": 0.1,
            "drift": None,
        }
        for k in range(40)
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., str]:
    """Write `data` as audit.json, make the report, and give back its text."""
    from expunge.report.render import report

    def make(data: dict[str, Any], run: Path | None = None) -> str:
        (tmp_path / "audit.json").write_text(json.dumps(data))
        return report(tmp_path / "audit.json", tmp_path / "report.html", run).read_text("utf-8")

    return make
