"""`expunge log`: append evidence to a Merkle log, verify it, show its signed head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from expunge.cli.key import PassphraseFile
from expunge.cli.passphrase import open_key
from expunge.cli.result import CommandResult
from expunge.errors import InputError
from expunge.evidence.libraries import require

if TYPE_CHECKING:
    from expunge.evidence.merkle_log import LogEntry

LogFolder = Annotated[Path, typer.Argument(help="Folder of the log.")]
Kind = Literal["auto", "plan", "attempt", "certificate", "receipt", "supersession", "other"]


def append(
    log: LogFolder,
    source: Annotated[
        Path, typer.Argument(help="Certificate, receipt, audit.json, the folder of a run (for its plan), or any file.")
    ],
    key: Annotated[Path, typer.Option("--key", help="Private key that signs the head.")],
    kind: Annotated[Kind, typer.Option("--kind", help="What it is; auto tells by its content.")] = "auto",
    request: Annotated[str, typer.Option("--request", help="Opaque reference of the request.")] = "",
    policy: Annotated[
        str | None, typer.Option("--policy", help="Of a plan: the audit policy that will judge; shipped or a file.")
    ] = None,
    origin: Annotated[str, typer.Option("--origin", help="Name of a new log.")] = "",
    proof: Annotated[
        Path | None, typer.Option("--inclusion", help="Also write the inclusion proof to this file.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="The head was signed by another key, which this one replaces.")
    ] = False,
) -> CommandResult:
    """Append one entry and sign the new head."""
    require()
    from expunge._io import write_json
    from expunge.evidence.merkle_log import MerkleLog

    entry = _entry(source, kind, request, policy)
    state = MerkleLog(log).append([entry], open_key(key, "log", passphrase_file), origin, new_key=new_key)
    index = state.find(entry.kind, entry.digest)
    assert index is not None
    if proof:
        write_json(proof, state.proof(index).model_dump(mode="json"))
    data = {
        "kind": entry.kind,
        "digest": entry.digest,
        "index": index,
        "size": state.head.size,
        "root": state.head.root,
    }
    return CommandResult(data, (f"entry {index}: {entry.kind} {entry.digest}", f"head: {state.head.short}"))


def _entry(source: Path, kind: Kind, request: str, policy: str | None) -> LogEntry:
    from expunge.audit.policy import Policy
    from expunge.evidence.canonical_json import sha256
    from expunge.evidence.certificate import plan_digest, plan_of_run
    from expunge.evidence.envelope import read_file
    from expunge.evidence.log_sources import entry_of_envelope
    from expunge.evidence.merkle_log import make_entry

    if source.is_dir():
        if not policy or not request:
            what = "is the folder of a run, whose plan names its policy and its request"
            raise InputError(str(source), what, "give --policy and --request; or the file to log")
        plan = plan_of_run(source, Policy.load(policy).digest, request)
        return make_entry("plan", plan_digest(plan), request)
    raw = read_file(source)
    if kind == "auto" and source.name == "audit.json":
        kind = "attempt"
    if kind == "attempt" and not request:
        raise InputError("--request", "an audit is counted for its request", "give --request")
    if kind in ("auto", "certificate", "receipt", "supersession"):
        entry = entry_of_envelope(raw, str(source))
        if kind not in ("auto", entry.kind):
            raise InputError("--kind", f"{source} is a {entry.kind}, not a {kind}", "leave --kind out")
        return entry
    return make_entry(kind, sha256(raw), request, where=str(source))


def verify(
    log: LogFolder,
    trust: Annotated[Path, typer.Option("--trust", help="Trust file of the verifier.")],
    head: Annotated[
        list[Path] | None, typer.Option("--head", help="A signed head from earlier or from elsewhere; repeatable.")
    ] = None,
) -> CommandResult:
    """Check the entries, the signed head, and that the log continues earlier heads."""
    require()
    from expunge.evidence.log_checks import verify_log
    from expunge.evidence.trust import load_trust

    report = verify_log(log, load_trust(trust), head or ())
    last = f"{log}: {'valid' if report.is_valid else 'NOT VALID'}"
    data = {"valid": report.is_valid, "checks": [vars(line) for line in report.lines]}
    return CommandResult(data, (*map(str, report.lines), last), report.exit_code)


def head(
    log: LogFolder, out: Annotated[Path | None, typer.Option("--out", help="Copy the signed head to this file.")] = None
) -> CommandResult:
    """Show the signed head of a log; its signature is not checked."""
    require()
    from expunge.evidence.envelope import save_envelope
    from expunge.evidence.merkle_log import MerkleLog

    state = MerkleLog(log).read()
    if out:
        save_envelope(state.envelope, out)
    return CommandResult(
        {**state.head.model_dump(), "signatures": [s.keyid for s in state.envelope.signatures]},
        (state.head.short, f"signed {state.head.at} by {', '.join(s.keyid[:16] for s in state.envelope.signatures)}"),
    )
