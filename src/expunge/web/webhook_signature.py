"""Signatures of messages as the Standard Webhooks specification has them: HMAC-SHA-256 of id, time and body."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets

from expunge.errors import InputError

PREFIX, VERSION = "whsec_", "v1"
MIN_BYTES, MAX_BYTES = 24, 64


def new_secret() -> str:
    """A random secret in the form in which it is shared."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_bytes(secret: str) -> bytes:
    """The key of a secret; `InputError` for a text that is none."""
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("secret", "is no base64", f"it looks like {PREFIX}…") from error
    if not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise InputError("secret", f"must have {MIN_BYTES} to {MAX_BYTES} bytes", "make a new one")
    return key


def sign(secret: str, message_id: str, sent: int, body: bytes) -> str:
    """The signature of a message that is sent at a time in seconds."""
    content = f"{message_id}.{sent}.".encode() + body
    digest = hmac.new(secret_bytes(secret), content, "sha256").digest()
    return f"{VERSION},{base64.b64encode(digest).decode()}"


def fits(secret: str, signatures: str, message_id: str, sent: int, body: bytes) -> bool:
    """Whether one of the signatures, set apart by spaces, is of this secret."""
    expected = sign(secret, message_id, sent, body).encode()
    return any(hmac.compare_digest(each.encode("utf-8", "replace"), expected) for each in signatures.split(" ")[:10])
