"""Vector stores of a retrieval system: a Chroma collection, or a FAISS index with its texts beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

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
from expunge.errors import InputError

PAGE = 1000


@CONNECTORS.register("chroma")
class ChromaIndex(Connector):
    """A collection of a Chroma store on disk."""

    kinds: ClassVar[tuple[str, ...]] = ("vector_index",)
    about: ClassVar[str] = "documents and vectors of a Chroma collection (needs chromadb)"

    path: str = Field(description="folder of the store")
    collection: str = Field(description="name of the collection")

    def check(self, root: Path) -> None:
        self._open(root)

    def find(self, root: Path, person: Sequence[PersonIdentifier]) -> list[FoundObject]:
        collection = self._open(root)
        hits = []
        for start in range(0, collection.count(), PAGE):
            page = collection.get(limit=PAGE, offset=start, include=["documents", "metadatas"])
            for name, text, about in zip(page["ids"], page["documents"], page["metadatas"], strict=True):
                hit = spelled(_joined(text, about), person)
                if hit:
                    hits.append(FoundObject(name, hit.how, hit.certain))
        return hits

    def show(self, root: Path, object_id: str) -> str:
        page = self._open(root).get(ids=[object_id], include=["documents", "metadatas"])
        if not page["ids"]:
            raise InputError("document", "is not in the collection any more", "search again")
        return _joined(page["documents"][0], page["metadatas"][0])

    def purge(self, root: Path, objects: Sequence[str], today: str) -> PurgeOutcome:
        collection = self._open(root)
        there = collection.get(ids=list(objects), include=[])["ids"] if objects else []
        if there:
            collection.delete(ids=there)
        if objects and collection.get(ids=list(objects), include=[])["ids"]:
            raise InputError(self.collection, "still holds what was deleted", "look at the store")
        return PurgeOutcome(len(there), len(objects) - len(there), note="" if there else "nothing was there")

    def _open(self, root: Path) -> Any:
        try:
            import chromadb
        except ImportError as error:
            raise InputError("chroma", "chromadb is not installed", "pip install chromadb") from error
        folder = place(root, self.path)
        if not folder.is_dir():
            raise InputError(self.path, "there is no such folder", "paths start from the desk's folder")
        client = chromadb.PersistentClient(path=str(folder))
        try:
            return client.get_collection(self.collection)
        except Exception as error:  # chromadb raises other types in each version
            raise InputError(self.collection, "there is no such collection", "check the name") from error


@CONNECTORS.register("faiss")
class FaissIndex(Connector):
    """A FAISS index with ids (`IndexIDMap`), and a JSONL file `{"id": 7, "text": ...}` beside it."""

    kinds: ClassVar[tuple[str, ...]] = ("vector_index",)
    about: ClassVar[str] = "vectors of a FAISS index and their texts (needs faiss-cpu)"

    index: str = Field(description="file of the index")
    texts: str = Field(description="JSONL file with lines {id, text}")

    def check(self, root: Path) -> None:
        for path in (self.index, self.texts):
            if not place(root, path).is_file():
                raise InputError(path, "there is no such file", "paths start from the desk's folder")
        self._read(root)

    def find(self, root: Path, person: Sequence[PersonIdentifier]) -> list[FoundObject]:
        hits = []
        for row in self._rows(root):
            if hit := spelled(str(row["text"]), person):
                hits.append(FoundObject(str(row["id"]), hit.how, hit.certain))
        return hits

    def show(self, root: Path, object_id: str) -> str:
        text = next((row["text"] for row in self._rows(root) if str(row["id"]) == object_id), None)
        if text is None:
            raise InputError("text", "is not in the file any more", "search again")
        return str(text)

    def purge(self, root: Path, objects: Sequence[str], today: str) -> PurgeOutcome:
        import numpy as np

        faiss, index = self._read(root)
        gone = set(objects)
        rows = self._rows(root)
        before = digest([digest_file(place(root, path)) for path in (self.index, self.texts)])
        count = index.ntotal
        index.remove_ids(np.array(sorted(int(name) for name in gone), dtype=np.int64))
        removed = count - index.ntotal
        data = faiss.serialize_index(index).tobytes()
        write_atomic(place(root, self.index), data)  # vectors first: a text without a vector is found again
        left = [row for row in rows if str(row["id"]) not in gone]
        if len(left) != len(rows):
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in left)
            write_atomic(place(root, self.texts), lines, private=True)
        after = digest([digest_file(place(root, path)) for path in (self.index, self.texts)])
        return PurgeOutcome(max(removed, len(rows) - len(left)), len(gone) - removed, before, after)

    def _rows(self, root: Path) -> list[dict[str, Any]]:
        rows = []
        for number, line in enumerate(read_text(place(root, self.texts)).splitlines(), 1):
            try:
                row = json.loads(line)
                rows.append({**row, "id": int(row["id"]), "text": str(row["text"])})
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{self.texts}:{number}", "is no line {id, text}") from error
        return rows

    def _read(self, root: Path) -> tuple[Any, Any]:
        try:
            import faiss
        except ImportError as error:
            raise InputError("faiss", "faiss is not installed", "pip install faiss-cpu") from error
        try:
            return faiss, faiss.read_index(str(place(root, self.index)))
        except RuntimeError as error:
            raise InputError(self.index, "is no FAISS index", "bring the file back") from error


def _joined(text: str | None, about: Any) -> str:
    return "\n".join([text or "", *(str(value) for value in (about or {}).values())])
