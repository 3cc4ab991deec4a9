"""Hierarchies: rules, the level that wins, bad rule files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from expunge.concepts.dictionary import highest_level
from expunge.concepts.hierarchy import Hierarchy, ancestors, shipped
from expunge.corpus import Corpus
from expunge.corpus.record import Record
from expunge.errors import InputError

GRADES = {f"L{k}": {"name": f"level {k}", "alpha": 1 - k / 10, "beta": k / 10} for k in range(1, 5)}


def rules(*given: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "own",
        "title": "Own",
        "source": "a test",
        "levels": GRADES,
        "rules": list(given) or [{"level": "L4", "branches": ["E04"]}],
        **more,
    }


def hierarchy(*given: dict[str, Any]) -> Hierarchy:
    return Hierarchy.model_validate(rules(*given))


def refused(tmp_path: Path, content: dict[str, Any] | str) -> str:
    """The one line for a broken rule file, without the folder."""
    path = tmp_path / "own.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(InputError) as error:
        Hierarchy.load(path)
    assert str(error.value).startswith(str(path))
    return str(error.value).removeprefix(str(path))


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_hierarchy_has_the_values_of_the_paper(name: str) -> None:
    result = Hierarchy.load(name)
    assert result.name == name
    assert result.alpha == {"L1": 1.0, "L2": 0.733, "L3": 0.467, "L4": 0.2}
    assert result.beta == {"L1": 0.1, "L2": 0.4, "L3": 0.7, "L4": 1.0}
    assert {rule.level for rule in result.rules} == {"L1", "L2", "L3", "L4"}


def test_three_hierarchies_are_shipped() -> None:
    assert shipped() == ["finance", "medical", "mental-health"]


def test_a_prefix_ends_at_a_dot() -> None:
    assert list(ancestors("E04.100.376")) == ["E04.100.376", "E04.100", "E04", "E"]
    assert list(ancestors("MONDO:0000001")) == ["MONDO:0000001"]
    result = hierarchy({"level": "L4", "branches": ["C06.405"]})
    assert result.level_of_branches(["C06.405"]) == "L4"
    assert result.level_of_branches(["C06.405.205.099"]) == "L4"
    assert result.level_of_branches(["C06.4051"]) is None
    assert result.level_of_branches(["C06"]) is None


def test_longest_prefix_within_a_branch_highest_level_between_branches() -> None:
    result = hierarchy(
        {"level": "L3", "branches": ["C"]}, {"level": "L2", "branches": ["C23"]}, {"level": "L4", "branches": ["E04"]}
    )
    assert result.level_of_branches(["C23.550"]) == "L2"
    assert result.level_of_branches(["C06.405"]) == "L3"
    assert result.level_of_branches(["C23.550", "C06.405"]) == "L3"
    assert result.level_of_branches(["C23.550", "E04.237", "C06.405"]) == "L4"
    assert result.level_of_branches([]) is None
    assert highest_level(["L2", None, "L3", "L1"]) == "L3"
    assert highest_level([None]) is None


def test_names_beat_branches_and_branches_beat_types() -> None:
    result = hierarchy(
        {"level": "L4", "branches": ["E04"]},
        {"level": "L3", "semantic_types": ["T061"]},
        {"level": "L1", "names": ["Wound  Care"]},
    )
    assert result.level_of(["WOUND care"], ["E04.1"], ["T061"]) == "L1"
    assert result.level_of(["suture"], ["E04.100"], ["T061"]) == "L4"
    assert result.level_of(["suture"], ["A01"], ["T023", "T061"]) == "L3"
    assert result.level_of(["suture"]) is None


def test_the_medical_levels_are_those_of_the_design() -> None:
    result = Hierarchy.load("medical")
    expected = {
        "A01.236": "L1",
        "G07.700": "L1",
        "C23.888": "L2",
        "D03.438": "L2",
        "E01.370": "L2",
        "E02.319": "L2",
        "C06.405": "L3",
        "F03.080": "L3",
        "E04.100": "L4",
        "Z01.107": None,
    }
    assert {branch: result.level_of_branches([branch]) for branch in expected} == expected
    types = {"T023": "L1", "T184": "L2", "T047": "L3", "T061": "L3", "T077": None}
    assert {t: result.level_of_types([t]) for t in types} == types


def test_obsessive_compulsive_disorder_is_retained_despite_its_branch() -> None:
    result = Hierarchy.load("mental-health")
    assert result.level_of_branches(["F03.080.700"]) == "L4"
    assert result.level_of_branches(["F03.080.600"]) == "L3"
    assert result.level_of_branches(["F03.080.600.500"]) == "L3"
    topics = {"Anxiety": "L4", "Depression": "L4", "Trauma": "L4", "Obsessive/Compulsive Disorders": "L3"}
    assert {t: result.level_of_category(t) for t in topics} == topics


def test_records_get_the_highest_level_of_their_attributes() -> None:
    result = hierarchy(
        {"level": "L2", "categories": {"Subject_Name": ["Medicine", "Pathology"]}},
        {"level": "L4", "categories": {"subject_name": ["Surgery"], "tags": ["knife"]}},
        {"level": "L3", "topics": ["Bones"]},
        {"level": "L1", "semantic_types": ["T023"]},
        {"level": "L4", "branches": ["E04"]},
    )
    rows = {
        "medicine": {"subject_name": "medicine "},
        "cut": {"subject_name": "Medicine", "tags": ["red", "knife"]},
        "bones": {"topic": "bones"},
        "organ": {"semantic_type": ["T023"]},
        "operation": {"mesh_tree_number": "E04.2"},
        "other": {"subject_name": "Unknown", "year": 2018, "subject": "Surgery"},
    }
    records = [Record(id, "Q?", "A", attributes=attributes) for id, attributes in rows.items()]
    records.append(Record("own", "Q?", "A", concept="L1", attributes={"subject_name": "Surgery"}))
    before = Corpus.of(records, "exam")
    after = result.assign(before)
    assert {r.id: r.concept for r in after} == {
        "medicine": "L2",
        "cut": "L4",
        "bones": "L3",
        "organ": "L1",
        "operation": None,
        "other": None,
        "own": "L1",
    }
    assert result.level_of_record(Record("x", "Q?", "A", attributes={"mesh_tree_number": "E04.200"})) == "L4"
    assert after.name == "exam"
    assert all(r.concept is None for r in before.records[:-1])


def test_medmcqa_subjects_have_the_levels_and_counts_of_the_design(shared_data: Path) -> None:
    import json
    from collections import Counter

    path = shared_data / "medmcqa" / "dev.json"
    if not path.is_file():
        pytest.skip("no MedMCQA")
    result = Hierarchy.load("medical")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    records = (Record(r["id"], r["question"], "?", attributes={"subject_name": r["subject_name"]}) for r in rows)
    assert Counter(map(result.level_of_record, records)) == {"L1": 576, "L2": 1360, "L3": 1876, "L4": 369, None: 2}


def test_the_terms_of_the_rules_make_a_dictionary_of_their_own() -> None:
    entries = {e.name: e for e in Hierarchy.load("finance").dictionary()}
    assert entries["sanctions screening"].concept == "finance:sanctions-screening"
    assert entries["sanctions screening"].level == "L4"
    assert entries["balance sheet"].level == "L1"
    assert len(Hierarchy.load("medical").dictionary()) == 0


def test_a_category_counts_in_any_column() -> None:
    result = hierarchy(
        {"level": "L2", "categories": {"a": ["tax"]}},
        {"level": "L3", "categories": {"b": ["Tax"]}},
        {"level": "L4", "topics": ["sanctions"]},
    )
    assert result.level_of_category("TAX") == "L3"
    assert result.level_of_category("Sanctions") == "L4"
    assert result.level_of_category("law") is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"rules": [{"level": "L4"}]},
            ": rules.#1: a rule needs exactly one criterion, this one has none; known: branches, semantic_types",
        ),
        (
            {"rules": [{"level": "L4", "topics": ["x"]}, {"level": "L4", "branches": ["E04"], "names": ["x"]}]},
            ": rules.#2: a rule needs exactly one criterion, this one has branches, names",
        ),
        (
            {"rules": [{"level": "L4", "branchs": ["E04"]}]},
            ': unknown key "rules.#1.branchs"; did you mean "branches"?',
        ),
        ({"rules": [{"level": "L5", "branches": ["E04"]}]}, ": rules.#1.level: must be 'L1', 'L2', 'L3' or 'L4'"),
        ({"rules": [{"branches": ["E04"]}]}, ': the key "rules.#1.level" is missing'),
        ({"rules": [{"level": "L4", "branches": ["E4"]}]}, ': rules.#1: "E4" is not of the kind branches'),
        ({"rules": [{"level": "L4", "branches": ["E04."]}]}, ': rules.#1: "E04." is not of the kind branches'),
        ({"rules": [{"level": "L4", "semantic_types": ["T47"]}]}, '"T47" is not of the kind semantic_types'),
        ({"rules": [{"level": "L4", "branches": [4]}]}, ": rules.#1.branches.#1: must be text, found 4"),
        ({"rules": [{"level": "L4", "names": [" "]}]}, ": rules.#1: holds an empty value"),
        (
            {"rules": [{"level": "L4", "categories": {"subject": []}}]},
            ": rules.#1: holds an empty value or an empty list",
        ),
        (
            {"rules": [{"level": "L4", "categories": ["Surgery"]}]},
            ": rules.#1.categories: must be a mapping of keys to values",
        ),
        ({"rules": []}, ": rules: must not be empty"),
        ({"rules": [{"level": "L4", "names": ["a", "A"]}]}, ': "a" of names stands in L4 and again in L4'),
        (
            {"rules": [{"level": "L4", "branches": ["E04"]}, {"level": "L2", "branches": ["E04"]}]},
            ': "E04" of branches stands in L4 and again in L2',
        ),
        ({"levels": {k: v for k, v in GRADES.items() if k != "L3"}}, ': the key "levels.L3" is missing'),
        ({"levels": GRADES | {"L5": GRADES["L4"]}}, ': unknown key "levels.L5"; did you mean "L4"?'),
        (
            {"levels": GRADES | {"L1": {"name": "x", "alpha": -0.1, "beta": 0}}},
            ": levels.L1.alpha: must be at least 0, found -0.1",
        ),
        (
            {"levels": GRADES | {"L1": {"name": "x", "alpha": 1, "beta": float("nan")}}},
            'not valid YAML (".nan" is no finite number)',
        ),
        (
            {"levels": GRADES | {"L1": {"name": "x", "alfa": 1, "beta": 1}}},
            ': unknown key "levels.L1.alfa"; did you mean "alpha"?',
        ),
        ({"name": "two words"}, ": name: String should match pattern"),
        ({"titel": "x"}, ': unknown key "titel"; did you mean "title"?'),
    ],
)
def test_a_wrong_rule_file_is_refused_in_one_line(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    line = refused(tmp_path, rules(**change))
    assert expected in line
    assert "\n" not in line


def test_a_level_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    text = yaml.safe_dump(rules(), sort_keys=False)
    number = text.splitlines().index("  L4:") + 1
    doubled = text.replace("rules:\n", "  L4: {name: again, alpha: 0, beta: 0}\nrules:\n")
    second = doubled.splitlines().index("  L4: {name: again, alpha: 0, beta: 0}") + 1
    assert refused(tmp_path, doubled).startswith(
        f':{second}: not valid YAML (the key "L4" stands twice, first in line {number})'
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\nlevels: {L1: [\n", ":3: not valid YAML ("),
        ("", ': the key "name" is missing; write `name:`'),
        ("- L1\n", ": is not a mapping of keys to values"),
    ],
)
def test_a_file_without_rules_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert refused(tmp_path, text).startswith(expected)


def test_what_cannot_be_found_or_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='hierarchy: there is no hierarchy "medcal"; did you mean "medical"'):
        Hierarchy.load("medcal")
    with pytest.raises(InputError, match=r"none\.yaml: there is no such hierarchy file; name a YAML file, or one of"):
        Hierarchy.load(tmp_path / "none.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(InputError, match=r"folder\.yaml: is a folder"):
        Hierarchy.load(tmp_path / "folder.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: Chirurgie für Anfänger".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.yaml: could not be read .*give a UTF-8 YAML file"):
        Hierarchy.load(tmp_path / "latin.yaml")
