"""Sign-in at an identity provider (OpenID Connect): `oidc.yaml` in the folder of the desk, and the secret in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from expunge._config import FrozenModel
from expunge._text_file import read_text
from expunge._validation import validate
from expunge._yaml import load_yaml
from expunge.errors import InputError

FILE = "oidc.yaml"
HINT = "write it as docs/guides/web-desk.md shows"
MAX_SECRET = 4096
LOOPBACK = ("127.0.0.1", "::1", "localhost")
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
SCOPES = {"preferred_username": "profile", "email": "email"}  # claim -> scope that it comes with


class OidcSettings(FrozenModel):
    """The provider, who this desk is there, and what a sign-in must show."""

    issuer: str = Field(max_length=500, description="issuer as the provider writes it, https://login.example/realm")
    client_id: str = Field(min_length=1, max_length=300, description="what the provider calls this desk")
    client_secret_file: Path | None = Field(
        None, description="file with the secret of the desk; none for a public client"
    )
    client_secret: SecretStr | None = Field(None, exclude=True, description="filled from the file; never in oidc.yaml")
    ca_file: Path | None = Field(None, description="certificates of who vouches for the provider, PEM")
    label: str = Field("", max_length=60, description="name on the button; the host of the issuer without it")
    algorithms: tuple[Algorithm, ...] = Field(
        ("RS256", "PS256", "ES256", "Ed25519"), min_length=1, description="signatures"
    )
    scopes: tuple[str, ...] = Field((), max_length=10, description="scopes to ask for, beside openid")
    subject_claim: Literal["sub", "oid"] = Field("sub", description="claim that is bound to a person")
    person_claim: str | None = Field(
        None, min_length=1, max_length=100, description="claim that names the desk's person"
    )
    person_suffix: str = Field("", max_length=200, description="end of that claim that is left off, @hospital.example")
    acr: tuple[str, ...] = Field((), max_length=10, description="levels of sign-in (`acr`), one of which it must have")
    amr: tuple[str, ...] = Field((), max_length=10, description="methods of sign-in (`amr`), all of which it must have")
    sign_out: bool = Field(False, description="signing out of the desk also leads to the sign-out of the provider")
    max_age_minutes: int | None = Field(None, ge=1, le=1440, description="minutes since the person signed in there")
    leeway_seconds: int = Field(60, ge=0, le=300, description="seconds by which the clocks may differ")
    passwords: bool = Field(True, description="whether people may also sign in with password and code")

    @field_validator("issuer")
    @classmethod
    def _safe(cls, value: str) -> str:
        if not is_safe_url(value, allow_loopback=True) or urlsplit(value).query:
            raise ValueError("must be an https address without ? and #; http on this machine alone")
        return value

    @model_validator(mode="after")
    def _suffix_has_a_claim(self) -> OidcSettings:
        if self.person_suffix and not self.person_claim:
            raise ValueError("`person_suffix` needs `person_claim`")
        return self

    @property
    def is_local(self) -> bool:
        """Whether the provider runs on this machine, so that it may speak http."""
        return urlsplit(self.issuer).hostname in LOOPBACK

    @property
    def button(self) -> str:
        """The name of the provider for people."""
        return self.label or str(urlsplit(self.issuer).hostname)

    @property
    def scope(self) -> str:
        """All scopes, set apart by spaces."""
        wanted = ("openid", SCOPES.get(self.person_claim or "", "openid"), *self.scopes)
        return " ".join(dict.fromkeys(wanted))

    @classmethod
    def load(cls, folder: Path) -> OidcSettings | None:
        """The settings of a desk; None where there is no `oidc.yaml`.

        Raises:
            InputError: a setting is wrong, a file is missing, or others can read the secret.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        raw = load_yaml(read_text(path, HINT, most=2**16), str(path), HINT)
        if "client_secret" in raw:
            raise InputError(f"{path}: client_secret", "does not belong here", "put it into a file: client_secret_file")
        settings = validate(cls, raw, str(path), HINT)
        files: dict[str, Any] = {}
        if settings.client_secret_file is not None:
            files["client_secret"] = SecretStr(_secret(folder / settings.client_secret_file))
        if settings.ca_file is not None:
            files["ca_file"] = folder / settings.ca_file
            if not files["ca_file"].is_file():
                raise InputError(f"{path}: ca_file", "there is no such file", "give a PEM file")
        return settings.model_copy(update=files)


def is_safe_url(url: str, *, allow_loopback: bool) -> bool:
    """Whether a URL is https, or http on this machine where that is allowed."""
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_plain = allow_loopback and parts.scheme == "http" and parts.hostname in LOOPBACK
    is_written_well = url.isascii() and url.isprintable() and not set(" \"'<>\\`{}|^") & set(url)
    names_host = bool(parts.hostname) and parts.username is None and not parts.fragment and port_fits
    return names_host and is_written_well and (parts.scheme == "https" or is_plain)


def _secret(path: Path) -> str:
    text = read_text(path, "name a file that holds the secret", most=MAX_SECRET).strip()
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise InputError(str(path), "can be read by others", f"chmod 600 {path}")
    if not text.isascii() or not text.isprintable() or not text:
        raise InputError(str(path), "holds no secret", "copy it from the provider: one line of ASCII characters")
    return text
