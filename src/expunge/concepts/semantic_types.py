"""UMLS semantic types of the terms of well-known ontologies, by the prefix of their ids."""

from __future__ import annotations

from collections.abc import Mapping

TYPE_OF: Mapping[str, str] = {
    **dict.fromkeys(("MONDO", "DOID", "ORPHANET", "ORPHA"), "T047"),  # disease or syndrome
    "HP": "T033",  # finding
    **dict.fromkeys(("UBERON", "FMA"), "T023"),  # body part
    "CL": "T025",  # cell
    "CHEBI": "T103",  # chemical
    "MAXO": "T061",  # therapeutic or preventive procedure
}


def types_of(identifier: str) -> tuple[str, ...]:
    """The semantic type of an id such as `MONDO:0000004`, or nothing."""
    semantic_type = TYPE_OF.get(identifier.partition(":")[0].upper())
    return (semantic_type,) if semantic_type else ()
