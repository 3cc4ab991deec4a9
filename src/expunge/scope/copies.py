"""The same text under another id or subject is the same fact: copies of records to forget that a scope leaves out.

What follows from a copy depends on whose text it is:

* both records list a common fact: the owner of the records has decided, and the copy counts as any statement of it;
* the text names its subject, or both belong to one subject: a run would keep teaching what it is to forget, so the
  request is refused until the copies are taken in;
* else the text is nobody's own ("the liver is an organ"): it has a surviving owner, and the record is shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from expunge._printable import pluralize
from expunge.corpus import Record
from expunge.corpus.text_folding import content_key, fold
from expunge.errors import InputError
from expunge.scope.near_duplicates import names_in_text, shown_ids
from expunge.scope.relations import subject_of

Pairs = Mapping[str, tuple[Record, tuple[Record, ...]]]


def copies(inside: Iterable[Record], outside: Iterable[Record]) -> Pairs:
    """Id of a record outside -> that record, and those inside with the same content and no common fact."""
    by_content: dict[str, list[Record]] = {}
    answers: set[str] = set()
    for record in inside:
        by_content.setdefault(content_key(record), []).append(record)
        answers.add(_brief(record))
    pairs = {}
    for record in outside:
        same = by_content.get(content_key(record), []) if _brief(record) in answers else []
        if originals := tuple(r for r in same if set(r.facts).isdisjoint(record.facts)):
            pairs[record.id] = (record, originals)
    return pairs


def undoes(copy: Record, originals: Iterable[Record]) -> bool:
    """Whether a copy is about the person of one of the originals, so that a run would teach it again."""
    return any(subject_of(copy) == subject_of(r) or names_in_text(r) for r in originals)


class CopiesRetained(InputError):
    """A scope leaves copies outside that would be taught again; `unlearn` refuses it."""


def refuse_undoing(pairs: Pairs, where: str) -> None:
    """Check that no copy would teach again what is to be forgotten.

    Raises:
        CopiesRetained: there is such a copy.
    """
    undoing = sorted(name for name, pair in pairs.items() if undoes(*pair))
    if undoing:
        those = pluralize(len(undoing), "trained record outside it is a copy", "trained records outside it are copies")
        what = f"{those} of what is to be forgotten ({shown_ids(undoing)})"
        hint = "that would be taught again: take it in with --near-duplicates take, or name it in the scope"
        raise CopiesRetained(where, what, hint)


def _brief(record: Record) -> str:
    """Equal for equal texts, and cheap; most records are told apart by the end of their answer."""
    return "".join(fold(record.answer.rstrip()[-80:]).split())[-5:]
