"""Reader of SSSOM mappings: labels with UMLS ids, other predicates, bad files, the Mondo file."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.concepts.dictionary import DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.sssom import read_sssom
from helpers.bad_tables import check_unreadable, error_text

HEAD = "# curie_map:\n#   UMLS: somewhere\nsubject_id\tsubject_label\tpredicate_id\tobject_id\tmapping_justification\n"


def row(subject: str, label: str, target: str, predicate: str = "skos:exactMatch") -> str:
    return f"{subject}\t{label}\t{predicate}\t{target}\tsemapv:ManualMappingCuration\n"


def test_labels_get_the_ids_and_levels_of_their_concepts(tmp_path: Path) -> None:
    path = tmp_path / "m.sssom.tsv"
    path.write_text(
        HEAD
        + row("MONDO:0000004", "SMALL gland disease", "UMLS:C0405580")
        + row("MONDO:5", "", "UMLS:C0000005")
        + row("MONDO:6", "obsolete old disease", "UMLS:C0000006")
        + row("MONDO:7", "near", "UMLS:C7", "skos:closeMatch")
        + row("MONDO:8", "elsewhere", "DOID:8")
        + row("HP:9", '"a ""quoted"" sign"', "UMLS:C0000009")
    )
    result = read_sssom(path, Hierarchy.load("medical"))
    assert result.dictionary.entries == (
        DictionaryEntry("SMALL gland disease", "UMLS:C0405580", "L3"),
        DictionaryEntry('a "quoted" sign', "UMLS:C0000009", "L2"),
    )
    assert result.cuis == {"MONDO:0000004": "UMLS:C0405580", "MONDO:5": "UMLS:C0000005", "HP:9": "UMLS:C0000009"}
    assert {e.level for e in read_sssom(path).dictionary} == {None}


def test_a_negated_mapping_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "m.tsv"
    path.write_text(
        "subject_id\tsubject_label\tpredicate_id\tpredicate_modifier\tobject_id\n"
        "X:1\tone\tskos:exactMatch\tNot\tUMLS:C0000001\nX:2\ttwo\tskos:exactMatch\t\tUMLS:C0000002\n"
    )
    assert read_sssom(path).cuis == {"X:2": "UMLS:C0000002"}


def test_a_subject_or_a_label_in_a_rule_decides_the_level(tmp_path: Path) -> None:
    path = tmp_path / "m.tsv"
    path.write_text(
        HEAD
        + row("MONDO:0008114", "compulsive something", "UMLS:C0000001")
        + row("MONDO:2", "Panic disorder", "UMLS:C0000002")
        + row("MONDO:3", "measles", "UMLS:C0000003")
    )
    levels = {e.name: e.level for e in read_sssom(path, Hierarchy.load("mental-health")).dictionary}
    assert levels == {"compulsive something": "L3", "Panic disorder": "L4", "measles": "L2"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            HEAD + row("X:1", "one", "UMLS:0000001"),
            'm.tsv:4: "0000001" is no UMLS concept id; expected C and seven digits',
        ),
        (HEAD + row("X:1", "one", "UMLS:C000000"), 'm.tsv:4: "C000000" is no UMLS concept id'),
        (HEAD + row("X:1", "one", "UMLS:C0000001") * 2, 'm.tsv:5: "X:1" stands twice; first at '),
        (HEAD + "X:1\tone\n", "m.tsv:4: has 2 columns, the header has 5"),
        (HEAD + row("", "one", "UMLS:C0000001"), 'm.tsv:4: "subject_id" is empty'),
        (HEAD + row("X:1", "one", "DOID:1"), "m.tsv: maps nothing to UMLS; expected rows such as"),
        (
            HEAD.replace("object_id", "object") + row("X:1", "one", "UMLS:C0000001"),
            'm.tsv:3: no column "object_id"; separate by tabs; did you mean "',
        ),
        (HEAD, "m.tsv: holds no rows"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, line: str) -> None:
    assert error_text(read_sssom, tmp_path / "m.tsv", text).startswith(line)


def test_what_is_no_mapping_is_refused(tmp_path: Path) -> None:
    check_unreadable(read_sssom, tmp_path / "m.tsv", "holds no rows", "# a comment")


def test_the_mondo_mappings_have_the_counts_of_their_description(shared_data: Path) -> None:
    path = shared_data / "ontology" / "mondo_umls.sssom.tsv"
    if not path.is_file():
        pytest.skip("no Mondo mappings")
    result = read_sssom(path, Hierarchy.load("medical"))
    assert len(result.cuis) == 21_658  # of 21,660 rows, two with an obsolete subject
    assert len(set(result.cuis.values())) == 21_658
    assert len(result.dictionary) == 21_658
    assert result.cuis["MONDO:0000004"] == "UMLS:C0405580"
    assert {e.level for e in result.dictionary} == {"L3"}
