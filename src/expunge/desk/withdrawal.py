"""Withdraws certificates that a run wrote and the desk never registered, because somebody cancelled the run.

A file without a registered row is no certificate of the desk: nobody is shown it, and nothing is promoted by it. If it
was put into the Merkle log, where nothing can be removed, a statement that supersedes it is put there, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from expunge._io import write_atomic
from expunge.desk import tables as t
from expunge.desk.certify import FOLDER
from expunge.desk.desk import Desk
from expunge.desk.roles import SYSTEM
from expunge.errors import InputError

STATEMENTS = "receipts/withdrawn"  # folder of a run
DETAILS = "The run was cancelled before the desk registered this certificate."


def withdraw_certificates(desk: Desk, plan_hash: str) -> list[str]:
    """Remove the certificates in the folder of a plan that are not registered; a second call changes nothing.

    Returns:
        Names of the removed files.

    Raises:
        InputError: a key of the desk or its Merkle log cannot be read; the files stay for the next call.
    """
    folder = desk.runs / plan_hash[:16]
    files = sorted((folder / FOLDER).glob("*.json"))
    if not files:
        return []
    with desk.reading(SYSTEM) as s:
        here = select(t.certificate.c.path).join(t.run, t.run.c.id == t.certificate.c.run_id)
        registered = set(s.conn.execute(here.where(t.run.c.plan_hash == plan_hash)).scalars())
    strays = [file for file in files if str(file.relative_to(desk.runs)) not in registered]
    for file in strays:
        if desk.settings.certificates is not None:
            _supersede(desk, folder, file)
        file.unlink(missing_ok=True)
    return [file.name for file in strays]


def withdraw_all(desk: Desk, plans: Sequence[str]) -> list[str]:
    """As `withdraw_certificates` for plans on which nobody works; returns a line for each that has to wait."""
    lines = []
    for plan_hash in plans:
        try:
            withdraw_certificates(desk, plan_hash)
        except InputError as error:
            lines.append(f"certificates of the plan {plan_hash[:16]}: {error}")
    return lines


def _supersede(desk: Desk, folder: Path, file: Path) -> None:
    """Say in the Merkle log that a certificate does not hold; nothing for one that is not in it."""
    from expunge.desk.evidence_log import append_entries
    from expunge.desk.signing import load_keys
    from expunge.evidence.envelope import load_envelope
    from expunge.evidence.log_sources import entry_of
    from expunge.evidence.moments import format_moment
    from expunge.evidence.receipts import Supersession, make_receipt
    from expunge.evidence.verification import read_certificate

    try:
        envelope, predicate = read_certificate(file)
    except InputError:
        return  # a plain certificate, or half a file: neither was logged
    keys = load_keys(desk.folder, desk.settings)
    assert keys is not None
    if not keys.log.exists or all(entry.digest != envelope.digest for entry in keys.log.read().entries):
        return
    kept = folder / STATEMENTS / f"{predicate.request.id}.{envelope.digest[:16]}.json"
    if not kept.is_file():
        statement = Supersession(
            certificate=envelope.digest,
            request=predicate.request.id,
            at=format_moment(desk.clock()),
            reason="mistake",
            details=DETAILS,
        )
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(kept, make_receipt(statement).signed_by(keys.operator).as_bytes(), private=True)
    append_entries(desk, keys, [entry_of(load_envelope(kept), kept.name, desk.clock())])
