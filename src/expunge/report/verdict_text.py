"""The first screen: the verdict as a person says it, with what it means and what it does not mean.

Surprising: a failed audit can have two very different causes, and the sentence names which: something of the
forgotten is left, or something that had to stay was damaged.
"""

from __future__ import annotations

from dataclasses import dataclass

from expunge.audit.check_result import CheckResult
from expunge.audit.schema import AuditFile
from expunge.report.formatting import plural
from expunge.report.labels import SIGNS, StatusMark


@dataclass(frozen=True)
class VerdictItem:
    """A required check as it stands on the first screen."""

    key: str
    sign: StatusMark


@dataclass(frozen=True)
class VerdictText:
    """Sign, one sentence, the required checks, and the two lists of plain statements."""

    sign: StatusMark
    sentence: str
    checks: tuple[VerdictItem, ...]
    means: tuple[str, ...]
    not_means: tuple[str, ...]


def _status(entry: CheckResult | None) -> str:
    return entry.status if entry else "not_run"


def verdict_text(audit: AuditFile) -> VerdictText:
    """What the officer reads first."""
    status = {key: _status(audit.result(key)) for key in audit.required}
    made = {"passed": _passed, "failed": _failed, "inconclusive": _unsure}[audit.verdict.status]
    sentence, means, not_means = made(audit, status)
    return VerdictText(
        SIGNS[audit.verdict.status],
        sentence,
        tuple(VerdictItem(key, SIGNS[s]) for key, s in status.items()),
        means,
        (*not_means, *_always(audit)),
    )


Said = tuple[str, tuple[str, ...], tuple[str, ...]]


def _yardstick(audit: AuditFile) -> str:
    return (
        "a model that never learnt the named records"
        if audit.reference == "retrained"
        else "the same model asked about people it never saw"
    )


def _passed(audit: AuditFile, status: dict[str, str]) -> Said:
    return (
        f"On all {plural(len(status), 'required check')} the model behaves like {_yardstick(audit)}, "
        "within margins that were fixed before the run.",
        (
            f"Asked about the named records, in the trained wording and in other words, it answers no better than "
            f"{_yardstick(audit)}, within the margin.",
            "What had to stay is still there, measured on records that the unlearning run never saw.",
        ),
        (
            "It is not a proof that nothing can ever be recovered. It covers the checks listed in section 8, and no "
            "others.",
        ),
    )


def _failed(audit: AuditFile, status: dict[str, str]) -> Said:
    failed = [key for key, s in status.items() if s == "failed"]
    kept = [key for key in failed if key.startswith("retention")]
    traces = [key for key in failed if key not in kept]
    found = [
        text
        for text, keys in (
            ("traces of the named records are left", traces),
            ("knowledge that had to stay was damaged", kept),
        )
        if keys
    ]
    means = (
        ["Do not treat the named records as forgotten by this model."]
        if traces
        else ["The required checks for traces of the named records did not fail, but the model paid for it elsewhere."]
    )
    if kept:
        means.append("The model now knows less about others than it must; using it may give wrong answers about them.")
    if undecided := [key for key, s in status.items() if s not in ("passed", "failed")]:
        means.append(
            f"{plural(len(undecided), 'further required check')} could not decide, so passing "
            "needs more than mending the failures."
        )
    return (
        f"{len(failed)} of {plural(len(status), 'required check')} failed: {', and '.join(found)}.",
        tuple(means),
        (
            "It does not mean that everything is still known, or that nothing was kept: the figures in section 3 show "
            "how far it is from the yardstick.",
        ),
    )


def _unsure(audit: AuditFile, status: dict[str, str]) -> Said:
    undecided = [key for key, s in status.items() if s != "passed"]
    return (
        f"No required check failed, but {len(undecided)} of {len(status)} could not decide. Forgetting is not "
        "shown, and so the audit is not passed.",
        (
            "No evidence against forgetting was found by the checks that ran, and there is not enough evidence for it.",
            "Section 10 lists what could not decide and why. Typical remedies: a retrained model to compare with, more "
            "never-trained controls, more records.",
        ),
        ("It is not half a pass. A check that cannot decide protects nobody.",),
    )


def _always(audit: AuditFile) -> tuple[str, ...]:
    return (
        "It says nothing about copies of the records outside the model: files, backups, logs, other models.",
        "It holds for exactly the model file named in section 2; another precision, quantization or later training "
        "needs a new audit.",
        "It is a measurement, not a legal opinion.",
    )
