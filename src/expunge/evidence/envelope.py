"""The DSSE envelope: payload, its type, signatures. The file form is canonical, so that any changed byte shows.

Signing and the bytes that are signed (PAE) are those of securesystemslib. Reading and counting signatures are ours:
the library counts key ids, of which one key can have several, and alters what it reads.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from expunge._io import write_atomic
from expunge.errors import InputError
from expunge.evidence.canonical_json import MAX_BYTES, canonical_bytes, parse_strictly, sha256
from expunge.evidence.signing_key import SigningKey

HINT = "give the file that was signed, unchanged"
MOST_SIGNATURES = 16


@dataclass(frozen=True)
class EnvelopeSignature:
    """A signature and the id of its key, which is a hint and not signed."""

    keyid: str
    signature: bytes


@dataclass(frozen=True)
class SignedEnvelope:
    """A payload with its signatures.

    Attributes:
        payload: The bytes that are signed.
        payload_type: What they are; signed too.
        signatures: In the order of the file.
    """

    payload: bytes
    payload_type: str
    signatures: tuple[EnvelopeSignature, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the payload, hex: the name of what is signed, whoever signs it."""
        return sha256(self.payload)

    @property
    def signed_bytes(self) -> bytes:
        """The pre-authentication encoding, over which signatures are made."""
        return bytes(Envelope(self.payload, self.payload_type, {}).pae())

    def signed_by(self, *keys: SigningKey) -> SignedEnvelope:
        """The envelope with the signatures of `keys` added; a key that signed already is left out."""
        added: list[EnvelopeSignature] = []
        for key in keys:
            if all(s.keyid != key.public.keyid for s in (*self.signatures, *added)):
                public = SSlibKey.from_crypto(key.private.public_key(), key.public.keyid)
                signed = CryptoSigner(key.private, public).sign(self.signed_bytes)
                added.append(EnvelopeSignature(key.public.keyid, bytes.fromhex(signed.signature)))
        return replace(self, signatures=(*self.signatures, *added))

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of DSSE."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [{"keyid": s.keyid, "sig": base64.b64encode(s.signature).decode()} for s in self.signatures],
        }

    def as_bytes(self) -> bytes:
        """The file form: canonical JSON and a line feed."""
        return canonical_bytes(self.as_dict()) + b"\n"


def read_envelope(raw: bytes, where: str) -> SignedEnvelope:
    """An envelope from the bytes of a file; `InputError` for what is none."""
    value = parse_strictly(raw, where)
    if not isinstance(value, dict) or not {"payload", "payloadType", "signatures"} <= set(value):
        raise InputError(where, "is no signed envelope (DSSE)", HINT)
    return envelope_of(value, where)


def envelope_of(value: dict[str, Any], where: str) -> SignedEnvelope:
    """An envelope from its JSON form; `InputError` for unknown or missing keys and for wrong values."""
    _keys(value, {"payload", "payloadType", "signatures"}, where)
    signatures = value["signatures"]
    if not isinstance(signatures, list) or len(signatures) > MOST_SIGNATURES:
        raise InputError(where, f"has no list of at most {MOST_SIGNATURES} signatures", HINT)
    read = []
    for one in signatures:
        if not isinstance(one, dict):
            raise InputError(where, "has a signature that is none", HINT)
        _keys(one, {"keyid", "sig"}, where)
        read.append(EnvelopeSignature(_text(one["keyid"], "keyid", where), _bytes(one["sig"], "sig", where)))
    payload_type = _text(value["payloadType"], "payloadType", where)
    return SignedEnvelope(_bytes(value["payload"], "payload", where), payload_type, tuple(read))


def _keys(value: dict[str, Any], wanted: set[str], where: str) -> None:
    if odd := sorted(set(value) ^ wanted):
        raise InputError(where, f'has {"no" if odd[0] in wanted else "an unknown"} key "{odd[0]}"', HINT)


def _text(value: Any, key: str, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(where, f"its {key} is no text", HINT)
    return value


def _bytes(value: Any, key: str, where: str) -> bytes:
    text = _text(value, key, where)
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise InputError(where, f"its {key} is not base64", HINT) from error
    if base64.b64encode(raw).decode() != text:
        raise InputError(where, f"its {key} is not base64 in its one form", HINT)
    return raw


def read_file(path: Path | str, hint: str = HINT) -> bytes:
    """The bytes of an ordinary file; `InputError` for one that cannot be read or is larger than `MAX_BYTES`."""
    place = Path(path)
    try:
        if not place.is_file():
            raise InputError(str(path), "is a folder" if place.is_dir() else "there is no such file", hint)
        with place.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = error.strerror if isinstance(error, OSError) else "no usable path"
        raise InputError(str(path), f"could not be read ({reason})", hint) from error
    if len(raw) > MAX_BYTES:
        raise InputError(str(path), f"holds more than {MAX_BYTES >> 20} MiB", hint)
    return raw


def load_envelope(path: Path | str) -> SignedEnvelope:
    """The envelope in a file."""
    return read_envelope(read_file(path), str(path))


def save_envelope(envelope: SignedEnvelope, path: Path | str) -> Path:
    """Write the file form of an envelope."""
    return write_atomic(path, envelope.as_bytes())
