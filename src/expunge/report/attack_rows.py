"""Rows of the attack matrix.

Titles, families and limits are those that the audit holds, so that a new attack needs no change of the report.
"""

from __future__ import annotations

from dataclasses import dataclass

from expunge.audit.attack_details import AttackDetails
from expunge.audit.check_result import CheckResult, IntervalEstimate
from expunge.audit.schema import AuditFile

FAMILIES = {
    "surface": "Questions put in another way",
    "sampling": "Sampled answers",
    "weights": "With access to the weights",
    "white_box": "With access to hidden states",
    "membership": "Membership",
    "tree": "Context from the tree",
}


@dataclass(frozen=True)
class FormRow:
    """One form of an attack: its rates by column of the matrix."""

    form: str
    n: int
    cells: tuple[IntervalEstimate, ...]
    is_worst: bool = False


@dataclass(frozen=True)
class AttackRow:
    """One attack: its result, and its forms, the worst of the unlearned model first."""

    name: str
    title: str
    family: str
    limits: str
    note: str
    result: CheckResult | None
    margin: float | None
    n_controls: int
    forms: tuple[FormRow, ...]


def attack_name(title: str) -> str:
    """A title, or a key, up to its colon."""
    return title.partition(":")[0].replace("_", " ")


def attack_rows(audit: AuditFile, columns: tuple[str, ...]) -> list[AttackRow]:
    """A row for each attack, in the order of `FAMILIES`; `columns` are roles, and `controls` where there is one."""
    order = [*FAMILIES, *sorted({d.family for d in audit.details.attacks.values()} - set(FAMILIES))]
    rows = []
    for key, details in sorted(audit.details.attacks.items(), key=lambda item: (order.index(item[1].family), item[0])):
        result = audit.result(key)
        rows.append(
            AttackRow(
                key,
                details.title or key,
                FAMILIES.get(details.family, details.family),
                details.limits,
                getattr(details, "notes", {}).get("unlearned", ""),
                result,
                result.rule.margin if result and result.rule else None,
                details.n_controls,
                _forms(details, columns),
            )
        )
    return rows


def _forms(details: AttackDetails, columns: tuple[str, ...]) -> tuple[FormRow, ...]:
    ours = details.rates.get("unlearned", {})
    ranked = sorted(ours, key=lambda form: (-(ours[form].estimate or 0.0), form))
    return tuple(
        FormRow(
            form.replace("_", " "),
            details.n.get(form, 0),
            tuple(details.rates.get(column, {}).get(form, IntervalEstimate()) for column in columns),
            is_worst=k == 0,
        )
        for k, form in enumerate(ranked)
    )


def left_out(audit: AuditFile) -> list[str]:
    """Checks that the preset leaves out."""
    return list(audit.left_out)


def never_made(audit: AuditFile) -> list[str]:
    """Attacks that no check makes."""
    return [line for line in audit.not_tested if line not in audit.left_out]
