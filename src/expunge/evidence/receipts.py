"""Later statements that name a certificate by digest: promotion, purge, notification, supersession, a person's copy.

A certificate precedes promotion, so what happens afterwards is signed on its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from expunge._config import FrozenModel
from expunge.errors import InputError
from expunge.evidence.certificate_schema import DISCLAIMER, OPAQUE_ID, CertificatePredicate, Level
from expunge.evidence.envelope import SignedEnvelope
from expunge.evidence.moments import Moment
from expunge.evidence.statement import HEX64, Statement, make_statement, read_predicate

RECEIPT_BASE = "https://expunge.example/predicates"


class _Receipt(FrozenModel):
    schema_version: Literal[1] = Field(1, description="version of this schema")
    certificate: str = Field(pattern=HEX64, description="digest of the certificate: SHA-256 of its payload")
    request: str = Field(pattern=OPAQUE_ID, description="opaque reference of the request")
    at: Moment = Field(description="when it happened, UTC")
    notice: Literal["This is technical evidence, not legal advice."] = Field(DISCLAIMER, description="fixed text")


class PromotionReceipt(_Receipt):
    """The model in use was changed."""

    alias: str = Field(max_length=200, description="name under which the model is served")
    before: str = Field(pattern=HEX64, description="model digest that was served before")
    after: str = Field(pattern=HEX64, description="model digest that is served now")
    manifest_root: str = Field(pattern=HEX64, description="manifest root of the files that are served")


class PurgedAsset(FrozenModel):
    """One asset and what became of it."""

    asset: str = Field(max_length=200, description="opaque id or kind of the asset")
    kind: str = Field(max_length=80, description="old weights, checkpoint, cache, index, backup, downstream copy …")
    action: Literal["deleted", "absent", "key_shredded", "flushed", "rebuilt", "notified", "due", "stays"] = Field(
        description="what was done"
    )
    date: str = Field("", description="of what is due: the date; of a recipient: when it was notified")
    digest: str = Field("", description="digest of what was deleted, where it was taken")
    reason: str = Field("", max_length=400, description="why it stays or is due; of a recipient: whether it confirmed")


class PurgeReceipt(_Receipt):
    """Copies were removed, or are dated."""

    assets: tuple[PurgedAsset, ...] = Field(min_length=1, description="the assets")


class NotificationReceipt(_Receipt):
    """The person was told."""

    template: str = Field(max_length=80, description="template and language of the letter")
    version: str = Field(max_length=80, description="version of the template")
    letter: str = Field(pattern=HEX64, description="SHA-256 of the letter as sent")
    channel: Literal["by hand", "provider"] = Field(description="how it was sent")
    accepted: bool = Field(description="the provider accepted it")


class Supersession(_Receipt):
    """The certificate no longer holds."""

    reason: Literal[
        "regression_failed",
        "model_changed",
        "new_required_attack",
        "key_revoked",
        "mistake",
        "reissued",
        "probe_expired",
    ] = Field(description="why")
    details: str = Field("", max_length=400, description="in words, without personal data")
    successor: str = Field("", pattern=r"^([0-9a-f]{64})?$", description="digest of the certificate in its place")


class TestedAttack(FrozenModel):
    """One test in the person's copy."""

    key: str = Field(description="key of the result")
    status: str = Field(description="status")
    attacker: str = Field(description="what the attacker has")


class PersonSummary(_Receipt):
    """The copy for the person: own results, without counts or values of others."""

    level: Level = Field(description="level of the certificate")
    verdict: str = Field(description="verdict of the audit")
    model_changed: str = Field("", description="when the model in use changed; empty: not yet")
    records: int = Field(ge=0, description="the person's own records that were concerned")
    tests: tuple[TestedAttack, ...] = Field(description="attacks on the person's records")
    not_tested: tuple[str, ...] = Field((), description="attacks that were not run")
    limits: tuple[str, ...] = Field(description="what the evidence does not show")
    expires: Moment = Field(description="when the certificate ends")


Receipt = PromotionReceipt | PurgeReceipt | NotificationReceipt | Supersession | PersonSummary
RECEIPTS: dict[str, type[Receipt]] = {
    "promotion": PromotionReceipt,
    "purge": PurgeReceipt,
    "notification": NotificationReceipt,
    "supersession": Supersession,
    "person": PersonSummary,
}


def receipt_type(kind: str) -> str:
    """URI of the predicate of a kind of receipt."""
    return f"{RECEIPT_BASE}/{kind}/v1"


def make_receipt(receipt: Receipt, subject: Mapping[str, str] | None = None) -> SignedEnvelope:
    """A receipt in an envelope without signatures; its subject is the certificate, and `subject` by name."""
    kind = next(name for name, cls in RECEIPTS.items() if type(receipt) is cls)
    return make_statement({"certificate": receipt.certificate, **(subject or {})}, receipt_type(kind), receipt)


def read_receipt(statement: Statement, where: str) -> tuple[str, Receipt]:
    """(kind, receipt); `InputError` for another predicate, or one about another subject than it names."""
    for kind, cls in RECEIPTS.items():
        if statement.predicate_type == receipt_type(kind):
            receipt = read_predicate(statement, receipt_type(kind), cls, where)
            subjects = {s.name: s.digest.sha256 for s in statement.subject}
            if subjects.get("certificate") != receipt.certificate:
                raise InputError(where, "is about another certificate than its subject", "give it as it was signed")
            return kind, receipt
    raise InputError(where, f'its predicate "{statement.predicate_type[:120]}" is no receipt', "give a receipt")


def person_summary(predicate: CertificatePredicate, certificate: str, model_changed: str = "") -> PersonSummary:
    """What the person may see of a certificate.

    Args:
        predicate: The certificate's.
        certificate: Its digest.
        model_changed: When the model in use changed.
    """
    tests = tuple(
        TestedAttack(key=r.key, status=r.status, attacker=predicate.audit.threat_models[r.key])
        for r in predicate.audit.results
        if not r.key.startswith("retention")
    )
    return PersonSummary(
        certificate=certificate,
        request=predicate.request.id,
        at=predicate.validity.made,
        level=predicate.level.level,
        verdict=predicate.audit.verdict.status,
        model_changed=model_changed,
        records=predicate.data.forget,
        tests=tests,
        not_tested=predicate.audit.not_tested,
        limits=predicate.limits,
        expires=predicate.validity.expires,
    )
