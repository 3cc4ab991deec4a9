"""Reader of UMLS Rich Release Format, on a sample with invented ids and names in the real columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.concepts.dictionary import DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.umls import NAMES, TYPES, read_umls
from expunge.errors import InputError
from helpers.bad_tables import check_unreadable, error_text


def name(cui: str, text: str, *, lang: str = "ENG", source: str = "TOY", code: str = "1", suppress: str = "N") -> str:
    cells = [cui, lang, "P", "L1", "PF", "S1", "Y", "A1", "", "", "", source, "PT", code, text, "0", suppress, "256"]
    return "|".join(cells) + "|\n"


def kind(cui: str, tui: str) -> str:
    return "|".join([cui, tui, "B2.2", "Something", "AT1", "256"]) + "|\n"


CONSO = (
    name("C9000001", "glomping")
    + name("C9000001", "glomping", source="OTHER")
    + name("C9000001", "Glomp repair")
    + name("C9000001", "Glompung", lang="GER")
    + name("C9000001", "old glomp", suppress="O")
    + name("C9000002", "snurf disease", source="MSH", code="D900002")
    + name("C9000003", "snurf bone")
    + name("C9000004", "cutting of snurfs", source="MSH", code="D900004")
    + name("C9000005", "no type")
)
STY = (
    kind("C9000001", "T061")
    + kind("C9000002", "T047")
    + kind("C9000002", "T184")
    + kind("C9000003", "T023")
    + kind("C9000004", "T061")
)


@pytest.fixture
def umls(tmp_path: Path) -> Path:
    (tmp_path / NAMES).write_text(CONSO)
    (tmp_path / TYPES).write_text(STY)
    return tmp_path


def test_names_of_one_language_in_use_get_the_highest_level_of_their_types(umls: Path) -> None:
    result = read_umls(umls, Hierarchy.load("medical"))
    assert result.entries == (
        DictionaryEntry("glomping", "UMLS:C9000001", "L3"),
        DictionaryEntry("Glomp repair", "UMLS:C9000001", "L3"),
        DictionaryEntry("snurf disease", "UMLS:C9000002", "L3"),
        DictionaryEntry("snurf bone", "UMLS:C9000003", "L1"),
        DictionaryEntry("cutting of snurfs", "UMLS:C9000004", "L3"),
        DictionaryEntry("no type", "UMLS:C9000005", None),
    )


def test_mesh_decides_what_is_surgery_because_no_type_does(umls: Path) -> None:
    result = read_umls(umls, Hierarchy.load("medical"), known={"MESH:D900004": "L4", "MESH:D900002": "L2"})
    assert {e.name: e.level for e in result} == {
        "glomping": "L3",
        "Glomp repair": "L3",
        "snurf disease": "L2",
        "snurf bone": "L1",
        "cutting of snurfs": "L4",
        "no type": None,
    }


def test_language_and_vocabularies_can_be_chosen(umls: Path) -> None:
    assert [e.name for e in read_umls(umls, language="GER")] == ["Glompung"]
    assert [e.name for e in read_umls(umls, vocabularies=["MSH"])] == ["snurf disease", "cutting of snurfs"]
    with pytest.raises(InputError, match=r"holds no name for language FRE; it has ENG, GER and MSH, OTHER, TOY"):
        read_umls(umls, language="FRE")
    with pytest.raises(InputError, match="holds no name for language ENG and vocabularies XYZ; it has"):
        read_umls(umls, vocabularies=["XYZ"])
    with pytest.raises(InputError, match='"en" is no language of UMLS; three letters'):
        read_umls(umls, language="en")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (name("C900001", "short"), ':10: "C900001" is no UMLS concept id'),
        ("C9000001|ENG|glomp|\n", ":10: has 3 columns, MRCONSO.RRF has 18; every column ends in a bar |"),
        (name("C9000001", "a|b"), ":10: has 19 columns, MRCONSO.RRF has 18"),
        (name("C9000001", "open").replace("|\n", "\n"), ":10: has 17 columns, MRCONSO.RRF has 18"),
        (name("C9000001", " "), ":10: the name is empty"),
    ],
)
def test_a_wrong_row_of_names_is_refused(umls: Path, line: str, wrong: str) -> None:
    assert error_text(lambda path: read_umls(path.parent), umls / NAMES, CONSO + line).startswith(NAMES + wrong)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (kind("C9000001", "T61"), ':6: "T61" is no semantic type; expected T and three digits'),
        (kind("9000001", "T061"), ':6: "9000001" is no UMLS concept id'),
        (kind("C9000001", "T061"), ':6: "C9000001|T061" stands twice; first at '),
        ("C9000001|T061|\n", ":6: has 2 columns, MRSTY.RRF has 6"),
    ],
)
def test_a_wrong_row_of_types_is_refused(umls: Path, line: str, wrong: str) -> None:
    assert error_text(lambda path: read_umls(path.parent), umls / TYPES, STY + line).startswith(TYPES + wrong)


def test_what_is_no_release_is_refused(umls: Path) -> None:
    with pytest.raises(InputError, match=r"MRSTY\.RRF: is a file; name the folder that holds MRCONSO\.RRF"):
        read_umls(umls / TYPES)
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        read_umls(umls / "nowhere")
    (umls / NAMES).unlink()
    check_unreadable(
        lambda path: read_umls(path.parent), umls / NAMES, "holds no rows", name("C9000001", "glomp").rstrip()
    )
