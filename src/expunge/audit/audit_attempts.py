"""Attempts: how often a request was audited on one original model, with which result.

Who audits ten models or by ten plans and shows the best has shown nothing. So every audit notes its attempt before it
scores anything, in a file of its folder that outlives its `audit.json`, and tells of those in its own and in sibling
folders. A folder that was removed is not counted: this is disclosure among honest people, no proof.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from expunge._config import FrozenModel
from expunge._io import digest, write_json
from expunge._printable import pluralize
from expunge._validation import read_valid
from expunge.audit.preset import Preset
from expunge.errors import InputError

ATTEMPTS = "attempts.json"
HINT = "bring back the file, or remove it: then the attempts that it names are no longer disclosed"
AttemptStatus = Literal["passed", "failed", "inconclusive", "not finished"]
UNFINISHED: AttemptStatus = "not finished"


class AuditAttempt(FrozenModel):
    """One unlearned model that was audited by one plan."""

    request: str = Field(description="SHA-256 of scope and original model")
    unlearned: str = Field(description="SHA-256 of the unlearned model")
    plan: str = Field(description="digest of the plan")
    preset: Preset = Field(description="how much was tested")
    policy: str = Field(description="name of the policy")
    status: AttemptStatus = Field(UNFINISHED, description="verdict; `not finished` where there is none")


class AuditAttemptFile(FrozenModel):
    """The content of `attempts.json`: every attempt in this folder, the first one first."""

    schema_version: Literal[1] = Field(1, description="version of this schema")
    attempts: tuple[AuditAttempt, ...] = Field(description="the attempts")
    seal: str = Field("", description="SHA-256 over the attempts")


def request_digest(scope: str, original: str) -> str:
    """What makes two audits attempts at the same: SHA-256 of the scope and of the original model's digest."""
    return digest(["attempt", scope, original])


def read_attempts(folder: Path) -> tuple[AuditAttempt, ...]:
    """The attempts of a folder; () where there are none. `InputError` for a broken file."""
    path = folder / ATTEMPTS
    if not path.is_file():
        return ()
    file = AuditAttemptFile.model_validate(read_valid(AuditAttemptFile, path, HINT))
    if file.seal != _seal(file.attempts):
        raise InputError(str(path), "its content is not what its seal names", HINT)
    return file.attempts


def _seal(attempts: Iterable[AuditAttempt]) -> str:
    return digest([attempt.model_dump(mode="json") for attempt in attempts])


def note_attempt(folder: Path, attempt: AuditAttempt) -> tuple[AuditAttempt, ...]:
    """Note an attempt in its folder, in the place of the same one; the attempts before that."""
    before = read_attempts(folder)
    write_attempts(folder, joined([*before, attempt]))
    return before


def write_attempts(folder: Path, attempts: Iterable[AuditAttempt]) -> None:
    """Write the file of a folder anew; without attempts there is none."""
    if rows := tuple(attempts):
        write_json(
            folder / ATTEMPTS, AuditAttemptFile(attempts=rows, seal=_seal(rows)).model_dump(mode="json"), private=True
        )
    else:
        (folder / ATTEMPTS).unlink(missing_ok=True)


def known_attempts(folder: Path, request: str) -> tuple[AuditAttempt, ...]:
    """Distinct attempts at a request in this folder and in those beside it; files beside it that are broken are left.

    The order is that of the folders' names, and within a folder of time.
    """
    return joined(a for a in (*read_attempts(folder), *_beside(folder)) if a.request == request)


def _beside(folder: Path) -> Iterator[AuditAttempt]:
    try:
        siblings = sorted(p for p in folder.absolute().parent.iterdir() if p.is_dir() and p != folder.absolute())
    except OSError:
        return
    for sibling in siblings:
        try:
            yield from read_attempts(sibling)
        except (InputError, OSError):
            continue


def joined(attempts: Iterable[AuditAttempt]) -> tuple[AuditAttempt, ...]:
    """One of each (unlearned model, plan, outcome), in the place of the first.

    An attempt that did not finish gives way to the same one that did; outcomes that differ all stay.
    """
    rows: list[AuditAttempt] = []
    for attempt in attempts:
        key = (attempt.request, attempt.unlearned, attempt.plan)
        same = [k for k, row in enumerate(rows) if (row.request, row.unlearned, row.plan) == key]
        open_ones = [k for k in same if rows[k].status == UNFINISHED]
        if not same:
            rows.append(attempt)
        elif attempt.status == UNFINISHED or any(rows[k].status == attempt.status for k in same):
            continue
        elif open_ones:
            rows[open_ones[0]] = attempt
        else:
            rows.append(attempt)
    return tuple(rows)


def attempts_line(attempts: Iterable[AuditAttempt]) -> str:
    """How many attempts are known, and how they ended, in a sentence; empty without any."""
    rows = tuple(attempts)
    if not rows:
        return ""
    counts = Counter(a.status for a in rows)
    listed = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    models = len({a.unlearned for a in rows})
    if len(rows) == 1:
        return "1 attempt at this request is known, this one"
    return (
        f"{pluralize(len(rows), 'attempt')} at this request are known ({listed}), "
        f"on {pluralize(models, 'unlearned model')}"
    )
