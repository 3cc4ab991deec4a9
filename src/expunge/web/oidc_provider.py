"""The identity provider: its discovery document and keys, each fetched when needed and kept for a while."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from expunge.errors import InputError
from expunge.web.oidc_fetch import fetch_json
from expunge.web.oidc_refusal import OidcRefusal
from expunge.web.oidc_settings import OidcSettings, is_safe_url
from expunge.web.oidc_token import ExpectedToken, UnknownKey, check_id_token, read_keys

WELL_KNOWN = "/.well-known/openid-configuration"
KEEP, PAUSE = 3600.0, 5.0  # seconds for which a document is kept, and between a failure and the next try
WAIT = 15.0  # seconds for which a visitor waits while another one fetches
MANY, PATIENCE = 12, 2.0  # visitors for whom it is asked at once, and seconds for which a further one waits
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class ProviderMetadata:
    """What this desk uses of a discovery document (OpenID Connect Discovery 1.0, section 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    posts_secret: bool  # whether the secret is sent in the form, and not in a header
    names_issuer: bool  # whether the answer to the browser names the issuer (RFC 9207)
    end_session_endpoint: str | None  # of RP-Initiated Logout 1.0; None where there is none, or none that is safe


def read_metadata(raw: dict[str, Any], settings: OidcSettings) -> ProviderMetadata:
    """The checked document; `OidcRefusal` for another issuer, or an address that is not safe."""
    if raw.get("issuer") != settings.issuer:
        raise OidcRefusal("provider", "issuer")
    urls = [raw.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    if not all(isinstance(url, str) and is_safe_url(url, allow_loopback=settings.is_local) for url in urls):
        raise OidcRefusal("provider", "endpoint")
    end = raw.get("end_session_endpoint")
    has_end = isinstance(end, str) and is_safe_url(end, allow_loopback=settings.is_local)
    methods = raw.get("token_endpoint_auth_methods_supported")
    return ProviderMetadata(
        str(urls[0]),
        str(urls[1]),
        str(urls[2]),
        posts_secret=isinstance(methods, list) and "client_secret_post" in methods,
        names_issuer=raw.get("authorization_response_iss_parameter_supported") is True,
        end_session_endpoint=end if has_end else None,
    )


class OidcProvider:
    """Speaks with one provider.

    Args:
        settings: checked settings.
        now: seconds of a clock that never goes back; replaced in tests.
    """

    def __init__(self, settings: OidcSettings, now: Callable[[], float] = time.monotonic) -> None:
        self.settings, self._now = settings, now
        self._lock, self._slots = threading.Lock(), threading.BoundedSemaphore(MANY)
        self._metadata: ProviderMetadata | None = None
        self._keys: Any = None
        self._until, self._failed = 0.0, 0.0
        try:
            self._tls = ssl.create_default_context(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InputError("oidc.yaml: ca_file", "holds no certificates", "give a PEM file") from error

    @contextmanager
    def slot(self) -> Iterator[None]:
        """A place among those for whom the provider is asked: while it hangs, the other pages go on."""
        if not self._slots.acquire(timeout=PATIENCE):
            raise OidcRefusal("provider", "busy")
        try:
            yield
        finally:
            self._slots.release()

    def metadata(self) -> ProviderMetadata:
        """The discovery document; `OidcRefusal` if the provider is down, or says something else than it should."""
        with self._alone():
            if self._metadata is None or self._now() >= self._until:
                self._fetch_documents()
            assert self._metadata is not None
            return self._metadata

    def claims(self, token: str, expected: ExpectedToken) -> dict[str, Any]:
        """The claims of an ID token; the keys are fetched anew, once, if it names one that is not known."""
        with self._alone():
            keys = self._keys
        try:
            return check_id_token(token, keys, expected)
        except UnknownKey:
            with self._alone():
                self._fetch_documents()
                keys = self._keys
        try:
            return check_id_token(token, keys, expected)
        except UnknownKey as error:
            raise OidcRefusal("token", "key") from error

    def redeem(self, code: str, verifier: str, redirect_uri: str) -> str:
        """The ID token for a code; the other tokens of the answer are dropped.

        Raises:
            OidcRefusal: the provider does not take the code, or answers with no token.
        """
        from authlib.oauth2.rfc6749.parameters import prepare_token_request

        metadata, headers = self.metadata(), {"content-type": FORM}
        body = prepare_token_request("authorization_code", "", redirect_uri, code=code, code_verifier=verifier)
        body, headers = self._authenticate(body, headers, metadata)
        status, answer = fetch_json(metadata.token_endpoint, self._tls, body=body, headers=headers)
        token = answer.get("id_token")
        if status != 200:
            raise OidcRefusal("denied" if answer.get("error") == "invalid_grant" else "provider", "code")
        if not isinstance(token, str) or not token:
            raise OidcRefusal("token", "missing")
        return token

    def _authenticate(
        self, body: str, headers: dict[str, str], metadata: ProviderMetadata
    ) -> tuple[str, dict[str, str]]:
        """The request with who asks (RFC 6749, section 2.3.1)."""
        from authlib.oauth2.auth import ClientAuth

        client_id, secret = self.settings.client_id, self.settings.client_secret
        if secret is None:
            auth = ClientAuth(client_id, None, "none")
        elif metadata.posts_secret:
            auth = ClientAuth(client_id, secret.get_secret_value(), "client_secret_post")
        else:
            parts = (quote(client_id, safe=""), quote(secret.get_secret_value(), safe=""))
            auth = ClientAuth(*parts, "client_secret_basic")
        _, headers, body = auth.prepare("POST", metadata.token_endpoint, headers, body)
        return body, headers

    def _fetch_documents(self) -> None:
        if self._now() < self._failed + PAUSE and self._failed:
            raise OidcRefusal("provider", "pause")
        try:
            metadata = read_metadata(self._fetch(self.settings.issuer.rstrip("/") + WELL_KNOWN), self.settings)
            keys = read_keys(self._fetch(metadata.jwks_uri))
        except OidcRefusal:
            self._failed = self._now()
            raise
        self._metadata, self._keys, self._until, self._failed = metadata, keys, self._now() + KEEP, 0.0

    def _fetch(self, url: str) -> dict[str, Any]:
        status, value = fetch_json(url, self._tls)
        if status != 200:
            raise OidcRefusal("provider", "status")
        return value

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=WAIT):
            raise OidcRefusal("provider", "busy")
        try:
            yield
        finally:
            self._lock.release()
