"""The first screen of the report: the verdict in a sentence, with what it means and what it does not mean.

A failed verdict names its cause: traces of the target are left, or knowledge that must stay is damaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expunge.audit.schema import AuditFile
from expunge.report.formatting import pluralize
from expunge.report.labels import STATUS_MARKS, StatusMark


@dataclass(frozen=True)
class RequiredCheck:
    """A check that decides the verdict."""

    key: str
    status: StatusMark


@dataclass(frozen=True)
class VerdictText:
    """Status, one sentence, the required checks, and what the verdict means and does not mean."""

    status: StatusMark
    sentence: str
    checks: tuple[RequiredCheck, ...]
    meanings: tuple[str, ...]
    non_meanings: tuple[str, ...]


Statements = tuple[str, tuple[str, ...], tuple[str, ...]]  # sentence, meanings, non-meanings

_LIMITS_OF_EVERY_VERDICT = (
    "It says nothing about copies of the records outside the model: files, backups, logs, other models.",
    "It does not make the old model safe: the adapter on top of it is not erasure (section 13).",
    "It holds for the model with the digest in section 2 only. Another precision, quantization or later training "
    "needs a new audit.",
    "It is a measurement, not legal advice.",
)


def build_verdict_text(audit: AuditFile) -> VerdictText:
    """The text of the first screen."""
    statuses = {key: result.status if (result := audit.result(key)) else "not_run" for key in audit.required}
    build = {"passed": _passed, "failed": _failed, "inconclusive": _inconclusive}[audit.verdict.status]
    sentence, meanings, non_meanings = build(audit, statuses)
    return VerdictText(
        STATUS_MARKS[audit.verdict.status],
        sentence,
        tuple(RequiredCheck(key, STATUS_MARKS[status]) for key, status in statuses.items()),
        meanings,
        (*non_meanings, *_LIMITS_OF_EVERY_VERDICT),
    )


def _passed(audit: AuditFile, statuses: Mapping[str, str]) -> Statements:
    reference = (
        "a model that was never trained on the forget set"
        if "retrained" in audit.models
        else "the same model on subjects that it was never trained on"
    )
    return (
        f"On all {pluralize(len(statuses), 'required check')} the model behaves like {reference}, "
        "within margins fixed before the run.",
        (
            "To questions about the forget set, in the trained wording and rephrased, the model gives no more true "
            f"answers than {reference}, within the margin.",
            _retained(audit),
        ),
        (
            "It is not a proof that nothing can ever be recovered. It covers the checks listed in section 8 and no "
            "others.",
        ),
    )


def _retained(audit: AuditFile) -> str:
    """What a pass says of retention, by what it was measured on."""
    if "retention" in audit.policy.omits:
        return "Nothing is said of what must stay: the policy requires no check of it."
    used = "did not use" if audit.split.retain_heldout else "was given, as none is held out"
    return f"The model still knows what must stay, measured on records that the run {used}."


def _failed(audit: AuditFile, statuses: Mapping[str, str]) -> Statements:
    failed = [key for key, status in statuses.items() if status == "failed"]
    damage = [key for key in failed if key.startswith("retention")]
    causes = ["traces of the forget set are left"] if len(failed) > len(damage) else []
    meanings = (
        ["Do not treat the forget set as forgotten by this model."]
        if causes
        else ["No required check for traces of the forget set failed, but the model lost other knowledge."]
    )
    if damage:
        causes.append("knowledge that must stay is damaged")
        meanings.append(
            "The model knows less about others than the policy requires. Its answers about them may be wrong."
        )
    if undecided := [key for key, status in statuses.items() if status not in ("passed", "failed")]:
        meanings.append(
            f"{pluralize(len(undecided), 'further required check')} could not decide, so a repair of the failures "
            "alone does not pass the audit."
        )
    return (
        f"{len(failed)} of {pluralize(len(statuses), 'required check')} failed: {', and '.join(causes)}.",
        tuple(meanings),
        (
            "It does not mean that the model still knows everything, or that it lost all other knowledge: the tables "
            "in section 3 show the distance from the reference.",
        ),
    )


def _inconclusive(audit: AuditFile, statuses: Mapping[str, str]) -> Statements:
    undecided = [key for key, status in statuses.items() if status != "passed"]
    return (
        f"No required check failed, but {len(undecided)} of {len(statuses)} could not decide. The audit does not show "
        "forgetting, so it is not passed.",
        (
            "The checks that ran give no evidence against forgetting, and not enough evidence for it.",
            "Section 12 lists the checks that could not decide, with reasons. Typical remedies: a retrained model as "
            "reference, more matched controls, more records.",
        ),
        ("It is not half a pass.",),
    )
