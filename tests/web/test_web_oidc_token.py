"""Tokens that are forged, or for somebody, somewhere or some time else."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("authlib")
pytest.importorskip("fastapi")

from joserfc import jws, jwt
from joserfc.jwk import RSAKey

from expunge.web.oidc_refusal import OidcRefusal
from expunge.web.oidc_settings import OidcSettings
from expunge.web.oidc_token import ExpectedToken, UnknownKey, check_id_token, read_keys
from helpers.identity_provider import CLIENT, part, rsa_key
from helpers.web_log import log_rows
from helpers.web_oidc import NOT_HERE, OidcCase, is_in, leave, way


def no_signature(claims: dict[str, Any]) -> str:
    return f"{part({'alg': 'none', 'kid': 'one'})}.{part(claims)}."


def public_key_as_secret(claims: dict[str, Any]) -> str:
    """HS256 with what everybody can read (the confusion of RFC 8725, section 2.1)."""
    text = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(claims)}"
    return f"{text}.{part(hmac.new(rsa_key().as_pem(private=False), text.encode(), 'sha256').digest())}"


def key_in_the_header(claims: dict[str, Any]) -> str:
    key = rsa_key("stranger")
    registry = jws.JWSRegistry(strict_check_header=False)
    registry.max_header_length = 4096
    header = {"alg": "RS256", "kid": "one", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key, registry=registry)


def changed_payload(claims: dict[str, Any]) -> str:
    head, _, signature = jwt.encode({"alg": "RS256", "kid": "one"}, claims, rsa_key()).split(".")
    return ".".join((head, part({**claims, "sub": "sub-carla", "x": 1}), signature))


def other_key(claims: dict[str, Any], kid: str = "one") -> str:
    return jwt.encode({"alg": "RS256", "kid": kid}, claims, rsa_key("stranger"))


FORGED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "alg none": no_signature,
    "alg none without a kid": lambda claims: f"{part({'alg': 'none'})}.{part(claims)}.",
    "alg None": lambda claims: f"{part({'alg': 'NonE', 'kid': 'one'})}.{part(claims)}.",
    "hs256 with the public key": public_key_as_secret,
    "the key of a stranger": other_key,
    "a key that nobody has": lambda claims: other_key(claims, "stranger"),
    "a key in the header": key_in_the_header,
    "a changed payload": changed_payload,
    "no token": lambda claims: "",
    "no text": lambda claims: 7,
    "no parts": lambda claims: "a.b",
    "no json": lambda claims: f"{part(b'{')}.{part(b'{')}.x",
    "deep": lambda claims: f"{part(b'[' * 20000)}.{part(claims)}.x",
    "a list": lambda claims: jws.serialize_compact({"alg": "RS256", "kid": "one"}, b"[]", rsa_key()),
    "very long": lambda claims: "x" * 40_000,
    "not ascii": lambda claims: "ä.ö.ü",
    "sha-512 that is not allowed": lambda claims: jwt.encode(
        {"alg": "RS512", "kid": "one"},
        claims,
        RSAKey.import_key({k: v for k, v in rsa_key().as_dict(private=True).items() if k != "alg"}),
        algorithms=["RS512"],
    ),
    "crit": lambda claims: ".".join(
        (part({"alg": "RS256", "kid": "one", "crit": ["exp"], "exp": 1}), part(claims), part(b"x" * 256))
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(stage: OidcCase, name: str) -> None:
    stage.idp.sign = FORGED[name]
    visit = stage.visit()
    answer = way(visit)
    assert answer.status_code == 403, name
    assert NOT_HERE in answer.text
    assert not is_in(visit)


WRONG_CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "another nonce": ({"nonce": "n" * 43}, "nonce"),
    "no nonce": ({"nonce": None}, "nonce"),
    "a nonce of another kind": ({"nonce": ["n"]}, "nonce"),
    "another issuer": ({"iss": "https://other.example"}, "iss"),
    "the issuer with a slash": ({"iss": "+/"}, "iss"),
    "no issuer": ({"iss": None}, "iss"),
    "another audience": ({"aud": "other"}, "aud"),
    "several audiences without ours": ({"aud": ["a", "b"]}, "aud"),
    "several audiences without azp": ({"aud": [CLIENT, "b"]}, "azp"),
    "made for another": ({"aud": [CLIENT, "b"], "azp": "b"}, "azp"),
    "no audience": ({"aud": None}, "aud"),
    "expired": ({"exp": -61}, "exp"),
    "expired beyond the leeway": ({"exp": -60}, "exp"),
    "no end": ({"exp": None}, "exp"),
    "an end that is no number": ({"exp": "tomorrow"}, "exp"),
    "issued in the future": ({"iat": 61}, "iat"),
    "not valid yet": ({"nbf": 61}, "nbf"),
    "no subject": ({"sub": None}, "sub"),
    "an empty subject": ({"sub": ""}, "sub"),
    "a subject that is no text": ({"sub": 5}, "sub"),
    "a subject of two lines": ({"sub": "a\nb"}, "sub"),
}


@pytest.mark.parametrize("name", WRONG_CLAIMS)
def test_a_token_for_somebody_or_somewhere_else_is_refused(stage: OidcCase, name: str) -> None:
    changes, word = WRONG_CLAIMS[name]
    now = int(stage.case.clock().timestamp())
    times = {k: now + v for k, v in changes.items() if isinstance(v, int) and k in ("exp", "iat", "nbf")}
    stage.idp.claims = changes | times
    if changes.get("iss") == "+/":
        stage.idp.claims = {"iss": stage.idp.issuer + "/"}
    visit = stage.visit()
    answer = way(visit)
    assert answer.status_code == 403
    assert NOT_HERE in answer.text
    assert not is_in(visit)
    ((_, body),) = log_rows(stage.case, "account.refuse")
    assert json.loads(body)["why"] == word


@pytest.mark.parametrize(
    "claims", [{"exp": -59}, {"iat": 59}, {"aud": [CLIENT]}, {"aud": [CLIENT, "b"], "azp": CLIENT}]
)
def test_clocks_may_differ_by_a_minute(stage: OidcCase, claims: dict[str, Any]) -> None:
    now = int(stage.case.clock().timestamp())
    stage.idp.claims = {k: now + v if isinstance(v, int) else v for k, v in claims.items()}
    visit = stage.visit()
    way(visit)
    assert is_in(visit)


def test_a_way_of_signing_in_can_be_required(stage: OidcCase) -> None:
    visit = stage.visit(acr=("loa2", "loa3"), amr=("otp", "pwd"), max_age_minutes=30)
    url = leave(visit)
    assert parse_qs(urlsplit(url).query)["acr_values"] == ["loa2 loa3"]
    assert parse_qs(urlsplit(url).query)["max_age"] == ["1800"]
    now = int(stage.case.clock().timestamp())
    good = {"acr": "loa3", "amr": ["pwd", "otp"], "auth_time": now - 1800}
    for change in ({"acr": "loa1"}, {"acr": None}, {"amr": ["pwd"]}, {"amr": "pwd otp"}, {"auth_time": now - 1861}):
        stage.idp.claims = good | change
        assert way(visit).status_code == 403, change
        assert not is_in(visit)
    for at in (None, "now", True, now + 61):
        stage.idp.claims = good | {"auth_time": at}
        assert way(visit).status_code == 403, at
    stage.idp.claims = good
    way(visit)
    assert is_in(visit)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_every_changed_character_of_a_token_is_found() -> None:
    """Each place in turn; what decodes to the same bytes is the same token."""
    settings = OidcSettings(issuer="https://login.example", client_id=CLIENT)
    now = 1_780_000_000
    claims = {"iss": settings.issuer, "aud": CLIENT, "sub": "s", "nonce": "n", "iat": now, "exp": now + 60}
    token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, rsa_key())
    keys = read_keys({"keys": [rsa_key().as_dict(private=False)]})
    expected = ExpectedToken(settings, "n", now)
    assert check_id_token(token, keys, expected)["sub"] == "s"
    count = 0
    for place, old in enumerate(token):
        for new in "A_.x":
            other = token[:place] + new + token[place + 1 :]
            same = other.count(".") == 2 and [decoded(p) for p in other.split(".")] == [
                decoded(p) for p in token.split(".")
            ]
            if new == old or same:
                continue
            count += 1
            with pytest.raises((OidcRefusal, UnknownKey)):
                check_id_token(other, keys, expected)
    assert count > 2000
    for cut in range(len(token)):
        with pytest.raises((OidcRefusal, UnknownKey)):
            check_id_token(token[:cut], keys, expected)
