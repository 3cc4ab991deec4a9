"""How much and how often: bytes of a body, requests of a minute."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from expunge.desk.identity import MAX_DOCUMENT
from expunge.errors import InputError

MAX_KEYS = 20_000
MAX_BODY = 2**20  # bytes of what a visit may send
LARGER: tuple[tuple[re.Pattern[str], int], ...] = (  # paths whose body may be larger than the setting
    (re.compile(r"/(api/v1/)?requests/[^/]+/identity"), MAX_DOCUMENT * 4 // 3 + 2**20),  # base64 and the other fields
)


@dataclass
class RateLimiter:
    """Counts events of a key in a bucket that refills evenly: `limit` at once, and `limit` a minute.

    Attributes:
        now: Seconds of a clock that never goes back; replaced in tests.
    """

    now: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, key: str, limit: int) -> int:
        """Count one event; returns 0 if it is allowed, else the seconds to wait."""
        now = self.now()
        with self._lock:
            level, at = self._buckets.get(key, (0.0, now))
            level = max(0.0, level - (now - at) * limit / 60)
            if level + 1 > limit:
                self._buckets[key] = (level, now)
                return max(1, round((level + 1 - limit) * 60 / limit))
            if key not in self._buckets and len(self._buckets) >= MAX_KEYS:
                self._drop_old(now)
            self._buckets[key] = (level + 1, now)
            return 0

    def _drop_old(self, now: float) -> None:
        """Forget those of more than a minute ago, whose buckets are empty; if all are newer, forget the oldest half."""
        old = sorted(self._buckets, key=lambda key: self._buckets[key][1])
        many = [key for key in old if now - self._buckets[key][1] > 60] or old[: MAX_KEYS // 2]
        for key in many:
            del self._buckets[key]


class BodyTooLarge(InputError):
    """Somebody sends more than a page takes."""

    def __init__(self, most: int) -> None:
        size = f"{most // 2**20} MiB" if most >= 2**20 else f"{most} bytes"
        super().__init__("body", f"is larger than {size}", "send less; of a document, a page or a photo is enough")


def body_limit(path: str, usual: int) -> int:
    """Bytes that a path takes."""
    return next((most for pattern, most in LARGER if pattern.fullmatch(path)), usual)


class BodyLimit:
    """Refuses a body that is too large before it is read, and one that turns out to be while it is read."""

    def __init__(self, app: ASGIApp, usual: int) -> None:
        self.app, self.usual = app, usual

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most, count = body_limit(scope["path"], self.usual), 0
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or len(value) > 15 or int(value) > most):
                raise BodyTooLarge(most)

        async def counted() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > most:
                raise BodyTooLarge(most)
            return message

        await self.app(scope, counted, send)
