"""Records on disk: the same sequence, and the same corpus, as the tuple that fits in memory."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge._io import digest
from expunge.corpus import Record, RecordImage, Variant, load_corpus, record_store
from expunge.corpus.record_store import ById, RecordView, by_id, digest_each, ids, materialize, paths, take
from expunge.errors import InputError

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
texts = st.lists(text, max_size=2).map(tuple)
a_record = st.builds(
    Record,
    id=text,
    prompt=text,
    answer=text,
    kind=st.sampled_from(["generation", "cloze"]),
    options=texts,
    path=st.lists(st.sampled_from(["a:1", "b:2", "c:ü"]), max_size=3).map(tuple),
    subject=text,
    identifiers=texts,
    facts=texts,
    variants=st.lists(st.builds(Variant, text, text, texts), max_size=2).map(tuple),
    concept=st.sampled_from([None, "L1"]),
    split=st.sampled_from([None, "holdout", "control", "retain"]),
    image=st.none() | st.builds(RecordImage.of, text, st.binary(max_size=4)),
    attributes=st.dictionaries(text, st.none() | st.booleans() | st.integers() | text | st.lists(text, max_size=2)),
)


def stored(records: Sequence[Record]) -> RecordView:
    """These records on disk, however few they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_store, "IN_MEMORY", 0)
        found = materialize(iter(records))
    assert isinstance(found, RecordView)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(a_record, min_size=1, max_size=6), st.data())
def test_a_view_is_the_tuple_of_its_records(records: list[Record], data: st.DataObject) -> None:
    few, view = tuple(records), stored(records)
    assert view == few == tuple(view)
    assert (len(view), ids(view), list(paths(view))) == (len(few), ids(few), list(paths(few)))
    assert by_id(view) == by_id(few)
    which = data.draw(st.lists(st.integers(0, len(few) - 1), max_size=8))
    assert take(take(view, which), range(len(which))) == take(few, which)
    k = data.draw(st.integers(-len(few), len(few) - 1))
    assert view[k] == few[k]
    assert view[k:] == few[k:]
    assert view != (*few, few[0])
    assert view != (replace(few[0], answer=few[0].answer + "!"), *few[1:])


def test_an_index_outside_is_refused() -> None:
    view = stored([Record("1", "Q", "A")])
    for k in (1, -2):
        with pytest.raises(IndexError):
            view[k]


def test_records_are_kept_as_a_tuple_until_they_weigh_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Record(str(k), "Q" * 500, "A" * 500) for k in range(4)]  # 1,000 of texts and 1,000 around them, each
    for most, kind in ((8_000, tuple), (7_999, RecordView)):
        monkeypatch.setattr(record_store, "IN_MEMORY", most)
        found = materialize(iter(rows))
        assert isinstance(found, kind)
        assert found == tuple(rows)
        assert materialize(found) is found


def test_records_are_found_by_id() -> None:
    few = (Record("1", "Q", "A"), Record("2", "Q", "B"))
    for rows in (few, stored(few)):
        table = ById(rows)
        assert (table["2"].answer, "3" in table, list(table), len(table)) == ("B", False, ["1", "2"], 2)
        with pytest.raises(KeyError):
            table["3"]


def test_the_digest_of_a_stream_is_that_of_the_list() -> None:
    for values in ([], [1], [{"b": "ü", "a": [None]}, "x", 2.5]):
        assert digest_each(iter(values)) == digest(values)


JSONL = """\
{"prompt": "Who?", "answer": "Ada", "path": ["H1", "P1"], "facts": ["f"], "variants": ["Who is it?"], "topic": ["s"]}
{"prompt": "What?", "answer": "A cat", "path": ["H2", "P1", "S1"], "facts": ["f", "g"]}
{"prompt": "When?", "answer": "Now", "path": ["H2", "P2"], "split": "holdout"}
{"prompt": "How?", "answer": "So", "options": ["So", "Not"], "path": ["H2", "P2"]}
{"prompt": "Why?", "answer": "?", "subject": "S", "id": "own"}
"""


def test_a_corpus_is_the_same_in_memory_and_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.json
    import pyarrow.parquet

    rows = tmp_path / "rows.jsonl"
    rows.write_text(JSONL)
    table = pyarrow.json.read_json(rows)
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=2)
    few = load_corpus(rows)
    monkeypatch.setattr(record_store, "IN_MEMORY", 0)
    for file in (rows, tmp_path / "rows.parquet"):
        many = load_corpus(file)
        assert isinstance(many.records, RecordView)
        assert many == few
        assert [r.subject for r in many] == [
            "institution:H1/patient:P1",
            "institution:H2/patient:P1",
            "patient:P2",
            "patient:P2",
            "S",
        ]
        assert (many.digest, many.tree, many.owners, many.parts) == (few.digest, few.tree, few.owners, few.parts)
        assert dict(many.by_id) == dict(few.by_id)
        assert many.where(lambda r: r.options) == few.where(lambda r: r.options)
        assert load_corpus(many.save(tmp_path / "again.jsonl")).records == few.records


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (
            '{"prompt": "Z", "answer": "Z", "id": "own"}',
            r"rows.jsonl:6: duplicate id \"own\", first used at .*rows.jsonl:5",
        ),
        ('{"prompt": "Who?", "answer": "Ada"}', r"rows.jsonl:6: duplicate id .*, first used at .*rows.jsonl:1"),
        (
            '{"prompt": "Z", "answer": "Z", "id": "y", "split": "retain"}\n'
            '{"prompt": "Z", "answer": "Z", "id": "x", "split": "forget"}',
            r"rows.jsonl:7: same prompt and answer in retain \(.*rows.jsonl:6\) and forget",
        ),
    ],
)
def test_a_bad_row_of_a_large_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, what: str
) -> None:
    (tmp_path / "rows.jsonl").write_text(JSONL + more)
    monkeypatch.setattr(record_store, "IN_MEMORY", 0)
    with pytest.raises(InputError, match=what):
        load_corpus(tmp_path / "rows.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Record(str(k), "Q" * 1000, "A") for k in range(100)]
    for some in (rows[:1], rows):
        with Path("/dev/full").open("r+b") as full, suppress(OSError):
            monkeypatch.setattr(record_store.tempfile, "TemporaryFile", lambda full=full: full)
            with pytest.raises(InputError, match=r"could not be written \(No space left on device\); .*TMPDIR"):
                stored(some)


def test_a_temporary_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(record_store.tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"could not be written \(No such file or directory\); .*TMPDIR"):
        stored([Record("1", "Q", "A")])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_the_file_goes_when_the_last_view_goes() -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    view = stored([Record("1", "Q", "A"), Record("2", "Q", "B")])
    part = take(view, [1])
    del view
    assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208
    assert part[0].answer == "B"
    del part
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
