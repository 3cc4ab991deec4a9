"""The log in a folder: one entry once, a signed head, and every way to rewrite it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from expunge.errors import InputError
from expunge.evidence.canonical_json import sha256
from expunge.evidence.envelope import save_envelope
from expunge.evidence.log_checks import LogEvidence, load_log_evidence, verify_log
from expunge.evidence.log_sources import entry_of
from expunge.evidence.merkle import is_consistent
from expunge.evidence.merkle_log import LogEntry, LogState, MerkleLog, make_entry, proof_problem
from expunge.evidence.signing_key import SigningKey
from expunge.evidence.verification import VerificationInputs, verify_bytes
from expunge.evidence.verification_report import VerificationReport
from helpers.cli import full_disk
from helpers.evidence import AUDITOR, CERTIFIED, LATER, LOG_KEY, OPERATOR, REQUEST, EvidenceCase, trust_of

TRUST = trust_of()


def entries(*numbers: int) -> list[LogEntry]:
    return [make_entry("other", sha256(bytes([n])), at=CERTIFIED) for n in numbers]


def begun(folder: Path, *numbers: int) -> tuple[MerkleLog, LogState]:
    log = MerkleLog(folder)
    return log, log.append(entries(*numbers), LOG_KEY, "a log", CERTIFIED)


def texts(report: VerificationReport) -> list[str]:
    return [line.text for line in report.lines if line.outcome == "invalid"]


def test_an_entry_stands_once(tmp_path: Path) -> None:
    log, state = begun(tmp_path / "log", 1, 2, 2)
    assert (state.head.size, state.head.origin) == (2, "a log")
    assert log.append(entries(2, 1), LOG_KEY) == state
    later = log.append(entries(3), LOG_KEY)
    assert [e.digest for e in later.entries] == [sha256(bytes([n])) for n in (1, 2, 3)]
    assert later.extends(state.head)
    assert not state.extends(later.head)
    proof = [bytes.fromhex(step) for step in later.consistency(2)]
    assert is_consistent(2, bytes.fromhex(state.head.root), 3, bytes.fromhex(later.head.root), proof)
    assert log.read() == later
    assert all(proof_problem(later.proof(k)) == "" for k in range(3))


def test_a_new_log_needs_a_name_and_keeps_it(tmp_path: Path) -> None:
    log = MerkleLog(tmp_path / "log")
    with pytest.raises(InputError, match="holds no log yet"):
        log.append(entries(1), LOG_KEY)
    log.append(entries(1), LOG_KEY, "first")
    with pytest.raises(InputError, match='is the log "first"'):
        log.append(entries(2), LOG_KEY, "second")
    with pytest.raises(InputError, match="holds no log"):
        MerkleLog(tmp_path).read()


def test_what_a_killed_writer_left_is_no_entry(tmp_path: Path) -> None:
    log, state = begun(tmp_path / "log", 1)
    file = log.folder / "entries.jsonl"
    with file.open("ab") as stream:
        stream.write(entries(9)[0].leaf + b"\n" + b'{"half')
    assert log.read() == state
    assert [e.digest for e in log.append(entries(2), LOG_KEY).entries] == [sha256(b"\1"), sha256(b"\2")]
    assert len(file.read_bytes().splitlines()) == 2


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    log, _ = begun(tmp_path / "log", 0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: MerkleLog(log.folder).append(entries(n), LOG_KEY), range(1, 13)))
    assert {e.digest for e in log.read().entries} == {sha256(bytes([n])) for n in range(13)}


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    log, state = begun(tmp_path / "log", 1)
    with full_disk(most=220), pytest.raises(InputError, match="could not be written"):
        log.append(entries(2, 3), LOG_KEY)
    assert log.read() == state
    assert log.append(entries(2), LOG_KEY).head.size == 2


def test_every_way_to_rewrite_a_log(tmp_path: Path) -> None:
    log, state = begun(tmp_path / "log", 1, 2, 3)
    file = log.folder / "entries.jsonl"
    kept = save_envelope(state.envelope, tmp_path / "kept.json")
    lines = file.read_bytes().splitlines(keepends=True)
    for changed in (lines[1:], [lines[1], lines[0], lines[2]], lines[:2], [lines[0], lines[0], lines[2]]):
        file.write_bytes(b"".join(changed))
        assert not verify_log(log.folder, TRUST).is_valid
    file.write_bytes(b"".join(lines))
    assert verify_log(log.folder, TRUST, [kept]).is_valid
    _, forked = begun(tmp_path / "fork", 1, 9, 3, 4)
    assert forked.head.size == 4
    assert any("fork" in text for text in texts(verify_log(tmp_path / "fork", TRUST, [kept])))
    begun(tmp_path / "short", 1, 2)
    assert any("its tail was cut" in text for text in texts(verify_log(tmp_path / "short", TRUST, [kept])))
    MerkleLog(tmp_path / "other").append(entries(1, 2, 3), LOG_KEY, "another log")
    assert any('not "another log"' in text for text in texts(verify_log(tmp_path / "other", TRUST, [kept])))
    MerkleLog(tmp_path / "signed").append(entries(1), OPERATOR, "a log")
    assert any("no key in the role log or auditor" in text for text in texts(verify_log(tmp_path / "signed", TRUST)))
    MerkleLog(tmp_path / "auditor").append(entries(1), AUDITOR, "a log")
    assert verify_log(tmp_path / "auditor", TRUST).is_valid


# ---- what a log says about a certificate ----------------------------------------------------------------------------


def logged(case: EvidenceCase, folder: Path, order: tuple[str, ...], attempts: int | None = 1) -> VerificationReport:
    """Verify the certificate against a log with these entries in this order."""
    from expunge.evidence.certificate import plan_digest
    from expunge.evidence.statement import read_statement
    from expunge.evidence.verification import read_predicate_of

    envelope = case.make(attempts=attempts)
    predicate = read_predicate_of(read_statement(envelope, "cert"), "cert")
    assert predicate.plan is not None
    known = {
        "plan": make_entry("plan", plan_digest(predicate.plan), REQUEST, at=CERTIFIED),
        "audit": make_entry("attempt", predicate.audit.file, REQUEST, at=CERTIFIED),
        "failed": make_entry("attempt", "f" * 64, REQUEST, at=CERTIFIED),
        "certificate": entry_of(envelope, at=CERTIFIED),
        "gone": make_entry("supersession", "e" * 64, REQUEST, envelope.digest, CERTIFIED),
    }
    state = MerkleLog(folder).append([known[name] for name in order], LOG_KEY, "a log", CERTIFIED)
    return verify_bytes(envelope.as_bytes(), "cert", TRUST, VerificationInputs(at=LATER, log=LogEvidence(state))).report


@pytest.mark.parametrize(
    ("order", "attempts", "what"),
    [
        (("plan", "audit", "certificate"), 1, ""),
        (("plan", "failed", "audit", "certificate"), 2, ""),
        (("plan", "failed", "audit", "certificate"), 1, "audits of this request: 2 in the log, 1 in the certificate"),
        (
            ("plan", "failed", "audit", "certificate"),
            None,
            "audits of this request: 2 in the log, 0 in the certificate",
        ),
        (("plan", "failed", "certificate"), 1, "the audit of the certificate is not in the log"),
        (("audit", "certificate"), 1, "the plan is not in the log"),
        (("audit", "plan", "certificate"), 1, "the plan was logged after an audit"),
        (("plan", "audit"), 1, "the certificate is not in the log"),
        (("plan", "audit", "certificate", "gone"), 1, "the certificate was superseded on"),
    ],
)
def test_what_a_log_says(
    case: EvidenceCase, tmp_path: Path, order: tuple[str, ...], attempts: int | None, what: str
) -> None:
    report = logged(case, tmp_path / "log", order, attempts)
    assert report.is_valid == (not what), list(map(str, report.lines))
    assert not what or any(what in text for text in texts(report))


def test_a_proof_of_another_entry_and_other_heads(case: EvidenceCase, tmp_path: Path) -> None:
    envelope = case.make()
    log, state = begun(tmp_path / "log", 1)
    state = log.append([entry_of(envelope, at=CERTIFIED)], LOG_KEY)
    _, forked = begun(tmp_path / "fork", 1, 2)

    def said(**evidence: object) -> list[str]:
        known = LogEvidence(**evidence)  # type: ignore[arg-type]
        return texts(verify_bytes(envelope.as_bytes(), "cert", TRUST, VerificationInputs(at=LATER, log=known)).report)

    good = state.proof(1)
    assert said(proof=good) == said(proof=good, head=state.envelope) == []
    assert not any("head" in text or "fork" in text for text in said(state=state, proof=good))
    assert any("of another entry" in text for text in said(proof=state.proof(0)))
    assert any("does not lead to the head" in t for t in said(proof=good.model_copy(update={"index": 0})))
    assert any("the log is a fork" in t for t in said(proof=good, head=forked.envelope))
    assert any("give the folder" in t for t in said(proof=good, head=begun(tmp_path / "o", 1)[1].envelope))
    assert any("a head alone does not show it" in t for t in said(head=state.envelope))
    assert any("the log is a fork" in t for t in said(state=state, head=forked.envelope))
    assert any("no key in the role" in t for t in said(state=MerkleLog(tmp_path / "x").append([], OPERATOR, "x")))


def test_a_log_may_be_required(case: EvidenceCase) -> None:
    required = trust_of(log="required")
    report = verify_bytes(case.make().as_bytes(), "cert", required, VerificationInputs(at=LATER)).report
    assert texts(report) == ["the trust file requires a log: give --log, or --inclusion"]


def test_bad_log_files(tmp_path: Path) -> None:
    log, _ = begun(tmp_path / "log", 1)
    assert load_log_evidence(None) is None
    with pytest.raises(InputError, match="given twice"):
        load_log_evidence(log.folder / "head.json", log.folder / "head.json")
    with pytest.raises(InputError, match="no such file"):
        load_log_evidence(tmp_path / "none")
    (log.folder / "head.json").write_text(json.dumps({"payload": "e30=", "payloadType": "x", "signatures": []}))
    with pytest.raises(InputError, match="is no head of a log"):
        log.read()


def test_another_key_takes_the_head_over_only_where_that_is_said(tmp_path: Path) -> None:
    log = MerkleLog(tmp_path)
    log.append(entries(1), LOG_KEY, "first")
    other = SigningKey.generate()
    with pytest.raises(InputError, match="another key signed"):
        log.append(entries(2), other)
    assert log.append(entries(2), other, new_key=True).head.size == 2
