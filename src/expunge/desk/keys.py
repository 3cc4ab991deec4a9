"""Keys of the desk: encryption of identifiers, blind indexes, keyed digests, and keys that are shredded by request.

The key file lies outside the database, for its owner alone. Each value is encrypted by AES-256-GCM under the current
key, with the place where it is stored (`table`, `column`, `row`) as associated data, so that a value moved to another
row does not decrypt. A blind index is an HMAC over the normalized value, with a key of its own for each kind of
identifier; whoever has the key can try names, so a rotation computes it anew.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge._io import read_object, write_json
from expunge._printable import pluralize
from expunge.corpus.text_folding import fold
from expunge.desk.roles import Refusal
from expunge.errors import InputError
from expunge.evidence.canonical_json import canonical_digest, parse_strictly

KEY_BYTES, NONCE_BYTES = 32, 12
IDENTIFIER_KINDS = ("name", "record_number", "email", "phone", "birth_date", "address", "other")
LOST = "restore the key file from its backup; without it no identifier can be read"


def normalize(kind: str, value: str) -> str:
    """The form in which equal identifiers are equal: folded, and without what people write in between."""
    text = unicodedata.normalize("NFKC", value).strip()
    if kind in ("record_number", "phone"):
        return "".join(c for c in text.casefold() if c.isalnum())
    if kind == "email":
        return text.casefold()
    return " ".join(fold(text).split())


@dataclass(frozen=True, repr=False)
class KeyRing:
    """All keys of a desk, the newest one current.

    Attributes:
        current: Id of the key for new values.
        keys: Key id -> 32 bytes.
    """

    current: str
    keys: dict[str, bytes]

    def __repr__(self) -> str:
        """Ids only."""
        return f"KeyRing({self.current}, {pluralize(len(self.keys), 'key')})"

    @classmethod
    def create(cls, path: Path) -> KeyRing:
        """A ring with one new key, written to a file; `InputError` if the file exists."""
        if path.exists():
            raise InputError(str(path), "is there already", "it may be the key of another desk; name a new file")
        return cls("k1", {"k1": secrets.token_bytes(KEY_BYTES)})._write(path)

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """The ring of a file.

        Raises:
            InputError: the file is missing, readable for others, or holds no keys.
        """
        if not path.is_file():
            raise InputError(str(path), "the key file is gone", LOST)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise InputError(str(path), "can be read by others", f"chmod 600 {path}")
        raw = read_object(path, LOST)
        try:
            keys = {str(name): base64.b64decode(text, validate=True) for name, text in raw["keys"].items()}
            ring = cls(str(raw["current"]), keys)
            if ring.current not in keys or any(len(key) != KEY_BYTES for key in keys.values()):
                raise ValueError
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InputError(str(path), "is no key file", LOST) from error
        return ring

    def _write(self, path: Path) -> KeyRing:
        keys = {name: base64.b64encode(key).decode() for name, key in self.keys.items()}
        write_json(path, {"current": self.current, "keys": keys}, private=True)
        return self

    def with_new_key(self, path: Path) -> KeyRing:
        """The ring with a further key as the current one, written to the file."""
        name = f"k{1 + max(int(key[1:]) for key in self.keys)}"
        return KeyRing(name, {**self.keys, name: secrets.token_bytes(KEY_BYTES)})._write(path)

    def derive(self, purpose: str, key_id: str | None = None) -> bytes:
        """A key of 32 bytes for one purpose (HKDF-SHA-256)."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        name = key_id or self.current
        if name not in self.keys:
            raise InputError("key file", f"holds no key {name}", LOST)
        info = f"expunge/desk/1/{purpose}".encode()
        return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=info).derive(self.keys[name])

    def encrypt(self, text: str, place: tuple[str, str, str]) -> bytes:
        """Nonce and ciphertext of a text that stands at (table, column, row)."""
        return seal(self.derive("values"), text.encode(), place)

    def decrypt(self, data: bytes, place: tuple[str, str, str], key_id: str) -> str:
        """The text; `Refusal` if it was changed, moved, or written with another key."""
        return unseal(self.derive("values", key_id), data, place).decode()

    def index(self, kind: str, value: str) -> str:
        """The blind index of an identifier: 64 hex digits."""
        return hmac.new(self.derive(f"index/{kind}"), normalize(kind, value).encode(), "sha256").hexdigest()

    def keyed_digest(self, value: str | bytes, purpose: str = "digest", key_id: str | None = None) -> str:
        """HMAC-SHA-256 of a private text for the log, as hex: it cannot be tried out without the key."""
        data = value.encode() if isinstance(value, str) else value
        return hmac.new(self.derive(purpose, key_id), data, "sha256").hexdigest()

    def keyed_digests(self, value: str | bytes, purpose: str = "digest") -> list[str]:
        """The same under every key of the ring, to find what was stored before a rotation."""
        return [self.keyed_digest(value, purpose, key_id) for key_id in self.keys]


def seal(key: bytes, data: bytes, place: tuple[str, str, str]) -> bytes:
    """Nonce and AES-256-GCM ciphertext."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, _associated(place))


def unseal(key: bytes, data: bytes, place: tuple[str, str, str]) -> bytes:
    """The plaintext; `Refusal` if key, place or bytes do not fit."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], _associated(place))
    except (InvalidTag, ValueError) as error:
        what = "an encrypted value was changed or moved, or its key is another"
        raise Refusal(f"{place[0]}.{place[1]}", what, LOST, kind="conflict") from error


def _associated(place: tuple[str, str, str]) -> bytes:
    if any("\0" in part for part in place):
        raise InputError("storage", "a place holds a NUL")
    return "\0".join(place).encode()


def body_digest(body: dict[str, Any]) -> str:
    """SHA-256 of the RFC 8785 bytes, as hex."""
    return canonical_digest(body)


def parse_body(text: str) -> dict[str, Any]:
    """The JSON object of a stored text; `InputError` for a key that stands twice, NaN, or no object."""
    value = parse_strictly(text.encode(), "stored text")
    if not isinstance(value, dict):
        raise InputError("stored text", "is no JSON object", "restore the database")
    return value
