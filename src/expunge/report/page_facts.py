"""What stands beside the verdict: dates and names, who asked for the report and why, and how to use the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from expunge.audit.schema import AuditFile
from expunge.report.formatting import pluralize
from expunge.report.labels import role_label
from expunge.report.run_reader import RunRecord

REFERENCE_NAMES = {
    "retrained": "retrained model",
    "controls": "matched controls",
    "both": "retrained model and matched controls",
}
SAYS = {  # `say` of a run -> what the model says about the subject
    "stranger": "To questions about the subject the model answers as it would about somebody whom it does not know. It "
    "may state invented things about a real person. Art. 5(1)(d) GDPR demands accuracy, so decide whether that is "
    "acceptable where the model is used; the alternative is a model that refuses.",
    "refuse": "To questions about the subject the model says that it does not know. It invents nothing, but a refusal "
    "where others get an answer can itself be noticed; the check on over-unlearning measures that.",
    "": "The method lowers the true answers and does not choose what takes their place. The model may state invented "
    "things about a real person (Art. 5(1)(d) GDPR: accuracy). Look at section 11 before the model is used.",
}


@dataclass(frozen=True)
class ReportRequest:
    """Who makes the report, why, and under which number; stands on the page only, never in the audit."""

    by: str = ""
    reason: str = ""
    reference_number: str = ""


@dataclass(frozen=True)
class Fact:
    """A term and its value on the first screen; `wide` takes a whole line."""

    term: str
    value: str
    wide: bool = False


@dataclass(frozen=True)
class ResultUse:
    """How the result is used: what the model says, and which files still hold the old weights."""

    says: str
    old_weights: tuple[str, ...]


def list_facts(audit: AuditFile, run: RunRecord | None, request: ReportRequest) -> list[Fact]:
    """The facts of the first screen, without empty ones."""
    return [fact for fact in _facts(audit, run, request) if fact.value]


def _facts(audit: AuditFile, run: RunRecord | None, request: ReportRequest) -> Iterator[Fact]:
    yield Fact(
        "Forget set", f"{pluralize(len(audit.split.targets), 'subject')}, {pluralize(audit.split.forget, 'record')}"
    )
    method = f"“{run.method}”, {pluralize(len(run.steps), 'step')}" if run else "not stated (no run directory)"
    yield Fact("Method", method)
    yield Fact("Reference", REFERENCE_NAMES.get(audit.reference, audit.reference))
    yield Fact("Policy", f"“{audit.policy.name}”, version {audit.policy.version}")
    yield Fact("Preset", audit.preset)
    yield Fact("Attempts known", _attempts(audit))
    yield Fact("Audited", format_date(audit.created))
    yield Fact("Unlearned", format_date(run.created if run else ""))
    yield Fact("Records", audit.data or (run.data if run else ""))
    for role in audit.roles:
        yield Fact(f"{role_label(role)} model", audit.models[role].name)
    yield Fact("Reference number", request.reference_number)
    yield Fact("Report by", request.by)
    yield Fact("Reason", request.reason, wide=True)


def _attempts(audit: AuditFile) -> str:
    """`1`, or how many and how they ended."""
    counts = Counter(a.status for a in audit.attempts)
    if len(audit.attempts) < 2:
        return str(len(audit.attempts) or "")
    return f"{len(audit.attempts)}: {', '.join(f'{n} {status}' for status, n in sorted(counts.items()))}"


def subjects_line(audit: AuditFile) -> str:
    """How many of several subjects pass by themselves, in a sentence; empty for one."""
    if len(audit.subjects) < 2:
        return ""
    counts = Counter(s.status for s in audit.subjects)
    passed = f"{counts['passed']} of {pluralize(len(audit.subjects), 'subject')} pass by themselves"
    others = [f"{n} {status.replace('_', ' ')}" for status, n in sorted(counts.items()) if status != "passed"]
    return f"{passed}{' (' + ', '.join(others) + ')' if others else ''}; section 10 lists them."


def format_date(moment: str) -> str:
    """`2026-11-29 15:49 UTC` from ISO 8601; a text that is no date as it is."""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return parsed.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if parsed.tzinfo else f"{parsed:%Y-%m-%d %H:%M}"


def describe_use(run: RunRecord | None) -> ResultUse:
    """How the result of a run is used; general words without a run."""
    if run is None:
        return ResultUse(SAYS[""], ("the original model",))
    copies = [f"the original model: {run.model}" if run.model else "the original model"]
    if run.is_adapter:
        copies.append("the run with its adapter, which loads the original model below it")
    return ResultUse(SAYS.get(run.say, SAYS[""]), tuple(copies))
