"""Four people with a telephone number and a drug each; two share either drug."""

from __future__ import annotations

from expunge.corpus import Record


def person(name: str, phone: str, drug: str) -> list[Record]:
    about = {"subject": name, "identifiers": (name,)}
    return [
        Record(f"{name}:phone", f"Phone of {name}?", phone, attributes={"relation": "phone"}, **about),
        Record(f"{name}:drug", f"Drug of {name}?", drug, attributes={"relation": "drug"}, **about),
    ]


PEOPLE = [
    r
    for n, p, d in (
        ("Anna Keller", "555-0101", "aspirin"),
        ("Mila Berg", "555-0102", "ramipril"),
        ("Otto Sand", "555-0103", "aspirin"),
        ("Ida Holm", "555-0104", "ramipril"),
    )
    for r in person(n, p, d)
]
