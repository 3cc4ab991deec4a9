"""From a scope to the sets of a run.

A record in the scope is not always forgotten. A fact survives if a trained record outside the scope states it; a record
whose facts all survive is `shared`, and losing it counts as damage. The nodes that own a fact give the same answer for
tree scopes, since a node lies in the target if and only if all its records do. A copy under another id or subject
states the facts of what it copies (`copies.py`); what is nearly the same is reported or taken in.

A corpus may be larger than memory: passes over all its records go in file order, and only ids and places are sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from itertools import chain

from expunge._printable import pluralize
from expunge.corpus import Corpus, Node, Record
from expunge.corpus.record_store import by_id, ids, materialize, take
from expunge.errors import InputError
from expunge.scope.copies import copies, refuse_undoing, undoes
from expunge.scope.heldout import retain_heldout_ids
from expunge.scope.near_duplicates import (
    NearDuplicate,
    NearDuplicateChoice,
    check_choice,
    near_duplicates,
    warn_of_near_duplicates,
)
from expunge.scope.relations import Kinship, heldout_relations, subject_nodes, subject_of
from expunge.scope.split import Split


def resolve(
    corpus: Corpus,
    matches: frozenset[str],
    nodes: tuple[Node, ...] | None,
    text: str,
    *,
    seed: int = 42,
    heldout_share: float = 0.25,
    holdout: Corpus | None = None,
    near: NearDuplicateChoice = "report",
) -> Split:
    """The split that forgets the records with ids in `matches`; every set is sorted by id.

    Args:
        nodes: Nodes that the scope names; None for other scopes, whose targets are the nodes of subjects.
        near: What happens to records outside that nearly repeat one to forget: `take` forgets them and their copies
            too, as records of the subject that they repeat; `report` names them in a warning and in the split;
            `ignore` does not look for them.

    Raises:
        InputError: the scope leaves nothing to forget or to retain.
        CopiesRetained: the scope leaves out copies that would undo the request, and `near` does not take them in.
    """
    where = f'scope "{text}"'
    if not 0 <= heldout_share < 1:
        raise InputError("heldout_share", f"is {heldout_share}", "give a share from 0 to below 1")
    check_choice(near)
    trained = corpus.trained
    inside, outside = by_id(_select(trained, matches, True)), _select(trained, matches, False)
    if not inside:
        raise InputError(where, "names only records that were never trained", "name trained records")
    if not outside:
        raise InputError(where, f"names all {pluralize(len(inside), 'trained record')}", "leave something to retain")
    lost = _lost(inside, outside)
    pairs = copies(_select(inside, lost, True), outside)
    if near == "take":  # what others say of themselves in the same words stays theirs
        strangers = {name: pair for name, pair in pairs.items() if not undoes(*pair)}
        pairs = {name: pair for name, pair in pairs.items() if name not in strangers}
        shared = {original.id for _, originals in strangers.values() for original in originals}
        lost -= shared - {original.id for _, originals in pairs.values() for original in originals}
    alike = [NearDuplicate(name, originals[0].id, 1.0) for name, (_, originals) in sorted(pairs.items())]
    if near != "take":
        refuse_undoing(pairs, where)
        lost -= {original.id for _, originals in pairs.values() for original in originals}
    if near != "ignore" and lost:
        alike += near_duplicates(_select(inside, lost, True), outside, pairs.keys())
    alike.sort(key=lambda each: each.id)
    if near == "take" and alike:
        inside, outside = _taken_in(inside, outside, alike)
        lost = _lost(inside, outside)
        if not outside:
            raise InputError(where, "names all trained records, with what nearly repeats them", "retain something")
    forget = _select(inside, lost, True)
    if not forget:
        hint = "widen the scope to all owners of the facts"
        raise InputError(where, "every fact in it is also stated by records outside it", hint)
    if near != "take":
        warn_of_near_duplicates(alike, where)
    subjects = subject_nodes(trained)
    targets = {subjects[subject_of(r)] for r in inside} if nodes is None else set(nodes)
    heldout_ids = retain_heldout_ids(outside, inside, subjects, targets, seed, heldout_share)
    retain_heldout = by_id(_select(outside, heldout_ids, True))
    kinship = Kinship.to(targets, subjects, forget)
    near_target = heldout_relations(kinship, retain_heldout)
    relation = {r.id: kinship.relation(r, inside=True) for r in inside} | dict(near_target.relation)
    targets_of_controls = {subject_of(r) for r in forget}
    controls = by_id(corpus.parts["control"])
    return Split(
        scope=text,
        forget=forget,
        shared=_select(inside, lost, False),
        retain_heldout=retain_heldout,
        retain=by_id(_select(outside, heldout_ids, False)),
        holdout=_never_trained(corpus, holdout),
        controls=take(
            controls, [k for k, r in enumerate(controls) if r.attributes.get("control_of") in targets_of_controls]
        ),
        utility=by_id(corpus.parts["utility"]),
        relation=relation,
        tree_distance=near_target.distances,
        same_institution=near_target.same_institution,
        excluded_ids=frozenset(ids(inside)),
        nodes=tuple(sorted(kinship.targets)),
        near_duplicates=tuple(alike),
        near=near,
    )


def _lost(inside: Sequence[Record], outside: Iterable[Record]) -> frozenset[str]:
    """Ids of the records of `inside` with a fact that no record of `outside` states."""
    facts = {fact for r in inside for fact in r.fact_keys}
    surviving = {fact for r in outside for fact in r.fact_keys if fact in facts}
    return frozenset(r.id for r in inside if not surviving.issuperset(r.fact_keys))


def _taken_in(
    inside: Sequence[Record], outside: Sequence[Record], alike: Iterable[NearDuplicate]
) -> tuple[Sequence[Record], Sequence[Record]]:
    """Both sides with these records of `outside` moved inside, as records of the subject that they repeat."""
    subjects = {r.id: r.subject for r in inside}
    owner = {each.id: subjects[each.of] for each in alike}
    moved = [replace(r, subject=owner[r.id] or r.subject) for r in _select(outside, owner.keys(), True)]
    return tuple(sorted((*inside, *moved), key=lambda r: r.id)), _select(outside, owner.keys(), False)


def _select(records: Sequence[Record], names: Set[str], inside: bool) -> Sequence[Record]:
    """Those records whose ids are (or are not) in `names`, in the same order."""
    return take(records, (k for k, name in enumerate(ids(records)) if (name in names) == inside))


def _never_trained(corpus: Corpus, more: Corpus | None) -> Sequence[Record]:
    for name in ids(more.records) if more else ():
        if name in corpus.by_id:
            hint = "give records that were never trained"
            raise InputError("holdout", f'the id "{name}" is also in the corpus {corpus.name}', hint)
    holdout = corpus.parts["holdout"]
    return by_id(materialize(chain(holdout, more)) if more else holdout)
