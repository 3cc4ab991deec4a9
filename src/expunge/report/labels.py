"""Plain names for everything that has a key: statuses, checks, figures, kinds of questions, relations.

A key that is not listed here (a third party's attack) is shown as it stands.
"""

from __future__ import annotations

from typing import NamedTuple


class StatusMark(NamedTuple):
    """A status for eyes: its word, a mark that differs in shape, and the CSS class that gives its colour."""

    word: str
    mark: str
    css: str


SIGNS: dict[str, StatusMark] = {
    "passed": StatusMark("Passed", "✓", "passed"),
    "failed": StatusMark("Not passed", "✕", "failed"),
    "inconclusive": StatusMark("Not shown", "?", "unsure"),
    "not_applicable": StatusMark("Does not apply", "∅", "idle"),
    "not_run": StatusMark("Not run", "!", "unsure"),
}

CHECKS: dict[str, str] = {  # what holds if the check passes
    "leakage.self": "The true answers are no longer given",
    "paraphrase": "Nor are the true answers given to rephrased questions",
    "leakage.axis": "Not even the worst wording leaks, by the strictest of four measures",
    "mia": "An outsider cannot tell that these records were in the training data",
    "over_unlearning": "The forgotten do not stand out among people whom the model never saw",
    "reconstruction": "Told where the forgotten stood, the model does not give the answers back",
    "cross_modal": "Neither the words alone nor the picture alone bring the answers back",
    "relearning.in_domain": "A little training does not bring the rest back",
    "retention.retain_heldout": "All others are still known",
    "retention.same_institution": "Others in the same institution are still known",
    "retention.elsewhere": "Others elsewhere are still known",
    "retention.shared": "Facts that the forgotten share with others are still known",
    "retention.siblings": "The closest neighbours in the tree are still known",
    "retention.cousins": "More distant relatives in the tree are still known",
    "retention.same_attribute": "Others who share a value with the forgotten are still known",
    "retention.unrelated": "What has nothing to do with the forgotten is still known",
    "retention.ancestors": "What stands above the forgotten in the tree is still known",
    "retention.descendants": "What stands below the forgotten in the tree is still known",
}

RELATIONS: dict[str, str] = {
    "retain_heldout": "All others",
    "same_institution": "Others in the same institution",
    "elsewhere": "Others elsewhere",
    "shared": "Facts shared with the forgotten",
    "siblings": "Siblings: closest neighbours in the tree",
    "cousins": "Cousins: more distant relatives",
    "same_attribute": "Others with the same value",
    "unrelated": "Unrelated",
    "ancestors": "Above the forgotten in the tree",
    "descendants": "Below the forgotten in the tree",
}

KINDS: dict[str, str] = {
    "generation": "Free questions",
    "cloze": "Fill in the blank",
    "completion": "Continue the text",
    "classification": "Multiple choice, corrected for chance",
}

CUES: dict[str, str] = {
    "joint": "picture and name",
    "text": "words alone",
    "image": "picture alone",
    "swapped": "picture of somebody else",
    "noise": "noise for a picture",
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
    "controls": "Never-trained controls",
}

REFERENCES: dict[str, str] = {
    "retrained": "a model trained the same way without the named records, so that it never knew them",
    "controls": "never-trained controls: invented people of the same shape, asked of the unlearned model itself",
}

AGGREGATES: dict[str, str] = {
    "exact_match": "exact answers on the forgotten records",
    "choice": "multiple-choice accuracy on the forgotten records",
    "fr_abs": "forgetting rate: 1 − accuracy after",
    "fr_rel": "forgetting rate: (before − after) / before",
    "fr_chance": "forgetting rate: (before − after) / (before − chance), multiple choice",
    "fr_ref": "forgetting rate: (before − after) / (before − retrained)",
    "kpr_abs": "knowledge preservation rate: accuracy after on kept records",
    "kpr_rel": "knowledge preservation rate: after / before on kept records",
    "us": "unlearning score: mean of fr_abs and kpr_abs",
    "mia_resistance": "1 − 2·|AUC − 0.5|",
    "privacy_risk": "2·|AUC − 0.5|",
}


def check(key: str) -> str:
    """What an entry claims if it passed."""
    return CHECKS.get(key, key)


def relation(key: str) -> str:
    """The kept records of a retention entry."""
    name = key.removeprefix("retention.")
    return RELATIONS.get(name, name)


def kind(key: str) -> str:
    """A kind of question, in short."""
    return KINDS.get(key, key).partition(",")[0]


def cue(key: str) -> str:
    """What a question shows."""
    return CUES.get(key, key)


def score(key: str) -> str:
    """A membership score in words."""
    return SCORES.get(key, key)


def role(key: str) -> str:
    """A model, or who else stands for the reference."""
    return ROLES.get(key, key)


def aggregate(key: str) -> str:
    """The formula behind a published aggregate; `mia_resistance.loss` is explained by its first part."""
    name, _, by = key.partition(".")
    return AGGREGATES.get(name, "") + (f", membership by {score(by)}" if by else "")
