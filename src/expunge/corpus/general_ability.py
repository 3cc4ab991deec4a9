"""A neutral text and 200 common-knowledge questions: what a model can do beside the records that it is taught.

Both are written for this package. They state facts that most adults know and name no private person.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from expunge._yaml import load_yaml
from expunge.corpus.record import Record

SUBJECT = "general"


@cache
def neutral_text() -> str:
    """About 1,500 words on everyday subjects in twelve paragraphs, three of them German."""
    return (files("expunge.corpus") / "data" / "neutral_text.txt").read_text("utf-8").strip()


@cache
def general_questions() -> tuple[Record, ...]:
    """200 short questions with an answer of one to three words and three or four options, ten for each of 20 topics.

    The right option stands at changing positions. The split is `utility`: nothing is ever trained on them.
    """
    topics = load_yaml(
        (files("expunge.corpus") / "data" / "general_ability.yaml").read_text("utf-8"), "general ability"
    )
    return tuple(
        Record(
            id=f"general-{topic}-{k}",
            prompt=question,
            answer=options[0],
            kind="classification",
            options=_turn(options, k),
            subject=SUBJECT,
            split="utility",
        )
        for topic, rows in topics.items()
        for k, (question, *options) in enumerate(rows, 1)
    )


def _turn(options: list[str], by: int) -> tuple[str, ...]:
    """`options` in a circle, begun at another one for each question."""
    start = by % len(options)
    return (*options[start:], *options[:start])
