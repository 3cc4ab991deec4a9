"""Matched controls by target: which never-trained people stand for whom, and by which questions they are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from expunge.corpus import Record
from expunge.corpus.surrogate_names import prompt_template_of


def question(record: Record) -> tuple[str, str]:
    """What a record asks, whoever it is about: kind, and prompt without identifiers."""
    return record.kind, prompt_template_of(record)


def control_groups(forget: Iterable[Record], controls: Iterable[Record], target: str) -> dict[str, list[Record]]:
    """Matched control of `target` to its records with the target's questions.

    Where none of a control's records has one of these questions, all of them count.
    """
    questions = {question(r) for r in forget if r.subject == target}
    groups: dict[str, list[Record]] = {}
    for r in controls:
        if r.attributes.get("control_of") == target:
            groups.setdefault(r.subject, []).append(r)
    same = {control: [r for r in rows if question(r) in questions] for control, rows in groups.items()}
    return {control: same[control] or rows for control, rows in groups.items()}


def pseudo_targets(
    forget: Sequence[Record], controls: Sequence[Record], targets: Sequence[str], most: int
) -> list[list[Record]]:
    """At most `most` sets of control records of the same shape as the forget set.

    The k-th holds the k-th control of every target (by name); there are as many as the target with fewest has.
    """
    by_target = [control_groups(forget, controls, target) for target in targets]
    count = min((len(groups) for groups in by_target), default=0)
    return [[r for groups in by_target for r in groups[sorted(groups)[k]]] for k in range(min(count, most))]
