"""Certificates that a desk signs: two keys, one certificate per request, and nothing twice."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("securesystemslib")

from sqlalchemy import select

from expunge._io import write_atomic
from expunge.desk import tables as t
from expunge.desk.certificates import certificate_view, check_promotable, sign_certificate, take_signed
from expunge.desk.certify import make_certificates
from expunge.desk.condition import desk_condition
from expunge.desk.dispatch import notify_accepted
from expunge.desk.evidence_log import anchor_daily, anchor_problems
from expunge.desk.facts import latest_plan, request_row
from expunge.desk.plans import approve_plan, approve_promotion
from expunge.desk.probes import CERTIFICATE_KEY, request_key
from expunge.desk.receipts import issue_receipts, receipts
from expunge.desk.record_period import purge_records
from expunge.desk.roles import SYSTEM, Actor, Refusal
from expunge.desk.run_steps import audit, certify, unlearn
from expunge.desk.signing import load_keys
from expunge.desk.workflows import VERSION
from expunge.desk.workshop import Workshop
from expunge.errors import InputError
from expunge.evidence.envelope import load_envelope, save_envelope
from expunge.evidence.merkle_log import MerkleLog
from expunge.evidence.signing_key import SigningKey
from expunge.evidence.verification import read_certificate
from helpers.desk import APPROVER, CLERK, DeskCase, to_planned, to_waiting
from helpers.desk_evidence import (
    AUDITOR,
    DESK_AUDITOR,
    DESK_OPERATOR,
    certificate_of,
    desk_trust,
    sign,
    signed_desk,
    verified,
    write_keys,
)
from helpers.desk_stand_in import shop_of, stand_in_child

BJORN = {"name": "Björn Schäfer", "record_number": "PAT-101"}


def run_all(case: DeskCase, request_id: str) -> str:
    """Plan, approve, run, audit and certify, in this process."""
    digest = to_planned(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    for step in (unlearn, audit, certify):
        step(shop_of(case), digest, 1)
    return digest


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    return signed_desk(tmp_path / "desk")


@pytest.fixture
def certified(case: DeskCase) -> tuple[DeskCase, str, str]:
    request_id = to_waiting(case)
    return case, request_id, run_all(case, request_id)


def waiting(case: DeskCase) -> list[str]:
    """Requests whose certificate the auditor has not signed."""
    with case.desk.reading(AUDITOR) as s:
        query = select(t.certificate.c.request_id).where(t.certificate.c.verified_at.is_(None))
        return list(s.conn.execute(query).scalars())


def promote(case: DeskCase, digest: str) -> list[str]:
    with case.desk.session(APPROVER) as s:
        return approve_promotion(s, digest)


def test_promotion_needs_both_signatures(certified: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = certified
    assert case.state(request_id) == "audit_passed"
    with pytest.raises(Refusal, match="the auditor has not signed it"):
        promote(case, digest)
    with case.desk.reading(APPROVER) as s:
        view = certificate_view(s, request_id)
    assert view is not None
    assert (view["signed_by"], view["missing"]) == (["operator"], "the auditor has not signed it")
    assert waiting(case) == [request_id]
    sign(case, request_id)
    assert waiting(case) == []
    check_promotable(case.desk, digest)
    assert promote(case, digest) == ["promotion_approved"]
    assert verified(case, request_id).is_valid
    assert len(load_envelope(certificate_of(case, request_id)).signatures) == 2


def test_what_the_certificate_says(certified: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = certified
    _, predicate = read_certificate(certificate_of(case, request_id))
    with case.desk.reading(SYSTEM) as s:
        row = request_row(s, request_id)
    assert predicate.request.id == row["reference"]
    assert (predicate.request.regime, predicate.request.received) == ("gdpr", row["received_on"])
    assert predicate.request.decided >= row["received_on"]
    assert predicate.plan is not None
    assert predicate.plan.details == digest
    assert predicate.audit.attempts == 1
    said = certificate_of(case, request_id).read_bytes() + load_envelope(certificate_of(case, request_id)).payload
    for canary in ("Anna", "PAT-102", "Weiß", request_id):
        assert canary.encode() not in said


@pytest.mark.parametrize(
    ("actor", "key", "what"),
    [
        (AUDITOR, DESK_OPERATOR, "no valid signature in the role auditor"),
        (AUDITOR, SigningKey.generate(), "not in the trust file"),
        (Actor("anna", "approver"), DESK_AUDITOR, "may not do this"),
        (Actor("rita", "auditor"), DESK_AUDITOR, "also planned, ran, decided"),
    ],
)
def test_whose_signature_does_not_count(
    certified: tuple[DeskCase, str, str], actor: Actor, key: SigningKey, what: str
) -> None:
    case, request_id, _ = certified
    before = certificate_of(case, request_id).read_bytes()
    with pytest.raises(Refusal, match=what):
        sign_certificate(case.desk, actor, request_id, key)
    assert certificate_of(case, request_id).read_bytes() == before


def test_a_certificate_that_was_signed_elsewhere(certified: tuple[DeskCase, str, str], tmp_path: Path) -> None:
    case, request_id, digest = certified
    elsewhere = save_envelope(load_envelope(certificate_of(case, request_id)).signed_by(DESK_AUDITOR), tmp_path / "c")
    other = json.loads(elsewhere.read_text())
    other["payload"] = other["payload"][:-8] + "AAAAAAA="
    with pytest.raises(InputError):
        take_signed(case.desk, AUDITOR, request_id, json.dumps(other).encode())
    assert take_signed(case.desk, AUDITOR, request_id, elsewhere.read_bytes()).is_valid
    assert promote(case, digest) == ["promotion_approved"]


def test_a_signature_that_nobody_brought_does_not_count(certified: tuple[DeskCase, str, str]) -> None:
    """Whoever can write the file could sign in a name; the desk takes a signature from an auditor who signed in."""
    case, request_id, digest = certified
    file = certificate_of(case, request_id)
    save_envelope(load_envelope(file).signed_by(DESK_AUDITOR), file)
    with pytest.raises(Refusal, match="certificate"):
        promote(case, digest)


def test_a_repeated_step_makes_the_same_certificate(certified: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = certified
    file = certificate_of(case, request_id)
    before, size = file.read_bytes(), MerkleLog(case.folder / "log").read().head.size
    file.unlink()
    case.clock.move(hours=5)
    (again,) = make_certificates(case.desk, digest, 1)
    assert file.read_bytes() == before
    assert MerkleLog(case.folder / "log").read().head.size == size
    sign(case, request_id)
    signed = file.read_bytes()
    assert make_certificates(case.desk, digest, 1) == [again]
    assert file.read_bytes() == signed  # the auditor's signature stays


@pytest.mark.parametrize("change", ["model", "audit", "log", "certificate"])
def test_what_changed_after_the_signature_stops_the_promotion(
    certified: tuple[DeskCase, str, str], change: str
) -> None:
    case, request_id, digest = certified
    sign(case, request_id)
    run = certificate_of(case, request_id).parent.parent
    file = {
        "audit": run / "audit" / "audit.json",
        "model": run / "run" / "model" / "config.json",
        "log": case.folder / "log" / "entries.jsonl",
        "certificate": certificate_of(case, request_id),
    }[change]
    file.write_bytes(file.read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(InputError):
        check_promotable(case.desk, digest)


def test_an_audit_that_failed_is_an_attempt_and_no_certificate(case: DeskCase) -> None:
    from helpers.desk_evidence import write_template

    write_template(case, {"paraphrase": "failed"})
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    unlearn(shop_of(case), digest, 1)
    assert audit(shop_of(case), digest, 1)["status"] == "failed"
    kinds = [entry.kind for entry in MerkleLog(case.folder / "log").read().entries]
    assert kinds == ["plan", "plan", "attempt"]
    assert case.state(request_id) == "audit_failed"


def test_receipts_of_what_followed(certified: tuple[DeskCase, str, str]) -> None:
    from expunge.desk.letters import queue_letter, send_letter
    from expunge.desk.plan_steps import list_purge, promote_plan, purge_request_assets

    case, request_id, digest = certified
    sign(case, request_id)
    promote(case, digest)
    assert issue_receipts(case.desk) == []
    assert promote_plan(shop_of(case), digest) == {"promoted": True}
    assert len(issue_receipts(case.desk)) == 1
    list_purge(shop_of(case), digest)
    assert purge_request_assets(shop_of(case), request_id) == {"open": 0}
    assert len(issue_receipts(case.desk)) == 1
    with case.desk.session(SYSTEM) as s:
        letter = queue_letter(s, request_id)
    send_letter(case.desk, request_id, letter, lambda key, path: f"got {path}")
    assert len(issue_receipts(case.desk)) == 1
    assert issue_receipts(case.desk) == []
    with case.desk.reading(SYSTEM) as s:
        rows = receipts(s, request_id)
    assert [row["kind"] for row in rows] == ["promotion", "purge", "notification"]
    report = verified(case, request_id)
    assert [str(line) for line in report.lines if line.outcome != "valid"] == []
    assert sum(line.check.startswith("receipt ") for line in report.lines) == 3
    said = b"".join(load_envelope(case.desk.runs / row["path"]).payload for row in rows)
    for canary in ("Anna", "PAT-102", "notes", "ward.jsonl"):
        assert canary.encode() not in said
    with case.desk.session(SYSTEM) as s:
        assert request_key(s, request_id, CERTIFICATE_KEY, create=False) is not None
        notify_accepted(s)
    case.clock.move(days=31)
    case.event(CLERK, request_id, "close")
    with case.desk.session(SYSTEM) as s:
        assert purge_records(s) == []
        assert request_key(s, request_id, CERTIFICATE_KEY, create=False) is None
    case.clock.move(days=31 * 37)
    letter_file = case.folder / "outbox" / f"{request_id}.fulfilled.html"
    assert letter_file.is_file()
    with case.desk.session(SYSTEM) as s:
        assert purge_records(s) == [request_id]
        assert purge_records(s) == []
    assert not letter_file.exists()


def test_the_head_of_the_log_goes_out_daily(case: DeskCase) -> None:
    assert anchor_daily(case.desk)
    assert not anchor_daily(case.desk)
    case.clock.move(days=1)
    assert anchor_daily(case.desk)
    with case.desk.reading(SYSTEM) as s:
        assert anchor_problems(case.desk, s.conn) == []


def cut_tail(case: DeskCase) -> None:
    with case.desk.engine.begin() as conn:
        for name in ("no_update", "no_delete"):
            conn.exec_driver_sql(f"DROP TRIGGER event_log_{name}")
        conn.exec_driver_sql("DELETE FROM event_log WHERE seq > 5")
        conn.exec_driver_sql("DELETE FROM anchor")
        conn.exec_driver_sql("UPDATE log_head SET seq = 5, hash = (SELECT hash FROM event_log WHERE seq = 5)")


def lose_log(case: DeskCase) -> None:
    (case.folder / "log" / "head.json").unlink()


def shorter_log(case: DeskCase) -> None:
    import shutil

    shutil.rmtree(case.folder / "log")
    keys = load_keys(case.desk.folder, case.desk.settings)
    assert keys is not None
    keys.log.append([], keys.log_key, keys.origin)


@pytest.mark.parametrize(
    ("tamper", "what"),
    [(cut_tail, "cut or written anew"), (lose_log, "the Merkle log is gone"), (shorter_log, "not in the Merkle log")],
)
@pytest.mark.skipif(os.environ.get("EXPUNGE_DESK_POSTGRES") == "1", reason="statements of SQLite")
def test_a_log_that_was_cut_differs_from_the_merkle_log(
    case: DeskCase, tamper: Callable[[DeskCase], None], what: str
) -> None:
    anchor_daily(case.desk)
    tamper(case)
    with case.desk.reading(SYSTEM) as s:
        assert any(what in problem for problem in anchor_problems(case.desk, s.conn))


@pytest.mark.parametrize(
    ("name", "what"),
    [("operator.key", "there is no such file|could not be read"), ("operator.pass", "can be read by others")],
)
def test_keys_that_are_not_in_order_are_told(case: DeskCase, name: str, what: str) -> None:
    file = case.folder.parent / "keys" / name
    if name.endswith(".key"):
        file.rename(file.with_suffix(".away"))
    else:
        file.chmod(0o644)
    with pytest.raises(InputError, match=what):
        load_keys(case.folder, case.desk.settings)
    assert any("certificates" in p for p in desk_condition(case.desk, VERSION)["problems"])


def test_one_key_in_two_roles_is_refused(tmp_path: Path) -> None:
    settings = write_keys(tmp_path / "keys")
    double = settings.model_copy(update={"auditor_key": settings.operator_key + ".pub"})
    from expunge.desk.settings import DeskSettings

    with pytest.raises(InputError, match="names one key twice"):
        load_keys(tmp_path, DeskSettings(certificates=double))


def test_a_lost_passphrase_stops_with_an_error_and_goes_on(case: DeskCase) -> None:
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    unlearn(shop_of(case), digest, 1)
    audit(shop_of(case), digest, 1)
    source = case.folder.parent / "keys" / "operator.pass"
    write_atomic(source, "another passphrase\n", private=True)
    from expunge.desk.run_steps import give_up_run

    with pytest.raises(InputError, match="could not be decrypted") as error:
        certify(shop_of(case), digest, 1)
    give_up_run(shop_of(case), digest, 1, error.value)
    assert case.state(request_id) == "error"
    write_keys(source.parent)
    case.event(Actor("olga", "operator"), request_id, "recover")
    assert case.state(request_id) == "audit_passed"
    for step in (unlearn, audit, certify):
        step(shop_of(case), digest, 2)
    sign(case, request_id)
    assert promote(case, digest) == ["promotion_approved"]


def test_two_requests_of_a_batch_have_a_certificate_each(tmp_path: Path) -> None:
    from helpers.desk_evidence import write_template

    case = signed_desk(tmp_path / "desk", batch_size=2, batch_hours=720)
    write_template(case)
    first, second = to_waiting(case), to_waiting(case, BJORN)
    digest = run_all(case, first)
    files = {certificate_of(case, each) for each in (first, second)}
    assert len(files) == 2
    words = json.loads((case.desk.runs / digest[:16] / f"audit-{second}.words.json").read_text())
    scope = (case.desk.runs / digest[:16] / words[words.index("--only") + 1].removeprefix("ids:@")).read_text()
    assert scope.split() == ["PAT-101-d", "PAT-101-m"]
    sign(case, first)
    with pytest.raises(Refusal, match="no certificate"):
        promote(case, digest)
    sign(case, second)
    assert promote(case, digest) == ["promotion_approved"] * 2
    with case.desk.reading(SYSTEM) as s:
        references = {r: str(request_row(s, r)["reference"]) for r in (first, second)}
        assert len(s.conn.execute(select(t.certificate)).all()) == 2
    for own, other in ((first, second), (second, first)):
        assert references[other] not in load_envelope(certificate_of(case, own)).payload.decode()


def test_the_plain_certificate_says_that_nobody_signed(tmp_path: Path) -> None:
    case = signed_desk(tmp_path / "desk", certificates=None)
    request_id = to_waiting(case)
    digest = run_all(case, request_id)
    said = json.loads(certificate_of(case, request_id).read_text())
    assert said["signature"] == "Nobody signed this certificate."
    assert "requests" not in said
    assert "forget" not in said["plan"]
    with case.desk.reading(SYSTEM) as s:
        view = certificate_view(s, request_id)
    assert view is not None
    assert view["signature"] == "nobody signed it"
    with pytest.raises(Refusal, match="nobody signs certificates"):
        sign_certificate(case.desk, AUDITOR, request_id, DESK_AUDITOR)
    assert promote(case, digest) == ["promotion_approved"]
    check_promotable(case.desk, digest)


def test_single_person_mode_stands_in_the_limits(tmp_path: Path) -> None:
    case = signed_desk(tmp_path / "desk", single_person=True)
    request_id = to_waiting(case)
    run_all(case, request_id)
    _, predicate = read_certificate(certificate_of(case, request_id))
    assert predicate.single_person
    sign(case, request_id)
    assert not verified(case, request_id).is_valid
    from expunge.evidence.verification import VerificationInputs, verify_file

    trust: Any = desk_trust(single_person="accept", log="optional")
    assert verify_file(certificate_of(case, request_id), trust, VerificationInputs(at=case.clock.now)).report.is_valid


def test_a_plan_of_the_run_is_logged_before_it_runs(case: DeskCase) -> None:
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    states = []

    def watched(*words: Any, **options: Any) -> Any:
        entries = MerkleLog(case.folder / "log").read().entries
        states.append([(entry.kind, entry.digest) for entry in entries])
        return stand_in_child(*words, **options)

    unlearn(Workshop(case.desk, "w1", run=watched), digest, 1)
    assert states == [[("plan", digest)]]
    with case.desk.reading(SYSTEM) as s:
        plan = latest_plan(s, request_row(s, request_id)["batch_id"])
    assert plan is not None
