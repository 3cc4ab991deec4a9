"""One of several requests that a run forgot together, to be audited by itself."""

from __future__ import annotations

from dataclasses import replace

from expunge.corpus import Corpus
from expunge.scope.expression import Scope
from expunge.scope.split import Split


def part_of(split: Split, only: str) -> Split:
    """The split with the forgotten records that a scope names alone; the others that its run forgot are in no set.

    Args:
        split: the split of the run.
        only: scope of the records of one request.

    Raises:
        InputError: the scope names none of the records that the run forgot.
    """
    names = Scope.parse(only).match(Corpus.of(split.forget))
    forget = tuple(r for r in split.forget if r.id in names)
    people = {r.subject for r in forget}
    controls = tuple(r for r in split.controls if r.attributes.get("control_of") in people)
    return replace(split, scope=only, forget=forget, controls=controls, origin=split.training_digest)
