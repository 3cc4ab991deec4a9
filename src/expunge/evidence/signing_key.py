"""Ed25519 keys: made, kept encrypted under a passphrase, and identified by a digest of the public key."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from expunge._io import write_atomic
from expunge._text_file import read_text
from expunge.errors import InputError
from expunge.evidence.canonical_json import sha256

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
SHORTEST = 12  # characters of a passphrase
MAX_KEY_FILE = 16_384  # bytes
PUBLIC_SUFFIX = ".pub"


@dataclass(frozen=True)
class VerifyingKey:
    """A public key by its 32 bytes."""

    raw: bytes

    @cached_property
    def der(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        return self._key.public_bytes(pem.Encoding.DER, pem.PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def pem(self) -> str:
        """SubjectPublicKeyInfo, PEM."""
        return self._key.public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo).decode()

    @cached_property
    def keyid(self) -> str:
        """SHA-256 of `der`, hex."""
        return sha256(self.der)

    @property
    def text(self) -> str:
        """`der` in base64, as a trust file holds it."""
        return base64.b64encode(self.der).decode()

    @property
    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.raw)

    def is_signature(self, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is one of this key over `data`."""
        try:
            self._key.verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """A private key; its text form shows nothing of it."""

    private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.public.keyid[:12]})"

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key from the random source of the system."""
        return cls(Ed25519PrivateKey.generate())

    @cached_property
    def public(self) -> VerifyingKey:
        return VerifyingKey(self.private.public_key().public_bytes(pem.Encoding.Raw, pem.PublicFormat.Raw))

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`, 64 bytes; equal data give equal bytes."""
        return self.private.sign(data)

    def private_pem(self) -> bytes:
        """PKCS #8 without encryption, for a library that takes no key object; never written to a file."""
        return self.private.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())


def save_key(key: SigningKey, path: Path, passphrase: str) -> Path:
    """Write the private key to `path` (mode 0600, encrypted) and the public one to `path`.pub, and return the latter.

    Raises:
        InputError: a file is there already, the passphrase is too short, or a file could not be written.
    """
    return save_private_pem(key.private, path, passphrase)


def save_private_pem(key: PrivateKey, path: Path, passphrase: str) -> Path:
    """As `save_key`, of a key of any kind."""
    public = path.with_name(path.name + PUBLIC_SUFFIX)
    for file in (path, public):
        if file.exists() or file.is_symlink():
            raise InputError(str(file), "is there already, and a key is never overwritten", "choose another name")
    if len(passphrase) < SHORTEST:
        raise InputError("passphrase", f"has fewer than {SHORTEST} characters", "choose a longer one")
    encryption = pem.BestAvailableEncryption(passphrase.encode())
    write_atomic(path, key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, encryption), private=True)
    return write_atomic(public, key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo))


def load_key(path: Path, passphrase: str) -> SigningKey:
    """The private key in a file.

    Raises:
        InputError: no such file, no Ed25519 key, a key that lies there unencrypted, or another passphrase.
    """
    key = load_private_pem(path, passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(str(path), "is no Ed25519 key", "make one with `expunge key make`")
    return SigningKey(key)


def load_private_pem(path: Path, passphrase: str) -> object:
    """The private key of any kind in an encrypted file; `InputError` as `load_key`."""
    text = read_text(path, "give the file that `expunge key make` wrote", most=MAX_KEY_FILE)
    if "ENCRYPTED" not in text:
        what = "is no encrypted private key" + (" but a public one" if "PUBLIC KEY" in text else "")
        raise InputError(str(path), what, "give the file that `expunge key make` wrote, without .pub")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise InputError(str(path), "can be read by others", f"chmod 600 {path.name}")
    try:
        return pem.load_pem_private_key(text.encode(), passphrase.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(str(path), "could not be decrypted", "give the passphrase it was made with") from error


def load_public_key(path: Path) -> VerifyingKey:
    """The public key in a PEM file; `InputError` for a private key or another kind of key."""
    return read_public_key(read_text(path, "give the .pub file", most=MAX_KEY_FILE), str(path))


def read_public_key(text: str, where: str) -> VerifyingKey:
    """A public key from PEM, or from its DER form in base64."""
    hint = "give the .pub file that `expunge key make` wrote, or the line that `expunge key show` prints"
    try:
        if "-----BEGIN" in text:
            key = pem.load_pem_public_key(text.encode())
        else:
            key = pem.load_der_public_key(base64.b64decode(text.strip(), validate=True))
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm) as error:
        kind = "is a private key" if "PRIVATE" in text else "is no public key"
        raise InputError(where, kind, hint) from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(where, "is no Ed25519 key", hint)
    return VerifyingKey(key.public_bytes(pem.Encoding.Raw, pem.PublicFormat.Raw))
