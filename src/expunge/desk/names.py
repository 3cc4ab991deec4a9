"""Names of rows: UUIDv7 keys inside, random reference numbers outside, and times as UTC text."""

from __future__ import annotations

import secrets
import time
import uuid
from datetime import UTC, datetime

from expunge.errors import InputError

ALPHABET = "123456789ABCDEFGHJKMNPQRSTVWXYZ"  # 31, a prime number: none looks like another
READ_AS = str.maketrans("ILU", "11V")
REFERENCE_LETTERS = 8


def new_id(now_ms: int | None = None) -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of time, 74 random bits."""
    at = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    value = (at & (2**48 - 1)) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def new_reference() -> str:
    """A random reference such as `E-7K3M-9QV2-4`: it says nothing of the request, and its last letter is a check."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(REFERENCE_LETTERS))
    return f"E-{letters[:4]}-{letters[4:]}-{_check(letters)}"


def read_reference(text: str) -> str:
    """A reference as it was written down or typed; `InputError` for one with a wrong letter."""
    letters = "".join(c for c in text.upper().removeprefix("E-") if c.isalnum()).translate(READ_AS)
    if len(letters) != REFERENCE_LETTERS + 1 or not set(letters) <= set(ALPHABET):
        raise InputError("reference", "has not the form E-7K3M-9QV2-4", "copy it from the letter")
    if _check(letters[:-1]) != letters[-1]:
        raise InputError("reference", "has a wrong letter", "copy it from the letter")
    return f"E-{letters[:4]}-{letters[4:8]}-{letters[8]}"


def _check(letters: str) -> str:
    """A check letter that finds every wrong letter and every two neighbors in the wrong order (weights mod 31)."""
    total = sum((2 * k + 1) * ALPHABET.index(letter) for k, letter in enumerate(letters))
    return ALPHABET[total % len(ALPHABET)]


def stamp(moment: datetime) -> str:
    """A moment as fixed-width UTC text, which sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text: str) -> datetime:
    """The moment of a stamp."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
