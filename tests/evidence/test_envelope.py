"""DSSE: the bytes of its specification, another implementation as judge, and a strict reader."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from expunge.errors import InputError
from expunge.evidence.envelope import SignedEnvelope, read_envelope
from helpers.evidence import AUDITOR, OPERATOR, STRANGER


def keys_of(*keys: Any) -> list[Any]:
    return [SSlibKey.from_crypto(key.private.public_key(), key.public.keyid) for key in keys]


def test_the_bytes_that_are_signed_are_those_of_the_specification() -> None:
    envelope = SignedEnvelope(b"hello world", "http://example.com/HelloWorld")
    assert envelope.signed_bytes == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_another_implementation_accepts_the_signatures() -> None:
    made = SignedEnvelope(b"{}", "application/vnd.in-toto+json").signed_by(OPERATOR, AUDITOR, OPERATOR)
    assert len(made.signatures) == 2
    read = Envelope.from_dict(copy.deepcopy(made.as_dict()))
    assert len(read.verify(keys_of(OPERATOR, AUDITOR), 2)) == 2
    with pytest.raises(VerificationError):
        read.verify(keys_of(OPERATOR, STRANGER), 2)
    assert read_envelope(made.as_bytes(), "f") == made


def test_equal_content_gives_equal_bytes() -> None:
    one, other = (SignedEnvelope(b"{}", "t").signed_by(OPERATOR, AUDITOR).as_bytes() for _ in range(2))
    assert one == other


GOOD = SignedEnvelope(b"{}", "t").signed_by(OPERATOR).as_dict()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"extra": 1}, 'unknown key "extra"'),
        ({"payload": "e30"}, "payload is not base64"),
        ({"payload": "e31="}, "payload is not base64|one form"),
        ({"payload": 3}, "payload is no text"),
        ({"payloadType": None}, "payloadType is no text"),
        ({"signatures": {}}, "no list of at most 16"),
        ({"signatures": [1]}, "signature that is none"),
        ({"signatures": [{"keyid": "a"}]}, 'no key "sig"'),
        ({"signatures": [{"keyid": "a", "sig": "AA==", "cert": ""}]}, 'unknown key "cert"'),
        ({"signatures": [GOOD["signatures"][0]] * 17}, "no list of at most 16"),
    ],
)
def test_what_is_no_envelope(change: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        read_envelope(json.dumps({**GOOD, **change}).encode(), "f")


@pytest.mark.parametrize("raw", [b"[]", b"{}", b"3", b'{"payload": ""}'])
def test_other_json_is_no_envelope(raw: bytes) -> None:
    with pytest.raises(InputError, match="no signed envelope"):
        read_envelope(raw, "f")
