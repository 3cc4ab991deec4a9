"""From a scope to the sets of a run: who must go, who stays, who is asked.

Surprising: a record in the scope is not always forgotten. A fact survives if a trained record outside the
scope states it; a record whose facts all survive is `shared`, and losing it counts as damage. Asking which
*nodes* own a fact gives the same answer for tree scopes, since a node lies in the target if and only if
all its records do.
"""

from __future__ import annotations

from collections.abc import Iterable

from expunge.corpus import Corpus, Node, Record
from expunge.errors import InputError
from expunge.scope.relations import Kinship, subject_nodes, subject_of
from expunge.scope.split import Split
from expunge.scope.untouched import untouched_ids


def resolve(corpus: Corpus, matched: frozenset[str], named: tuple[Node, ...] | None, text: str, *,
            seed: int = 42, untouched_share: float = 0.25, holdout: Corpus | None = None) -> Split:
    """The split for the records `matched`; every set is sorted by id.

    named  the nodes that the scope names; None for other scopes: targets are the nodes of subjects
    """
    where = f'scope "{text}"'
    if not 0 <= untouched_share < 1:
        raise InputError("untouched_share", f"is {untouched_share}", "give a share from 0 to below 1")
    trained = _by_id(corpus.trained)
    inside = [r for r in trained if r.id in matched]
    outside = [r for r in trained if r.id not in matched]
    if not inside:
        raise InputError(where, "names only records that were never trained", "name trained records")
    if not outside:
        raise InputError(where, f"names all {len(inside)} trained records", "leave something to retain")
    surviving = {fact for r in outside for fact in r.fact_keys}
    forget = [r for r in inside if not surviving.issuperset(r.fact_keys)]
    shared = [r for r in inside if surviving.issuperset(r.fact_keys)]
    if not forget:
        raise InputError(where, "every fact in it is also stated by records outside it",
                         "widen the scope to all owners of the facts")
    subjects = subject_nodes(trained)
    targets = {subjects[subject_of(r)] for r in inside} if named is None else set(named)
    hidden = untouched_ids(outside, inside, subjects, targets, seed, untouched_share)
    untouched = [r for r in outside if r.id in hidden]
    kin = Kinship.to(targets, subjects, forget)
    far = {r.id: kin.distance(r) for r in untouched}
    people = {subject_of(r) for r in forget}
    return Split(
        scope=text, forget=tuple(forget), shared=tuple(shared), untouched=tuple(untouched),
        retain=tuple(r for r in outside if r.id not in hidden),
        holdout=_never_trained(corpus, holdout),
        twins=tuple(r for r in _of(corpus, "twin") if r.attributes.get("twin_of") in people),
        utility=tuple(_of(corpus, "utility")),
        relation={r.id: kin.relation(r, inside=True) for r in inside}
        | {r.id: kin.relation(r, inside=False) for r in untouched},
        tree_distance={name: distance for name, distance in far.items() if distance is not None},
        same_institution=frozenset(r.id for r in untouched if kin.same_institution(r)),
        removed=frozenset(r.id for r in inside))


def _never_trained(corpus: Corpus, more: Corpus | None) -> tuple[Record, ...]:
    for record in more or ():
        if record.id in corpus.by_id:
            raise InputError("holdout", f'the id "{record.id}" is also in the corpus {corpus.name}',
                             "give records that were never trained")
    return tuple(_by_id([*_of(corpus, "holdout"), *(more or ())]))


def _of(corpus: Corpus, split: str) -> list[Record]:
    return _by_id(r for r in corpus if r.split == split)


def _by_id(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda r: r.id)
