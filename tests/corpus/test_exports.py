"""Exports: read back without loss, whole or absent, refused with one line."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from expunge.cli import main
from expunge.corpus import Corpus, Record, RecordImage, Variant, export, load_corpus
from expunge.corpus.exports import table
from expunge.errors import InputError
from helpers.images import encoded

pytestmark = pytest.mark.filterwarnings("ignore:.*in several sets:expunge.errors.InputWarning")
AT = ("institution:H1", "patient:P1", "study:S1", "section:FINDINGS")


@pytest.fixture(autouse=True)
def _pillow() -> None:
    pytest.importorskip("PIL", reason="pictures need Pillow")


def record(k: int, depth: int = 4, shade: int | None = 1, **more: Any) -> Record:
    image = None if shade is None else RecordImage.of(f"images/{shade}.png", encoded(shade))
    return Record(f"r{k}", f"Wo ist »{k}«?", f"ä{k}", path=AT[:depth], subject="patient:P1", image=image, **more)


def corpus() -> Corpus:
    in_two = {"sets": ["patient_level/forget", "institution_level/retain"]}
    both = ("forget", "retain")
    rest = [
        record(10 + k, 2, 3, attributes={"level": f"{level}_level", "set": side})
        for k, (level, side) in enumerate((level, side) for level in ("institution", "patient") for side in both)
    ]
    return Corpus.of(
        [
            record(
                1,
                2,
                attributes={**in_two, "note": [1, {"a": None}]},
                identifiers=("1",),
                facts=("f", "g"),
                concept="L4",
            ),
            record(2, 3, None, split="forget", variants=(Variant("Q", "ä2"),)),
            record(
                3,
                3,
                split="retain",
                options=("ä3", "b"),
                kind="classification",
                variants=(Variant("Q", "c", ("c", "d")),),
            ),
            replace(record(4, 2), prompt="", kind="completion", attributes=in_two),
            replace(record(5, 0, None), path=(), attributes={"sets": ["institution_level/retain"]}),
            replace(record(6), attributes={**in_two, "cue": "image"}, kind="cloze"),
            *rest,
        ],
        "c",
    )


def same(a: Corpus, b: Corpus) -> None:
    assert {r.id: r for r in a} == {r.id: r for r in b}
    assert a.digest == b.digest
    assert {r.id: r.image.data() for r in a if r.image} == {r.id: r.image.data() for r in b if r.image}


def test_medforget_is_read_back_without_loss(tmp_path: Path) -> None:
    done = export(corpus(), "medforget", tmp_path / "out")
    assert done.left_out == 0
    assert done.sets == {
        "institution_level/forget": 1,
        "institution_level/retain": 5,
        "patient_level/forget": 4,
        "patient_level/retain": 1,
        "study_level/forget": 1,
        "study_level/retain": 1,
    }
    same(load_corpus(tmp_path / "out"), corpus())


def test_medforget_holds_the_published_columns_and_one_more(tmp_path: Path) -> None:
    export(corpus(), "medforget", tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "study_level" / "forget_set_all.parquet").to_pylist()
    assert rows[0].keys() == {"image", "image_path", "metadata", "hierarchy_metadata", "ID", "record"}
    about = json.loads(rows[0]["hierarchy_metadata"])
    assert about == {
        "institution_id": "H1",
        "patient_id": "P1",
        "study_id": "S1",
        "hierarchy_level": "study",
        "has_image": False,
    }
    assert rows[0]["image"]["bytes"] == table.grey()
    assert json.loads(rows[0]["metadata"]) == [{"Question": "Wo ist »2«?", "Answer": "ä2"}]
    assert {"id", "split", "variants"} <= json.loads(rows[0]["record"])[0].keys()
    rows = pq.read_table(tmp_path / "out" / "patient_level" / "forget_set_all.parquet").to_pylist()
    assert [len(json.loads(r["metadata"])) for r in rows] == [2, 1, 1]
    assert rows[0]["image_path"] == "H1/P1/_/1.png"


def test_others_read_our_export_without_the_extra_column(tmp_path: Path) -> None:
    export(corpus().where(lambda r: r.split), "medforget", tmp_path / "out")
    for file in (tmp_path / "out").rglob("*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(["record"]), file)
    found = {r.prompt: r for r in load_corpus(tmp_path / "out")}
    assert found["Wo ist »2«?"].image is None
    assert found["Wo ist »3«?"].path == AT[:3]
    assert found["Wo ist »3«?"].attributes["sets"] == ["study_level/retain"]


def test_what_stands_in_no_set_is_left_out_and_counted(tmp_path: Path) -> None:
    more = Corpus.of([*corpus(), record(20, split="holdout"), record(21)])
    assert export(more, "medforget", tmp_path / "out").left_out == 2
    same(load_corpus(tmp_path / "out"), corpus())


def people(split: bool) -> Corpus:
    side = {"P1": "forget", "P2": "retain", "P3": "retain", "P4": "utility"} if split else {}
    found = []
    for k, person in enumerate(("P1", "P2", "P3", "P4")):
        image = RecordImage.of(f"{person}.png", encoded(k)) if person != "P3" else None
        one = Record(
            f"{person}-a",
            f"Who is {person} __?",
            "cook",
            path=(f"person:{person}",),
            subject=person,
            identifiers=(person,),
            split=side.get(person),
            image=image,
        )
        found += [
            replace(one, attributes={"task": "biography"}),
            replace(one, id=f"{person}-b", image=None),
            replace(one, id=f"{person}-c", kind="classification", options=("cook", "b", "c", "d", "e")),
            replace(one, id=f"{person}-d", kind="classification", options=("b", "cook"), image=None),
            replace(one, id=f"{person}-e", kind="cloze", prompt="A [blank] __", variants=(Variant("B", "cook"),)),
            replace(one, id=f"{person}-f", kind="completion", prompt=""),
        ]
    if image:
        found.append(replace(one, id="P4-other", image=RecordImage.of("other.png", encoded(77))))
    return Corpus.of(found, "people")


@pytest.mark.parametrize(
    ("split", "parts"), [(True, {"forget_33": 6, "retain_67": 12, "Retain_Set": 7}), (False, {"Full_Set": 25})]
)
def test_mllmu_is_read_back_without_loss(tmp_path: Path, split: bool, parts: dict[str, int]) -> None:
    done = export(people(split), "mllmu", tmp_path / "out")
    assert (done.sets, done.left_out) == (parts, 0)
    same(load_corpus(tmp_path / "out"), people(split))
    [row, *_] = pq.read_table(tmp_path / "out" / next(iter(parts))).to_pylist()
    assert row["question"] == "Who is P1 __?"
    assert row["Classification_Task"]["Pure_Text_Questions"][0]["Correct_Answer"] == "B"
    assert row["Mask_Task"][0]["Type"] == "Image_Textual"


def test_mllmu_counts_what_was_never_taught(tmp_path: Path) -> None:
    more = Corpus.of(
        [
            *people(True),
            replace(people(True).records[0], id="x", split="holdout"),
            replace(people(True).records[0], id="y", split=None),
        ]
    )
    assert export(more, "mllmu", tmp_path / "out").left_out == 2


def test_row_groups_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_ROWS", 2)
    export(people(False), "mllmu", tmp_path / "out")
    [file] = (tmp_path / "out").rglob("*.parquet")
    assert pq.ParquetFile(file).num_row_groups == 3


BAD: dict[str, tuple[str, Callable[[], Corpus], str]] = {
    "no set": ("medforget", lambda: Corpus.of([record(1)], "c"), "c: no record stands in a set of MedForget; give"),
    "one side": (
        "medforget",
        lambda: Corpus.of([record(1, split="forget")], "c"),
        "c: has records in section_level/forget",
    ),
    "nothing to keep": (
        "mllmu",
        lambda: Corpus.of([record(1, split="forget")]),
        "needs records to forget and records to",
    ),
    "unknown": ("medforgt", corpus, 'unknown layout "medforgt"; did you mean "medforget"?'),
}


@pytest.mark.parametrize(("layout", "made", "part"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_written_is_refused_and_nothing_is_left(
    tmp_path: Path, layout: str, made: Callable[[], Corpus], part: str
) -> None:
    with pytest.raises(InputError) as caught:
        export(made(), layout, tmp_path / "out")
    assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_only_a_new_or_an_empty_folder_is_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    export(corpus(), "medforget", tmp_path / "empty")
    for taken in (tmp_path / "empty", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="is there already; name a new or an empty folder"):
            export(corpus(), "medforget", taken)
    assert (tmp_path / "file").is_file()
    with pytest.raises(InputError, match="could not be written"):
        export(corpus(), "medforget", tmp_path / "file" / "below")


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    grey = table.grey()
    made = corpus()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(grey), old[1]))
    try:
        with pytest.raises(InputError, match="could not be written"):
            export(made, "medforget", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_export_leaves_no_folder_of_that_name(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from expunge.corpus.exports.base import atomic_folder
with atomic_folder(Path({str(tmp_path / "out")!r})) as made:
    (made / "half").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    child.kill()
    child.wait(10)
    assert not (tmp_path / "out").exists()


def test_a_picture_that_changed_meanwhile_stops_the_export(tmp_path: Path) -> None:
    source = corpus().save(tmp_path / "in" / "rows.jsonl")
    made = load_corpus(source)
    (tmp_path / "in" / "images" / "1.png").write_bytes(encoded(50))
    with pytest.raises(InputError, match="the picture has changed"):
        export(made, "medforget", tmp_path / "out")
    assert [f.name for f in tmp_path.iterdir()] == ["in"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = corpus().save(tmp_path / "in" / "rows.jsonl")
    words = ["data", "export", "--layout", "medforget", "--data", str(source), "--out", str(tmp_path / "out")]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["layout"], told["records"], told["left_out"]) == ("medforget", 10, 0)
    assert told["sets"]["study_level/forget"] == 1
    same(load_corpus(tmp_path / "out"), corpus())
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err
    words[3] = "mlmu"
    assert main(words) == 2
    assert 'unknown layout "mlmu"; did you mean "mllmu"?' in capsys.readouterr().err
