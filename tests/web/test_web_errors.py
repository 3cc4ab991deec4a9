"""Errors as a visitor sees them: statuses by kind, and messages without what came with the request."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

from expunge.desk.roles import Refusal
from expunge.errors import InputError, RunFailed
from expunge.web.errors import Turned, leaves, redact, status_of
from expunge.web.limits import BodyTooLarge


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


def test_all_texts_of_a_value_count() -> None:
    assert sorted(leaves({"a": ["b", {"c": "d"}], "e": 1, "f": None})) == ["a", "b", "c", "d", "e", "f"]


def test_a_turned_visit_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(Turned(403, "what", "hint", "where")))
    assert (again.status, again.what, again.hint, again.where) == (403, "what", "hint", "where")
