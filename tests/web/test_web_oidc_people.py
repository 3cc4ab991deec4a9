"""Which subject of a provider is whom: bound by an admin, or by a claim where the settings say so."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("authlib")
pytest.importorskip("fastapi")

from sqlalchemy import select, text

from expunge.desk.approvers import access_grants
from expunge.desk.desk import Desk
from expunge.desk.keys import KeyRing
from expunge.desk.migrations import STEPS, migrate
from expunge.desk.oidc_binding import bind_by_claim, bind_subject, binding_stamp, bound_person
from expunge.desk.oidc_tables import oidc_account
from expunge.desk.people import remove_person, set_person
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.rotation import rotate_keys
from expunge.errors import InputError
from expunge.web.accounts import account_states, close_account, open_account
from helpers.desk import ADMIN, CLERK
from helpers.web_log import log_rows
from helpers.web_oidc import OidcCase, is_in, way

ISSUER = "https://login.example/realm"


def refused(stage: OidcCase, **changes: Any) -> bool:
    visit = stage.visit(**changes)
    answer = way(visit)
    assert answer.status_code in (200, 403)
    return answer.status_code == 403 and not is_in(visit)


def test_only_an_admin_binds_and_only_people_of_the_desk(stage: OidcCase) -> None:
    desk = stage.case.desk
    with pytest.raises(Refusal, match="may not do this"), desk.session(CLERK) as s:
        bind_subject(s, "rita", ISSUER, "x")
    with desk.session(ADMIN) as s:
        with pytest.raises(InputError, match="unknown person"):
            bind_subject(s, "nobody", ISSUER, "x")
        for subject in ("", "x" * 256, "a\nb", "ä"):
            with pytest.raises(InputError, match="subject"):
                bind_subject(s, "rita", ISSUER, subject)
        bind_subject(s, "rita", ISSUER, "one")
        with pytest.raises(Refusal, match="is bound to rita"):
            bind_subject(s, "olga", ISSUER, "one")
        bind_subject(s, "olga", "https://other.example", "one")  # the same subject of another issuer is somebody else
        assert (bound_person(s, ISSUER, "one"), bound_person(s, "https://other.example", "one")) == ("rita", "olga")
        bind_subject(s, "rita", ISSUER, "two")
        assert bound_person(s, ISSUER, "one") is None
    assert log_rows(stage.case, "account.bind")[-1] == ("adam", '{"by":"admin","person":"rita"}')


def test_who_binds_an_approver_is_asked_about_as_who_opens_an_account(stage: OidcCase) -> None:
    desk = stage.case.desk
    with desk.session(ADMIN) as s:
        before = access_grants(s)["anna"]
    stage.case.clock.move(minutes=1)
    with desk.session(ADMIN) as s:
        bind_subject(s, "anna", ISSUER, "sub-adam")
    with desk.session(SYSTEM) as s:
        bound = access_grants(s)["anna"]
        assert bind_by_claim(s, "olga", ISSUER, "sub-olga")
        assert [each.what for each in access_grants(s)["olga"]] == ["account"], "opened by the test, not by the claim"
    assert [each.what for each in before] == [each.what for each in bound] == ["role", "account"]
    assert bound[1].admin == "adam"
    assert bound[1].at > before[1].at
    assert bound[0] == before[0]


def test_what_is_stored_is_no_subject_and_survives_a_new_key(stage: OidcCase) -> None:
    desk = stage.case.desk
    with desk.reading(SYSTEM) as s:
        before = s.conn.execute(select(oidc_account)).mappings().one()
        stamp = binding_stamp(s, "carla")
    assert b"sub-carla" not in before["ciphertext"]
    rotate_keys(desk, ADMIN)
    ring = desk.keys
    desk.keys = KeyRing(ring.current, {ring.current: ring.keys[ring.current]})
    with desk.reading(SYSTEM) as s:
        after = s.conn.execute(select(oidc_account)).mappings().one()
        assert bound_person(s, stage.idp.issuer, "sub-carla") == "carla"
        assert binding_stamp(s, "carla") == stamp
    assert before["digest"] != after["digest"]
    assert not refused(stage)


def test_whoever_leaves_or_is_shut_out_does_not_come_back(stage: OidcCase) -> None:
    desk = stage.case.desk
    stage.idp.claims = {"preferred_username": "carla"}
    for by_claim in ({}, {"person_claim": "preferred_username"}):
        assert not refused(stage, **by_claim)
    with desk.session(ADMIN) as s:
        remove_person(s, "carla")
    for by_claim in ({}, {"person_claim": "preferred_username"}):
        assert refused(stage, **by_claim)
    with desk.session(ADMIN) as s:
        set_person(s, "carla", ["clerk"])  # perhaps somebody else of this name
    for by_claim in ({}, {"person_claim": "preferred_username"}):
        assert refused(stage, **by_claim)
    with desk.session(ADMIN) as s:
        open_account(s, "carla")
    assert refused(stage)
    assert not refused(stage, person_claim="preferred_username")


def test_a_person_without_roles_is_refused(stage: OidcCase) -> None:
    with stage.case.desk.session(ADMIN) as s:
        set_person(s, "carla", [])
    assert refused(stage)


def test_a_claim_binds_once_and_then_the_subject_counts(stage: OidcCase) -> None:
    claim = {"person_claim": "preferred_username", "person_suffix": "@hospital.example"}
    stage.idp.subject, stage.idp.claims = "sub-rita", {"preferred_username": "rita@hospital.example"}
    assert refused(stage), "without the setting no claim counts"
    assert not refused(stage, **claim)
    assert not refused(stage), "bound now"
    assert json.loads(log_rows(stage.case, "account.bind")[-1][1]) == {"by": "claim", "person": "rita"}
    stage.idp.subject = "sub-stranger"  # a name that was given to somebody else
    assert refused(stage, **claim)
    stage.idp.subject, stage.idp.claims = "sub-rita", {"preferred_username": "adam@hospital.example"}
    visit = stage.visit(**claim)
    way(visit)
    assert "<strong>rita</strong>" in visit.get("/").text, "a renamed account stays who it is"


def test_another_claim_can_be_the_subject(stage: OidcCase) -> None:
    """Entra makes a `sub` for each application, which nobody can look up; its `oid` stands in the directory."""
    with stage.case.desk.session(ADMIN) as s:
        bind_subject(s, "rita", stage.idp.issuer, "oid-rita")
    stage.idp.subject = "oid-rita"
    assert refused(stage, subject_claim="oid"), "there is none in the token"
    for wrong in (7, None, ["oid-rita"], {"oid-rita": 1}, True, ""):
        stage.idp.claims = {"oid": wrong}
        assert refused(stage, subject_claim="oid")
    stage.idp.subject, stage.idp.claims = "sub-carla", {"oid": "oid-rita"}
    visit = stage.visit(subject_claim="oid")
    way(visit)
    assert "<strong>rita</strong>" in visit.get("/").text


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"preferred_username": "rita"},
        {"preferred_username": "rita@other.example"},
        {"preferred_username": "@hospital.example"},
        {"preferred_username": "RITA@hospital.example"},
        {"preferred_username": "nobody@hospital.example"},
        {"preferred_username": "system@hospital.example"},
        {"preferred_username": ["rita@hospital.example"]},
        {"preferred_username": None},
    ],
)
def test_a_claim_that_names_nobody_is_refused(stage: OidcCase, claims: dict[str, Any]) -> None:
    stage.idp.subject, stage.idp.claims = "sub-new", claims
    assert refused(stage, person_claim="preferred_username", person_suffix="@hospital.example")
    assert log_rows(stage.case, "account.bind")[1:] == []


def test_an_address_counts_if_the_provider_verified_it(stage: OidcCase) -> None:
    claim = {"person_claim": "email", "person_suffix": "@hospital.example"}
    stage.idp.subject = "sub-olga"
    for verified in (None, False, "true", 1):
        stage.idp.claims = {"email": "olga@hospital.example", "email_verified": verified}
        assert refused(stage, **claim), verified
    stage.idp.claims = {"email": "olga@hospital.example", "email_verified": True}
    assert not refused(stage, **claim)


def test_the_page_of_people_says_who_signs_in_where(stage: OidcCase) -> None:
    with stage.case.desk.session(ADMIN) as s:
        for person in ("carla", "rita"):
            close_account(s, person)
        bind_subject(s, "carla", stage.idp.issuer, "sub-carla")
        states = account_states(s)
    assert (states["carla"], states["rita"], states["olga"]) == ("oidc", "none", "ready")
    page = stage.visit().sign_in("adam").get("/people")
    assert "signs in at the identity provider" in page.text


def test_an_older_database_gets_the_table(stage: OidcCase) -> None:
    desk = stage.case.desk
    with desk.session(SYSTEM) as s:
        s.conn.execute(text("DROP TABLE oidc_account"))
        s.conn.execute(text("UPDATE schema_version SET number = 3"))
        assert migrate(s.conn) == len(STEPS)
    with Desk.open(desk.folder).session(ADMIN) as s:
        bind_subject(s, "carla", stage.idp.issuer, "sub-carla")
    assert not refused(stage)
