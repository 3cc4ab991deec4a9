"""`expunge key`: make a signing key, and show a public one as a trust file wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from expunge.cli.passphrase import read_passphrase
from expunge.cli.result import CommandResult
from expunge.evidence.libraries import require

RoleName = Annotated[
    Literal["operator", "auditor", "log"], typer.Option("--role", help="What the key signs as, in a trust file.")
]
OwnerName = Annotated[str, typer.Option("--name", help="Whose key it is, in words, for the trust file.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="File with the passphrase in its first line, or - for the standard input; otherwise the environment "
        "(EXPUNGE_PASSPHRASE, or one for the role).",
    ),
]


def make(
    out: Annotated[Path, typer.Option("--out", help="File for the private key; FILE.pub is the public one.")],
    role: RoleName = "operator",
    name: OwnerName = "",
    kind: Annotated[
        Literal["certificate", "model"],
        typer.Option("--kind", help="certificate: Ed25519; model: P-256, to sign models to the OpenSSF specification."),
    ] = "certificate",
    passphrase_file: PassphraseFile = None,
) -> CommandResult:
    """Make a signing key, encrypted under a passphrase."""
    require()
    from expunge.evidence.signing_key import SigningKey, save_key
    from expunge.evidence.trust import trust_lines

    if kind == "model":
        return _make_model_key(out, read_passphrase("", passphrase_file))
    key = SigningKey.generate()
    public = save_key(key, out, read_passphrase(role, passphrase_file))
    lines = trust_lines([(role, name, key.public)])
    return CommandResult(
        {"private": out, "public": public, "keyid": key.public.keyid, "role": role, "key": key.public.text},
        (f"{out}: private key (mode 0600, encrypted); {public}: public key", "for a trust file:", lines.rstrip("\n")),
    )


def _make_model_key(out: Path, passphrase: str) -> CommandResult:
    from expunge.evidence.model_signature import key_hint, load_model_public_key, make_model_key

    public = make_model_key(out, passphrase)
    hint = key_hint(load_model_public_key(public))
    lines = (f"{out}: private key (mode 0600, encrypted); {public}: public key", f"fingerprint: {hint}")
    return CommandResult({"private": out, "public": public, "keyid": hint, "role": "model"}, lines)


def show(
    key: Annotated[Path, typer.Argument(help="The public key: the .pub file.")],
    role: RoleName = "operator",
    name: OwnerName = "",
) -> CommandResult:
    """Show a public key as a trust file wants it."""
    require()
    from expunge.evidence.signing_key import load_public_key
    from expunge.evidence.trust import trust_lines

    public = load_public_key(key)
    lines = trust_lines([(role, name, public)])
    data = {"keyid": public.keyid, "key": public.text, "role": role}
    return CommandResult(data, (f"key id: {public.keyid}", lines.rstrip("\n")))
