"""Sessions of people who signed in, in the memory of the server. They end by a click, by time, or by a restart."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from expunge.web.tokens import token_digest

MAX_SESSIONS, MAX_OF_PERSON = 5_000, 10


@dataclass
class RevealedText:
    """One text that was revealed, until when it may be shown."""

    match_id: str
    text: str = field(repr=False)
    until: datetime = field(default=datetime.max)


@dataclass
class WebSession:
    """Somebody who signed in.

    Attributes:
        key: SHA-256 of the token in the cookie: whoever reads the memory of it finds no token.
        stamp: When the account was last changed; a session of an account that changed since is over.
        revealed: The one text that this session sees.
        is_from_provider: Whether it began at the identity provider.
    """

    key: str
    person: str
    role: str
    stamp: str
    began: datetime
    seen: datetime
    revealed: RevealedText | None = None
    is_from_provider: bool = False


@dataclass
class SessionStore:
    """All sessions of an application."""

    clock: Callable[[], datetime]
    idle: timedelta
    longest: timedelta
    _sessions: dict[str, WebSession] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, person: str, role: str, stamp: str, *, is_from_provider: bool = False) -> str:
        """A new session; returns the token for the cookie, which is not kept."""
        token = secrets.token_urlsafe(32)
        now = self.clock()
        with self._lock:
            self._drop_old(now)
            own = sorted((x for x in self._sessions.values() if x.person == person), key=lambda x: x.seen)
            everybody = sorted(self._sessions.values(), key=lambda x: x.seen)
            too_many = (max(0, len(own) - MAX_OF_PERSON + 1), max(0, len(everybody) - MAX_SESSIONS + 1))
            for gone in own[: too_many[0]] + everybody[: too_many[1]]:
                self._sessions.pop(gone.key, None)
            key = token_digest(token)
            self._sessions[key] = WebSession(key, person, role, stamp, now, now, is_from_provider=is_from_provider)
        return token

    def find(self, token: str | None, *, renew: bool = True) -> WebSession | None:
        """The session of a token while it lives; `renew` says that somebody clicked."""
        if not token:
            return None
        now = self.clock()
        with self._lock:
            session = self._sessions.get(token_digest(token))
            if session is None:
                return None
            if self._is_over(session, now):
                del self._sessions[session.key]
                return None
            if renew:
                session.seen = now
            if session.revealed and now >= session.revealed.until:
                session.revealed = None
            return session

    def end(self, session: WebSession) -> None:
        """Sign out."""
        with self._lock:
            self._sessions.pop(session.key, None)

    def _is_over(self, session: WebSession, now: datetime) -> bool:
        return now >= session.seen + self.idle or now >= session.began + self.longest

    def _drop_old(self, now: datetime) -> None:
        for session in [x for x in self._sessions.values() if self._is_over(x, now)]:
            del self._sessions[session.key]
