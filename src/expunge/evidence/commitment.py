"""Commitments to records under a key of one request: HMAC-SHA-256 of each record, and a Merkle root over them.

A bare hash of a short clinical record could be found by guessing. With the key of the request a record can be shown to
be in the set; once the key is destroyed, nobody can.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from expunge._config import FrozenModel
from expunge._io import write_atomic
from expunge._text_file import read_text
from expunge._validation import validate
from expunge.errors import InputError
from expunge.evidence.canonical_json import canonical_bytes, parse_strictly
from expunge.evidence.certificate_schema import SetCommitment
from expunge.evidence.envelope import read_file
from expunge.evidence.merkle import inclusion_proof, is_included, leaf_hash, root_of
from expunge.evidence.statement import HEX64

KEY_BYTES = 32
DOMAIN = b"expunge/record-commitment/v1\0"
SetName = Literal["forget", "retain", "holdout"]


class Disclosure(FrozenModel):
    """What shows one holder that a record is in a committed set. Holds the record and the key: personal data."""

    set: SetName = Field(description="the record set")
    key: str = Field(pattern=HEX64, description="key of the request, hex")
    record: dict[str, Any] = Field(description="the fields of the record")
    index: int = Field(ge=0, description="place of its value among the sorted ones")
    path: tuple[str, ...] = Field(description="Merkle path, hex")


def make_key() -> bytes:
    """A new key of one request."""
    return secrets.token_bytes(KEY_BYTES)


def save_record_key(key: bytes, path: Path) -> Path:
    """Write the key, hex, for its owner alone; `InputError` where there is a file already."""
    if path.exists() or path.is_symlink():
        raise InputError(str(path), "is there already, and a key is never overwritten", "choose another name")
    return write_atomic(path, key.hex() + "\n", private=True)


def load_record_key(path: Path) -> bytes:
    """The key in a file that `save_record_key` wrote."""
    text = read_text(path, "give the file of the key of this request", most=1024).strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InputError(str(path), f"holds no key of {KEY_BYTES} bytes in hex", "give the file of the key")
    return key


def record_value(key: bytes, name: SetName, record: Mapping[str, Any]) -> bytes:
    """HMAC-SHA-256 of a record in a set, 32 bytes."""
    return hmac.digest(key, DOMAIN + name.encode() + b"\0" + canonical_bytes(dict(record), "record"), "sha256")


def selection_value(key: bytes, scope: str) -> str:
    """HMAC-SHA-256 of the text of a scope, hex. A bare digest would tell the name to whoever tries names."""
    return hmac.digest(key, DOMAIN + b"scope\0" + scope.encode(), "sha256").hex()


def _leaves(key: bytes, name: SetName, records: Sequence[Mapping[str, Any]]) -> tuple[list[bytes], list[bytes]]:
    values = sorted(record_value(key, name, record) for record in records)
    return values, [leaf_hash(value) for value in values]


def commit(key: bytes, name: SetName, records: Sequence[Mapping[str, Any]]) -> SetCommitment:
    """The commitment to a set of records; sorted by value, so it tells no order."""
    _, hashes = _leaves(key, name, records)
    return SetCommitment(root=root_of(hashes).hex(), count=len(hashes))


def disclose(key: bytes, name: SetName, records: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> Disclosure:
    """What shows that `record` is in the set; `InputError` if it is not."""
    values, hashes = _leaves(key, name, records)
    value = record_value(key, name, record)
    if value not in values:
        raise InputError("record", f"is not in the {name} set", "give a record of that set, unchanged")
    index = values.index(value)
    path = tuple(step.hex() for step in inclusion_proof(hashes, index))
    return Disclosure(set=name, key=key.hex(), record=dict(record), index=index, path=path)


def is_disclosed(disclosure: Disclosure, commitment: SetCommitment) -> bool:
    """Whether a disclosure shows its record in the committed set."""
    value = record_value(bytes.fromhex(disclosure.key), disclosure.set, disclosure.record)
    try:
        path = [bytes.fromhex(step) for step in disclosure.path]
    except ValueError:
        return False
    leaf, root = leaf_hash(value), bytes.fromhex(commitment.root)
    return is_included(leaf, disclosure.index, commitment.count, path, root)


def load_disclosure(path: Path) -> Disclosure:
    """A disclosure from a file."""
    raw = parse_strictly(read_file(path), str(path))
    hint = "give the file that `expunge certificate disclose` wrote"
    if not isinstance(raw, dict):
        raise InputError(str(path), "is no disclosure", hint)
    return validate(Disclosure, raw, str(path), hint)
