"""Draws that depend on names only: free of file order, platform, process and hash seed."""

from __future__ import annotations

import hashlib


def uniform(salt: str, name: str) -> float:
    """A number in [0, 1) from the first 8 bytes of SHA-256 of `salt:name` (the rule of every split)."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{name}".encode()).digest()[:8], "big") / 2**64
