"""The COSE form of certificates and of log entries, with the verifier of another package."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("scitt_cose")

from expunge.errors import InputError
from expunge.evidence.log_sources import entry_of
from expunge.evidence.merkle_log import MerkleLog, make_entry
from expunge.evidence.scitt_face import (
    digest_statement,
    log_receipt,
    payload_of,
    signed_statement,
    statement_problems,
    transparent_statement,
)
from helpers.evidence import AUDITOR, CERTIFIED, LOG_KEY, OPERATOR, STRANGER, EvidenceCase

ISSUER, SUBJECT = "https://hospital.example/desk", "model:abc"


def test_a_transparent_statement(case: EvidenceCase, tmp_path: Path) -> None:
    envelope = case.make()
    first = make_entry("plan", "a" * 64, at=CERTIFIED)
    state = MerkleLog(tmp_path / "log").append([first, entry_of(envelope, at=CERTIFIED)], LOG_KEY, "a log", CERTIFIED)
    statement = signed_statement(envelope, OPERATOR, ISSUER, SUBJECT)
    assert payload_of(statement, OPERATOR.public) == envelope.payload
    assert signed_statement(envelope, OPERATOR, ISSUER, SUBJECT) == statement
    whole = transparent_statement(statement, log_receipt(state, 1, LOG_KEY, SUBJECT))
    entry = state.entries[1]
    assert list(statement_problems(whole, OPERATOR.public, LOG_KEY.public, entry)) == []
    assert list(statement_problems(statement, OPERATOR.public)) == []
    assert list(statement_problems(whole, AUDITOR.public)) == ["the statement is not signed by this key"]
    none = ["it has no receipt of this log for this entry"]
    assert list(statement_problems(whole, OPERATOR.public, STRANGER.public, entry)) == none
    assert list(statement_problems(statement, OPERATOR.public, LOG_KEY.public, entry)) == none
    other = transparent_statement(statement, log_receipt(state, 0, LOG_KEY, SUBJECT))
    assert list(statement_problems(other, OPERATOR.public, LOG_KEY.public, entry)) == none
    assert "the entry of the log is about another statement" in list(
        statement_problems(other, OPERATOR.public, LOG_KEY.public, first)
    )


def test_the_digest_alone(case: EvidenceCase) -> None:
    envelope = case.make()
    statement = digest_statement(envelope, OPERATOR, ISSUER, SUBJECT)
    assert payload_of(statement, OPERATOR.public).hex() == envelope.digest
    assert len(statement) < 400
    with pytest.raises(InputError, match="is not signed by this key"):
        payload_of(statement, AUDITOR.public)
    with pytest.raises(InputError, match="is no COSE_Sign1 message"):
        transparent_statement(b"no CBOR")


def test_every_changed_byte_of_a_statement(case: EvidenceCase) -> None:
    statement = signed_statement(case.make(), OPERATOR, ISSUER, SUBJECT)
    draw = random.Random(0)
    for _ in range(150):
        changed = bytearray(statement)
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        assert list(statement_problems(bytes(changed), OPERATOR.public)) == ["the statement is not signed by this key"]
