"""Signing in: password and code, limits, set-up with a token, sessions and their end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

import pyotp

from expunge.desk.people import remove_person, set_person
from expunge.desk.roles import Refusal
from expunge.desk.rotation import rotate_keys
from expunge.errors import InputError
from expunge.web import accounts
from expunge.web.app import make_app
from expunge.web.settings import WebSettings
from expunge.web.tokens import make_token, token_actor
from helpers.desk import ADMIN, CLERK, DeskCase
from helpers.web import PASSWORD, SECRETS, WebVisit, web_desk
from helpers.web_log import log_rows

WRONG = "name, password or code is wrong"


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    return web_desk(tmp_path / "desk")


def test_the_hash_is_argon2id_of_64_mib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hashed = accounts.hash_password("correct horse battery")
    assert hashed.startswith("$argon2id$")
    assert "m=65536,t=3,p=1" in hashed
    assert accounts.password_fits(hashed, "correct horse battery")
    assert not accounts.password_fits(hashed, "correct horse batterY")
    assert not accounts.password_fits(None, "correct horse battery")
    assert not accounts.password_fits("no hash", "x")


@pytest.mark.parametrize("password", ["", "short", "x" * 257, "aaaaaaaaaaaaaaa", "carla-is-here-now"])
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(InputError, match="password"):
        accounts.hash_password(password, "carla")


def test_codes_of_rfc_6238_and_their_neighbors() -> None:
    """The secret and times of RFC 6238, appendix B, of which six digits are taken."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert accounts.code_step(secret, "287082", 59) == 1
    assert accounts.code_step(secret, " 081804 ", 1111111109) == 37037036
    assert accounts.code_step(secret, "287082", 59 + 30) == 1
    assert accounts.code_step(secret, "287082", 59 + 61) is None
    assert accounts.code_step(secret, "", 59) is None


def test_somebody_signs_in_and_out(case: DeskCase) -> None:
    visit = WebVisit(case)
    assert visit.get("/matches/x/text").headers["location"] == "/sign-in"
    visit.sign_in("carla")
    page = visit.get("/set-up")
    assert page.status_code == 200
    assert visit.get("/sign-in").status_code == 303
    assert log_rows(case, "account.sign_in") == [("carla", '{"person":"carla"}')]
    assert visit.fill("/sign-out", page="/set-up").headers["location"] == "/sign-in"
    assert visit.get("/sign-in").status_code == 200


@pytest.mark.parametrize(
    ("person", "password", "code"),
    [
        ("carla", PASSWORD, "000000"),
        ("carla", "wrong password", None),
        ("nobody", PASSWORD, None),
        ("carla", "", None),
        ("Anna Weiß", "Anna Weiß", "x"),
    ],
)
def test_a_wrong_sign_in_tells_nothing(case: DeskCase, person: str, password: str, code: str | None) -> None:
    visit = WebVisit(case)
    code = code or visit.code("carla")
    answer = visit.fill("/sign-in", person=person, password=password or "-", code=code)
    assert answer.status_code == 403
    assert WRONG in answer.text
    assert "session" not in str(visit.cookies)
    ((actor, body),) = log_rows(case, "account.refuse")
    assert actor == "system"
    assert "Wei" not in body
    assert PASSWORD not in body


def test_a_code_is_taken_once(case: DeskCase) -> None:
    visit, code = WebVisit(case), WebVisit(case).code("carla")
    assert visit.fill("/sign-in", person="carla", password=PASSWORD, code=code).status_code == 303
    again = WebVisit(case)
    answer = again.fill("/sign-in", person="carla", password=PASSWORD, code=code)
    assert answer.status_code == 403
    assert WRONG in answer.text
    case.clock.move(seconds=-30)  # an older code, which the drift would allow
    assert again.fill("/sign-in", person="carla", password=PASSWORD, code=again.code("carla")).status_code == 403
    case.clock.move(seconds=60)
    assert again.fill("/sign-in", person="carla", password=PASSWORD, code=again.code("carla")).status_code == 303


def test_wrong_attempts_lock_for_a_time_that_doubles(case: DeskCase) -> None:
    visit = WebVisit(case, settings=WebSettings(sign_ins_per_minute=100))
    for _ in range(5):
        visit.fill("/sign-in", person="carla", password=PASSWORD, code="000000")
    right = {"person": "carla", "password": PASSWORD}
    assert visit.fill("/sign-in", **right, code=visit.code("carla")).status_code == 403
    case.clock.move(seconds=61)
    visit.fill("/sign-in", person="carla", password=PASSWORD, code="000000")
    case.clock.move(seconds=61)
    assert visit.fill("/sign-in", **right, code=visit.code("carla")).status_code == 403
    case.clock.move(seconds=61)
    assert visit.fill("/sign-in", **right, code=visit.code("carla")).status_code == 303
    bodies = [body for _, body in log_rows(case, "account.refuse")]
    assert '"failures":6' in bodies[-2]


def set_up(visit: WebVisit, token: str, person: str = "carla", password: str = "a new one of words") -> str:
    answer = visit.fill("/set-up", page="/set-up", person=person, token=token, password=password)
    assert answer.status_code == 200, answer.text
    assert answer.text.count("<svg ") == 1
    assert "style=" not in answer.text
    match = re.search(r"<code>([A-Z2-7]{32})</code>", answer.text)
    assert match
    return match[1]


def test_an_account_is_set_up_with_a_token(case: DeskCase) -> None:
    with case.desk.session(ADMIN) as s:
        token = accounts.open_account(s, "carla")
    visit = WebVisit(case)
    assert visit.fill("/sign-in", person="carla", password=PASSWORD, code=visit.code("carla")).status_code == 403
    secret = set_up(visit, token)
    now = pyotp.TOTP(secret).at(case.clock.now)
    code = {"page": "/set-up", "person": "carla", "token": token}
    wrong = visit.fill("/set-up/code", **code, code="000000")
    assert wrong.status_code == 400
    assert visit.fill("/sign-in", person="carla", password="a new one of words", code=now).status_code == 403
    assert visit.fill("/set-up/code", **code, code=now).status_code == 303
    assert visit.fill("/sign-in", person="carla", password="a new one of words", code=now).status_code == 403, "used"
    case.clock.move(seconds=90)
    now = pyotp.TOTP(secret).at(case.clock.now)
    assert visit.fill("/sign-in", person="carla", password="a new one of words", code=now).status_code == 303
    assert (
        visit.fill("/set-up", page="/set-up", person="carla", token=token, password="another of words").status_code
        == 403
    )
    raw = b"".join(f.read_bytes() for f in case.folder.glob("desk.db*"))
    for hidden in (token, secret, "a new one of words"):
        assert hidden.encode() not in raw
    assert [actor for actor, _ in log_rows(case, "account.enrol")] == ["carla"]


@pytest.mark.parametrize("trouble", ["wrong", "of another", "old", "left"])
def test_a_token_that_does_not_hold_sets_up_nothing(case: DeskCase, trouble: str) -> None:
    with case.desk.session(ADMIN) as s:
        token = accounts.open_account(s, "carla")
        other = accounts.open_account(s, "rita")
    if trouble == "old":
        case.clock.move(hours=25)
    if trouble == "left":
        with case.desk.session(ADMIN) as s:
            remove_person(s, "carla")
    given = {"wrong": "x" * 32, "of another": other}.get(trouble, token)
    answer = WebVisit(case).fill("/set-up", page="/set-up", person="carla", token=given, password="a new one of words")
    assert answer.status_code == 403
    assert "name or token is wrong" in answer.text


def test_guesses_do_not_prolong_a_lock_of_a_set_up(case: DeskCase) -> None:
    with case.desk.session(ADMIN) as s:
        token = accounts.open_account(s, "carla")

    def guess() -> None:
        with pytest.raises(InputError, match="name or token is wrong"):
            accounts.begin_enrolment(case.desk, "carla", "x" * 32, "a new one of words")

    for _ in range(5):
        guess()
    for _ in range(6):  # the lock of a minute holds
        case.clock.move(seconds=9)
        guess()
    with pytest.raises(InputError, match="name or token is wrong"):
        accounts.begin_enrolment(case.desk, "carla", token, "a new one of words")
    case.clock.move(seconds=7)
    assert accounts.begin_enrolment(case.desk, "carla", token, "a new one of words")


def test_an_admin_sets_a_password_and_the_person_the_code(case: DeskCase) -> None:
    with case.desk.session(ADMIN) as s:
        token = accounts.open_account(s, "carla", "set by an admin")
    secret = set_up(WebVisit(case), token, password="")
    accounts.finish_enrolment(case.desk, "carla", token, pyotp.TOTP(secret).at(case.clock.now))
    case.clock.move(seconds=60)
    assert accounts.sign_in(case.desk, "carla", "set by an admin", pyotp.TOTP(secret).at(case.clock.now)).roles == (
        "clerk",
    )


def test_only_an_admin_opens_accounts(case: DeskCase) -> None:
    with pytest.raises(Refusal, match="role"), case.desk.session(CLERK) as s:
        accounts.open_account(s, "carla")
    with pytest.raises(InputError, match="unknown person"), case.desk.session(ADMIN) as s:
        accounts.open_account(s, "nobody")


END: dict[str, Any] = {
    "idle": lambda case: case.clock.move(minutes=15),
    "account opened anew": lambda case: admin(case, lambda s: accounts.open_account(s, "carla")),
    "account closed": lambda case: admin(case, lambda s: accounts.close_account(s, "carla")),
    "person leaves": lambda case: admin(case, lambda s: remove_person(s, "carla")),
    "role taken away": lambda case: admin(case, lambda s: set_person(s, "carla", ["viewer"])),
}


def admin(case: DeskCase, do: Any) -> None:
    with case.desk.session(ADMIN) as s:
        do(s)


@pytest.mark.parametrize("how", END)
def test_a_session_ends(case: DeskCase, how: str) -> None:
    visit = WebVisit(case).sign_in("carla")
    assert visit.get("/sign-in").status_code == 303, "signed in"
    END[how](case)
    assert visit.get("/matches/x/text").headers["location"] == "/sign-in"


def test_clicks_renew_a_session_and_polls_do_not(case: DeskCase) -> None:
    visit = WebVisit(case).sign_in("carla")
    for _ in range(3):
        case.clock.move(minutes=10)
        assert visit.get("/sign-in").status_code == 303
    sessions = visit.app.state.web.sessions
    token = next(value for name, value in visit.cookies.items() if "session" in name)
    case.clock.move(minutes=10)
    assert sessions.find(token, renew=False)
    case.clock.move(minutes=6)
    assert sessions.find(token) is None


def test_a_session_ends_after_hours_whatever_is_clicked(case: DeskCase) -> None:
    visit = WebVisit(case, settings=WebSettings(session_hours=1, requests_per_minute=1000)).sign_in("carla")
    for _ in range(5):
        case.clock.move(minutes=11)
        assert visit.get("/sign-in").status_code == 303
    case.clock.move(minutes=6)
    assert visit.get("/sign-in").status_code == 200


def test_a_person_has_ten_sessions_at_most(case: DeskCase) -> None:
    sessions = make_app(case.desk).state.web.sessions
    tokens = []
    for _ in range(12):
        case.clock.move(seconds=1)
        tokens.append(sessions.begin("carla", "clerk", "x"))
    assert [sessions.find(token) is not None for token in tokens] == [False, False] + [True] * 10


def test_a_stolen_memory_of_sessions_holds_no_token(case: DeskCase) -> None:
    sessions = make_app(case.desk).state.web.sessions
    token = sessions.begin("carla", "clerk", "x")
    assert token not in repr(sessions.__dict__)


def test_who_has_several_roles_picks_one(case: DeskCase) -> None:
    with case.desk.session(ADMIN) as s:
        set_person(s, "carla", ["clerk", "viewer"])
    visit = WebVisit(case).sign_in("carla")

    def role() -> str:
        token = next(value for name, value in visit.cookies.items() if "session" in name)
        session = visit.app.state.web.sessions.find(token)
        assert session.role in visit.get("/set-up").text
        return str(session.role)

    assert role() == "clerk"
    assert visit.fill("/role", page="/set-up", role="viewer").status_code == 303
    assert role() == "viewer"
    for other in ("approver", "system", "subject", ""):
        assert visit.fill("/role", page="/set-up", role=other).status_code in (400, 403)
    assert role() == "viewer"


def test_codes_work_after_a_rotation_of_keys(case: DeskCase) -> None:
    rotate_keys(case.desk, ADMIN)
    WebVisit(case).sign_in("carla")


def test_a_desk_of_before_gets_the_tables(tmp_path: Path) -> None:
    from sqlalchemy import text

    from expunge.desk.desk import Desk
    from expunge.desk.web_tables import ALL

    case = web_desk(tmp_path / "desk")
    if case.desk.engine.dialect.name != "sqlite":
        pytest.skip("one database is enough")
    with case.desk.engine.begin() as conn:
        for table in reversed(ALL):
            conn.execute(text(f"DROP TABLE {table.name}"))
        conn.execute(text("UPDATE schema_version SET number = 1"))
    case.desk.close()
    opened = Desk.open(case.folder, case.clock)
    with opened.session(ADMIN) as s:
        accounts.set_account(s, "carla", PASSWORD, SECRETS["carla"])
    assert (
        accounts.sign_in(opened, "carla", PASSWORD, pyotp.TOTP(SECRETS["carla"]).at(case.clock.now)).person == "carla"
    )


@pytest.mark.parametrize("single", [True, False])
def test_single_person_mode_is_said_on_every_page(tmp_path: Path, single: bool) -> None:
    case = web_desk(tmp_path / "desk", single_person=single)
    visit = WebVisit(case)
    for path in ("/sign-in", "/set-up", "/gate", "/nowhere"):
        assert ("one person" in visit.get(path).text) == single, path
    visit.sign_in("carla")
    for path in ("/set-up", "/gate", "/nowhere"):
        assert ("one person" in visit.get(path).text) == single, path


def test_who_left_comes_back_without_the_old_token_and_password(case: DeskCase) -> None:
    with case.desk.session(ADMIN) as s:
        accounts.set_account(s, "carla", "four plain words here", "JBSWY3DPEHPK3PXP")
        _, token = make_token(s, "carla", "clerk")
        remove_person(s, "carla")
        set_person(s, "carla", ["clerk"])
        assert token_actor(s, token) is None
        assert accounts.account_states(s)["carla"] == "none"
        with pytest.raises(InputError, match="nosuch"):
            accounts.close_account(s, "nosuch")
