"""What an audit of a run will be able to judge, said before the run: pure counting over the sets of a split.

Whether a judgement passes is another matter; and it needs a model that knew the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from expunge._printable import pluralize
from expunge.corpus import Record
from expunge.scope.relations import subject_of
from expunge.scope.split import Split

MIN_CONTROLS = 40  # of each subject, for a rank among controls
RELEARNT_CONTROLS = 3  # that are taught a tenth of their facts
FEW_SUBJECTS = 10  # below, each subject is ranked among its controls; above, rates are compared
WINDOW = 200  # words of a document, about, that are read at once
HINT = "`expunge data prepare` makes them"


@dataclass(frozen=True)
class Outlook:
    """One check of the audit: whether these records let it judge, and why (not)."""

    check: str
    judgeable: bool
    reason: str


def audit_outlook(split: Split, has_retrained: bool = False) -> list[Outlook]:
    """What an audit will be able to judge of a run on `split`.

    Args:
        split: The sets of the run.
        has_retrained: A model trained without the records will be given as reference.
    """
    fewest, whose = _fewest_controls(split)
    few = len(split.targets) < FEW_SUBJECTS
    reference = "a retrained model" if has_retrained else f"{pluralize(fewest, 'control')} of each subject"
    compared = has_retrained or fewest > 0
    nobody = f"{whose} has no never-trained controls and no retrained model is given; {HINT}"
    variants = sum(len(r.variants) for r in split.forget)
    ranked = fewest >= MIN_CONTROLS if few else compared
    short = (
        f"{whose} has {pluralize(fewest, 'never-trained control')}, a rank needs {MIN_CONTROLS}; {HINT}"
        if few
        else nobody
    )
    facts = len({key for r in split.forget for key in _facts(r)})
    taught = has_retrained or fewest >= RELEARNT_CONTROLS
    relearnt = facts > 1 and taught
    few_taught = (
        f"{whose} has {pluralize(fewest, 'never-trained control')}, relearning needs {RELEARNT_CONTROLS}; {HINT}"
    )
    relearning = "a single fact leaves nothing to test on" if facts < 2 else few_taught if compared else nobody
    tree, images = any(len(r.path) > 1 for r in split.forget), any(r.image for r in split.forget)
    rows = [
        ("leakage", compared, reference if compared else nobody),
        (
            "paraphrase",
            bool(variants) and compared,
            f"{pluralize(variants, 'rephrasing')}, {reference}"
            if variants and compared
            else nobody
            if variants
            else f"no record to be forgotten has rephrasings; {HINT}",
        ),
        ("membership", ranked, reference if ranked else short),
        ("over-unlearning", ranked, reference if ranked else short),
        ("relearning", relearnt, f"{pluralize(facts, 'fact')}, {reference}" if relearnt else relearning),
        (
            "retention",
            bool(split.retain_heldout),
            f"{pluralize(len(split.retain_heldout), 'trained record is', 'trained records are')} kept from the run"
            if split.retain_heldout
            else "no trained record is kept from the run",
        ),
        (
            "general ability",
            bool(split.utility),
            pluralize(len(split.utility), "question")
            if split.utility
            else f"there are no questions on general ability; {HINT}",
        ),
        (
            "reconstruction",
            tree and compared,
            reference
            if tree and compared
            else nobody
            if tree
            else "the records stand in no tree of two levels or more",
        ),
        (
            "cross-modal",
            images and compared,
            reference if images and compared else nobody if images else "no record to be forgotten shows an image",
        ),
    ]
    return [Outlook(*row) for row in rows]


def outlook_lines(outlook: Sequence[Outlook]) -> list[str]:
    """The outlook in two sentences; checks with one reason stand together."""
    able = [o.check for o in outlook if o.judgeable]
    reasons: dict[str, list[str]] = {}
    for o in outlook:
        if not o.judgeable:
            reasons.setdefault(o.reason, []).append(o.check)
    lines = [f"an audit of this run will be able to judge {', '.join(able) or 'nothing'}"]
    return lines + [f"not {', '.join(checks)}: {reason}" for reason, checks in reasons.items()]


def _facts(record: Record) -> list[tuple[str, ...]]:
    """Keys of what a record states; a long document states something in each part that is read by itself."""
    if record.kind != "document" or record.facts:
        return [record.fact_keys]
    return [(*record.fact_keys, str(k)) for k in range(1 + len(record.answer.split()) // WINDOW)]


def _fewest_controls(split: Split) -> tuple[int, str]:
    """The smallest number of controls of a subject, and which subject has it."""
    people: dict[str, set[str]] = {subject_of(r): set() for r in split.forget}
    for r in split.controls:
        people.setdefault(str(r.attributes.get("control_of")), set()).add(r.subject)
    name = min(people, key=lambda s: (len(people[s]), s))
    return len(people[name]), name
