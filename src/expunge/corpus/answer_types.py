"""Which answers are exchangeable: the type of an answer, and other answers of that type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from expunge.corpus.record import Record
from expunge.corpus.surrogate_names import prompt_template_of


def answer_type(record: Record) -> str:
    """The stated relation with the kind of record; without one, the prompt without identifiers in its place."""
    relation = record.attributes.get("relation")
    if relation:
        return f"{relation}/{record.kind}"
    if record.identifiers:
        return f"{prompt_template_of(record)}/{record.kind}"
    return f"{record.attributes.get('task', '')}/{record.kind}"


def answers_by_type(records: Iterable[Record]) -> Mapping[str, tuple[str, ...]]:
    """answer type → distinct answers, sorted."""
    table: dict[str, set[str]] = {}
    for r in records:
        table.setdefault(answer_type(r), set()).add(r.answer)
    return {kind: tuple(sorted(answers)) for kind, answers in table.items()}


def wrong_answers(
    record: Record, by_type: Mapping[str, tuple[str, ...]], by_kind: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Other answers than the record's: of its options, else of its type, else of its kind; () if there are none."""
    for pool in (record.options, by_type.get(answer_type(record), ()), by_kind.get(record.kind, ())):
        wrong = tuple(a for a in pool if a != record.answer)
        if wrong:
            return wrong
    return ()
