"""One of several requests of a run, to be audited by itself: one that it forgot, or one that runs before it forgot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from expunge.corpus import Corpus, Record
from expunge.corpus.record_store import by_id, take
from expunge.errors import InputError
from expunge.scope.expression import Scope
from expunge.scope.relations import Kinship, heldout_relations, subject_nodes, subject_of
from expunge.scope.split import Split


def part_of(split: Split, only: str, corpus: Corpus) -> Split:
    """The split with the forgotten records that a scope names alone; other forgotten records are in no set.

    Where the scope names none of the records that the run itself forgot, it names some that earlier runs of its chain
    forgot (`guards`): these are judged on the sets that this run was not given.

    Args:
        split: the split of the run.
        only: scope of the records of one request.
        corpus: the records of the run.

    Raises:
        InputError: the scope names no record that was forgotten.
    """
    scope = Scope.parse(only)
    names = scope.match(corpus)
    forget = tuple(r for r in split.forget if r.id in names)
    if not forget:
        return _earlier_part(split, scope, names, corpus)
    people = {r.subject for r in forget}
    controls = tuple(r for r in split.controls if r.attributes.get("control_of") in people)
    return replace(split, scope=only, forget=forget, controls=controls, origin=split.training_digest)


def _earlier_part(split: Split, scope: Scope, names: frozenset[str], corpus: Corpus) -> Split:
    """What earlier runs forgot, with controls and relations of its own."""
    forget = by_id([r for r in split.guards if r.id in names])
    if not forget:
        what = "names none of the records that the run, or a run before it, forgot"
        raise InputError(scope.where, what, "name the records of one of its requests")
    nodes = subject_nodes(corpus.trained)
    people = {subject_of(r) for r in forget}
    kinship = Kinship.to({nodes[each] for each in people}, nodes, forget)
    near = heldout_relations(kinship, split.retain_heldout)
    return replace(
        split,
        scope=scope.text,
        forget=forget,
        shared=(),
        guards=(),
        controls=_controls_of(people, corpus),
        relation={**near.relation, **{r.id: kinship.relation(r, inside=True) for r in forget}},
        tree_distance=near.distances,
        same_institution=near.same_institution,
        excluded_ids=frozenset(r.id for r in forget),
        nodes=tuple(sorted(kinship.targets)),
        near_duplicates=(),
        origin=split.training_digest,
        is_earlier=True,
    )


def _controls_of(people: set[str], corpus: Corpus) -> Sequence[Record]:
    controls = by_id(corpus.parts["control"])
    return take(controls, [k for k, r in enumerate(controls) if r.attributes.get("control_of") in people])
