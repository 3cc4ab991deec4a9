"""Labels for the keys of an audit: statuses, checks, metrics, kinds of question, relations.

A key without a label, for example of a third party's check, is shown as it is.
"""

from __future__ import annotations

from typing import NamedTuple


class StatusMark(NamedTuple):
    """How a status is shown: its label, a mark with a shape of its own, and the CSS class of its color."""

    label: str
    mark: str
    css: str


STATUS_MARKS: dict[str, StatusMark] = {
    "passed": StatusMark("Passed", "✓", "passed"),
    "failed": StatusMark("Not passed", "✕", "failed"),
    "inconclusive": StatusMark("Inconclusive", "?", "unsure"),
    "not_applicable": StatusMark("Does not apply", "∅", "idle"),
    "not_run": StatusMark("Not run", "!", "unsure"),
}

CHECKS: dict[str, str] = {  # what a passed check shows
    "leakage.self": "Leakage: the true answers are no longer given",
    "paraphrase": "Leakage, rephrased: nor to rephrased questions",
    "leakage.axis": "Leakage, worst wording: nor by the strictest of four measures",
    "mia": "Membership: the records look never trained",
    "over_unlearning": "Over-unlearning: the target is not conspicuous among matched controls",
    "reconstruction": "Reconstruction: context from the tree does not bring the answers back",
    "cross_modal": "Modalities: neither text alone nor image alone brings the answers back",
    "token_inventory": "Vocabulary: it holds no name or number of the target as a token of its own",
    "relearning.in_domain": "Relearning: brief training does not restore it",
    "retain_exposure": "Exposure of others: nobody who stays is easier to recognize as trained on",
    "each_subject": "Each subject: none gives more true answers than the reference",
    "retention.retain_heldout": "Retention: the held-out retain set is still known",
    "retention.text": "Retention: the model still writes what it knew of the held-out retain set",
    "retention.retain": "Retention: the retain set that the run was given is still known",
    "retention.same_institution": "Retention: the same institution is still known",
    "retention.elsewhere": "Retention: others elsewhere are still known",
    "retention.shared": "Retention: facts shared with others are still known",
    "retention.siblings": "Retention: siblings in the tree are still known",
    "retention.cousins": "Retention: cousins in the tree are still known",
    "retention.same_attribute": "Retention: others with a shared attribute are still known",
    "retention.unrelated": "Retention: unrelated records are still known",
    "retention.ancestors": "Retention: what is above the target in the tree is still known",
    "retention.descendants": "Retention: what is below the target in the tree is still known",
}

RELATIONS: dict[str, str] = {
    "retain_heldout": "Held-out retain set",
    "retain": "Retain set that the run was given",
    "same_institution": "Others in the same institution",
    "elsewhere": "Others elsewhere",
    "text": "Held-out retain set, by written text",
    "shared": "Facts shared with the target",
    "siblings": "Siblings: nearest in the tree",
    "cousins": "Cousins: further away in the tree",
    "same_attribute": "Others with a shared attribute",
    "unrelated": "Unrelated",
    "ancestors": "Above the target in the tree",
    "descendants": "Below the target in the tree",
}

KINDS: dict[str, str] = {
    "generation": "Free questions",
    "cloze": "Fill in the blank",
    "completion": "Continue the text",
    "classification": "Multiple choice, corrected for chance",
}

MODALITIES: dict[str, str] = {
    "joint": "joint: image and name",
    "text": "text alone",
    "image": "image alone",
    "swapped": "another subject's image",
    "noise": "noise as image",
}

SCORES: dict[str, str] = {
    "loss": "loss",
    "entropy": "entropy",
    "entropy_forced": "entropy along the true answer",
    "zlib": "loss per compressed byte",
    "min_k": "least likely tokens",
    "min_k_pp": "least likely tokens, standardized",
}

ROLES: dict[str, str] = {
    "original": "Original",
    "unlearned": "Unlearned",
    "retrained": "Retrained",
    "controls": "Matched controls",
}

REFERENCES: dict[str, str] = {
    "both": "a model trained in the same way without the target's records; matched controls for membership",
    "retrained": "a model trained in the same way without the target's records",
    "controls": "matched controls: never-trained subjects of the same shape, on the unlearned model",
}

AGGREGATES: dict[str, str] = {
    "exact_match": "exact match on the forget set",
    "choice": "multiple-choice accuracy on the forget set",
    "fr_abs": "forgetting rate: 1 − accuracy after",
    "fr_rel": "forgetting rate: (before − after) / before",
    "fr_chance": "forgetting rate: (before − after) / (before − chance), multiple choice",
    "fr_ref": "forgetting rate: (before − after) / (before − retrained)",
    "kpr_abs": "knowledge preservation rate: accuracy after on retained records",
    "kpr_rel": "knowledge preservation rate: after / before on retained records",
    "us": "unlearning score: mean of fr_abs and kpr_abs",
    "mia_resistance": "1 − 2·|AUC − 0.5|",
    "privacy_risk": "2·|AUC − 0.5|",
}


def check_label(key: str) -> str:
    """What the check shows if it passes."""
    return CHECKS.get(key, key)


def relation_label(key: str) -> str:
    """The records of a retention result."""
    name = key.removeprefix("retention.")
    return RELATIONS.get(name, name)


def kind_label(key: str) -> str:
    """A kind of question, in short."""
    return KINDS.get(key, key).partition(",")[0]


def modality_label(key: str) -> str:
    """The modality of a question, or an image control."""
    return MODALITIES.get(key, key)


def score_label(key: str) -> str:
    """A membership score."""
    return SCORES.get(key, key)


def role_label(key: str) -> str:
    """A model, or the matched controls."""
    return ROLES.get(key, key)


def aggregate_label(key: str) -> str:
    """The formula of a published aggregate; the key may end with a membership score (`mia_resistance.loss`)."""
    name, _, by = key.partition(".")
    return AGGREGATES.get(name, "") + (f", membership by {score_label(by)}" if by else "")
