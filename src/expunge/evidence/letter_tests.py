"""What a letter says of the tests of a model: each kind of attack by its worst result, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from expunge.audit.check_result import CheckResult
from expunge.evidence.certificate_schema import CertificatePredicate, Level

TESTS = {  # beginning of a result's key → name of the test in a letter
    "leakage.": "leakage",
    "each_subject": "leakage",
    "paraphrase": "paraphrase",
    "format_shift": "paraphrase",
    "mia": "membership",
    "shadow_models": "membership",
    "canary": "membership",
    "relearning": "relearning",
    "reconstruction": "reconstruction",
    "clue_chain": "reconstruction",
    "in_context": "reconstruction",
    "cross_modal": "cross_modal",
    "over_unlearning": "over_unlearning",
    "prefill": "prefix",
    "jailbreak": "prefix",
    "leak_at_k": "prefix",
    "contrast": "contrast",
    "merge_back": "contrast",
    "quantization": "weights",
    "pruning": "weights",
    "lens": "inside",
    "depth": "inside",
    "ablate_direction": "inside",
    "probe": "inside",
    "soft_prompt": "inside",
    "token_inventory": "vocabulary",
}
OTHER = "other"  # a test of a plug-in
STAYS = ("retention", "retain_exposure")  # beginnings of what is about others, who stay
WORST_FIRST = ("failed", "not_run", "inconclusive", "passed", "not_applicable")


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


class LetterTests(NamedTuple):
    """What a letter says of the tests of a model.

    Attributes:
        results: Results of the audit.
        comparison: What the model was compared with.
        level: Level of the certificate.
        stage: Of L3: the stage of training.
        made: When the certificate was made.
        checked_by: `people`, `single`, or `nobody` where nobody signed.
    """

    results: Sequence[CheckResult]
    comparison: Literal["controls", "retrained", "exact"]
    level: Level
    stage: str = ""
    made: str = ""
    checked_by: Literal["people", "single", "nobody"] = "people"


def tests_of(predicate: CertificatePredicate) -> LetterTests:
    """What a letter says of the tests that a signed certificate states."""
    audit, level = predicate.audit, predicate.level
    by: Literal["people", "single"] = "single" if predicate.single_person else "people"
    return LetterTests(audit.results, audit.comparison, level.level, level.stage, predicate.validity.made, by)


def lines_about_tests(tests: LetterTests, t: dict[str, Any]) -> Iterator[str]:
    """The sentences about the tests, in the phrases `t` of a language."""
    yield t[f"tests_{tests.checked_by}"]
    yield t["tests_reference"][tests.comparison]
    worst: dict[str, str] = {}
    for result in tests.results:
        if result.key.startswith(STAYS):
            continue
        name = next((name for start, name in TESTS.items() if result.key.startswith(start)), OTHER)
        statuses = (worst.get(name, result.status), result.status)
        worst[name] = min(statuses, key=WORST_FIRST.index)
    for name, status in worst.items():
        yield sentence(f"{t['test_names'][name]}: {t['results'][status]}")
    yield t["evidence"]
    yield t["not_tested"]
