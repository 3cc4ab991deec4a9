"""Where and how the web desk is served. Anything but this machine alone needs a token, and TLS or a named proxy."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, field_validator

from expunge._config import FrozenModel
from expunge.errors import InputError
from expunge.web import DEFAULT_PORT
from expunge.web.oidc_settings import OidcSettings

DEFAULT_PORTS = {"http": 80, "https": 443}
MIN_TOKEN = 32
URL = re.compile(r"[!-\[\]-~]+")  # printable ASCII without a space and a backslash
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class WebSettings(FrozenModel):
    """How the web desk is reached, and its limits.

    Whether one person works the desk is a setting of the desk, since certificates say it too.
    """

    host: str = Field("127.0.0.1", description="address to listen at")
    port: int = Field(DEFAULT_PORT, ge=1, le=65535, description="port to listen at")
    names: tuple[str, ...] = Field((), description="further host names under which the desk is reached, without port")
    proxy: str | None = Field(None, description="origin that the reverse proxy serves, https://desk.example")
    proxy_from: tuple[str, ...] = Field(("127.0.0.1", "::1"), description="addresses from which the proxy connects")
    token: SecretStr | None = Field(None, description="token that every visit from elsewhere must show first")
    tls_cert: Path | None = Field(None, description="certificate chain, PEM")
    tls_key: Path | None = Field(None, description="private key, PEM")
    idle_minutes: int = Field(15, ge=1, le=720, description="minutes without a click after which a session ends")
    session_hours: int = Field(10, ge=1, le=24, description="hours after which a session ends")
    requests_per_minute: int = Field(600, ge=1, description="requests of one session or address")
    sign_ins_per_minute: int = Field(10, ge=1, description="attempts to sign in, or to show a token, of one address")

    oidc: OidcSettings | None = Field(None, description="sign-in at an identity provider; `oidc.yaml` of the desk")

    @field_validator("proxy")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = split_url(value)
        if parts is None or parts.scheme != "https" or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("must be an origin, such as https://desk.example")
        return f"https://{parts.netloc.lower()}"

    @field_validator("names")
    @classmethod
    def _names(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not NAME.fullmatch(value):
                raise ValueError("are host names in small letters, without port and scheme")
        return values

    @property
    def passwords(self) -> bool:
        """Whether people may sign in with password and code."""
        return self.oidc is None or self.oidc.passwords

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @property
    def is_secure(self) -> bool:
        """Whether browsers see https."""
        return self.tls_cert is not None or self.proxy is not None

    @property
    def hosts(self) -> frozenset[str]:
        """Values of the Host header that are answered."""
        return frozenset(urlsplit(origin).netloc for origin in self.origins)

    @property
    def origins(self) -> frozenset[str]:
        """Origins from which forms may be sent."""
        scheme = "https" if self.tls_cert else "http"
        names = {self.host, *self.names} | ({"127.0.0.1", "localhost"} if self.is_local else set())
        made = {f"{scheme}://{_bracket(n)}{_port(scheme, self.port)}" for n in names if not _is_any(n)}
        return frozenset(made | ({self.proxy} if self.proxy else set()))

    def check(self) -> WebSettings:
        """The same settings.

        Raises:
            InputError: the desk would be reachable from elsewhere without a token and TLS or a named proxy, or under
                no name, or half of TLS is missing.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InputError("--tls-cert", "and --tls-key belong together", "give both")
        for option, file in (("--tls-cert", self.tls_cert), ("--tls-key", self.tls_key)):
            if file is not None and not file.is_file():
                raise InputError(option, "there is no such file", "give a PEM file")
        if self.token is not None and len(self.token.get_secret_value()) < MIN_TOKEN:
            raise InputError("--token-file", f"holds fewer than {MIN_TOKEN} characters", "make a random one")
        if not self.is_local:
            if self.token is None:
                what = f"{self.host} can be reached from elsewhere, and there is no token"
                raise InputError("--host", what, "give --token-file, or listen at 127.0.0.1")
            if self.tls_cert is None and self.proxy is None:
                what = f"{self.host} can be reached from elsewhere without encryption"
                raise InputError("--host", what, "give --tls-cert and --tls-key, or name the proxy with --proxy")
        if not self.hosts:
            raise InputError("--name", f"{self.host} is no name to visit", "name the host that people type")
        return self


def split_url(url: str) -> SplitResult | None:
    """The parts of a URL that every reader splits alike; None without a host, with a user, a space or a wrong port."""
    if not URL.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        is_plain = parts.port != 0 and parts.hostname and parts.username is None
    except ValueError:
        return None
    return parts if is_plain else None


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _port(scheme: str, port: int) -> str:
    return "" if DEFAULT_PORTS[scheme] == port else f":{port}"
