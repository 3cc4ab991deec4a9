"""Errors as a visitor sees them: statuses by kind, and messages without what came with the request."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

from expunge.desk.facts import request_row
from expunge.desk.roles import Refusal
from expunge.errors import InputError, RunFailed
from expunge.web.errors import Turned, leaves, redact, status_of
from expunge.web.json_body import check_unique_keys
from expunge.web.limits import BodyTooLarge
from expunge.web.short_paths import shorten_paths, shorten_place


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("a", "b"), 400),
        (Refusal("a", "b", kind="role"), 403),
        (Refusal("a", "b", kind="missing"), 404),
        (Refusal("a", "b", kind="state"), 409),
        (Refusal("a", "b", kind="guard"), 409),
        (Refusal("a", "b", kind="conflict"), 409),
        (BodyTooLarge(2**20), 413),
        (Turned(429, "b"), 429),
        (RunFailed("database", "did not answer"), 503),
    ],
)
def test_each_kind_has_a_status(error: InputError, status: int) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize(
    ("text", "sent", "shown"),
    [
        ('unknown ground "Anna Weiß"; did you mean', ["Anna Weiß"], 'unknown ground "…"; did you mean'),
        ('unknown key "anna"; known: name', ["anna=1"], 'unknown key "…"; known: name'),
        ("asset Anna: there is none", ["Anna was here"], "asset …: there is none"),
        ('the role "clerk" may not do this', ["clerk"], 'the role "clerk" may not do this'),
        ("not possible in the state scoping", ["scoping", "the state of it"], "not possible in the state scoping"),
        ("--set x=Wei: is wrong", ["x=Wei"], "--set …: is wrong"),
        ("the policy gdpr@1 has no extension", ["", " "], "the policy gdpr@1 has no extension"),
        ("E-7K3M-9QV2-4 is closed", ["E-7K3M-9QV2-4"], "… is closed"),
    ],
)
def test_a_message_without_what_was_sent(text: str, sent: list[str], shown: str) -> None:
    assert redact(text, sent) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the file /srv/desk/ward.jsonl could not be read", "the file ward.jsonl could not be read"),
        ("/srv/desk/runs/ab/audit.json:3: is no JSON", "runs/ab/audit.json:3: is no JSON"),
        ("/srv/desk is no desk", "the desk is no desk"),
        ("chmod 600 /etc/keys/desk.key", "chmod 600 desk.key"),
        ('"/srv/desk2/x.jsonl" is gone', '"x.jsonl" is gone'),
        (r"C:\Users\carla\x.jsonl is gone", "x.jsonl is gone"),
        ("/srv/other/ is gone", "other is gone"),
        ("see /api/openapi.json", "see /api/openapi.json"),
        ("send application/json and/or text; see docs/guides/desk.md", None),
        ("https://desk.example/x is no address", None),
        ("1/2 of it", None),
    ],
)
def test_a_message_shows_no_folder_of_the_server(text: str, shown: str | None) -> None:
    assert shorten_paths(text, Path("/srv/desk")) == (text if shown is None else shown)


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("/srv/desk/my data/ward.jsonl", "my data/ward.jsonl"),
        ("/mnt/my data/ward.jsonl:3", "ward.jsonl:3"),
        ("--port", "--port"),
        ("asset notes", "asset notes"),
    ],
)
def test_a_place_with_spaces_is_cut_whole(where: str, shown: str) -> None:
    assert shorten_place(where, Path("/srv/desk")) == shown


@pytest.mark.parametrize("is_api", [True, False])
def test_a_corpus_that_is_gone_shows_no_folder(tmp_path: Path, is_api: bool) -> None:
    from helpers.desk import CLERK, new_request, verify
    from helpers.web import ApiClient, WebVisit, web_desk

    case = web_desk(tmp_path / "desk")
    request_id = new_request(case)
    verify(case, request_id)
    case.event(CLERK, request_id, "begin_scoping")
    (case.folder / "ward.jsonl").unlink()
    if is_api:
        answer = ApiClient(case).post(f"/requests/{request_id}/search", "carla")
    else:
        visit = WebVisit(case).sign_in("carla")
        with case.desk.reading(CLERK) as s:
            page = f"/requests/{request_row(s, request_id)['reference']}"
        answer = visit.fill(f"{page}/search", page)
    assert answer.status_code == 400
    assert "ward.jsonl" in answer.text
    assert str(tmp_path) not in answer.text


def test_a_body_names_each_key_once(tmp_path: Path) -> None:
    from helpers.web import ApiClient, web_desk

    api = ApiClient(web_desk(tmp_path / "desk"))
    body = b'{"identifiers": {"name": "Anna", "name": "Berta"}}'
    answer = api.call("POST", "/requests", "carla", content=body)
    assert (answer.status_code, answer.json()["error"]["what"]) == (400, "holds a key twice")
    check_unique_keys(b"")
    check_unique_keys(b"{")
    check_unique_keys(b"9" * 5000)


def test_all_texts_of_a_value_count() -> None:
    assert sorted(leaves({"a": ["b", {"c": "d"}], "e": 1, "f": None})) == ["a", "b", "c", "d", "e", "f"]


def test_a_turned_visit_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(Turned(403, "what", "hint", "where")))
    assert (again.status, again.what, again.hint, again.where) == (403, "what", "hint", "where")
