"""More than a thousand changed bytes in certificate, log, head, proof, model and audit: every one is found."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from expunge.errors import InputError
from expunge.evidence.canonical_json import sha256
from expunge.evidence.envelope import load_envelope, read_envelope
from expunge.evidence.log_checks import LogEvidence, verify_log
from expunge.evidence.log_sources import entry_of
from expunge.evidence.manifest import make_manifest
from expunge.evidence.merkle_log import LogState, MerkleLog, load_proof, make_entry
from expunge.evidence.trust import signature_problems
from expunge.evidence.verification import VerificationInputs, verify_bytes
from helpers.evidence import CERTIFIED, LATER, LOG_KEY, EvidenceCase, trust_of

TRUST = trust_of()


def is_refused(check: Callable[[], bool]) -> bool:
    """Whether a check says no, or that the file cannot be read."""
    try:
        return not check()
    except InputError:
        return True


def flips(file: Path, count: int, check: Callable[[], bool], seed: int = 0) -> list[int]:
    """Change `count` bytes of a file one after the other, and return the places that nothing found."""
    raw, draw = file.read_bytes(), random.Random(seed)
    assert check(), "the file is refused before a byte is changed"
    missed = []
    for _ in range(count):
        place = draw.randrange(len(raw))
        changed = bytearray(raw)
        changed[place] ^= 1 << draw.randrange(8)
        file.write_bytes(changed)
        if not is_refused(check):
            missed.append(place)
    file.write_bytes(raw)
    return missed


def test_certificate(own_case: EvidenceCase) -> None:
    file = own_case.certificate

    def quick() -> bool:
        """The first two checks of a verification: canonical form and signatures."""
        raw = file.read_bytes()
        envelope = read_envelope(raw, "cert")
        return raw == envelope.as_bytes() and not signature_problems(envelope, TRUST, CERTIFIED)

    def whole() -> bool:
        return verify_bytes(file.read_bytes(), "cert", TRUST, VerificationInputs(at=LATER)).report.is_valid

    assert flips(file, 800, quick) == []
    assert flips(file, 40, whole, seed=1) == []


def test_every_byte_of_the_signatures(own_case: EvidenceCase) -> None:
    file = own_case.certificate
    raw = file.read_bytes()
    start = raw.index(b'"signatures"')
    for place in range(start, len(raw), 3):
        changed = bytearray(raw)
        changed[place] ^= 1
        assert is_refused(
            lambda data=bytes(changed): verify_bytes(data, "cert", TRUST, VerificationInputs(at=LATER)).report.is_valid
        )


def log_of(case: EvidenceCase, folder: Path) -> tuple[MerkleLog, LogState]:
    """A log of five audits and the certificate."""
    log = MerkleLog(folder / "log")
    entries = [make_entry("attempt", sha256(bytes([k])), "R-1", at=CERTIFIED) for k in range(5)]
    entries.append(entry_of(load_envelope(case.certificate), at=CERTIFIED))
    return log, log.append(entries, LOG_KEY, "a log", CERTIFIED)


def test_log_and_head(own_case: EvidenceCase, tmp_path: Path) -> None:
    log, _ = log_of(own_case, tmp_path)

    def is_valid() -> bool:
        return verify_log(log.folder, TRUST).is_valid

    assert flips(log.folder / "entries.jsonl", 300, is_valid) == []
    assert flips(log.folder / "head.json", 150, is_valid) == []


def test_proof_of_inclusion(own_case: EvidenceCase, tmp_path: Path) -> None:
    _, state = log_of(own_case, tmp_path)
    raw, proof = own_case.certificate.read_bytes(), tmp_path / "proof.json"
    proof.write_text(state.proof(5).model_dump_json())

    def is_valid() -> bool:
        inputs = VerificationInputs(at=LATER, log=LogEvidence(proof=load_proof(proof)))
        return verify_bytes(raw, "cert", TRUST, inputs).report.is_valid

    assert flips(proof, 60, is_valid) == []


def test_model_and_audit(own_case: EvidenceCase, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(own_case.model, tmp_path / "model"))
    manifest = make_manifest(folder)
    for file in sorted(folder.iterdir()):
        assert flips(file, 60, lambda: make_manifest(folder) == manifest) == []
    raw, audit = own_case.certificate.read_bytes(), own_case.audit

    def is_audit() -> bool:
        inputs = VerificationInputs(at=LATER, audit=audit)
        return verify_bytes(raw, "cert", TRUST, inputs).report.is_valid

    assert flips(audit, 40, is_audit) == []
