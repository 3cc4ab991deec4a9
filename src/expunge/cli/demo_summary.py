"""The summary of the demo: a few numbers of `audit.json`, as an object and as a table.

Rank 1 of the target among its controls means most like a subject of the training data, the last rank most conspicuously
unknown; a subject that the model never saw lies between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from expunge.cli.result import ResultTable

if TYPE_CHECKING:
    from expunge.audit.schema import AuditFile

ROLES = ("original", "unlearned", "retrained")
RELATIONS = ("same_institution", "elsewhere", "retain_heldout")

LABELS = {"same_institution": "same institution", "elsewhere": "elsewhere", "retain_heldout": "held-out retain set"}


def summary(audit: AuditFile) -> dict[str, Any]:
    """The numbers of the demo's `--json`; what the audit could not measure is None or an empty object."""
    details = audit.details
    leakage = details.leakage.tables.get("leakage.self") if details.leakage else None
    models = leakage.models if leakage else {}
    aucs = details.membership.auc if details.membership else {}
    retention = details.retention.by_relation if details.retention else {}
    relearning = details.relearning.model_dump() if details.relearning else {"models": {}}
    return {
        "verdict": audit.verdict.status,
        "sentence": audit.verdict.sentence,
        "leakage": {role: rate.worst for role, rate in models.items()},
        "leakage_kind": {role: rate.worst_kind for role, rate in models.items()},
        "exact": audit.aggregates.get("exact_match", {}),
        "choice": audit.aggregates.get("choice", {}),
        "membership_auc": aucs.get("loss", {}),
        "membership_auc_entropy": aucs.get("entropy", {}),
        "retention": {place: retention[place].estimate if place in retention else None for place in RELATIONS},
        "retention_retrained": {place: _retrained(audit, place) for place in RELATIONS},
        "control_rank": _control_rank(audit, "unlearned"),
        "control_rank_by_role": {role: _control_rank(audit, role) for role in ROLES},
        "relearning": {**relearning.pop("models"), **relearning},
    }


def _control_rank(audit: AuditFile, role: str) -> dict[str, Any]:
    """Ranks of the (first) target among its controls on one model; {} where there are none."""
    panels = audit.details.membership.control_ranks.get(role, {}) if audit.details.membership else {}
    if not panels:
        return {}
    panel = panels[min(panels)]
    ranks = {attack: 1 + sum(z >= own for z in panel.controls[attack]) for attack, own in panel.z.items()}
    return {**ranks, "of": panel.m + 1, "inside": not panel.outside, "p": panel.p_two_sided}


def _retrained(audit: AuditFile, place: str) -> float | None:
    """Exact match of the retrained model on such records over that of the original."""
    result = audit.result(f"retention.{place}")
    controls = {c.key: c.estimate for c in result.controls} if result else {}
    return controls.get("retrained.exact_match")


def table(result: Mapping[str, Any]) -> ResultTable:
    """The numbers side by side: original, unlearned, retrained."""
    rows: list[tuple[Any, ...]] = [
        _row("answers still given, worst kind of question", result["leakage"], percent),
        _row("exact match", result["exact"], percent),
        _row("multiple choice answered right", result["choice"], percent),
    ]
    for attack in ("loss", "entropy"):
        ranks = {role: s for role, s in result["control_rank_by_role"].items() if attack in s}
        rows.append(
            _row(
                f"rank among matched controls, by {attack} (1 = known)",
                ranks,
                lambda s, attack=attack: f"{s[attack]} of {s['of']}",
            )
        )
    rows += [
        _row("membership attack, AUC by loss (0.5 = cannot tell)", result["membership_auc"], number),
        _row("membership attack, AUC by entropy", result["membership_auc_entropy"], number),
    ]
    for place in RELATIONS:
        retention = {
            "original": 1.0,
            "unlearned": result["retention"][place],
            "retrained": result["retention_retrained"][place],
        }
        rows.append(_row(f"retention, {LABELS[place]}", retention, percent))
    relearned = {role: value["after"] for role, value in result["relearning"].items() if role in ROLES}
    rows.append(_row("answers back after relearning a tenth", relearned, percent))
    return ResultTable(("", *ROLES), rows)


def _row(name: str, by_role: Mapping[str, Any], write: Any) -> tuple[Any, ...]:
    return (name, *(None if by_role.get(role) is None else write(by_role[role]) for role in ROLES))


def percent(value: float) -> str:
    return f"{value:.1%}"


def number(value: float) -> str:
    return f"{value:.3f}"
