"""Encryption at its place, blind indexes, rotation, and names of rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cryptography")
pytest.importorskip("rfc8785")

from expunge.desk.keys import KeyRing, normalize, parse_body
from expunge.desk.names import ALPHABET, moment, new_id, new_reference, read_reference, stamp
from expunge.desk.roles import Refusal
from expunge.errors import InputError

PLACE = ("identifier", "ciphertext", "row-1")


def test_a_value_decrypts_at_its_own_place_only(tmp_path: Path) -> None:
    ring = KeyRing.create(tmp_path / "keys.json")
    data = ring.encrypt("Anna Weiß", PLACE)
    assert ring.decrypt(data, PLACE, "k1") == "Anna Weiß"
    assert ring.encrypt("Anna Weiß", PLACE) != data
    for other in (("reason", *PLACE[1:]), (*PLACE[:2], "row-2"), ("identifier", "kind", "row-1")):
        with pytest.raises(Refusal, match="changed or moved"):
            ring.decrypt(data, other, "k1")
    for k in range(len(data)):
        bad = bytearray(data)
        bad[k] ^= 1
        with pytest.raises(Refusal):
            ring.decrypt(bytes(bad), PLACE, "k1")


def test_rotation_keeps_old_values_readable(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    old = KeyRing.create(file)
    data = old.encrypt("x", PLACE)
    new = KeyRing.load(file).with_new_key(file)
    assert (new.current, KeyRing.load(file).decrypt(data, PLACE, "k1")) == ("k2", "x")
    assert new.index("name", "Anna") != old.index("name", "Anna")
    with pytest.raises(InputError, match="holds no key k1"):
        KeyRing("k2", {"k2": new.keys["k2"]}).decrypt(data, PLACE, "k1")


def test_key_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    KeyRing.create(file)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="is there already"):
        KeyRing.create(file)
    file.chmod(0o644)
    with pytest.raises(InputError, match="read by others"):
        KeyRing.load(file)
    assert "keys.json" not in repr(KeyRing("k1", {"k1": b"x" * 32}))


@pytest.mark.parametrize(
    "content", ["", "{}", '{"current": "k1", "keys": {}}', '{"current": "k1", "keys": {"k1": "AA=="}}']
)
def test_a_wrong_key_file_is_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(content, "utf-8")
    file.chmod(0o600)
    with pytest.raises(InputError):
        KeyRing.load(file)
    file.unlink()
    with pytest.raises(InputError, match="restore the key file"):
        KeyRing.load(file)


def test_equal_identifiers_have_equal_indexes() -> None:
    ring = KeyRing("k1", {"k1": b"k" * 32})
    assert ring.index("name", " anna  WEIß ") == ring.index("name", "Anna Weiß")
    assert ring.index("record_number", "PAT 102") == ring.index("record_number", "pat-102")
    assert ring.index("name", "Anna") != ring.index("other", "Anna")
    assert normalize("email", " A@B.de ") == "a@b.de"


def test_ids_sort_by_time_and_differ() -> None:
    ids = [new_id(k) for k in (1, 2, 3)]
    assert ids == sorted(ids)
    assert len({new_id() for _ in range(1000)}) == 1000
    assert {name[14] for name in ids} == {"7"}


def test_stamp_and_moment() -> None:
    from datetime import datetime, timedelta, timezone

    local = datetime(2026, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert stamp(local) == "2026-02-28T23:00:00.000000Z"
    assert moment(stamp(local)) == local


@given(st.integers(0, 8), st.sampled_from(ALPHABET), st.integers(0, 7))
def test_a_wrong_or_swapped_letter_of_a_reference_is_found(place: int, letter: str, swap: int) -> None:
    reference = new_reference()
    letters = list(reference.replace("-", "")[1:])
    assert read_reference(reference.lower()) == reference
    wrong = letters.copy()
    wrong[place] = letter
    if wrong != letters:
        with pytest.raises(InputError):
            read_reference("".join(wrong))
    turned = letters.copy()
    turned[swap], turned[swap + 1] = turned[swap + 1], turned[swap]
    if turned != letters and swap < 7:
        with pytest.raises(InputError):
            read_reference("".join(turned))


def test_a_rotation_writes_everything_anew_and_can_be_broken_off(tmp_path: Path) -> None:
    pytest.importorskip("holidays")
    from sqlalchemy import select

    from expunge.desk import tables as t
    from expunge.desk.desk import Desk
    from expunge.desk.event_log import log_problems
    from expunge.desk.identity import verified_identifiers
    from expunge.desk.matching import confirmed_objects
    from expunge.desk.roles import SYSTEM
    from expunge.desk.rotation import rotate_keys
    from helpers.desk import ADMIN, CLERK, make_desk, new_request, to_review

    case = make_desk(tmp_path / "desk")
    request_id = to_review(case)
    with pytest.raises(Refusal, match="role"):
        rotate_keys(case.desk, CLERK)
    KeyRing.load(case.folder / "keys.json").with_new_key(case.folder / "keys.json")  # a rotation that was broken off
    assert rotate_keys(case.desk, ADMIN) == 4
    assert case.desk.keys.current == "k2"
    assert rotate_keys(case.desk, ADMIN) == 4
    assert case.desk.keys.current == "k3"
    case.desk.close()
    case.desk = Desk.open(case.folder, case.clock)
    with case.desk.reading(SYSTEM) as s:
        assert [value for _, _, value in verified_identifiers(s, request_id)] == ["Anna Weiß", "PAT-102"]
        notes = s.conn.execute(select(t.asset.c.id).where(t.asset.c.name == "notes")).scalar_one()
        assert confirmed_objects(s, request_id, notes) == ["PAT-102-d", "PAT-102-m"]
        assert log_problems(s.conn) == []
    from expunge.desk.requests import requests_like

    second = new_request(case)
    with case.desk.reading(SYSTEM) as s:
        assert requests_like(s, second) == [request_id]


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"a":NaN}', "[1]", "null", "{"])
def test_a_stored_body_has_one_reading(text: str) -> None:
    with pytest.raises(InputError):
        parse_body(text)
