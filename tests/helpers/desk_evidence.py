"""A desk with signing keys, and a run with its audit that the stand-in child copies."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from expunge._io import digest, write_atomic, write_json
from expunge.desk.certificates import certificate_file, certificate_row, sign_certificate
from expunge.desk.plan_steps import promote_plan
from expunge.desk.plans import approve_plan, approve_promotion
from expunge.desk.roles import SYSTEM, Actor
from expunge.desk.run_steps import audit, certify, unlearn
from expunge.desk.settings import CertificateSettings, LetterSettings, RunSettings
from expunge.desk.workshop import Workshop
from expunge.evidence.log_checks import load_log_evidence
from expunge.evidence.signing_key import SigningKey, save_key
from expunge.evidence.trust import Trust
from expunge.evidence.verification import VerificationInputs, verify_file
from expunge.evidence.verification_report import VerificationReport
from expunge.models.fingerprint import model_digest, result_facts
from expunge.models.run_seal import sealed as sealed_run
from helpers.desk import APPROVER, DeskCase, make_desk, to_waiting
from helpers.desk_processes import SHIFT
from helpers.evidence import EvidenceCase, write_audit, write_model_folder

AUDITOR = Actor("aude", "auditor")
DESK_OPERATOR, DESK_AUDITOR, DESK_LOG = (SigningKey.generate() for _ in range(3))
PASSPHRASE = "a long passphrase of a test"
LETTERS = LetterSettings(contact="privacy@hospital.example", authority="Data Protection Commissioner")


def write_keys(folder: Path) -> CertificateSettings:
    """The keys of a desk in a folder of their own, and the settings that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, key in (("operator", DESK_OPERATOR), ("log", DESK_LOG), ("auditor", DESK_AUDITOR)):
        if not (folder / f"{name}.key").exists():
            save_key(key, folder / f"{name}.key", PASSPHRASE)
        write_atomic(folder / f"{name}.pass", PASSPHRASE + "\n", private=True)
    return CertificateSettings(
        operator_key=str(folder / "operator.key"),
        operator_passphrase_file=str(folder / "operator.pass"),
        auditor_key=str(folder / "auditor.key.pub"),
        log_key=str(folder / "log.key"),
        log_passphrase_file=str(folder / "log.pass"),
        origin="test desk",
    )


def signed_desk(folder: Path, **more: Any) -> DeskCase:
    """A desk with keys and letters."""
    settings = {
        "certificates": write_keys(folder.parent / "keys"),
        "letters": LETTERS,
        "controller": "St. Mary Hospital",
        "run": RunSettings(policy="with-retrained"),
        **more,
    }
    case = make_desk(folder, **settings)
    write_template(case)
    return case


def signed_waiting_case(tmp_path: Path) -> tuple[DeskCase, str]:
    case = signed_desk(tmp_path / "desk")
    case.clock.now = datetime.now(UTC)
    return case, to_waiting(case)


def write_template(
    case: DeskCase, statuses: dict[str, str] | None = None, original: Path | None = None, seed: int = 101
) -> EvidenceCase:
    """A finished run of the desk's model and its audit, in the folder that the stand-in child copies."""
    made, start = EvidenceCase(case.folder / "template"), "../../model"
    if original is not None:
        start = os.path.relpath(original, case.folder / "runs" / "any" / "run")
    original = original or case.folder / "model"
    write_model_folder(made.model, seed)
    recipe = {"method": "npo", "seed": 42, "steps": 4}
    write_json(made.run / "recipe.yaml", recipe)
    write_json(made.run / "environment.json", {"python": "3.11.7", "packages": {"torch": "2.13.0"}})
    (made.run / "events.jsonl").write_text("".join(json.dumps({"step": k}) + "\n" for k in range(4)))
    write_json(made.run / "result.json", result_facts(made.model))
    identity = {
        "recipe": digest(recipe),
        "model": model_digest(str(original)),
        "tokenizer": "7" * 64,
        "split": "b" * 64,
    }
    about = {
        "status": "finished",
        "identity": identity,
        "created": "2026-02-27T10:00:00+00:00",
        "model": start,
        "template": "plain",
        "method": "npo",
        "scope": "ids:@forget.txt",
        "threads": 1,
        "steps": 4,
        "seconds": 1.5,
    }
    write_json(made.run / "run.json", sealed_run(made.run, about))
    write_audit(made, original, statuses or {})
    return made


def sign(case: DeskCase, request_id: str) -> None:
    """The auditor signs the certificate of a request, not before the workers' clock."""
    case.clock.now = max(case.clock.now, datetime.now(UTC) + timedelta(hours=SHIFT))
    sign_certificate(case.desk, AUDITOR, request_id, DESK_AUDITOR)


def promote_signed(shop: Workshop, case: DeskCase, request_id: str, digest: str) -> None:
    """From a plan to the model in use, with every approval and both signatures."""
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    for step in (unlearn, audit, certify):
        step(shop, digest, 1)
    sign(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_promotion(s, digest)
    promote_plan(shop, digest)


def certificate_of(case: DeskCase, request_id: str) -> Path:
    """The file of the certificate of a request."""
    with case.desk.reading(SYSTEM) as s:
        row = certificate_row(s, request_id)
    assert row is not None
    return certificate_file(case.desk, row)


def verified(case: DeskCase, request_id: str, **inputs: Any) -> VerificationReport:
    """What a verifier finds: own trust file, the model in use, the audit, the log and every receipt."""
    file = certificate_of(case, request_id)
    run = file.parent.parent
    given = {
        "model": run / "run",
        "audit": run / "audit" / "audit.json",
        "log": load_log_evidence(case.folder / "log"),
        "receipts": sorted(run.glob("receipts/*.json")),
        "at": datetime.now(UTC) + timedelta(hours=2 * SHIFT),
        **inputs,
    }
    return verify_file(file, desk_trust(), VerificationInputs(**given)).report


def desk_trust(**more: Any) -> Trust:
    """The trust file of somebody who verifies what this desk made."""
    keys = [
        {"role": role, "name": f"the {role}", "key": key.public.text}
        for role, key in (("operator", DESK_OPERATOR), ("auditor", DESK_AUDITOR), ("log", DESK_LOG))
    ]
    return Trust.model_validate({"keys": keys, "log": "required", **more})
