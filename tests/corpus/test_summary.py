"""The counts of a corpus, worked out by hand on seven records."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.corpus import Corpus, Record, RecordImage, Variant
from expunge.corpus.duplicates import PlaceList
from expunge.corpus.loaders import load_source
from expunge.corpus.loaders.columns import ColumnUse
from expunge.corpus.summary import Repeats, Spread, plain_text, summarize
from expunge.errors import InputError

P1, P2 = ("hospital:H", "patient:1"), ("hospital:H", "patient:2", "study:S")
IMAGE = RecordImage.of("images/1.png", b"1")


def corpus() -> Corpus:
    return Corpus.of(
        [
            Record("a", "Who is Ada?", "A poet", path=P1, subject="1", identifiers=("Ada",)),
            Record("b", "Who is she?", "A poet", path=P1, subject="1", identifiers=("Ada",), concept="L4"),
            Record("c", "Who is Ada?", "A cook", path=P2, subject="2", variants=(Variant("Ada?", "A cook"),) * 2),
            Record("d", "Who is Ada?", "A poet", subject="3", split="holdout"),
            Record("e", "Who is Ada?", "A poet", subject="3", image=IMAGE),
            Record("f", "Who is Ada?", "x", subject="3", kind="cloze", image=IMAGE, concept="L1"),
            Record("g", "", "A long text", subject="4", kind="completion"),
        ]
    )


def test_every_count_is_the_one_made_by_hand() -> None:
    found = summarize(corpus())
    assert (found.records, found.subjects, found.records_per_subject) == (7, 4, Spread(1, 1.5, 3))
    assert list(found.levels.items()) == [("hospital", 1), ("patient", 2), ("study", 1)]
    assert found.kinds == {"generation": 5, "cloze": 1, "completion": 1}
    assert list(found.concepts.items()) == [("", 5), ("L1", 1), ("L4", 1)]
    assert found.splits == {"": 6, "holdout": 1}
    assert (found.prompt_length, found.answer_length) == (Spread(0, 11, 11), Spread(1, 6, 11))
    assert (found.with_identifiers, found.named_in_prompt) == (2, 1)
    assert (found.with_variants, found.variants) == (1, 2)
    assert (found.with_image, found.images) == (2, 1)


def test_repeats_need_the_same_picture() -> None:
    found = summarize(corpus())
    assert found.duplicates == Repeats(1, (("a", "d"),))
    assert found.conflicts == Repeats(2, (("a", "c"), ("e", "f")))


def test_at_most_three_repeats_are_shown() -> None:
    found = summarize(Corpus.of(Record(str(k), "Q", "A") for k in range(6))).duplicates
    assert found == Repeats(5, (("0", "1"), ("0", "2"), ("0", "3")))


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (Record("1", "Who?", "Ada"), "Who? Ada<end>"),
        (Record("1", "Who?\n", "Ada"), "Who?\nAda<end>"),
        (Record("1", "", "Ada"), "Ada<end>"),
        (Record("1", "Who?", "Ada", image=IMAGE), "<picture images/1.png>Who? Ada<end>"),
    ],
)
def test_a_record_is_shown_as_the_plain_template_joins_it(record: Record, text: str) -> None:
    assert plain_text(record) == text


def test_a_loaded_source_knows_how_it_was_read(tmp_path: Path) -> None:
    for name, rows in {
        "forget": '{"question": "Q1", "reply": "A", "path": "H/P", "subject": ""}\n'
        '{"question": "Q2", "reply": "A", "note": ""}\n',
        "retain": '{"question": "Q3", "reply": "A", "subject": "S", "note": "n"}\n',
    }.items():
        (tmp_path / f"{name}.jsonl").write_text(rows)
    loaded = load_source(tmp_path, mapping={"answer": "reply"})
    assert (loaded.loader, loaded.reason) == ("jsonl", "the files in it")
    assert loaded.places.files() == {str(tmp_path / "forget.jsonl"): 2, str(tmp_path / "retain.jsonl"): 1}
    assert loaded.subjects.origins == {"tree": 1, "id": 1, "column": 1}
    assert loaded.columns.uses() == (
        ColumnUse("question", "prompt", "alias", 3),
        ColumnUse("reply", "answer", "mapping", 3),
        ColumnUse("path", "path", "name", 1),
        ColumnUse("subject", "subject", "name", 1),
        ColumnUse("split", "split", "name", 3),
        ColumnUse("note", None, "", 1),
    )
    assert load_source(tmp_path, "jsonl", {"answer": "reply"}).reason == "as requested"


def test_duplicates_are_refused_with_and_without_places() -> None:
    same = [Record("a", "Q", "A"), Record("a", "Q", "B")]
    with pytest.raises(InputError, match=r'^c: duplicate id "a"; make ids unique'):
        Corpus.of(same, "c")
    places = PlaceList()
    for where in ("f:1", "g:7"):
        places.append(where)
    with pytest.raises(InputError, match=r'^g:7: duplicate id "a", first used at f:1; '):
        Corpus.of(tuple(same), "c", places)
    sides = [Record("a", "Q", "A", split="forget"), Record("b", "Q", "A", split="retain")]
    with pytest.raises(InputError, match=r"^c: same prompt and answer in forget and retain; keep"):
        Corpus.of(sides, "c")
    with pytest.raises(InputError, match=r"^g:7: same prompt and answer in forget \(f:1\) and retain"):
        Corpus.of(iter(sides), "c", places)


def test_places_are_counted_by_file() -> None:
    places = PlaceList()
    for where in ("f:1", "f:2", "g:1", "f:3", "table", "table"):
        places.append(where)
    assert [places[k] for k in range(6)] == ["f:1", "f:2", "g:1", "f:3", "table", "table"]
    assert places.files() == {"f": 3, "g": 1, "table": 2}
