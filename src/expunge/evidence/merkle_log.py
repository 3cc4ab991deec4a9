"""A log of evidence in a folder: entries, one canonical line each, and a signed head over their Merkle tree.

entries.jsonl  one entry a line; a line is a leaf
head.json      envelope: origin, size, root, time; signed by the log or the auditor
lock           held while a writer appends

An entry is in the log once a signed head covers it. Lines beyond the head are what a killed writer left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from expunge._config import FrozenModel
from expunge._folder import NO_FOLLOW
from expunge._io import lock_exclusively, sync
from expunge._printable import pluralize
from expunge._validation import validate
from expunge.errors import InputError
from expunge.evidence.canonical_json import canonical_bytes, parse_strictly
from expunge.evidence.certificate_schema import HEX64_OR_EMPTY
from expunge.evidence.envelope import SignedEnvelope, envelope_of, read_envelope, read_file, save_envelope
from expunge.evidence.merkle import Hash, consistency_proof, inclusion_proof, is_included, leaf_hash, root_of
from expunge.evidence.moments import Moment, format_moment, present
from expunge.evidence.signing_key import SigningKey
from expunge.evidence.statement import HEX64

HEAD_TYPE = "application/vnd.expunge.log-head+json"
ENTRIES, HEAD, LOCK = "entries.jsonl", "head.json", "lock"
KINDS = ("plan", "attempt", "certificate", "receipt", "supersession", "log_head", "chain", "other")
HINT = "restore the folder of the log from a backup; never edit it"


class LogEntry(FrozenModel):
    """One leaf: what was done, by digest."""

    kind: str = Field(pattern=r"^[a-z][a-z_]{0,31}$", description="plan, attempt, certificate, receipt, …")
    digest: str = Field(pattern=HEX64, description="SHA-256 of the thing")
    request: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9._:-]{0,79})?$", description="opaque reference")
    about: str = Field("", pattern=HEX64_OR_EMPTY, description="of a receipt: the digest of its certificate")
    at: Moment = Field(description="when it was appended, UTC")

    @property
    def leaf(self) -> bytes:
        """The canonical bytes."""
        return canonical_bytes(self.model_dump(mode="json"))


class LogHead(FrozenModel):
    """What a signed head says."""

    origin: str = Field(min_length=1, max_length=200, description="name of the log")
    size: int = Field(ge=0, description="number of entries")
    root: str = Field(pattern=HEX64, description="RFC 6962 root")
    at: Moment = Field(description="when it was signed, UTC")

    @property
    def short(self) -> str:
        """The head as a letter prints it."""
        return f"{self.origin} {self.size} {self.root}"


class InclusionProof(FrozenModel):
    """An entry, its place, and the path to the root of a signed head."""

    entry: LogEntry = Field(description="the entry")
    index: int = Field(ge=0, description="its place")
    path: tuple[str, ...] = Field(description="Merkle path, hex")
    head: dict[str, Any] = Field(description="envelope of the signed head")


@dataclass(frozen=True)
class LogState:
    """The entries of a log that its head covers, and that head."""

    entries: tuple[LogEntry, ...]
    hashes: tuple[Hash, ...]
    head: LogHead
    envelope: SignedEnvelope

    def find(self, kind: str, digest: str) -> int | None:
        """The place of the first entry of this kind about this digest."""
        pairs = enumerate(self.entries)
        return next((k for k, entry in pairs if (entry.kind, entry.digest) == (kind, digest)), None)

    def proof(self, index: int) -> InclusionProof:
        """The inclusion proof of the entry at `index`."""
        path = tuple(step.hex() for step in inclusion_proof(self.hashes, index))
        return InclusionProof(entry=self.entries[index], index=index, path=path, head=self.envelope.as_dict())

    def extends(self, earlier: LogHead) -> bool:
        """Whether the log of `earlier` is the start of this one."""
        same = self.head.origin == earlier.origin and earlier.size <= self.head.size
        return same and root_of(self.hashes[: earlier.size]).hex() == earlier.root

    def consistency(self, first: int) -> list[str]:
        """The consistency proof from the first `first` entries, hex."""
        return [step.hex() for step in consistency_proof(self.hashes, first)]


class MerkleLog:
    """The log in a folder. One writer at a time; others wait."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    @property
    def exists(self) -> bool:
        """Whether the folder holds a log."""
        return (self.folder / HEAD).is_file()

    def append(
        self,
        entries: Sequence[LogEntry],
        key: SigningKey,
        origin: str = "",
        at: datetime | None = None,
        new_key: bool = False,
    ) -> LogState:
        """Append entries and sign the new head. An entry that is there already (kind, digest, request) stays one.

        Args:
            entries: What to append.
            key: Signs the head.
            origin: Name of the log; needed for a new one.
            at: Time of the head.
            new_key: Another key than the one that signed the head takes its place.

        Raises:
            InputError: the log is damaged, has another name or another key, or cannot be written.
        """
        with self._locked():
            state = self._begin(key, origin, at)
            if origin and state.head.origin != origin:
                raise InputError(str(self.folder), f'is the log "{state.head.origin}"', "leave --origin out")
            if not new_key and all(s.keyid != key.public.keyid for s in state.envelope.signatures):
                hint = "give the key that signed it; a new one takes its place with --new-key"
                raise InputError(str(self.folder), "has a head that another key signed", hint)
            known = {(e.kind, e.digest, e.request, e.about) for e in state.entries}
            new: list[LogEntry] = []
            for entry in entries:
                if (mark := (entry.kind, entry.digest, entry.request, entry.about)) not in known:
                    known.add(mark)
                    new.append(entry)
            if not new:
                return state
            self._write(state, new)
            return self._sign((*state.entries, *new), state.head.origin, key, at)

    def _begin(self, key: SigningKey, origin: str, at: datetime | None) -> LogState:
        if self.exists:
            return self.read()
        if not origin:
            raise InputError(str(self.folder), "holds no log yet", "give --origin NAME to begin one")
        if (self.folder / ENTRIES).exists():
            raise InputError(str(self.folder), "holds entries and no head", HINT)
        return self._sign((), origin, key, at)

    def _write(self, state: LogState, new: Sequence[LogEntry]) -> None:
        """Write lines behind those that the head covers; what a killed writer left there goes."""
        path = self.folder / ENTRIES
        end = sum(len(entry.leaf) + 1 for entry in state.entries)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666)
            with os.fdopen(handle, "r+b") as stream:
                stream.truncate(end)
                stream.seek(end)
                stream.write(b"".join(entry.leaf + b"\n" for entry in new))
                stream.flush()
                os.fsync(stream.fileno())
            sync(self.folder)
        except OSError as error:
            raise InputError(
                str(path), f"could not be written ({error.strerror})", "free some space and append again"
            ) from error

    def _sign(self, entries: tuple[LogEntry, ...], origin: str, key: SigningKey, at: datetime | None) -> LogState:
        hashes = tuple(leaf_hash(entry.leaf) for entry in entries)
        moment = format_moment(at or present())
        head = LogHead(origin=origin, size=len(entries), root=root_of(hashes).hex(), at=moment)
        envelope = SignedEnvelope(canonical_bytes(head.model_dump(mode="json")), HEAD_TYPE).signed_by(key)
        save_envelope(envelope, self.folder / HEAD)
        return LogState(entries, hashes, head, envelope)

    def read(self) -> LogState:
        """The log as its head covers it; signatures are not checked.

        Raises:
            InputError: no log, or entries that are not those of the head.
        """
        path = self.folder / HEAD
        if not path.is_file():
            raise InputError(str(self.folder), "holds no log", "give the folder of a log")
        envelope = read_envelope(read_file(path, HINT), str(path))
        head = read_head(envelope, str(path))
        entries = self._entries(head.size)
        hashes = tuple(leaf_hash(entry.leaf) for entry in entries)
        if root_of(hashes).hex() != head.root:
            raise InputError(str(self.folder / ENTRIES), "holds other entries than the signed head covers", HINT)
        return LogState(entries, hashes, head, envelope)

    def _entries(self, size: int) -> tuple[LogEntry, ...]:
        path = self.folder / ENTRIES
        lines = read_file(path, HINT).split(b"\n")[:-1] if size else []
        if len(lines) < size:
            raise InputError(
                str(path), f"holds {pluralize(len(lines), 'entry', 'entries')}, and the signed head covers {size}", HINT
            )
        entries = []
        for number, line in enumerate(lines[:size], 1):
            where = f"{path}:{number}"
            raw = parse_strictly(line, where)
            if not isinstance(raw, dict):
                raise InputError(where, "is no entry", HINT)
            entry = validate(LogEntry, raw, where, HINT)
            if entry.leaf != line:
                raise InputError(where, "is not in canonical form", HINT)
            entries.append(entry)
        return tuple(entries)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666)
        except OSError as error:
            what = f"could not be made ({error.strerror or error})"
            raise InputError(str(self.folder), what, "choose another folder") from error
        with os.fdopen(handle, "r+b", buffering=0) as stream:
            lock_exclusively(stream, wait=True)
            yield


def make_entry(
    kind: str, digest: str, request: str = "", about: str = "", at: datetime | None = None, where: str = "entry"
) -> LogEntry:
    """An entry; `InputError` for a digest or a reference of another form."""
    raw = {"kind": kind, "digest": digest, "request": request, "about": about, "at": format_moment(at or present())}
    return validate(LogEntry, raw, where)


def read_head(envelope: SignedEnvelope, where: str) -> LogHead:
    """The head in an envelope; signatures are not checked."""
    if envelope.payload_type != HEAD_TYPE:
        raise InputError(where, "is no head of a log", "give head.json of a log")
    raw = parse_strictly(envelope.payload, where)
    if not isinstance(raw, dict):
        raise InputError(where, "is no head of a log", "give head.json of a log")
    return validate(LogHead, raw, where, HINT)


def proof_problem(proof: InclusionProof, where: str = "proof") -> str:
    """Why an inclusion proof does not lead to the root of its head; empty where it does."""
    head = read_head(envelope_of(dict(proof.head), where), where)
    try:
        path = [bytes.fromhex(step) for step in proof.path]
    except ValueError:
        return "its path is not hex"
    leaf, root = leaf_hash(proof.entry.leaf), bytes.fromhex(head.root)
    return "" if is_included(leaf, proof.index, head.size, path, root) else "its path does not lead to the head's root"


def load_proof(path: Path | str) -> InclusionProof:
    """An inclusion proof from a file."""
    raw = parse_strictly(read_file(path), str(path))
    hint = "give the file that `expunge log append --inclusion` wrote"
    if not isinstance(raw, dict):
        raise InputError(str(path), "is no inclusion proof", hint)
    return validate(InclusionProof, raw, str(path), hint)
