"""The split: the sets of records of a run and its audit, with relations to the target.

A `Split` is frozen and has a digest. A set of a corpus larger than memory is a view that reads records on access.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from expunge._io import digest
from expunge._summary import short_repr
from expunge.corpus import Node, Record
from expunge.corpus.record_store import ids
from expunge.scope.near_duplicates import THRESHOLD, NearDuplicate, NearDuplicateChoice

MAX_LISTED = 100  # near-duplicates in run.json
TRAINED = ("forget", "retain", "retain_heldout", "shared")
ADDED = frozenset({"variants", "identifiers", "attributes"})  # fields that `data prepare` adds to trained records
SETS = ("forget", "retain", "retain_heldout", "holdout", "controls", "shared", "utility")


@short_repr(*SETS)
@dataclass(frozen=True)
class Split:
    """Sets of records; their letters follow the audit (F forget, R retain, H holdout, T controls).

    Attributes:
        forget: Given to the method; all owners of every fact in it lie inside the target.
        retain: Given to the method as what must stay.
        retain_heldout: Trained, must stay, never given to the method: the only basis for retention figures.
        holdout: Same distribution, never trained.
        controls: Per target subject, never-trained people of the same shape, one `attributes["control_of"]` each.
        shared: Records under the target whose facts have a surviving owner; no method gets them, losing them is damage.
        utility: Questions on general ability, no part of the training data.
        relation: Id of a held-out, forget or shared record -> relation to the target (`scope.relations`).
        tree_distance: Id of a held-out record -> smallest tree distance of its subject's node to the target.
        excluded_ids: Ids of all trained records in the scope (forget and shared), unseen by a retrained reference.
        nodes: Nodes of the provenance tree to be forgotten; none where nothing stands in a tree.
        near_duplicates: Trained records that the scope leaves out and that repeat one to forget, copies included.
        near: What became of them: `take` has them in `forget`; `report` and `ignore` retain them.
        guards: Forgotten by earlier requests on the same model. No set above holds them; a run keeps them forgotten.
        origin: The `training_digest` before later requests were taken out, empty where none were.
        is_earlier: Its `forget` was forgotten by a run before the one that is audited.
    """

    scope: str
    forget: Sequence[Record]
    retain: Sequence[Record]
    retain_heldout: Sequence[Record]
    holdout: Sequence[Record] = ()
    controls: Sequence[Record] = ()
    shared: Sequence[Record] = ()
    relation: Mapping[str, str] = field(default_factory=dict)
    tree_distance: Mapping[str, int] = field(default_factory=dict)
    same_institution: frozenset[str] = frozenset()
    excluded_ids: frozenset[str] = frozenset()
    utility: Sequence[Record] = ()
    nodes: tuple[Node, ...] = ()
    near_duplicates: tuple[NearDuplicate, ...] = ()
    near: NearDuplicateChoice = "report"
    guards: Sequence[Record] = ()
    origin: str = ""
    is_earlier: bool = False

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The data subjects to be forgotten, sorted."""
        return tuple(sorted({r.subject for r in self.forget}))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the content of every set, those of the audit included; the order of records does not count."""
        return digest(self.summary() | {"records": {name: _content(getattr(self, name)) for name in SETS}})

    @cached_property
    def training_digest(self) -> str:
        """SHA-256 over what a run is given or kept from: the same scope and the same trained records give the same.

        What `data prepare` adds does not count, so that it may be added after a run: identifiers, variants and
        attributes of trained records; controls, holdout and questions on general ability, which train nothing.
        """
        if self.origin:
            return self.origin
        trained = {name: _content(getattr(self, name), ADDED) for name in TRAINED}
        guards = {"guards": _content(self.guards, ADDED)} if self.guards else {}
        return digest({"scope": self.scope, "records": trained, "excluded": sorted(self.excluded_ids), **guards})

    @property
    def trained_ids(self) -> dict[str, list[str]]:
        """Sorted ids by set of what a run is given or kept from."""
        return {name: sorted(ids(getattr(self, name))) for name in TRAINED}

    def summary(self) -> dict[str, Any]:
        """Sizes, for the report and the run directory."""
        sizes = {name: len(getattr(self, name)) for name in SETS}
        return {"scope": self.scope, "targets": list(self.targets), **sizes}

    def near_counts(self) -> dict[str, Any]:
        """How many near-duplicates there are, what became of them, and whose records these are, for the audit."""
        earlier = {"is_earlier": True} if self.is_earlier else {}
        return {"near_duplicates": len(self.near_duplicates), "near": self.near, **earlier}

    def near_duplicate_summary(self) -> dict[str, Any]:
        """What became of near-duplicates, for the run directory: the choice, the threshold, how many, and their ids."""
        listed = [asdict(each) for each in self.near_duplicates[:MAX_LISTED]]
        return {"choice": self.near, "threshold": THRESHOLD, "count": len(self.near_duplicates), "records": listed}


def _content(records: Sequence[Record], without: frozenset[str] = frozenset()) -> str:
    """SHA-256 over the content of records in any order, without some fields."""
    return digest(sorted(digest(_fields(r, without)) for r in records))


def _fields(record: Record, without: frozenset[str]) -> dict[str, Any]:
    plain = replace(record, attributes={}) if "attributes" in without else record
    return {name: value for name, value in plain.content().items() if name not in without}
