"""What the demo says in the end: a few numbers out of `audit.json`, as an object and as a table.

Surprising: the rank of the target among its controls says more than any AUC: 1 means "most like somebody the model
was trained on", the last rank "most conspicuously unknown", and only the middle is how a stranger looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.cli.result import ResultTable

ROLES = ("original", "unlearned", "retrained")
PLACES = ("same_institution", "elsewhere", "retain_heldout")
Audit = Mapping[str, Any]  # the content of audit.json


def summary(audit: Audit) -> dict[str, Any]:
    """The numbers of the demo's `--json`; what the audit could not measure is None or an empty object."""
    leak = {role: found for role, found in audit.get("leak", {}).get("leakage.self", {}).items() if role in ROLES}
    aucs = audit.get("membership_auc", {})
    kept = audit.get("retention", {})
    return {
        "verdict": audit["verdict"]["status"],
        "sentence": audit["verdict"]["sentence"],
        "leak": {role: found["worst"] for role, found in leak.items()},
        "leak_kind": {role: found["kind"] for role, found in leak.items()},
        "exact": audit["aggregates"].get("exact_match", {}),
        "choice": audit["aggregates"].get("choice", {}),
        "membership_auc": aucs.get("loss", {}),
        "membership_auc_entropy": aucs.get("entropy", {}),
        "retention": {place: kept.get(place, {}).get("estimate") for place in PLACES},
        "retention_retrained": {place: _retrained(audit, place) for place in PLACES},
        "standing": _standing(audit, "unlearned"),
        "standing_by_role": {role: _standing(audit, role) for role in ROLES},
        "relearning": audit.get("relearn", {}),
    }


def _standing(audit: Audit, role: str) -> dict[str, Any]:
    """Ranks of the (first) target among its controls on one model; {} where there were none."""
    found = audit.get("standing", {}).get(role, {})
    if not found:
        return {}
    standing = found[min(found)]
    ranks = {attack: 1 + sum(z >= mine for z in standing["controls"][attack]) for attack, mine in standing["z"].items()}
    return {**ranks, "of": standing["m"] + 1, "inside": not standing["outside"], "p": standing["p_two_sided"]}


def _retrained(audit: Audit, place: str) -> float | None:
    """What the retrained model gets right of such records, over what the original gets right."""
    for entry in audit["entries"]:
        if entry["key"] == f"retention.{place}":
            for control in entry["controls"]:
                if control["key"] == "retrained.exact_match":
                    return None if control["estimate"] is None else float(control["estimate"])
    return None


def table(found: Mapping[str, Any]) -> ResultTable:
    """The numbers side by side: original, unlearned, retrained."""
    rows: list[tuple[Any, ...]] = [
        _row("answers still given, worst kind of question", found["leak"], percent),
        _row("answers given exactly", found["exact"], percent),
        _row("multiple choice answered right", found["choice"], percent),
    ]
    for attack in ("loss", "entropy"):
        ranks = {role: s for role, s in found["standing_by_role"].items() if attack in s}
        rows.append(
            _row(
                f"rank among never-seen controls, by {attack} (1 = known)",
                ranks,
                lambda s, attack=attack: f"{s[attack]} of {s['of']}",
            )
        )
    rows += [
        _row("membership attack, AUC by loss (0.5 = cannot tell)", found["membership_auc"], number),
        _row("membership attack, AUC by entropy", found["membership_auc_entropy"], number),
    ]
    for place in PLACES:
        kept = {
            "original": 1.0,
            "unlearned": found["retention"][place],
            "retrained": found["retention_retrained"][place],
        }
        rows.append(_row(f"kept of what had to stay: {place.replace('_', ' ')}", kept, percent))
    again = {role: value["after"] for role, value in found["relearning"].items() if role in ROLES}
    rows.append(_row("answers back after relearning a tenth", again, percent))
    return ResultTable(("", *ROLES), rows)


def _row(name: str, by_role: Mapping[str, Any], write: Any) -> tuple[Any, ...]:
    return (name, *(None if by_role.get(role) is None else write(by_role[role]) for role in ROLES))


def percent(value: float) -> str:
    return f"{value:.1%}"


def number(value: float) -> str:
    return f"{value:.3f}"
