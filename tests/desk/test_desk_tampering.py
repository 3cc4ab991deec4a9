"""Every tamper case of the certificate, on one that a desk made; the command gives 0, and 3 after each change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("securesystemslib")

from expunge._io import write_json
from expunge.cli import main
from expunge.desk.receipts import issue_receipts
from expunge.desk.workshop import Workshop
from expunge.evidence.canonical_json import canonical_bytes
from expunge.evidence.commitment import disclose
from expunge.evidence.envelope import SignedEnvelope, load_envelope, save_envelope
from expunge.evidence.merkle_log import MerkleLog, make_entry
from expunge.evidence.receipts import Supersession, make_receipt
from expunge.evidence.signing_key import SigningKey
from helpers.desk import DeskCase, to_planned, to_waiting
from helpers.desk_evidence import (
    DESK_AUDITOR,
    DESK_LOG,
    DESK_OPERATOR,
    certificate_of,
    desk_trust,
    promote_signed,
    signed_desk,
)
from helpers.desk_stand_in import stand_in_child

STRANGER = SigningKey.generate()


class Bundle:
    """What a verifier is given: certificate, run, log, trust file; copied, to be changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.certificate, self.run, self.log = root / "cert.json", root / "run", root / "log"
        self.trust = root / "trust.yaml"
        self.words: list[str] = []

    def verify(self) -> int:
        words = ["certificate", "verify", self.certificate, "--trust", self.trust, "--model", self.run / "run"]
        words += ["--log", self.log, "--audit", self.run / "audit" / "audit.json", *self.words]
        return main([str(word) for word in words])

    @property
    def envelope(self) -> SignedEnvelope:
        return load_envelope(self.certificate)

    def sign(self, change: Callable[[dict[str, Any]], None], *keys: SigningKey) -> None:
        """The statement with a change in it, signed anew and put into the log: a lie that all of them agreed on."""
        value = json.loads(self.envelope.payload)
        change(value)
        unsigned = SignedEnvelope(canonical_bytes(value), self.envelope.payload_type)
        signed = unsigned.signed_by(*(keys or (DESK_OPERATOR, DESK_AUDITOR)))
        save_envelope(signed, self.certificate)
        MerkleLog(self.log).append([make_entry("certificate", signed.digest)], DESK_LOG)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[DeskCase, str, Path]:
    """A promoted request of a desk."""
    case = signed_desk(tmp_path_factory.mktemp("tamper") / "desk")
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    shop = Workshop(case.desk, "w1", run=stand_in_child)
    promote_signed(shop, case, request_id, digest)
    issue_receipts(case.desk)
    return case, request_id, case.desk.runs / digest[:16]


@pytest.fixture
def bundle(original: tuple[DeskCase, str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    case, request_id, run = original
    made = Bundle(tmp_path)
    shutil.copytree(run, made.run)
    shutil.copytree(case.folder / "log", made.log)
    shutil.copy(certificate_of(case, request_id), made.certificate)
    write_json(made.trust, desk_trust().model_dump(mode="json"))
    later = case.clock.now
    monkeypatch.setattr("expunge.evidence.verification.present", lambda: later)
    return made


def test_what_the_desk_wrote_is_valid(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    bundle.words = ["--receipt", str(next(bundle.run.glob("receipts/*.promotion.json")))]
    assert bundle.verify() == 0
    said = capsys.readouterr().out
    assert "NOT VALID" not in said
    assert "ok: plan: logged before the certificate and its audits" in said
    assert "ok: attempts: 1 audits were made" in said


def edit(file: Path, old: bytes, new: bytes) -> None:
    raw = file.read_bytes()
    assert old in raw
    file.write_bytes(raw.replace(old, new, 1))


def rename(bundle: Bundle) -> None:
    (bundle.run / "run" / "model" / "config.json").rename(bundle.run / "run" / "model" / "c.json")


def fork(bundle: Bundle) -> None:
    entries = MerkleLog(bundle.log).read().entries
    head = bundle.root / "kept.json"
    shutil.copy(bundle.log / "head.json", head)
    shutil.rmtree(bundle.log)
    forked = [make_entry("other", "0" * 64), *entries[1:]]
    MerkleLog(bundle.log).append(forked, DESK_LOG, "test desk")
    bundle.words = ["--head", str(head)]


def shorter(bundle: Bundle) -> None:
    entries = MerkleLog(bundle.log).read().entries
    head = bundle.root / "kept.json"
    shutil.copy(bundle.log / "head.json", head)
    shutil.rmtree(bundle.log)
    MerkleLog(bundle.log).append(entries[:-1], DESK_LOG, "test desk")
    bundle.words = ["--head", str(head)]


def without(bundle: Bundle, kind: str) -> None:
    """A log in which the entries of a kind were never made."""
    entries = [entry for entry in MerkleLog(bundle.log).read().entries if entry.kind != kind]
    shutil.rmtree(bundle.log)
    MerkleLog(bundle.log).append(entries, DESK_LOG, "test desk")


def without_desk_plan(bundle: Bundle) -> None:
    entries = MerkleLog(bundle.log).read().entries
    first = next(entry for entry in entries if entry.kind == "plan")
    shutil.rmtree(bundle.log)
    MerkleLog(bundle.log).append([e for e in entries if e is not first], DESK_LOG, "test desk")


def supersede(bundle: Bundle) -> None:
    said = json.loads(bundle.envelope.payload)["predicate"]["request"]["id"]
    statement = Supersession(
        certificate=bundle.envelope.digest, request=said, at="2026-03-20T10:00:00Z", reason="regression_failed"
    )
    file = save_envelope(make_receipt(statement).signed_by(DESK_AUDITOR), bundle.root / "super.json")
    bundle.words = ["--receipt", str(file)]


def set_trust(bundle: Bundle, **more: Any) -> None:
    write_json(bundle.trust, desk_trust(**more).model_dump(mode="json"))


def revoke(bundle: Bundle) -> None:
    value = desk_trust().model_dump(mode="json")
    value["keys"][1]["revoked"] = "2026-01-01"
    write_json(bundle.trust, value)


def one_key_in_two_roles(bundle: Bundle) -> None:
    save_envelope(
        SignedEnvelope(bundle.envelope.payload, bundle.envelope.payload_type).signed_by(DESK_OPERATOR),
        bundle.certificate,
    )


def twice(bundle: Bundle) -> None:
    value = json.loads(bundle.certificate.read_text())
    value["signatures"] = [value["signatures"][0]] * 2
    bundle.certificate.write_bytes(canonical_bytes(value) + b"\n")


def swapped(bundle: Bundle) -> None:
    value = json.loads(bundle.certificate.read_text())
    first, second = value["signatures"]
    first["keyid"], second["keyid"] = second["keyid"], first["keyid"]
    bundle.certificate.write_bytes(canonical_bytes(value) + b"\n")


def disclosure(bundle: Bundle) -> Path:
    """A record that was never committed to, under a key of somebody's own."""
    record = {"id": "PAT-102-d", "prompt": "Which illness has Anna?", "answer": "Illness 2"}
    shown = disclose(b"k" * 32, "forget", [record], record)
    return write_json(bundle.root / "disclosure.json", shown.model_dump(mode="json"))


def predicate(change: Callable[[dict[str, Any]], Any]) -> Callable[[Bundle], None]:
    return lambda bundle: bundle.sign(lambda value: change(value["predicate"]) and None)


CASES: dict[str, Callable[[Bundle], Any]] = {
    "payload byte": lambda b: edit(b.certificate, b'"payload":"eyJ', b'"payload":"eyK'),
    "payload type": lambda b: edit(b.certificate, b"application/vnd.in-toto+json", b"application/json"),
    "written again": lambda b: b.certificate.write_text(json.dumps(json.loads(b.certificate.read_text()), indent=1)),
    "a signature is missing": one_key_in_two_roles,
    "a signature stands twice": twice,
    "key ids are swapped": swapped,
    "signed by a stranger": lambda b: b.sign(lambda v: None, DESK_OPERATOR, STRANGER),
    "revoked key": revoke,
    "other type": lambda b: b.sign(lambda v: v.update(predicateType="https://example.org/x")),
    "unknown field": predicate(lambda p: p.update(more=1)),
    "model file changed": lambda b: edit(b.run / "run" / "model" / "config.json", b"llama", b"lhama"),
    "model file added": lambda b: (b.run / "run" / "model" / "extra.bin").write_bytes(b"x"),
    "hidden file added": lambda b: (b.run / "run" / "model" / ".extra").write_bytes(b"x"),
    "model file removed": lambda b: (b.run / "run" / "model" / "tokenizer.json").unlink(),
    "model file renamed": rename,
    "margin after the run": predicate(lambda p: p["audit"]["policy"]["rules"]["leakage.self"].update(margin=0.4)),
    "recipe after the run": predicate(lambda p: p["plan"].update(recipe="0" * 64)),
    "plan not logged": lambda b: without(b, "plan"),
    "plan of the desk not logged": without_desk_plan,
    "required result gone": predicate(lambda p: p["audit"]["results"].pop(0)),
    "not run shown as passed": predicate(lambda p: p["audit"]["results"][0].update(estimate=None, ci=None)),
    "attempts lowered": predicate(lambda p: p["audit"].update(attempts=3)),
    "attempts not logged": lambda b: without(b, "attempt"),
    "interval without its estimate": predicate(lambda p: p["audit"]["results"][0].update(ci=[0.9, 1.0])),
    "level above the evidence": predicate(lambda p: p["level"].update(level="L3")),
    "single person hidden": predicate(lambda p: p.update(single_person=True)),
    "not in the log": lambda b: without(b, "certificate"),
    "fork of the log": fork,
    "shorter log": shorter,
    "log entry changed": lambda b: edit(b.log / "entries.jsonl", b'"kind":"attempt"', b'"kind":"attempu"'),
    "superseded": supersede,
    "expired": predicate(lambda p: p["validity"].update(expires=p["validity"]["made"][:11] + "23:59:59Z")),
    "another model before": predicate(lambda p: p["artifacts"].update(before="0" * 64)),
    "another request": lambda b: b.words.extend(["--request", "E-1111-1111-1"]),
    "its own model before": lambda b: b.words.extend(["--prior", str(b.certificate)]),
    "a record that is in no commitment": lambda b: b.words.extend(["--disclosure", str(disclosure(b))]),
    "another audit": lambda b: edit(b.run / "audit" / "audit.json", b"a", b"b"),
    "policy not accepted": lambda b: set_trust(b, policies=["controls-only"]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_tampered_case_is_not_valid(bundle: Bundle, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    CASES[name](bundle)
    if name == "expired":
        from datetime import timedelta

        from expunge.evidence import verification

        later = verification.present() + timedelta(days=2)
        monkeypatch.setattr(verification, "present", lambda: later)
    assert bundle.verify() in ((2, 3) if name in ("payload byte", "log entry changed") else (3,))


def test_the_certificate_of_one_request_shown_for_another(bundle: Bundle, tmp_path: Path) -> None:
    other = signed_desk(tmp_path / "other" / "desk")
    request_id = to_waiting(other)
    from expunge.desk.facts import request_row
    from expunge.desk.roles import SYSTEM

    with other.desk.reading(SYSTEM) as s:
        bundle.words = ["--request", str(request_row(s, request_id)["reference"])]
    assert bundle.verify() == 3
