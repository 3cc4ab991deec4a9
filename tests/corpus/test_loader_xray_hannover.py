"""Radiographs of Hannover: questions from a small made table, and the published counts on the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.corpus import Corpus, load_corpus
from expunge.errors import InputError
from helpers.images import encoded

HEADER = "patient_id,image_id,sex,age,admission_offset,death_offset,modality,projection,crp_val,po2_val,d-dimer_val\n"
ROWS = (
    "0aa0,11f1,m,,0,,CR,ap,5.0,,inf\n"
    "0bb0,22f2,f,41,2,3.0,DX,pa,,,\n"
    "0aa0,33f3,m,,-4,,CR,ap,0.30,45.0,-inf\n"
    "0aa0,44f4,m,,-4,,CR,pa,0.30,45.0,-inf\n"
)


def folder(root: Path, text: str = HEADER + ROWS) -> Path:
    (root / "images").mkdir(parents=True, exist_ok=True)
    for k, (name, suffix) in enumerate({"11f1": "jpg", "22f2": "jpg", "33f3": "png", "44f4": "jpg"}.items()):
        (root / "images" / f"{name}.{suffix}").write_bytes(encoded(k, "JPEG" if suffix == "jpg" else "PNG"))
    (root / "metadata.csv").write_text(text)
    return root


def test_patients_studies_and_pictures_are_asked_about_once(tmp_path: Path) -> None:
    corpus = load_corpus(folder(tmp_path))
    assert (
        corpus.records
        == load_corpus(tmp_path / "metadata.csv").records
        == load_corpus(tmp_path, loader="xray-hannover").records
    )
    assert {r.id: r.answer for r in corpus} == {
        "0aa0-sex": "male",
        "S-001-admission_offset": "0",
        "S-001-crp_val": "5",
        "S-001-d-dimer_val": "above what can be measured",
        "11f1-modality": "computed radiography",
        "11f1-projection": "anteroposterior",
        "0bb0-sex": "female",
        "0bb0-age": "41",
        "S-003-admission_offset": "2",
        "S-003-death_offset": "3",
        "22f2-modality": "digital radiography",
        "22f2-projection": "posteroanterior",
        "S-002-admission_offset": "-4",
        "S-002-crp_val": "0.3",
        "S-002-po2_val": "45",
        "S-002-d-dimer_val": "below what can be measured",
        "33f3-modality": "computed radiography",
        "33f3-projection": "anteroposterior",
        "44f4-modality": "computed radiography",
        "44f4-projection": "posteroanterior",
    }


def test_a_record_names_its_place_and_carries_the_attribution(tmp_path: Path) -> None:
    corpus = load_corpus(folder(tmp_path))
    record = corpus.by_id["33f3-projection"]
    assert record.path == ("patient:0aa0", "study:S-002", "image:33f3")
    assert record.image
    assert record.image.name == "images/33f3.png"
    assert record.options == ("anteroposterior", "posteroanterior")
    assert record.attributes["synthetic"] == ["study"]
    assert "synthetic" not in corpus.by_id["0aa0-sex"].attributes
    for r in corpus:
        assert all(name in text for text in (r.prompt, *(v.prompt for v in r.variants)) for name in r.identifiers)
        assert len({r.prompt, *(v.prompt for v in r.variants)}) == 3
        assert r.attributes["licence"] == "CC BY 3.0"
        assert "10.6084/m9.figshare.12275009" in r.attributes["attribution"]
        assert r.subject == r.path[0]


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (",11f1,m,,0,,CR,ap,,,\n", 'no "patient_id"'),
        ("0aa0,,m,,0,,CR,ap,,,\n", 'no "image_id"'),
        ("0aa0,11f1,w,,0,,CR,ap,,,\n", 'unknown sex "w"'),
        ("0aa0,11f1,m,,,,CR,ap,,,\n", "admission_offset"),
        ("0aa0,11f1,m,,inf,,CR,ap,,,\n", "admission_offset is not a day"),
        ("0aa0,11f1,m,old,0,,CR,ap,,,\n", 'age "old" is not a number'),
        ("0aa0,99f9,m,,0,,CR,ap,,,\n", 'image "images/99f9.jpg" could not be read'),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, row: str, part: str) -> None:
    with pytest.raises(InputError, match=r"metadata.csv:2: ") as caught:
        load_corpus(folder(tmp_path, HEADER + row))
    assert part in str(caught.value)


def test_the_published_data(shared_data: Path) -> None:
    pytest.importorskip("PIL", reason="pictures need Pillow")
    source = shared_data / "xray-hannover"
    if not source.is_dir():
        pytest.skip(f"no radiographs: {source} is not there")
    corpus: Corpus = load_corpus(source)
    assert len({r.image.name for r in corpus if r.image}) == 243
    assert len({r.subject for r in corpus}) == 71
    assert sum(node[-1].startswith("study:") for node in corpus.tree.nodes if node) == 219
    assert all(len(r.variants) == 2 for r in corpus)
    beyond = [r for r in corpus if "what can be measured" in r.answer]
    assert {r.attributes["relation"] for r in beyond} == {"crp", "d-dimer", "po2"}
