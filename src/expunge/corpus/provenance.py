"""A record behind its provenance: its place in the tree, stated before a question that names nobody.

A model that read documents with their place (institution, patient, study, section) may know a fact by that place as
well as by a name, and what is forgotten by name alone comes back when the place is stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from expunge.corpus.record import Record
from expunge.corpus.surrogate_names import replace_all


def node_name(step: str) -> str:
    """The name of a node without its level: `patient:P-1` gives `P-1`."""
    return step.partition(":")[2] or step


def subject_depth(record: Record) -> int:
    """How many nodes of the path lead to the subject; the whole path where it does not name the subject."""
    for k, step in enumerate(record.path, 1):
        if record.subject in (step, node_name(step)):
            return k
    return len(record.path)


def place_sentence(step: str, identifiers: Sequence[str] = ()) -> str:
    """A node as a sentence, with the identifiers of the subject that it is: `patient P-1, Ada Costa.`"""
    return ", ".join((" ".join(step.split(":", 1)), *identifiers)) + "."


def provenance(record: Record) -> str:
    """All nodes of the record's path, from the root down; empty for a record without a path."""
    depth = subject_depth(record)
    nodes = enumerate(record.path, 1)
    return " ".join(place_sentence(step, record.identifiers if k == depth else ()) for k, step in nodes)


def anonymous(record: Record, depth: int) -> str:
    """The prompt with every identifier replaced by "the" and the level of its subject ("the patient")."""
    level = record.path[depth - 1].split(":", 1)[0] if record.path else "subject"
    text = replace_all(record.prompt, dict.fromkeys(record.identifiers, f"the {level}"))
    return text if text == record.prompt else text[:1].upper() + text[1:]


def states_place(record: Record) -> bool:
    """Does the prompt begin with the record's provenance?"""
    place = provenance(record)
    return bool(place) and record.prompt.startswith(place)


def behind_provenance(record: Record) -> Record:
    """The question without names and without an image, behind the record's provenance; variants are left out."""
    prompt = f"{provenance(record)} {anonymous(record, subject_depth(record))}"
    return replace(record, prompt=prompt, image=None, variants=(), modality="context")
