"""A run that is cancelled while its certificate is made leaves no certificate, and the Merkle log says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from expunge.desk import run_steps
from expunge.desk.roles import SYSTEM
from expunge.desk.run_steps import audit, certify, unlearn
from expunge.desk.runs import cancel_run
from expunge.desk.withdrawal import STATEMENTS, withdraw_all, withdraw_certificates
from expunge.evidence.log_checks import load_log_evidence
from expunge.evidence.merkle_log import MerkleLog
from expunge.evidence.verification import VerificationInputs, verify_bytes
from helpers.desk import OPERATOR, DeskCase
from helpers.desk_evidence import desk_trust, sign, signed_desk, verified
from helpers.desk_stand_in import shop_of, to_audit

Audited = tuple[DeskCase, str, str]


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audited:
    """A desk with keys, a request whose audit has passed, and its plan."""
    monkeypatch.setenv("FAKE_SECONDS", "0")
    case = signed_desk(tmp_path / "desk")
    return case, *to_audit(case)


def stop_run(case: DeskCase, digest: str) -> None:
    with case.desk.session(OPERATOR) as s:
        cancel_run(s, digest, "the machine is needed")


def certificates(case: DeskCase, digest: str) -> list[Path]:
    return list((case.desk.runs / digest[:16] / "certificates").glob("*"))


def stop_in_between(audited: Audited, patch: pytest.MonkeyPatch) -> bytes:
    """Cancel the run once its certificate is written; returns the bytes of that file."""
    case, _, digest = audited
    make, raw = run_steps.make_certificates, []

    def make_and_stop(*words: Any) -> Any:
        results = make(*words)
        raw.extend(file.read_bytes() for file in certificates(case, digest))
        stop_run(case, digest)
        return results

    with patch.context() as inside:
        inside.setattr(run_steps, "make_certificates", make_and_stop)
        assert certify(shop_of(case), digest, 1) == {"stopped": True}
    return b"".join(raw)


def kinds(case: DeskCase) -> list[str]:
    return [entry.kind for entry in MerkleLog(case.folder / "log").read().entries]


def test_the_file_goes_and_the_log_names_the_end(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    case, _, digest = audited
    raw = stop_in_between(audited, monkeypatch)
    assert raw
    assert certificates(case, digest) == []
    assert [kinds(case).count(kind) for kind in ("certificate", "supersession")] == [1, 1]
    assert len(list((case.desk.runs / digest[:16] / STATEMENTS).iterdir())) == 1
    inputs = VerificationInputs(at=case.clock.now, log=load_log_evidence(case.folder / "log"))
    lines = [str(line) for line in verify_bytes(raw, "cert", desk_trust(), inputs).report.lines]
    assert any("the certificate was superseded" in line for line in lines)


def test_a_second_look_changes_nothing(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    case, _, digest = audited
    stop_in_between(audited, monkeypatch)
    before = kinds(case)
    assert withdraw_certificates(case.desk, digest) == []
    assert withdraw_all(case.desk, [digest, "0" * 64]) == []
    assert kinds(case) == before


def test_after_a_crash_the_next_look_withdraws_it(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    case, _, digest = audited

    def crash(*words: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_steps, "register_all", crash)
    with pytest.raises(KeyboardInterrupt):
        certify(shop_of(case), digest, 1)
    assert certificates(case, digest)
    stop_run(case, digest)
    assert certify(shop_of(case), digest, 1) == {"stopped": True}
    assert certificates(case, digest) == []
    assert kinds(case).count("supersession") == 1


def test_the_next_attempt_gets_a_certificate_of_its_own(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    case, request_id, digest = audited
    stop_in_between(audited, monkeypatch)
    case.event(OPERATOR, request_id, "recover")
    case.clock.move(minutes=5)
    for step in (unlearn, audit, certify):
        step(shop_of(case), digest, 2)
    assert len(certificates(case, digest)) == 1
    assert withdraw_certificates(case.desk, digest) == []
    sign(case, request_id)
    assert verified(case, request_id).is_valid
    with case.desk.reading(SYSTEM) as s:
        from expunge.desk.replay_check import replay_problems

        assert replay_problems(s.conn) == []
