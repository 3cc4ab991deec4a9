"""The page and the JSON schemas of certificates are those of the models, and fit real ones."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
pytestmark = pytest.mark.skipif(not find_spec("rfc8785"), reason="needs the extra evidence")


def test_page_and_schemas_are_up_to_date() -> None:
    from expunge.evidence.predicate_page import predicate_page, schemas

    hint = "run tools/schemas.py"
    assert (REFERENCE / "predicate.md").read_text("utf-8") == predicate_page(), hint
    written = {f.name: json.loads(f.read_text("utf-8")) for f in (REFERENCE / "schemas").iterdir()}
    assert written == schemas(), hint


def test_a_certificate_fits_its_schema(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from helpers.evidence import write_case

    schema = json.loads((REFERENCE / "schemas" / "unlearning-certificate-v1.schema.json").read_text("utf-8"))
    predicate = json.loads(write_case(tmp_path).make().payload)["predicate"]
    jsonschema.validate(predicate, schema)
    for change in ({"extra": 1}, {"level": {"level": "L9", "why": "", "stage": ""}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(predicate | change, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({key: value for key, value in predicate.items() if key != "prior"}, schema)
