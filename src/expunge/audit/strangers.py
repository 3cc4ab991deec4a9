"""The target's questions about people who do not exist, with the target's answers.

Some answers are common, and a model that never met a person gives them by chance. How often it does about strangers is
the yardstick for how often it may about the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from expunge.corpus import Record
from expunge.corpus.surrogates import can_ask_about_another, make_surrogates
from expunge.random import stream
from expunge.scope.split import Split

STRANGERS = 20  # of each target: with 19 or fewer a rank never lies below .05


def stranger_records(records: Sequence[Record], split: Split, seed: int) -> dict[str, list[Record]]:
    """Target to questions about strangers with its answers; a target of whom something cannot be asked is left out.

    The stranger is the subject of a question.

    Args:
        records: What the targets are asked.
        split: The record sets; identifiers of retained people are the material of strangers.
        seed: Of the strangers.
    """
    questions: dict[str, list[Record]] = {}
    draws = int(stream(seed, "strangers of an audit").integers(2**31))
    for target in sorted({r.subject for r in records}):
        own = [r for r in records if r.subject == target]
        if not all(can_ask_about_another(r) for r in own):
            continue
        for number, stranger in enumerate(make_surrogates(own, split.retain, STRANGERS, draws)):
            name = stranger_name(target, number + 1)
            questions.setdefault(target, []).extend(
                replace(stranger.substitute(r), id=f"{name} {r.row_id}", subject=name, variants=(), wording=0)
                for r in own
            )
    return questions


def stranger_name(target: str, number: int) -> str:
    """Of the stranger of this number, from 1 on; the subject of its records."""
    return f"{target} stranger {number}"


def target_row(record: Record) -> str:
    """Row id of the target's record in whose place this one about a stranger stands."""
    return record.id.removeprefix(f"{record.subject} ")
