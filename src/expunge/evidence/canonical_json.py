"""Canonical bytes of JSON values (RFC 8785), and a reader that refuses what two readers could take differently."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NoReturn

import rfc8785

from expunge.errors import InputError, first_line

MAX_BYTES = 32 * 2**20  # of a signed file
LARGEST = 2**53 - 1  # whole number that every reader of JSON takes for the same
HINT = "give the file as it was written"


def canonical_bytes(value: Any, where: str = "value") -> bytes:
    """The RFC 8785 bytes of a JSON value.

    Raises:
        InputError: it holds NaN, an infinite number, or a whole number beyond 2**53.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError, ValueError) as error:
        hint = "write numbers beyond 2**53 as text"
        raise InputError(where, f"has no canonical form ({first_line(error)})", hint) from error


def canonical_digest(value: Any) -> str:
    """SHA-256 of the canonical bytes of `value`, hex."""
    return sha256(canonical_bytes(value))


def sha256(raw: bytes) -> str:
    """SHA-256 of `raw`, hex."""
    return hashlib.sha256(raw).hexdigest()


def parse_strictly(raw: bytes, where: str) -> Any:
    """The value that `raw` writes in UTF-8. Whole numbers beyond 2**53 are read as RFC 8785 has them: as floats.

    Raises:
        InputError: no JSON, a key that stands twice, NaN, half a surrogate pair, or more than `MAX_BYTES` bytes.
    """
    if len(raw) > MAX_BYTES:
        raise InputError(where, f"holds more than {MAX_BYTES >> 20} MiB", HINT)
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number, parse_int=_whole)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else first_line(error)
        raise InputError(where, f"is no JSON that can be read ({reason})", HINT) from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'the key "{next(n for n in names if names.count(n) > 1)[:80]}" stands twice')
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _whole(text: str) -> int | float:
    return float(text) if abs(number := int(text)) > LARGEST else number
