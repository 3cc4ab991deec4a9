"""Which classes of attack of EDPB Opinion 28/2024, paragraph 55, an audit executed. The mapping of results is ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from expunge.audit.check_result import CheckResult
from expunge.evidence.certificate_schema import CoverageRow, Delta

CLASSES = {  # class → beginnings of the keys of our results
    "attribute and membership inference": ("mia", "over_unlearning", "shadow_models"),
    "exfiltration": ("leak_at_k", "prefill", "jailbreak", "canary", "contrast"),
    "regurgitation": ("leakage.", "paraphrase", "format_shift"),
    "model inversion": ("cross_modal", "lens", "depth", "probe", "ablate_direction", "soft_prompt"),
    "reconstruction": (
        *("reconstruction", "clue_chain", "in_context", "relearning"),
        *("quantization", "pruning", "merge_back"),
    ),
}
THREATS = {  # beginning of a key → what the attacker has
    "mia": "likelihoods of answers; records of comparable people",
    "over_unlearning": "likelihoods of answers",
    "leakage.": "questions in any wording; answers and likelihoods",
    "paraphrase": "questions in wordings that were not trained; answers and likelihoods",
    "format_shift": "questions in formats that were not trained; answers and likelihoods",
    "prefill": "questions; the beginning of the model's turn",
    "jailbreak": "questions; answers",
    "leak_at_k": "questions; many samples of answers",
    "clue_chain": "conversations; retained records; answers",
    "in_context": "questions; retained records; answers",
    "relearning": "the weights; some records of the subject to train on",
    "quantization": "the weights",
    "pruning": "the weights",
    "merge_back": "the weights before and after",
    "lens": "the weights and hidden states",
    "depth": "the weights and hidden states, before and after, and those of a retrained model",
    "probe": "the weights and hidden states",
    "ablate_direction": "the weights and hidden states",
    "soft_prompt": "the weights; some records of the subject to train on",
    "shadow_models": "likelihoods of answers; models of the attacker's own",
    "canary": "likelihoods of answers",
    "reconstruction": "likelihoods of whole records; parts of the record",
    "cross_modal": "the picture of the subject; answers",
    "token_inventory": "the tokenizer",
    "contrast": "the weights before and after",
    "retain_exposure": "likelihoods of answers of people who stay; records of comparable people",
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


def row_fits(row: CoverageRow, results: Sequence[CheckResult]) -> bool:
    """Whether a row of a certificate says what its results say; the mapping may be that of an earlier version."""
    statuses = {r.key: r.status for r in results}
    executed = any(statuses.get(key) in EXECUTED for key in row.results)
    return set(row.results) <= set(statuses) and (row.status == "executed") == executed


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
