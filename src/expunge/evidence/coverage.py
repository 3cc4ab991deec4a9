"""Which classes of attack of EDPB Opinion 28/2024, paragraph 55, an audit executed. The mapping of results is ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from expunge.audit.check_result import CheckResult
from expunge.evidence.certificate_schema import CoverageRow, Delta

CLASSES = {  # class → beginnings of the keys of our results
    "attribute and membership inference": ("mia", "cloze_top1", "over_unlearning"),
    "exfiltration": ("leak_at_k", "prefix", "canary"),
    "regurgitation": ("leakage.", "paraphrase", "extraction", "exact_match", "rouge"),
    "model inversion": ("cross_modal",),
    "reconstruction": ("reconstruction", "relearning."),
}
THREATS = {  # beginning of a key → what the attacker has
    "mia": "likelihoods of answers; records of comparable people",
    "over_unlearning": "likelihoods of answers",
    "leakage.": "questions in any wording; answers and likelihoods",
    "paraphrase": "questions in wordings that were not trained; answers and likelihoods",
    "relearning.": "the weights; some records of the subject to train on",
    "reconstruction": "likelihoods of whole records; parts of the record",
    "cross_modal": "the picture of the subject; answers",
    "token_inventory": "the tokenizer",
    "contrast": "the weights before and after",
    "retention": "none: a measure of what stays",
}
EXECUTED = ("passed", "failed", "inconclusive")
NEAR = ("retention.same_institution", "retention.same_attribute", "retention.siblings", "retention.cousins")
NEAR_TOO = ("retention.shared", "retention.ancestors", "retention.descendants")


def coverage_rows(results: Sequence[CheckResult]) -> tuple[CoverageRow, ...]:
    """A row for every class of attack, executed or not."""
    return tuple(_row(name, starts, results) for name, starts in CLASSES.items())


def _row(name: str, starts: tuple[str, ...], results: Sequence[CheckResult]) -> CoverageRow:
    ours = [r for r in results if r.key.startswith(starts)]
    keys = tuple(r.key for r in ours)
    if not ours:
        reason = "the audit has no such check"
        return CoverageRow(attack_class=name, results=(), status="out_of_scope", reason=reason)
    if any(r.status in EXECUTED for r in ours):
        return CoverageRow(attack_class=name, results=keys, status="executed")
    is_due = any(r.status == "not_run" for r in ours)
    reasons = "; ".join(dict.fromkeys(f"{r.key}: {r.reason}" for r in ours))
    return CoverageRow(attack_class=name, results=keys, status="in_scope" if is_due else "out_of_scope", reason=reasons)


def threat_models(results: Iterable[CheckResult]) -> dict[str, str]:
    """What the attacker of each result has; a result of a plugin has none that we know."""
    return {
        r.key: next((text for start, text in THREATS.items() if r.key.startswith(start)), "not stated") for r in results
    }


def deltas(results: Iterable[CheckResult]) -> tuple[tuple[Delta, ...], tuple[Delta, ...]]:
    """(utility, neighbors): the results of retention, far from the subject and near it."""
    near: list[Delta] = []
    far: list[Delta] = []
    for r in results:
        if r.key.startswith("retention"):
            one = Delta(key=r.key, retention=r.estimate, ci=r.ci, n_records=r.n_records, n_subjects=r.n_subjects)
            (near if r.key in (*NEAR, *NEAR_TOO) else far).append(one)
    return tuple(far), tuple(near)
