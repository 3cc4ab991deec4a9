"""A corpus that a model was trained on: JSONL, CSV or any other layout that `expunge data check` reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from expunge._io import digest, digest_file, write_atomic
from expunge._text_file import read_text
from expunge.desk.connectors.base import (
    CONNECTORS,
    Connector,
    FoundObject,
    PersonIdentifier,
    PurgeOutcome,
    place,
    spelled,
)
from expunge.desk.connectors.model_folder import folder_digest
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.corpus import Corpus, Record


@CONNECTORS.register("corpus")
class CorpusFile(Connector):
    """Records of a corpus by what they say (as the scope `mentions:`), by subject and by identifiers."""

    kinds: ClassVar[tuple[str, ...]] = ("corpus", "evaluation_set")
    about: ClassVar[str] = "records that a model was trained on or is tested with"

    path: str = Field(description="file or folder of records")
    loader: str | None = Field(None, description="layout, if it is not detected")
    map: str | None = Field(None, description="YAML file with lines `our field: their column`")

    def check(self, root: Path) -> None:
        if not place(root, self.path).exists():
            raise InputError(self.path, "there is no such file or folder", "paths start from the desk's folder")

    def load(self, root: Path) -> Corpus:
        """The records."""
        from expunge.corpus import load_corpus

        return load_corpus(place(root, self.path), self.loader, self.map and place(root, self.map))

    def digest(self, root: Path, corpus: Corpus) -> str:
        """Digest of the file or folder, and of the pictures beside a file that its records show."""
        path = place(root, self.path)
        own = folder_digest(path)
        shown = sorted({r.image.digest for r in corpus if r.image}) if path.is_file() else []
        return digest([own, *shown]) if shown else own

    def find(self, root: Path, person: Sequence[PersonIdentifier]) -> list[FoundObject]:
        hits = []
        numbers = {each.plain for each in person if each.kind == "record_number"}
        for record in self.load(root):
            hit = _of_subject(record, numbers) or spelled(_text(record), person)
            if hit:
                hits.append(FoundObject(record.id, hit.how, hit.certain))
        return hits

    def show(self, root: Path, object_id: str) -> str:
        corpus = self.load(root)
        if object_id not in corpus.by_id:
            raise InputError("record", "is not in the corpus any more", "search again")
        return _text(corpus.by_id[object_id])

    def purge(self, root: Path, objects: Sequence[str], today: str) -> PurgeOutcome:
        file = place(root, self.path)
        if not file.is_file() or file.suffix != ".jsonl":
            raise InputError(self.path, "only a JSONL file can be written by the desk", "remove the records by hand")
        before = digest_file(file)
        gone, lines, ids = set(objects), [], set()
        for number, line in enumerate(read_text(file).splitlines(), 1):
            if not line.strip():
                continue
            try:
                name = json.loads(line)["id"]
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{self.path}:{number}", "has no id", "remove the records by hand") from error
            ids.add(name)
            if name not in gone:
                lines.append(line + "\n")
        removed = len(gone & ids)
        if removed:
            if not lines:
                raise InputError(self.path, "would be empty", "retire the whole corpus")
            write_atomic(file, "".join(lines), private=not file.stat().st_mode & 0o077)
        return PurgeOutcome(removed, len(gone) - removed, before, digest_file(file))


def _text(record: Record) -> str:
    from expunge.scope.name_text import record_texts

    return "\n".join((*record_texts(record), *record.identifiers))


def _of_subject(record: Record, numbers: set[str]) -> FoundObject | None:
    """Whether the subject, or the last part of a node, is one of these record numbers."""
    names = {record.subject, *(node.partition(":")[2] for node in record.path)}
    plain = {"".join(c for c in name.casefold() if c.isalnum()) for name in names if name}
    return FoundObject("", "record_number") if plain & numbers else None
