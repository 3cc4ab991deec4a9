"""A small identity provider behind a real port of this machine: discovery, authorize, token and keys."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey

SECRET, CLIENT = "s3cret & more+", "desk of the hospital"
Answer = tuple[int, dict[str, str], bytes]


@cache
def rsa_key(name: str = "one") -> RSAKey:
    """A key, made once for all tests."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"})


def as_json(value: Any, status: int = 200) -> Answer:
    return status, {"content-type": "application/json"}, json.dumps(value).encode()


def part(value: Any) -> str:
    """A part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def own_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that nobody else vouches for, as a file, and a server's side of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "identity provider of a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, both = folder / "ca.pem", folder / "server.pem"
    pem = made.public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(pem)
    both.write_bytes(pem + key.private_bytes(*form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return file, context


class IdentityProvider:
    """Signs somebody in whom the test names.

    Attributes:
        subject: Who signs in.
        claims: Further claims, or other values of the usual ones; None leaves one out.
        sign: Makes a token of claims.
        override: Path -> what is answered instead.
        seen: What came to the token endpoint.
        sign_outs: What came to the sign-out, which is in the discovery document if `metadata` names it.
    """

    def __init__(
        self, clock: Callable[[], datetime], host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.clock, self.subject, self.claims = clock, "sub-carla", {}
        self.key = rsa_key()
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.override: dict[str, Callable[[], Answer]] = {}
        self.metadata: dict[str, Any] = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        self.codes: dict[str, dict[str, str]] = {}
        self.seen: list[dict[str, str]] = []
        self.fetched: list[str] = []
        self.sign_outs: list[dict[str, str]] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self, b"")

            def do_POST(self) -> None:
                provider.answer(self, self.rfile.read(int(self.headers["content-length"])))

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.issuer = f"http{'s' if tls else ''}://{host}:{self.server.server_port}/realm"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        parts = urlsplit(handler.path)
        path = parts.path.removeprefix("/realm")
        self.fetched.append(path)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        form = {k: v[0] for k, v in parse_qs(body.decode()).items()}
        routes: dict[str, Callable[[], Answer]] = {
            "/.well-known/openid-configuration": lambda: as_json(self.discovery()),
            "/jwks": lambda: as_json({"keys": [self.key.as_dict(private=False)]}),
            "/authorize": lambda: (302, {"location": self.authorize(query)}, b""),
            "/logout": lambda: self.log_out(query),
            "/token": lambda: self.token(form, handler.headers.get("authorization", "")),
        }
        status, headers, content = (self.override.get(path) or routes.get(path) or (lambda: (404, {}, b"")))()
        handler.send_response(status)
        for name, value in {"content-length": str(len(content)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def discovery(self) -> dict[str, Any]:
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
        return {"issuer": self.issuer} | {k: f"{self.issuer}/{v}" for k, v in ends.items()} | self.metadata

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser goes after somebody signed in here."""
        assert query["response_type"] == "code"
        assert "openid" in query["scope"].split()
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def log_out(self, query: dict[str, str]) -> Answer:
        """RP-initiated logout: back to an address that this client has registered."""
        self.sign_outs.append(query)
        back = query.get("post_logout_redirect_uri", "")
        if query.get("client_id") != CLIENT or not back.endswith("/sign-in/oidc/left"):
            return as_json({"error": "invalid_request"}, 400)
        return 302, {"location": back}, b""

    def token(self, form: dict[str, str], authorization: str) -> Answer:
        self.seen.append(form | ({"authorization": authorization} if authorization else {}))
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            asked is None
            or challenge.decode().rstrip("=") != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
            or form["grant_type"] != "authorization_code"
        ):
            return as_json({"error": "invalid_grant", "error_description": "Zyxwena"}, 400)
        if not authorization and form.get("client_secret") != SECRET:
            return as_json({"error": "invalid_client"}, 401)
        token = self.sign(self.usual(asked["nonce"]) | {})
        return as_json({"access_token": "access-canary", "token_type": "Bearer", "id_token": token})

    def usual(self, nonce: str) -> dict[str, Any]:
        now = int(self.clock().timestamp())
        claims = {"iss": self.issuer, "sub": self.subject, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        claims |= self.claims
        return {name: value for name, value in claims.items() if value is not None}

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)
