"""Later statements about a certificate, and the person's copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expunge.evidence.envelope import save_envelope
from expunge.evidence.log_sources import entry_of
from expunge.evidence.receipts import (
    NotificationReceipt,
    PersonSummary,
    PromotionReceipt,
    PurgedAsset,
    PurgeReceipt,
    Receipt,
    Supersession,
    make_receipt,
    person_summary,
)
from expunge.evidence.statement import read_statement
from expunge.evidence.verification import VerificationInputs, read_predicate_of, verify_bytes
from helpers.evidence import (
    AUDITOR,
    LATER,
    LOG_KEY,
    OPERATOR,
    REQUEST,
    SECRETS,
    STRANGER,
    EvidenceCase,
    changed,
    trust_of,
)

AT = "2026-03-02T00:00:00Z"
COMMON = {"certificate": "c" * 64, "request": REQUEST, "at": AT}
RECEIPTS: dict[str, Receipt] = {
    "promotion": PromotionReceipt(**COMMON, alias="chat", before="a" * 64, after="b" * 64, manifest_root="d" * 64),
    "purge": PurgeReceipt(
        **COMMON,
        assets=(
            PurgedAsset(asset="w-1", kind="old weights", action="deleted", digest="a" * 64),
            PurgedAsset(asset="b-1", kind="backup", action="due", date="2026-06-01", reason="expires by itself"),
        ),
    ),
    "notification": NotificationReceipt(
        **COMMON, template="de", version="1", letter="e" * 64, channel="by hand", accepted=True
    ),
    "supersession": Supersession(**COMMON, reason="regression_failed", successor="f" * 64),
}


@pytest.mark.parametrize("kind", sorted(RECEIPTS))
def test_receipts_are_verified_as_certificates_are(kind: str) -> None:
    signed = make_receipt(RECEIPTS[kind]).signed_by(OPERATOR, AUDITOR)
    verified = verify_bytes(signed.as_bytes(), "receipt", trust_of(), VerificationInputs(at=LATER))
    assert verified.report.is_valid, list(map(str, verified.report.lines))
    assert verified.receipt == RECEIPTS[kind]
    for keys, is_valid in (((OPERATOR,), True), ((AUDITOR,), True), ((LOG_KEY,), False), ((), False)):
        signed_so = make_receipt(RECEIPTS[kind]).signed_by(*keys)
        assert verify_bytes(signed_so.as_bytes(), "receipt", trust_of()).report.is_valid is is_valid
    odd = make_receipt(RECEIPTS[kind]).signed_by(OPERATOR, STRANGER)
    assert not verify_bytes(odd.as_bytes(), "receipt", trust_of()).report.is_valid
    other = changed(signed, lambda s: s["predicate"].update(certificate="0" * 64))
    lines = verify_bytes(other.as_bytes(), "receipt", trust_of()).report.lines
    assert any("about another certificate" in line.text for line in lines)
    entry = entry_of(signed)
    assert (entry.kind, entry.about) == ("supersession" if kind == "supersession" else "receipt", "c" * 64)


def said(case: EvidenceCase, folder: Path, receipt: Receipt, *keys: Any) -> list[str]:
    envelope = make_receipt(receipt).signed_by(*(keys or (OPERATOR, AUDITOR)))
    file = save_envelope(envelope, folder / "receipt.json")
    inputs = VerificationInputs(at=LATER, receipts=[file])
    report = verify_bytes(case.make().as_bytes(), "cert", trust_of(), inputs).report
    return [line.text for line in report.lines if line.outcome == "invalid"]


def test_a_superseded_certificate(case: EvidenceCase, tmp_path: Path) -> None:
    about = {"certificate": case.make().digest}
    gone = RECEIPTS["supersession"].model_copy(update=about)
    assert said(case, tmp_path, gone) == [
        f"the certificate was superseded on {AT} (regression failed); {'f' * 16} stands in its place"
    ]
    assert said(case, tmp_path, RECEIPTS["promotion"].model_copy(update=about)) == []
    assert said(case, tmp_path, RECEIPTS["promotion"]) == ["is about another certificate"]
    assert any("superseded" in text for text in said(case, tmp_path, gone, AUDITOR))  # one person may withdraw
    assert not any("superseded" in text for text in said(case, tmp_path, gone, STRANGER))


def test_the_copy_for_the_person(case: EvidenceCase) -> None:
    made = case.make()
    predicate = read_predicate_of(read_statement(made, "cert"), "cert")
    summary = person_summary(predicate, made.digest)
    signed = make_receipt(summary).signed_by(OPERATOR, AUDITOR)
    verified = verify_bytes(signed.as_bytes(), "person", trust_of(), VerificationInputs(at=LATER))
    assert verified.report.is_valid
    assert isinstance(verified.receipt, PersonSummary)
    alone = make_receipt(summary).signed_by(OPERATOR)
    assert not verify_bytes(alone.as_bytes(), "person", trust_of()).report.is_valid
    text = signed.payload.decode()
    assert summary.records == 12
    assert not [word for word in (*SECRETS, "retention", '"retain', "holdout", 'controls":', "npo") if word in text]
    assert {t.key: t.status for t in summary.tests}["cross_modal"] == "not_applicable"
