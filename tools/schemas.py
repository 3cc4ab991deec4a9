"""Write the JSON schemas and the reference page of certificates into docs/reference, from their models."""

from __future__ import annotations

from pathlib import Path

from expunge._io import write_atomic, write_json
from expunge.evidence.predicate_page import predicate_page, schemas

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"

if __name__ == "__main__":
    write_atomic(REFERENCE / "predicate.md", predicate_page())
    for name, schema in schemas().items():
        write_json(REFERENCE / "schemas" / name, schema)
