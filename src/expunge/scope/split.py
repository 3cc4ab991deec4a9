"""The split: which records are to be forgotten, kept, and asked about, by relation to the target.

Everything here is decided before a run and never changes: a `Split` is frozen and has a digest. Surprising: of a
corpus larger than memory a set is a view that reads its records when they are asked for (`corpus/record_store.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from expunge._io import digest
from expunge.corpus import Node, Record
from expunge.corpus.record_store import ids


@dataclass(frozen=True)
class Split:
    """Sets of records; names follow the audit (F forget, R retain, H holdout, T controls).

    forget       given to the method; every fact in it has all its owners inside the target
    retain       given to the method as what must stay (a subset of what stays)
    retain_heldout    trained, must stay, never given to the method: the only basis for retention figures
    holdout      same distribution, never trained
    controls        per target subject: never-trained people of the same shape, one `attributes["control_of"]` each
    shared       records under the target whose facts have a surviving owner: neither forgotten nor retained
                 by the method; losing them counts as damage
    utility      questions on general ability, no part of what was trained
    nodes        the nodes of the provenance tree that are to be forgotten; none where nothing stands in a tree
    excluded_ids      ids of all trained records in the scope (forget and shared), unseen by a retrained reference
    relation     retain_heldout, forget and shared record id → relation to the target: self, descendants,
                 ancestors, siblings, cousins, same_attribute, unrelated
    tree_distance  retain_heldout record id → smallest tree distance of its subject's node to the target
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

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The data subjects to be forgotten, sorted."""
        return tuple(sorted({r.subject for r in self.forget}))

    @cached_property
    def digest(self) -> str:
        return digest(
            self.summary()
            | {
                "ids": {
                    name: sorted(ids(getattr(self, name)))
                    for name in ("forget", "retain", "retain_heldout", "holdout", "controls", "shared", "utility")
                }
            }
        )

    def summary(self) -> dict[str, Any]:
        """Sizes, for the report and the run directory."""
        return {
            "scope": self.scope,
            "targets": list(self.targets),
            "forget": len(self.forget),
            "retain": len(self.retain),
            "retain_heldout": len(self.retain_heldout),
            "holdout": len(self.holdout),
            "controls": len(self.controls),
            "shared": len(self.shared),
            "utility": len(self.utility),
        }
