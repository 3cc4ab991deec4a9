"""The way of one sign-in: out to the provider with state, nonce and PKCE, and back, in the same browser, once."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from expunge.web.oidc_provider import OidcProvider
from expunge.web.oidc_refusal import OidcRefusal
from expunge.web.oidc_settings import OidcSettings
from expunge.web.oidc_token import ExpectedToken
from expunge.web.tokens import token_digest

LIFE = timedelta(minutes=10)
MAX_PENDING = 2_000
MAX_CODE = 4_096


@dataclass(frozen=True)
class PendingSignIn:
    """A sign-in that has gone out and is not back yet."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str
    until: datetime


@dataclass
class OidcFlow:
    """All sign-ins that are on their way, in the memory of the server, under the digest of a browser's cookie."""

    settings: OidcSettings
    clock: Callable[[], datetime]
    provider: OidcProvider
    _pending: dict[str, PendingSignIn] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, redirect_uri: str) -> tuple[str, str]:
        """A value for a cookie of the browser, and the address at the provider to which it goes."""
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        with self.provider.slot():
            metadata = self.provider.metadata()
        wanted = self.settings
        cookie, state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(4))
        url = prepare_grant_uri(
            metadata.authorization_endpoint,
            wanted.client_id,
            "code",
            redirect_uri,
            wanted.scope,
            state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
            acr_values=" ".join(wanted.acr) or None,
            max_age=None if wanted.max_age_minutes is None else str(wanted.max_age_minutes * 60),
        )
        with self._lock:
            self._drop_old()
            self._pending[token_digest(cookie)] = PendingSignIn(
                state, nonce, verifier, redirect_uri, self.clock() + LIFE
            )
        return cookie, str(url)

    def sign_out_url(self, back: str) -> str | None:
        """Where the provider signs somebody out; None if that is not wished, or it has no such address.

        Args:
            back: address of this desk to which it leads then.

        Raises:
            OidcRefusal: the provider does not answer.
        """
        from authlib.common.urls import add_params_to_uri

        if not self.settings.sign_out:
            return None
        with self.provider.slot():
            endpoint = self.provider.metadata().end_session_endpoint
        parameters = [("client_id", self.settings.client_id), ("post_logout_redirect_uri", back)]
        return None if endpoint is None else str(add_params_to_uri(endpoint, parameters))

    def finish(self, cookie: str | None, answer: Mapping[str, list[str]]) -> dict[str, Any]:
        """The claims of who came back.

        Args:
            cookie: value of the browser's cookie.
            answer: parameters of the address, each with all its values.

        Raises:
            OidcRefusal: it was not begun in this browser, is over, or does not hold.
        """
        with self.provider.slot():
            return self._finish(cookie, answer)

    def _finish(self, cookie: str | None, answer: Mapping[str, list[str]]) -> dict[str, Any]:
        pending = self._take(cookie)
        state = _single(answer, "state")
        if pending is None or state is None or not hmac.compare_digest(state.encode(), pending.state.encode()):
            raise OidcRefusal("state")
        issuer = _single(answer, "iss")
        if issuer != self.settings.issuer and (issuer is not None or self.provider.metadata().names_issuer):
            raise OidcRefusal("token", "iss")
        code = _single(answer, "code")
        if code is None or "error" in answer:
            raise OidcRefusal("denied")
        token = self.provider.redeem(code, pending.verifier, pending.redirect_uri)
        expected = ExpectedToken(self.settings, pending.nonce, self.clock().timestamp())
        return self.provider.claims(token, expected)

    def _take(self, cookie: str | None) -> PendingSignIn | None:
        """What the browser began; it is gone then, so that no answer counts twice."""
        with self._lock:
            pending = self._pending.pop(token_digest(cookie), None) if cookie else None
        return pending if pending is not None and self.clock() < pending.until else None

    def _drop_old(self) -> None:
        now = self.clock()
        over = [key for key, each in self._pending.items() if now >= each.until]
        rest = len(self._pending) - len(over)
        over += [key for key in self._pending if key not in set(over)][: max(0, rest - MAX_PENDING + 1)]
        for key in over:
            del self._pending[key]


def new_flow(settings: OidcSettings, clock: Callable[[], datetime]) -> OidcFlow:
    """A flow with its provider, which is asked for nothing yet."""
    return OidcFlow(settings, clock, OidcProvider(settings))


def _single(answer: Mapping[str, list[str]], name: str) -> str | None:
    """The one value of a parameter; `OidcRefusal` if it stands twice or is too long."""
    values = answer.get(name, [])
    if len(values) > 1 or any(len(value) > MAX_CODE or not value.isprintable() for value in values):
        raise OidcRefusal("state", name)
    return values[0] if values else None
