"""`expunge certificate export`: a certificate in other standard forms, and the signature of its model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from expunge.cli.key import PassphraseFile
from expunge.cli.passphrase import open_key, read_passphrase
from expunge.cli.result import CommandResult
from expunge.errors import InputError
from expunge.evidence.libraries import require

Form = Literal["bill", "card", "scitt", "digest"]


def export(
    certificate: Annotated[Path, typer.Argument(help="File of the certificate.")],
    out: Annotated[Path, typer.Option("--out", help="File for the result.")],
    form: Annotated[
        Form,
        typer.Option(
            "--as",
            help="bill: CycloneDX ML-BOM; card: section of a model card; scitt: COSE statement; digest: COSE statement "
            "of the digest alone.",
        ),
    ] = "bill",
    name: Annotated[str, typer.Option("--name", help="Of a bill: name of the model.")] = "model",
    key: Annotated[Path | None, typer.Option("--key", help="Of a COSE statement: private key of the issuer.")] = None,
    issuer: Annotated[str, typer.Option("--issuer", help="Of a COSE statement: who states it, a URI.")] = "",
    passphrase_file: PassphraseFile = None,
) -> CommandResult:
    """Write a certificate in another standard form."""
    require()
    from expunge._io import write_atomic, write_json
    from expunge.evidence.model_bill import model_bill, model_card_section
    from expunge.evidence.statement import read_statement
    from expunge.evidence.verification import read_certificate

    envelope, predicate = read_certificate(certificate)
    if form == "bill":
        write_json(out, model_bill(envelope, read_statement(envelope, str(certificate)), predicate, name))
    elif form == "card":
        write_atomic(out, model_card_section(envelope, predicate))
    else:
        require("scitt")
        if key is None or not issuer:
            raise InputError("--key", f"--as {form} is signed by its issuer", "give --key and --issuer")
        from expunge.evidence import scitt_face

        make = scitt_face.signed_statement if form == "scitt" else scitt_face.digest_statement
        signer = open_key(key, "operator", passphrase_file)
        write_atomic(out, make(envelope, signer, issuer, f"model:{predicate.artifacts.after}"))
    return CommandResult({"out": out, "as": form, "digest": envelope.digest}, (f"{out}: {form} of {envelope.digest}",))


def sign_model(
    model: Annotated[Path, typer.Argument(help="Folder of the model.")],
    key: Annotated[Path, typer.Option("--key", help="Private key, made with expunge key make --kind model.")],
    out: Annotated[Path, typer.Option("--out", help="File for the signature, for example model.sig.")],
    passphrase_file: PassphraseFile = None,
) -> CommandResult:
    """Sign a model folder to the OpenSSF model signing specification 1.0."""
    require()
    from expunge._io import write_atomic
    from expunge.evidence import model_signature

    signer = model_signature.load_model_key(key, read_passphrase("", passphrase_file))
    write_atomic(out, model_signature.sign_model(model, signer, out))
    hint = model_signature.key_hint(signer.public_key())
    return CommandResult({"out": out, "hint": hint}, (f"{out}: signature over {model} by the key {hint[:16]}",))


def verify_model(
    model: Annotated[Path, typer.Argument(help="Folder of the model.")],
    signature: Annotated[Path, typer.Option("--signature", help="The signature, for example model.sig.")],
    key: Annotated[Path, typer.Option("--key", help="The public key (.pub).")],
) -> CommandResult:
    """Verify a model signature. Exit code 3 unless it is valid."""
    require()
    from expunge.evidence import model_signature

    public = model_signature.load_model_public_key(key)
    problems = list(model_signature.model_signature_problems(model, signature, public))
    last = f"{model}: {'NOT VALID' if problems else 'VALID'}"
    lines = tuple(f"NOT VALID: {problem}" for problem in problems)
    return CommandResult({"valid": not problems, "problems": problems}, (*lines, last), 3 if problems else 0)
