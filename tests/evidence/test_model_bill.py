"""The bill of materials against the schema of CycloneDX, and the section of a model card."""

from __future__ import annotations

import json

import pytest

from expunge.evidence.envelope import SignedEnvelope
from expunge.evidence.model_bill import model_bill, model_card_section
from expunge.evidence.statement import read_statement
from expunge.evidence.verification import read_predicate_of
from helpers.evidence import SECRETS, EvidenceCase


def bill_of(envelope: SignedEnvelope) -> str:
    statement = read_statement(envelope, "cert")
    return json.dumps(model_bill(envelope, statement, read_predicate_of(statement, "cert"), "clinic-chat"))


def test_it_fits_the_schema(case: EvidenceCase) -> None:
    schema = pytest.importorskip("cyclonedx.schema")
    validation = pytest.importorskip("cyclonedx.validation.json")
    pytest.importorskip("jsonschema")
    text = bill_of(case.make())
    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_7).validate_str(text) is None
    broken = text.replace('"machine-learning-model"', '"thinking-model"', 1)
    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_7).validate_str(broken) is not None


def test_it_names_every_file_and_nobody(case: EvidenceCase) -> None:
    envelope = case.make()
    text = bill_of(envelope)
    assert bill_of(envelope) == text
    model = json.loads(text)["metadata"]["component"]
    assert [file["name"] for file in model["components"]] == ["config.json", "model.safetensors", "tokenizer.json"]
    assert envelope.digest in text
    assert not [word for word in SECRETS if word in text]


def test_the_section_of_a_model_card(case: EvidenceCase) -> None:
    envelope = case.make()
    text = model_card_section(envelope, read_predicate_of(read_statement(envelope, "cert"), "cert"))
    assert text.startswith("## Unlearning certificate\n")
    assert "Level L1: approximate, with a passed audit." in text
    assert text.endswith("This is technical evidence, not legal advice.\n")
    assert not [word for word in SECRETS if word in text]
