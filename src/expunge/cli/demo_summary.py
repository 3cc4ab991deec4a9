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
RELATIONS = {"same_institution": "same institution", "elsewhere": "elsewhere", "retain_heldout": "held-out retain set"}


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
        "exact_match": audit.aggregates.get("exact_match", {}),
        "choice": audit.aggregates.get("choice", {}),
        "membership_auc": aucs.get("loss", {}),
        "membership_auc_entropy": aucs.get("entropy", {}),
        "retention": {name: retention[name].estimate if name in retention else None for name in RELATIONS},
        "retention_retrained": {name: _retrained(audit, name) for name in RELATIONS},
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


def _retrained(audit: AuditFile, relation: str) -> float | None:
    """Exact match of the retrained model on the records of a relation, over that of the original."""
    result = audit.result(f"retention.{relation}")
    controls = {c.key: c.estimate for c in result.controls} if result else {}
    return controls.get("retrained.exact_match")


def table(result: Mapping[str, Any]) -> ResultTable:
    """The numbers side by side: original, unlearned, retrained."""
    retention = {
        relation: {"original": 1.0, "unlearned": estimate, "retrained": result["retention_retrained"][relation]}
        for relation, estimate in result["retention"].items()
    }
    relearned = {role: value["after"] for role, value in result["relearning"].items() if role in ROLES}
    rows = {
        "leakage, worst kind of question": _row(result["leakage"], "{:.1%}"),
        "exact match": _row(result["exact_match"], "{:.1%}"),
        "multiple choice accuracy": _row(result["choice"], "{:.1%}"),
        **{
            f"rank among matched controls, by {score} (1 = known)": _row(
                {role: ranks for role, ranks in result["control_rank_by_role"].items() if score in ranks},
                f"{{0[{score}]}} of {{0[of]}}",
            )
            for score in ("loss", "entropy")
        },
        "membership AUC by loss": _row(result["membership_auc"], "{:.3f}"),
        "membership AUC by entropy": _row(result["membership_auc_entropy"], "{:.3f}"),
        **{f"retention, {label}": _row(retention[relation], "{:.1%}") for relation, label in RELATIONS.items()},
        "exact match after relearning": _row(relearned, "{:.1%}"),
    }
    return ResultTable(("", *ROLES), [(label, *cells) for label, cells in rows.items()])


def llm_table(result: Mapping[str, Any]) -> ResultTable:
    """As `table`, with general ability, which the retrained model shares with the original's start."""
    base, ability = table(result), result["general_ability"]
    rows = {
        "perplexity on neutral text": ("perplexity", "{:.2f}"),
        "common knowledge, by choice": ("choice_accuracy", "{:.1%}"),
        "common knowledge, as text": ("text_accuracy", "{:.1%}"),
    }
    more = [
        (label, *_row({role: values[key] for role, values in ability.items()}, form))
        for label, (key, form) in rows.items()
        if ability
    ]
    measured = [row for row in base.rows if any(cell is not None for cell in row[1:])]
    return ResultTable(base.columns, [*measured, *more])


def _row(values: Mapping[str, Any], form: str) -> list[str | None]:
    """The value of each role in the format `form`; None where it was not measured."""
    return [None if values.get(role) is None else form.format(values[role]) for role in ROLES]
