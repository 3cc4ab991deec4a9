"""The same evidence for SCITT (RFC 9943): a certificate as COSE_Sign1 with CWT claims, its log entry as a COSE receipt.

The DSSE envelope stays the original; this is another form of the same payload, for verifiers that speak COSE. A receipt
(RFC 9942) has the verifiable data structure 1, RFC9162_SHA256: the hashes of our log, encoded otherwise. Its leaf is
the log entry, which names the payload by its digest. Needs the extra `scitt`.
"""

from __future__ import annotations

from collections.abc import Iterator

from scitt_cose import (
    CoseError,
    attach_receipts,
    build_receipt,
    build_signed_statement,
    extract_receipts,
    parse_signed_statement,
    sign_sign1,
    verify_receipt,
    verify_sign1,
)

from expunge.errors import InputError, first_line
from expunge.evidence.canonical_json import sha256
from expunge.evidence.envelope import SignedEnvelope
from expunge.evidence.merkle_log import LogEntry, LogState
from expunge.evidence.moments import parse_moment
from expunge.evidence.signing_key import SigningKey, VerifyingKey

ALGORITHM = "EdDSA"
CWT_CLAIMS, ISSUER, SUBJECT, KEY_ID = 15, 1, 2, 4  # labels of protected headers and claims
HASH_ALGORITHM, PREIMAGE_TYPE, SHA_256 = 258, 259, -16  # of a COSE hash envelope
HINT = "give the file as it was written"


def signed_statement(envelope: SignedEnvelope, key: SigningKey, issuer: str, subject: str) -> bytes:
    """The payload of an envelope as a SCITT signed statement, CBOR.

    Args:
        envelope: A certificate or a receipt.
        key: Of the issuer.
        issuer: Who states it (CWT claim `iss`), for example a URI of the controller.
        subject: What it is about (CWT claim `sub`), for example the digest of the model; no person.
    """
    statement: bytes = build_signed_statement(
        envelope.payload,
        alg=ALGORITHM,
        private_key_pem=key.private_pem(),
        issuer=issuer,
        subject=subject,
        content_type=envelope.payload_type,
        kid=bytes.fromhex(key.public.keyid),
    )
    return statement


def digest_statement(envelope: SignedEnvelope, key: SigningKey, issuer: str, subject: str) -> bytes:
    """A signed statement of the digest of the payload alone (COSE hash envelope), to register it at an outside log."""
    protected = {
        KEY_ID: bytes.fromhex(key.public.keyid),
        CWT_CLAIMS: {ISSUER: issuer, SUBJECT: subject},
        HASH_ALGORITHM: SHA_256,
        PREIMAGE_TYPE: envelope.payload_type,
    }
    raw = bytes.fromhex(envelope.digest)
    statement: bytes = sign_sign1(raw, alg=ALGORITHM, private_key_pem=key.private_pem(), protected=protected)
    return statement


def log_receipt(state: LogState, index: int, key: SigningKey, subject: str) -> bytes:
    """The COSE receipt of one entry of a log.

    Args:
        state: The log.
        index: Place of the entry.
        key: Of the log.
        subject: The subject of the statement that the entry names.
    """
    leaves = [entry.leaf.hex() for entry in state.entries]
    receipt: bytes = build_receipt(
        leaf_entry_hex=leaves[index],
        leaf_index=index,
        tree_entries_hex=leaves,
        alg=ALGORITHM,
        log_private_key_pem=key.private_pem(),
        iss=state.head.origin,
        sub=subject,
        kid=bytes.fromhex(key.public.keyid),
        iat=int(parse_moment(state.head.at).timestamp()),
    )
    return receipt


def transparent_statement(statement: bytes, *receipts: bytes) -> bytes:
    """A signed statement with its receipts in it; `InputError` for what is none."""
    try:
        joined: bytes = attach_receipts(statement, list(receipts))
    except CoseError as error:
        raise InputError("statement", f"is no COSE_Sign1 message ({first_line(error)})", HINT) from error
    return joined


def statement_problems(
    raw: bytes, key: VerifyingKey, log_key: VerifyingKey | None = None, entry: LogEntry | None = None
) -> Iterator[str]:
    """Why a statement does not hold; nothing where it does.

    Args:
        raw: A signed statement, with or without receipts.
        key: Of the issuer.
        log_key: Of the log; None where no receipt is needed.
        entry: The entry that the receipt should be of.
    """
    parsed = parse_signed_statement(raw, public_key_pem=key.pem)
    if parsed["signature_verified"] is not True:
        yield "the statement is not signed by this key"
        return
    if log_key is None or entry is None:
        return
    if entry.digest != sha256(parsed["payload"]):
        yield "the entry of the log is about another statement"
    try:
        receipts = extract_receipts(raw)
    except CoseError as error:
        yield f"its receipts could not be read ({first_line(error)})"
        return
    results = [verify_receipt(r, leaf_entry_hex=entry.leaf.hex(), log_public_key_pem=log_key.pem) for r in receipts]
    if not any(result.ok for result in results):
        yield "it has no receipt of this log for this entry"


def payload_of(raw: bytes, key: VerifyingKey) -> bytes:
    """The payload of a signed statement; `InputError` where it is not signed by this key."""
    try:
        payload: bytes = verify_sign1(
            raw, public_key_pem=key.pem, understood_labels=frozenset({1, 2, 3, KEY_ID, CWT_CLAIMS, HASH_ALGORITHM, 259})
        ).payload
    except CoseError as error:
        raise InputError("statement", f"is not signed by this key ({first_line(error)})", HINT) from error
    return payload
