"""The in-toto Statement v1: what it is about (files by their digests), and a predicate that says something of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field

from expunge._config import FrozenModel
from expunge._validation import validate
from expunge.errors import InputError
from expunge.evidence.canonical_json import canonical_bytes, parse_strictly
from expunge.evidence.envelope import SignedEnvelope

STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
HEX64 = r"^[0-9a-f]{64}$"
HINT = "it was changed, or another version of expunge made it"
M = TypeVar("M", bound=FrozenModel)


class DigestSet(FrozenModel):
    """Digests by algorithm."""

    sha256: str = Field(pattern=HEX64, description="SHA-256, hex")


class StatementSubject(FrozenModel):
    """One file or thing that a statement is about."""

    name: str = Field(min_length=1, max_length=1024, description="path in the folder, or what the digest is of")
    digest: DigestSet = Field(description="its digest")


class Statement(FrozenModel):
    """An in-toto Statement v1 with an unread predicate."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    type: Literal["https://in-toto.io/Statement/v1"] = Field(STATEMENT_TYPE, alias="_type", description="its type")
    subject: tuple[StatementSubject, ...] = Field(min_length=1, description="what it is about")
    predicate_type: str = Field(alias="predicateType", description="URI of the predicate's schema")
    predicate: dict[str, Any] = Field(description="what it says")


def make_statement(subject: Mapping[str, str], predicate_type: str, predicate: FrozenModel) -> SignedEnvelope:
    """A statement in an envelope without signatures.

    Args:
        subject: SHA-256, hex, by name.
        predicate_type: URI.
        predicate: What is said.
    """
    value = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(subject.items())],
        "predicateType": predicate_type,
        "predicate": predicate.model_dump(mode="json", by_alias=True),
    }
    return SignedEnvelope(canonical_bytes(value, "statement"), PAYLOAD_TYPE)


def read_statement(envelope: SignedEnvelope, where: str) -> Statement:
    """The statement in an envelope.

    Raises:
        InputError: another payload type, another type of statement, unknown or repeated keys, bytes that are not the
            canonical ones, or a subject that stands twice.
    """
    if envelope.payload_type != PAYLOAD_TYPE:
        raise InputError(where, f'its payload is of type "{envelope.payload_type}", not {PAYLOAD_TYPE}', HINT)
    raw = parse_strictly(envelope.payload, where)
    if not isinstance(raw, dict):
        raise InputError(where, "holds no statement", HINT)
    statement = validate(Statement, raw, where, HINT)
    if canonical_bytes(raw, where) != envelope.payload:
        raise InputError(where, "its payload is not in canonical form (RFC 8785)", HINT)
    names = [subject.name for subject in statement.subject]
    if len(set(names)) < len(names):
        raise InputError(where, "names a subject twice", HINT)
    return statement


def read_predicate(statement: Statement, predicate_type: str, cls: type[M], where: str) -> M:
    """The predicate as a model.

    Raises:
        InputError: another type, unknown or missing keys, wrong values, or a value that is written in another type.
    """
    if statement.predicate_type != predicate_type:
        raise InputError(where, f'its predicate is "{statement.predicate_type[:120]}", not {predicate_type}', HINT)
    model = validate(cls, statement.predicate, where, HINT)
    if canonical_bytes(model.model_dump(mode="json", by_alias=True)) != canonical_bytes(statement.predicate):
        raise InputError(where, "leaves out keys, or writes values in another type than its schema", HINT)
    return model
