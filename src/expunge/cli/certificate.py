"""`expunge certificate`: make, sign, verify and show certificates of unlearned models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from expunge._printable import pluralize
from expunge.cli.passphrase import open_key
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError
from expunge.evidence.libraries import require

if TYPE_CHECKING:
    from expunge.evidence.certificate_schema import SetCommitment
    from expunge.evidence.signing_key import SigningKey

KeyFile = Path | None
Remembered = Annotated[
    bool, typer.Option("--remembered", help="Do not read large model files again whose digest is remembered.")
]
Certificate = Annotated[Path, typer.Argument(help="File of the certificate.")]
OPERATOR_SOURCE, AUDITOR_SOURCE = "--operator-passphrase-file", "--auditor-passphrase-file"


def make(
    run: Annotated[Path, typer.Option("--run", help="Folder of the run, or of a model trained again.")],
    audit: Annotated[Path, typer.Option("--audit", help="Its audit: the folder, or audit.json.")],
    operator_key: Annotated[Path, typer.Option("--operator-key", help="Private key of whoever ran it.")],
    out: Annotated[Path, typer.Option("--out", help="File for the certificate.")],
    auditor_key: Annotated[
        KeyFile, typer.Option("--auditor-key", help="Private key of the auditor; without it, sign later.")
    ] = None,
    operator_passphrase_file: Annotated[
        KeyFile, typer.Option(OPERATOR_SOURCE, metavar="FILE", help="As for `expunge key make`.")
    ] = None,
    auditor_passphrase_file: Annotated[
        KeyFile, typer.Option(AUDITOR_SOURCE, metavar="FILE", help="As for `expunge key make`.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="The folder in use, where an export of the run was audited.")
    ] = None,
    request: Annotated[str, typer.Option("--request", help="Opaque reference of the request.")] = "",
    regime: Annotated[str, typer.Option("--regime", help="Law or rule of the request.")] = "",
    ground: Annotated[str, typer.Option("--ground", help="Ground of the decision.")] = "",
    received: Annotated[str, typer.Option("--received", help="Day of receipt, 2026-01-31.")] = "",
    single_person: Annotated[
        bool, typer.Option("--single-person", help="One person planned, ran and approved; the certificate says so.")
    ] = False,
    attempts: Annotated[int | None, typer.Option("--attempts", help="Audits of this request up to this one.")] = None,
    log: Annotated[
        Path | None, typer.Option("--log", help="Folder of the log, in which the audits are counted.")
    ] = None,
    prior: Annotated[
        Path | None, typer.Option("--prior", help="Certificate of the model that the run started from.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="Days until it expires.")] = 365,
    level: Annotated[
        Literal["L0", "L1", "L2", "L3"] | None, typer.Option("--level", help="A lower level than the evidence carries.")
    ] = None,
    stage: Annotated[str, typer.Option("--stage", help="Of L3: the stage of training.")] = "",
    data: Annotated[
        Path | None, typer.Option("--data", help="Records of the run, to commit to each of them; needs --record-key.")
    ] = None,
    record_key: Annotated[
        Path | None, typer.Option("--record-key", help="Key of this request; made if there is none. Personal data.")
    ] = None,
    person: Annotated[
        Path | None, typer.Option("--person", help="Also write the signed copy for the person to this file.")
    ] = None,
    remembered: Remembered = False,
) -> CommandResult:
    """Make a certificate of a run and its audit, and sign it."""
    require()
    from expunge.cli.options import check_is_no_folder
    from expunge.evidence.certificate import CertificateFacts, make_certificate
    from expunge.evidence.envelope import save_envelope
    from expunge.evidence.log_checks import counted_attempts
    from expunge.evidence.receipts import make_receipt, person_summary
    from expunge.evidence.statement import read_statement
    from expunge.evidence.verification import read_certificate, read_predicate_of

    check_is_no_folder(out, "cert.json")
    if out.exists():
        raise InputError(str(out), "is there already, and may be signed", "choose another file")
    if log is not None and attempts is None:
        attempts = counted_attempts(log, request)
    commitments, selection = _commitments(run, data, record_key)
    facts = CertificateFacts(
        request={"id": request, "regime": regime, "ground": ground, "received": received},
        single_person=single_person,
        attempts=attempts,
        days=days,
        level=level,
        stage=stage,
        prior=read_certificate(prior)[0].digest if prior else "",
        commitments=commitments,
        selection=selection,
        key_fate="held" if data else "none",
    )
    keys = [open_key(operator_key, "operator", operator_passphrase_file, OPERATOR_SOURCE)]
    if auditor_key:
        keys.append(open_key(auditor_key, "auditor", auditor_passphrase_file, AUDITOR_SOURCE))
        _check_two(keys)
    unsigned = make_certificate(run, audit, facts, model=model, remembered=remembered)
    signed = unsigned.signed_by(*keys)
    save_envelope(signed, out)
    predicate = read_predicate_of(read_statement(signed, str(out)), str(out))
    if person:
        save_envelope(make_receipt(person_summary(predicate, signed.digest)).signed_by(*keys), person)
    missing = () if auditor_key else (f"not signed by the auditor yet: expunge certificate sign {out} --key KEY",)
    return CommandResult(
        {
            "out": out,
            "digest": signed.digest,
            "request": predicate.request.id,
            "level": predicate.level.level,
            "verdict": predicate.audit.verdict.status,
            "signatures": len(signed.signatures),
        },
        (
            f"{out}: certificate {signed.digest}",
            f"request {predicate.request.id}, level {predicate.level.level}: {predicate.level.why}",
            *missing,
        ),
    )


def _check_two(keys: list[SigningKey]) -> None:
    if keys[0].public.raw == keys[1].public.raw:
        raise InputError("--auditor-key", "is the operator's key", "two people sign, each with an own key")


def _commitments(run: Path, data: Path | None, key_file: Path | None) -> tuple[dict[str, SetCommitment], str]:
    """The commitments to the record sets, and that to the scope."""
    if data is None and key_file is None:
        return {}, ""
    if data is None or key_file is None:
        raise InputError("--data", "goes with --record-key", "give both, or neither")
    from expunge.cli.committed_records import record_sets
    from expunge.evidence.commitment import commit, load_record_key, make_key, save_record_key, selection_value
    from expunge.models.run_file import read_run_file

    sets = record_sets(run, data)
    key = load_record_key(key_file) if key_file.exists() else make_key()
    commitments: dict[str, SetCommitment] = {name: commit(key, name, records) for name, records in sets.items()}
    if not key_file.exists():
        save_record_key(key, key_file)
    return commitments, selection_value(key, str(read_run_file(run)["scope"]))


def sign(
    certificate: Certificate,
    key: Annotated[Path, typer.Option("--key", help="Private key of the second person, usually the auditor.")],
    role: Annotated[
        Literal["operator", "auditor"], typer.Option("--role", help="Which passphrase variable is read.")
    ] = "auditor",
    passphrase_file: Annotated[
        KeyFile, typer.Option("--passphrase-file", metavar="FILE", help="As for `expunge key make`.")
    ] = None,
) -> CommandResult:
    """Add a signature to a certificate or a receipt, in place."""
    require()
    from expunge.evidence.envelope import load_envelope, save_envelope

    envelope = load_envelope(certificate)
    signed = envelope.signed_by(open_key(key, role, passphrase_file))
    if len(signed.signatures) == len(envelope.signatures):
        raise InputError(str(certificate), "is signed by this key already", "the other person signs with an own key")
    save_envelope(signed, certificate)
    data = {"out": certificate, "digest": signed.digest, "signatures": len(signed.signatures)}
    count = pluralize(len(signed.signatures), "signature")
    return CommandResult(data, (f"{certificate}: {count} over {signed.digest}",))


def verify(
    certificate: Annotated[Path, typer.Argument(help="File of a certificate or a receipt.")],
    trust: Annotated[Path, typer.Option("--trust", help="Trust file of the verifier.")],
    model: Annotated[Path | None, typer.Option("--model", help="Folder of the model in use, or its run.")] = None,
    audit: Annotated[Path | None, typer.Option("--audit", help="The full audit, for whoever may read it.")] = None,
    log: Annotated[Path | None, typer.Option("--log", help="Folder of the log, or the file of a signed head.")] = None,
    proof: Annotated[Path | None, typer.Option("--inclusion", help="Inclusion proof of the certificate.")] = None,
    head: Annotated[Path | None, typer.Option("--head", help="A signed head that was kept elsewhere.")] = None,
    prior: Annotated[Path | None, typer.Option("--prior", help="Certificate of the model before.")] = None,
    receipt: Annotated[list[Path] | None, typer.Option("--receipt", help="A later statement; repeatable.")] = None,
    disclosure: Annotated[
        list[Path] | None, typer.Option("--disclosure", help="A record that should be in a committed set; repeatable.")
    ] = None,
    request: Annotated[str, typer.Option("--request", help="The reference that it should have.")] = "",
    remembered: Remembered = False,
) -> CommandResult:
    """Verify a certificate, one line for each check. Exit code 3 unless all that was checked is valid."""
    require()
    from expunge.audit.schema import find_audit
    from expunge.evidence.commitment import load_disclosure
    from expunge.evidence.log_checks import load_log_evidence
    from expunge.evidence.trust import load_trust, refuse_empty
    from expunge.evidence.verification import VerificationInputs, verify_file

    trusted = load_trust(trust)
    refuse_empty(trusted, str(trust))
    inputs = VerificationInputs(
        model=model,
        audit=find_audit(audit) if audit else None,
        log=load_log_evidence(log, head, proof),
        prior=prior,
        receipts=receipt or (),
        disclosures=[load_disclosure(path) for path in disclosure or ()],
        request=request,
        remembered=remembered,
    )
    verified = verify_file(certificate, trusted, inputs)
    report = verified.report
    last = f"{certificate}: {'VALID' if report.is_valid else 'NOT VALID'}"
    return CommandResult(
        {"valid": report.is_valid, "digest": verified.envelope.digest, "checks": [vars(line) for line in report.lines]},
        (*map(str, report.lines), last, "This is technical evidence, not legal advice."),
        report.exit_code,
    )


def show(certificate: Certificate) -> CommandResult:
    """Show what a certificate says; its signatures are not checked."""
    require()
    from expunge.evidence.verification import read_certificate

    envelope, predicate = read_certificate(certificate)
    audit, level = predicate.audit, predicate.level
    facts = (
        ("certificate", envelope.digest),
        ("request", predicate.request.id),
        ("level", f"{level.level}: {level.why}"),
        ("method", predicate.method.name),
        ("model before", predicate.artifacts.before),
        ("model after", predicate.artifacts.after),
        ("audit", f"{audit.verdict.status}, against {audit.comparison}, policy {audit.policy.name}"),
        ("audits of this request", "not counted" if audit.attempts is None else str(audit.attempts)),
        ("made", predicate.validity.made),
        ("expires", predicate.validity.expires),
        ("signed by", ", ".join(s.keyid[:16] for s in envelope.signatures) or "nobody"),
    )
    results = [(r.key, r.status, r.estimate, r.reason) for r in audit.results]
    coverage = [(row.attack_class, row.status.replace("_", " "), row.reason) for row in predicate.coverage]
    return CommandResult(
        {"digest": envelope.digest, "predicate": predicate.model_dump(mode="json")},
        (
            ResultTable(("", ""), facts),
            ResultTable(("check", "status", "estimate", "reason"), results, "Audit"),
            ResultTable(("class of attack", "status", "reason"), coverage, "EDPB Opinion 28/2024, paragraph 55"),
            "Limits:",
            *(f"- {limit}" for limit in predicate.limits),
            "signatures were not checked: expunge certificate verify",
            predicate.notice,
        ),
    )
