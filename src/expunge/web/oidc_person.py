"""Claims of an identity provider become a person of the desk, in the roles that the desk gives them."""

from __future__ import annotations

from typing import Any

from expunge.desk.desk import Desk
from expunge.desk.oidc_binding import bind_by_claim, binding_stamp, bound_person, check_subject
from expunge.desk.people import people
from expunge.desk.roles import SYSTEM, Actor
from expunge.errors import InputError
from expunge.web.accounts import SignedIn
from expunge.web.oidc_refusal import OidcRefusal
from expunge.web.oidc_settings import OidcSettings


def sign_in_subject(desk: Desk, settings: OidcSettings, claims: dict[str, Any]) -> SignedIn:
    """Who signs in, noted in the log.

    Raises:
        OidcRefusal: nobody of the desk is bound to the subject, and no claim may bind them.
    """
    claim = claims.get(settings.subject_claim)
    try:
        subject = check_subject(claim if isinstance(claim, str) else "")
    except InputError as error:
        raise OidcRefusal("token", settings.subject_claim) from error
    named = claimed_person(settings, claims)
    with desk.session(SYSTEM) as s:
        if named is not None:
            bind_by_claim(s, named, settings.issuer, subject)
        person = bound_person(s, settings.issuer, subject)
        roles = tuple(people(s).get(person or "", ()))
        stamp = binding_stamp(s, person) if person is not None and roles else None
    if person is None or stamp is None:
        raise OidcRefusal("unknown")
    with desk.session(Actor(person, roles[0])) as s:
        s.log("account.sign_in", {"person": person, "by": "oidc"})
    return SignedIn(person, roles, stamp)


def claimed_person(settings: OidcSettings, claims: dict[str, Any]) -> str | None:
    """The name in the claim of the settings, without its suffix; None where there is none, or an unverified address."""
    if settings.person_claim is None:
        return None
    value = claims.get(settings.person_claim)
    if not isinstance(value, str) or not value.endswith(settings.person_suffix):
        return None
    if settings.person_claim == "email" and claims.get("email_verified") is not True:
        return None
    return value.removesuffix(settings.person_suffix) or None


def log_refusal(desk: Desk, refusal: OidcRefusal) -> None:
    """The log holds that a sign-in was refused, and one word why."""
    with desk.session(SYSTEM) as s:
        s.log("account.refuse", {"known": False, "by": "oidc", "why": refusal.detail})
