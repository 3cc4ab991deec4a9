"""Commitments to records under a key of one request."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.errors import InputError
from expunge.evidence.commitment import (
    Disclosure,
    commit,
    disclose,
    is_disclosed,
    load_disclosure,
    load_record_key,
    make_key,
    record_value,
    save_record_key,
    selection_value,
)
from expunge.evidence.verification import VerificationInputs, verify_bytes
from helpers.evidence import LATER, EvidenceCase, trust_of

KEY = bytes(range(32))
RECORDS = [{"id": f"r{k}", "prompt": "allergy?", "answer": name} for k, name in enumerate(("ragweed", "nuts", "dust"))]


def test_a_value_by_hand() -> None:
    text = b'expunge/record-commitment/v1\0forget\0{"answer":"ragweed","id":"r0","prompt":"allergy?"}'
    assert record_value(KEY, "forget", RECORDS[0]) == hmac.new(KEY, text, hashlib.sha256).digest()


def test_the_scope_is_named_under_the_key_alone(case: EvidenceCase) -> None:
    value = selection_value(KEY, "patient:P-1")
    assert value == hmac.new(KEY, b"expunge/record-commitment/v1\0scope\0patient:P-1", hashlib.sha256).hexdigest()
    assert value.encode() in case.make(selection=value).payload
    assert b'"selection":""' in case.make().payload


def test_one_record_alone_is_its_leaf() -> None:
    leaf = hashlib.sha256(b"\0" + record_value(KEY, "forget", RECORDS[0])).hexdigest()
    assert commit(KEY, "forget", RECORDS[:1]).root == leaf


def test_order_does_not_count_and_everything_else_does() -> None:
    whole = commit(KEY, "forget", RECORDS)
    assert commit(KEY, "forget", RECORDS[::-1]) == whole
    assert commit(make_key(), "forget", RECORDS).root != whole.root
    assert commit(KEY, "retain", RECORDS).root != whole.root
    assert commit(KEY, "forget", [*RECORDS[:2], RECORDS[2] | {"answer": "mites"}]).root != whole.root


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.data())
def test_every_record_can_be_disclosed_and_no_other(size: int, data: st.DataObject) -> None:
    records = [{"id": k} for k in range(size)]
    commitment = commit(KEY, "forget", records)
    k = data.draw(st.integers(0, size - 1))
    shown = disclose(KEY, "forget", records, {"id": k})
    assert is_disclosed(shown, commitment)
    for change in ({"record": {"id": size}}, {"key": "0" * 64}, {"index": shown.index + 1}, {"set": "retain"}):
        assert not is_disclosed(shown.model_copy(update=change), commitment)
    with pytest.raises(InputError, match="is not in the forget set"):
        disclose(KEY, "forget", records, {"id": size})


def test_the_key_file(tmp_path: Path) -> None:
    file = save_record_key(KEY, tmp_path / "key")
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_record_key(file) == KEY
    with pytest.raises(InputError, match="never overwritten"):
        save_record_key(KEY, file)
    file.write_text("abc")
    with pytest.raises(InputError, match="holds no key of 32 bytes"):
        load_record_key(file)


def test_a_certificate_with_commitments(case: EvidenceCase) -> None:
    records = [{"id": k, "answer": "ragweed"} for k in range(12)]
    made = case.make(commitments={"forget": commit(KEY, "forget", records)}, key_fate="held")
    assert b"ragweed" not in made.payload

    def said(*disclosures: Disclosure) -> list[str]:
        inputs = VerificationInputs(at=LATER, disclosures=disclosures)
        lines = verify_bytes(made.as_bytes(), "cert", trust_of(), inputs).report.lines
        return [line.text for line in lines if line.outcome == "invalid"]

    good = disclose(KEY, "forget", records, records[3])
    assert said(good) == []
    assert "is not in the committed forget set" in said(good.model_copy(update={"record": {"id": 99}}))[0]
    assert "is not in the committed forget set" in said(good.model_copy(update={"path": ("zz",)}))[0]
    assert said(good.model_copy(update={"set": "holdout"})) == ["there is no commitment to the holdout set"]


def test_a_disclosure_file(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    shown = disclose(KEY, "forget", RECORDS, RECORDS[1])
    file.write_text(shown.model_dump_json())
    assert load_disclosure(file) == shown
    file.write_text(json.dumps({"set": "forget"}))
    with pytest.raises(InputError, match='"key" is missing'):
        load_disclosure(file)
    file.write_text("[]")
    with pytest.raises(InputError, match="is no disclosure"):
        load_disclosure(file)
