"""Connectors: they find a person, purge twice without harm, and say in a line what is wrong."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

from expunge._validation import validate
from expunge.desk.connectors.base import CONNECTORS, Connector, PersonIdentifier, spelled
from expunge.desk.connectors.dated import Recipient
from expunge.errors import InputError
from helpers.desk import write_corpus, write_model

ANNA = [PersonIdentifier("name", "Anna Weiß"), PersonIdentifier("record_number", "PAT-102")]


def make(name: str, **settings: object) -> Connector:
    return validate(CONNECTORS.get(name), settings, name)


def test_names_and_numbers_are_compared_as_scopes_do() -> None:
    def hit(text: str) -> tuple[str, bool] | None:
        found = spelled(text, ANNA)
        return found and (found.how, found.certain)

    assert hit("Frau ANNA WEISS kam") == ("name", False)
    assert hit("Anna Weiß's file") == ("name", True)
    assert hit("Weiss, Anna") == ("name", False)
    assert hit("Hanna Weißmann") is None
    assert hit("patient pat-102, bed 3") == ("record_number", True)
    assert hit("patient pat-1021") is None
    assert "Anna" not in repr(ANNA)


def test_corpus_finds_by_text_and_subject_and_drops_records(tmp_path: Path) -> None:
    write_corpus(tmp_path / "ward.jsonl")
    corpus = make("corpus", path="ward.jsonl")
    assert [hit.object_id for hit in corpus.find(tmp_path, ANNA)] == ["PAT-102-d", "PAT-102-m"]
    assert "Anna" in corpus.show(tmp_path, "PAT-102-d")
    receipt = corpus.purge(tmp_path, ["PAT-102-d", "PAT-102-m"], "2026-03-01")
    assert (receipt.removed, receipt.absent) == (2, 0)
    again = corpus.purge(tmp_path, ["PAT-102-d", "PAT-102-m"], "2026-03-01")
    assert (again.removed, again.absent, again.before) == (0, 2, receipt.after)
    assert corpus.find(tmp_path, ANNA) == []


def test_a_corpus_that_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,answer\nq,a\n", "utf-8")
    with pytest.raises(InputError, match="only a JSONL"):
        make("corpus", path="a.csv").purge(tmp_path, ["x"], "2026-03-01")
    (tmp_path / "b.jsonl").write_text('{"prompt": "q", "answer": "a"}\n', "utf-8")
    with pytest.raises(InputError, match="has no id"):
        make("corpus", path="b.jsonl").purge(tmp_path, ["x"], "2026-03-01")
    (tmp_path / "c.jsonl").write_text('{"id": "x", "prompt": "q", "answer": "a"}\n', "utf-8")
    with pytest.raises(InputError, match="would be empty"):
        make("corpus", path="c.jsonl").purge(tmp_path, ["x"], "2026-03-01")
    assert (tmp_path / "c.jsonl").stat().st_size


def test_folders_of_weights_go_whole_and_after_a_kill_too(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    folder = make("model_folder", path="model")
    folder.check(tmp_path)
    (tmp_path / "model").rename(tmp_path / ".model.purge-1")  # killed between renaming and removing
    assert folder.purge(tmp_path, [], "2026-03-01").removed == 1
    assert list(tmp_path.iterdir()) == []
    assert folder.purge(tmp_path, [], "2026-03-01").absent == 1
    with pytest.raises(InputError, match="no such folder"):
        folder.check(tmp_path)


def test_hub_cache_by_id(tmp_path: Path) -> None:
    copy = tmp_path / "hub" / "models--clinic--ward" / "blobs"
    copy.mkdir(parents=True)
    cache = make("hub_cache", path="hub", repos=["clinic/ward"])
    assert cache.purge(tmp_path, [], "2026-03-01").removed == 1
    assert cache.purge(tmp_path, [], "2026-03-01").removed == 0
    for bad in ("../x", "a/b/c", ""):
        with pytest.raises(InputError, match="no id of the hub"):
            make("hub_cache", path="hub", repos=[bad]).purge(tmp_path, [], "2026-03-01")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "clinic.db") as db:
        db.execute("CREATE TABLE visits (id INTEGER PRIMARY KEY, name TEXT, mrn TEXT, note TEXT)")
        rows = [
            ("Anna Weiß", "1", "x"),
            ("B", "PAT 102", None),
            ("C", "3", "with Anna Weiß"),
            ("D", "4", "Weiss, Anna"),
        ]
        db.executemany("INSERT INTO visits (name, mrn, note) VALUES (?, ?, ?)", rows)
    return tmp_path


COLUMNS = {"name": "name", "mrn": "record_number", "note": "text"}


def test_rows_of_a_table_are_found_deleted_or_masked(table: Path) -> None:
    visits = make("sql_table", url="sqlite:///clinic.db", table="visits", key="id", columns=COLUMNS)
    visits.check(table)
    hits = {hit.object_id: (hit.how, hit.certain) for hit in visits.find(table, ANNA)}
    assert hits == {"1": ("name", True), "2": ("record_number", True), "3": ("name", True), "4": ("name", False)}
    assert "with Anna" in visits.show(table, "3")
    masked = make("sql_table", url="sqlite:///clinic.db", table="visits", key="id", columns=COLUMNS, action="mask")
    assert masked.purge(table, ["3"], "2026-03-01").removed == 1
    assert masked.purge(table, ["3"], "2026-03-01").absent == 1
    assert visits.purge(table, ["1", "2"], "2026-03-01").removed == 2
    assert [hit.object_id for hit in visits.find(table, ANNA)] == ["4"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"table": "visit"}, "no such table"),
        ({"key": "number"}, "unknown column"),
        ({"columns": {"name": "nmae"}}, "kind of column"),
        ({"url": "sqlite:///none.db"}, "no such database file"),
        ({"url": "what"}, "no database URL"),
    ],
)
def test_a_wrong_table_is_one_line(table: Path, change: dict[str, object], what: str) -> None:
    settings = {"url": "sqlite:///clinic.db", "table": "visits", "key": "id", "columns": COLUMNS} | change
    with pytest.raises(InputError, match=what):
        make("sql_table", **settings).check(table)


def test_faiss_index_loses_vectors_and_texts(tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    np = pytest.importorskip("numpy")
    index = faiss.IndexIDMap(faiss.IndexFlatL2(4))
    index.add_with_ids(np.eye(4, dtype="float32")[:3], np.array([7, 8, 9]))
    faiss.write_index(index, str(tmp_path / "notes.faiss"))
    rows = [{"id": 7, "text": "about Anna Weiß"}, {"id": 8, "text": "other"}, {"id": 9, "text": "PAT-102"}]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    store = make("faiss", index="notes.faiss", texts="notes.jsonl")
    store.check(tmp_path)
    ids = [hit.object_id for hit in store.find(tmp_path, ANNA)]
    assert ids == ["7", "9"]
    assert store.purge(tmp_path, ids, "2026-03-01").removed == 2
    assert store.find(tmp_path, ANNA) == []
    assert faiss.read_index(str(tmp_path / "notes.faiss")).ntotal == 1
    assert store.purge(tmp_path, ids, "2026-03-01").removed == 0
    (tmp_path / "notes.faiss").write_bytes(b"junk")
    with pytest.raises(InputError, match="no FAISS index"):
        store.check(tmp_path)


def test_chroma_collection_loses_documents(tmp_path: Path) -> None:
    chromadb = pytest.importorskip("chromadb")
    client = chromadb.PersistentClient(path=str(tmp_path / "store"))
    notes = client.create_collection("notes", embedding_function=None)
    vectors = [[0.1, 0.2], [0.2, 0.1], [0.3, 0.3]]
    about = [{"mrn": "1"}, {"mrn": "PAT-102"}, {"mrn": "3"}]
    notes.add(ids=["a", "b", "c"], documents=["of Anna Weiß", "x", "y"], embeddings=vectors, metadatas=about)
    store = make("chroma", path="store", collection="notes")
    ids = [hit.object_id for hit in store.find(tmp_path, ANNA)]
    assert ids == ["a", "b"]
    assert store.purge(tmp_path, ids, "2026-03-01").removed == 2
    assert store.purge(tmp_path, ids, "2026-03-01").absent == 2
    with pytest.raises(InputError, match="no such collection"):
        make("chroma", path="store", collection="other").check(tmp_path)


def test_backups_and_recipients_give_a_date(tmp_path: Path) -> None:
    assert make("backup", days=90).purge(tmp_path, [], "2026-03-01").due_on == "2026-05-30"
    recipient = make("recipient", recipient="registry")
    assert isinstance(recipient, Recipient)
    assert recipient.notice("2026-03-01").due_on == "2026-03-31"
    with pytest.raises(InputError):  # nobody was told
        recipient.purge(tmp_path, [], "2026-03-01")


def test_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean"):
        CONNECTORS.get("corpsu")
    with pytest.raises(InputError, match="pth"):
        make("corpus", pth="x")


def test_every_connector_says_what_it_is() -> None:
    for _, cls in CONNECTORS:
        assert cls.about
        assert cls.kinds


def test_a_connector_without_a_purge_says_so() -> None:
    with pytest.raises(InputError, match="cannot remove anything") as error:
        Connector().purge(Path(), [], "2026-03-02")
    assert "confirm the task" in str(error.value)
