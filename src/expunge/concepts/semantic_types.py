"""What the terms of well-known ontologies are, as UMLS semantic types: a Mondo term is a disease even where no branch
or type is given with it."""

from __future__ import annotations

from collections.abc import Mapping

TYPE_OF: Mapping[str, str] = {
    "MONDO": "T047",
    "DOID": "T047",
    "ORPHANET": "T047",
    "ORPHA": "T047",  # disease or syndrome
    "HP": "T033",  # finding
    "UBERON": "T023",
    "FMA": "T023",  # body part
    "CL": "T025",  # cell
    "CHEBI": "T103",  # chemical
    "MAXO": "T061",  # therapeutic or preventive procedure
}


def types_of(identifier: str) -> tuple[str, ...]:
    """The semantic type of `MONDO:0000004` by its prefix, or nothing."""
    kind = TYPE_OF.get(identifier.partition(":")[0].upper())
    return (kind,) if kind else ()
