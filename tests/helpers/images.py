"""Small pictures for tests, as encoded bytes; skips where Pillow is absent."""

from __future__ import annotations

import io
import struct
import zlib

import pytest


def encoded(shade: int = 0, format: str = "PNG", size: int = 8) -> bytes:
    """A grey square with one pixel of another shade."""
    image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
    made = image.new("L", (size, size), shade % 256)
    made.putpixel((1, 2), (shade + 100) % 256)
    stream = io.BytesIO()
    made.save(stream, format)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says this size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rest = chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rest
