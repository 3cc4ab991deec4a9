"""What each reader of the evidence is given: the person a copy without anything of others, the auditor everything."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from expunge._io import allowed_mode, write_atomic, write_json
from expunge.errors import InputError
from expunge.evidence.envelope import load_envelope, read_file
from expunge.evidence.manifest import make_manifest
from expunge.evidence.receipts import PersonSummary, read_receipt
from expunge.evidence.statement import read_statement
from expunge.evidence.verification import read_certificate
from expunge.models.run_seal import SEALED

CONTENTS = "contents.json"
RUN_FILES = ("run.json", *SEALED)


def auditor_bundle(out: Path, certificate: Path, run: Path, audit: Path, log: Path | None = None) -> Path:
    """A folder with the full evidence: certificate, whole audit with its scores, records of the run, log.

    It holds personal data and is for its owner alone. The weights stay where they are.

    Args:
        out: The new folder.
        certificate: The certificate.
        run: Folder of the run.
        audit: audit.json.
        log: Folder of the log.

    Raises:
        InputError: `out` is there already, or a file is no such.
    """
    read_certificate(certificate)
    files = {"certificate.json": certificate, "audit/audit.json": audit}
    files |= {f"run/{name}": run / name for name in RUN_FILES if (run / name).is_file()}
    scores = audit.parent / "scores"
    files |= {f"audit/scores/{file.name}": file for file in sorted(scores.glob("*.npz"))}
    if log is not None:
        files |= {f"log/{name}": log / name for name in ("entries.jsonl", "head.json")}
    return _write(out, files)


def person_bundle(out: Path, summary: Path, letter: Path | None = None, inclusion: Path | None = None) -> Path:
    """A folder for the person: the signed summary, the letter, and where it stands in the log.

    Raises:
        InputError: `out` is there already, or the summary is no copy for a person; a certificate counts others too.
    """
    _, receipt = read_receipt(read_statement(load_envelope(summary), str(summary)), str(summary))
    if not isinstance(receipt, PersonSummary):
        raise InputError(str(summary), "is no copy for the person", "give the file of `certificate make --person`")
    files = {"summary.json": summary}
    if letter is not None:
        files[f"letter{letter.suffix}"] = letter
    if inclusion is not None:
        files["inclusion.json"] = inclusion
    return _write(out, files)


def _write(out: Path, files: Mapping[str, Path]) -> Path:
    if out.exists() or out.is_symlink():
        raise InputError(str(out), "is there already", "choose a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise InputError(str(out), f"could not be made ({error.strerror})", "choose another folder") from error
    try:
        for name, source in files.items():
            write_atomic(fresh / name, read_file(source), private=True)
        write_json(fresh / CONTENTS, make_manifest(fresh), private=True)
        fresh.chmod(allowed_mode(0o700))
        fresh.rename(out)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return out
