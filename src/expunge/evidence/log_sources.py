"""The log entry of a certificate or of a receipt."""

from __future__ import annotations

from datetime import datetime

from expunge.errors import InputError
from expunge.evidence.certificate_schema import PREDICATE_TYPE, CertificatePredicate
from expunge.evidence.envelope import SignedEnvelope, read_envelope
from expunge.evidence.merkle_log import LogEntry, make_entry
from expunge.evidence.receipts import RECEIPTS, Supersession, read_receipt, receipt_type
from expunge.evidence.statement import read_predicate, read_statement


def entry_of_envelope(raw: bytes, where: str, at: datetime | None = None) -> LogEntry:
    """The entry of what a signed file holds, by the digest of its payload; `InputError` for another kind of file."""
    return entry_of(read_envelope(raw, where), where, at)


def entry_of(envelope: SignedEnvelope, where: str = "statement", at: datetime | None = None) -> LogEntry:
    """As `entry_of_envelope`, of an envelope."""
    statement = read_statement(envelope, where)
    if statement.predicate_type == PREDICATE_TYPE:
        predicate = read_predicate(statement, PREDICATE_TYPE, CertificatePredicate, where)
        return make_entry("certificate", envelope.digest, predicate.request.id, at=at)
    if statement.predicate_type in {receipt_type(kind) for kind in RECEIPTS}:
        _, receipt = read_receipt(statement, where)
        kind = "supersession" if isinstance(receipt, Supersession) else "receipt"
        return make_entry(kind, envelope.digest, receipt.request, receipt.certificate, at)
    raise InputError(where, "is neither a certificate nor a receipt", "give --kind other to log any file")
