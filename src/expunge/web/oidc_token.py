"""The check of an ID token (OpenID Connect Core 1.0, section 3.1.3.7): signature, issuer, audience, times, nonce."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Any

from expunge.web.oidc_refusal import OidcRefusal
from expunge.web.oidc_settings import OidcSettings

MAX_TOKEN = 2**15  # characters
MAX_KEYS = 50
MIN_RSA_BITS = 2048
ASYMMETRIC = ("RSA", "EC", "OKP")
CLAIMS = ("iss", "aud", "azp", "exp", "nbf", "iat", "nonce", "sub", "auth_time", "amr")
MAX_HEADER = 4096  # bytes; some providers send a chain of certificates


class UnknownKey(Exception):
    """The token names a key that is not among those we have: the provider may have changed them."""


@dataclass(frozen=True)
class ExpectedToken:
    """What a token must say."""

    settings: OidcSettings
    nonce: str = field(repr=False)
    now: float  # seconds since 1970


def read_keys(raw: dict[str, Any]) -> Any:
    """The usable keys of a JWKS document: asymmetric ones for signatures, RSA of 2,048 bits or more."""
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet, RSAKey, import_key

    listed = raw.get("keys")
    if not isinstance(listed, list):
        raise OidcRefusal("provider", "keys")
    keys = []
    for each in listed[:MAX_KEYS]:
        if not isinstance(each, dict) or each.get("kty") not in ASYMMETRIC or each.get("use", "sig") != "sig":
            continue
        try:
            key = import_key({name: value for name, value in each.items() if name != "d"})
            if isinstance(key, RSAKey) and key.public_key.key_size < MIN_RSA_BITS:
                continue
            key.ensure_kid()
        except (JoseError, ValueError, TypeError, LookupError, AttributeError):
            continue  # one that is written badly, or of a kind that is not known here
        keys.append(key)
    if not keys:
        raise OidcRefusal("provider", "keys")
    return KeySet(keys)


def check_id_token(token: str, keys: Any, expected: ExpectedToken) -> dict[str, Any]:
    """The claims of a token that holds.

    Raises:
        UnknownKey: it names another key.
        OidcRefusal: it does not hold; the detail is the word of what is wrong.
    """
    from joserfc.errors import InvalidKeyIdError
    from joserfc.jws import JWSRegistry
    from joserfc.jwt import decode

    if len(token) > MAX_TOKEN or not token.isascii():
        raise OidcRefusal("token", "size")
    registry = JWSRegistry(algorithms=list(expected.settings.algorithms), strict_check_header=False)
    registry.max_header_length = MAX_HEADER
    try:
        decoded = decode(token, keys, registry=registry)
    except InvalidKeyIdError as error:
        raise UnknownKey from error
    except Exception as error:  # whatever the bytes of a stranger do to a parser, it is no token
        raise OidcRefusal("token", "signature") from error
    check_claims(decoded.claims, dict(decoded.header), expected)
    return dict(decoded.claims)


def check_claims(claims: dict[str, Any], header: dict[str, Any], expected: ExpectedToken) -> None:
    """`OidcRefusal` if claims of a good signature are not for this desk, this sign-in and this moment."""
    from authlib.oidc.core import CodeIDToken
    from joserfc.errors import JoseError

    wanted = expected.settings
    options = {
        "iss": {"essential": True, "value": wanted.issuer},
        "aud": {"essential": True, "value": wanted.client_id},
        "sub": {"essential": True},
        "nonce": {"essential": True},
    }
    params = {"client_id": wanted.client_id, "max_age": wanted.max_age_minutes}
    try:
        CodeIDToken(claims, header, options, params).validate(int(expected.now), wanted.leeway_seconds)
    except (JoseError, TypeError, ValueError, OverflowError) as error:
        raise OidcRefusal("token", _word(error)) from error
    nonce = claims["nonce"]
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise OidcRefusal("token", "nonce")
    check_assurance(claims, wanted, expected.now)


def check_assurance(claims: dict[str, Any], wanted: OidcSettings, now: float) -> None:
    """`OidcRefusal` if the person signed in there in a weaker way, or longer ago, than the desk asks for."""
    if wanted.acr and claims.get("acr") not in wanted.acr:
        raise OidcRefusal("assurance", "acr")
    methods = claims.get("amr")
    if wanted.amr and not (isinstance(methods, list) and all(each in methods for each in wanted.amr)):
        raise OidcRefusal("assurance", "amr")
    if wanted.max_age_minutes is not None:
        at = claims.get("auth_time")
        if isinstance(at, bool) or not isinstance(at, int | float):
            raise OidcRefusal("assurance", "auth_time")
        if not now - wanted.max_age_minutes * 60 - wanted.leeway_seconds <= at <= now + wanted.leeway_seconds:
            raise OidcRefusal("assurance", "auth_time")


def _word(error: Exception) -> str:
    """The claim that a token fails by, if it is one that is checked here."""
    name = str(getattr(error, "claim", ""))
    return name if name in CLAIMS else "claims"
