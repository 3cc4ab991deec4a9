"""The level of a certificate, L0 to L3: at most what its evidence carries.

These levels are those of a certificate. The levels of an audit's comparison (`expunge.audit.assurance`) count something
else: against controls, against a retrained model, exact.
"""

from __future__ import annotations

from expunge.evidence.certificate_schema import CertificatePredicate, Level, PrivacyBlock

ORDER: tuple[Level, ...] = ("L0", "L1", "L2", "L3")
TITLES: dict[Level, str] = {
    "L0": "suppression only",
    "L1": "approximate, with a passed audit",
    "L2": "(epsilon, delta)-bounded for the stated unit",
    "L3": "exact for the named stage",
}
REASONS: dict[Level, str] = {
    "L0": "no passed audit carries more: outputs are filtered, the weights may hold the records as before",
    "L1": "the required checks of the policy passed; other attacks were not tried",
    "L2": "all training since the base model was accounted for with noise, and the required checks passed",
    "L3": "the model was trained without the records from a start that had not seen them in this stage; what the start "
    "itself learned in its pre-training is outside",
}


def highest_level(status: str, comparison: str, dp: PrivacyBlock | None, suppression: bool = False) -> Level:
    """The highest level that evidence carries.

    Args:
        status: The verdict of the audit.
        comparison: `exact` where the model itself was trained without the records.
        dp: The privacy accounting. Noise of an unlearning run alone does not bound what was memorized before it.
        suppression: Only outputs are filtered.
    """
    if status != "passed" or suppression:
        return "L0"
    if comparison == "exact":
        return "L3"
    return "L2" if dp is not None and is_bound(dp) else "L1"


def is_bound(dp: PrivacyBlock) -> bool:
    """Whether an accounting bounds what the model holds of a unit: guaranteed, finite, and over all training."""
    return dp.guarantee and dp.epsilon is not None and dp.history == "all_training" and dp.unit == "subject"


def level_problem(predicate: CertificatePredicate) -> str:
    """Why the level is above the evidence; empty where it is not."""
    claimed = predicate.level.level
    is_filter = predicate.method.name == "suppress"
    highest = highest_level(predicate.audit.verdict.status, predicate.audit.comparison, predicate.dp, is_filter)
    if ORDER.index(claimed) > ORDER.index(highest):
        return f"claims {claimed} ({TITLES[claimed]}), and its evidence carries {highest} ({TITLES[highest]})"
    if claimed == "L3" and not predicate.level.stage:
        return "claims L3 and names no stage of training"
    return ""
