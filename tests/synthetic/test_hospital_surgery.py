"""The hospital with surgical knowledge: what it adds, and no change without it."""

from __future__ import annotations

from collections import Counter

import pytest

from expunge.errors import InputError
from expunge.scope import Scope
from expunge.synthetic.hospital.hospital import Hospital
from expunge.synthetic.hospital.relations import COMMON, GENERAL, INSTITUTION, PATIENT, SECTION, STUDY
from expunge.synthetic.knowledge.domains.surgery import Surgery

DIGESTS = {  # of the worlds before they knew surgery
    ("demo", 42): "248a1dc21eb6159e5592fc3a0976bc6562686ab06b04872a069f87c3925cd9df",
    ("tiny", 0): "a00917597b06493cf416af4ab915b47c4f75d75b33cf422136e213cdfbd4d4be",
}


@pytest.mark.parametrize(("preset", "seed"), DIGESTS)
def test_worlds_without_procedures_keep_their_digests(preset, seed):
    assert Hospital.preset(preset, seed=seed).corpus().digest == DIGESTS[preset, seed]


def test_surgical_knowledge_changes_no_row_of_the_patients():
    world = Hospital.preset("surgery-small", seed=3)
    corpus = world.corpus()
    plain = Hospital.preset("surgery-small", seed=3, procedures=0).corpus()
    bare = Surgery.preset("small", seed=3).corpus()
    assert {r.id for r in plain} | {r.id for r in bare} == {r.id for r in corpus}
    assert all(corpus.by_id[r.id] == r for r in (*plain, *bare))
    assert not {r.id for r in plain} & {r.id for r in bare}
    # 8 patients of 8 facts, 4 houses and 3 levels of 1; 64 concepts of 4 facts; three records each
    assert len(corpus.trained) == 3 * (8 * 8 + 4 + 3 + 64 * 4) == 981
    splits = [r.split for r in corpus]
    assert splits == sorted(splits, key=(None, "holdout", "control").index)


def test_the_preset_surgery_has_few_patients_and_the_whole_knowledge():
    corpus = Hospital.preset("surgery").corpus()
    # 8 patients of 26 facts, 4 houses of 4, 3 levels of 4; 144 concepts of 5 facts
    assert len(corpus.trained) == 3 * (8 * 26 + 4 * 4 + 3 * 4 + 144 * 5) == 2868
    assert len({r.subject for r in corpus.trained if r.subject.startswith("patient:")}) == 8


def test_target_and_chapter_name_surgical_knowledge_and_no_patient():
    world = Hospital.preset("surgery-small", knowledge_foundations=3, knowledge_polysemes=2, knowledge_overlap=0.5)
    corpus = world.corpus()
    split = Scope.parse(world.target).resolve(corpus)
    assert {r.path[0] for r in split.forget} == {"knowledge:surgery"}
    assert {r.concept for r in split.forget} == {"L4"}
    assert len(split.forget) == (16 * 4 + 2) * 3
    chapter = Scope.parse(world.chapter).resolve(corpus)
    assert Counter(r.concept for r in chapter.forget) == {"L1": 36, "L2": 36, "L3": 36, "L4": 198}
    requested = {r.attributes["relation"] for r in split.forget}
    rest = {
        r.name
        for r in (
            *PATIENT,
            *STUDY,
            *INSTITUTION,
            *(c.relation for c in COMMON),
            *(r for r, _ in GENERAL),
            *(r for rows in SECTION.values() for r in rows),
        )
    }
    assert not requested & rest
    data = world.describe()
    assert (data["target"], data["chapter"]) == ("knowledge:surgery and concept=L4", "knowledge:surgery")
    assert data["measured_overlap"]["facts"] > 0.25
    assert Hospital(**data["settings"]).corpus().digest == data["digest"]


def test_procedures_share_nothing_with_patients_unless_asked():
    result = Hospital.preset("surgery").measured_overlap()
    assert (result.words, result.values) == (0, 0)


def test_concepts_of_the_hospital_have_controls_and_terms():
    world = Hospital.preset("surgery-small", controls_for=("concept:L4-001",), controls_per_target=2)
    controls = world.corpus().parts["control"]
    assert list(controls) == Surgery.preset("small").controls("concept:L4-001", 2)
    assert {e.level for e in world.terms()} == {"L1", "L2", "L3", "L4"}
    assert not len(Hospital.preset("tiny").terms())


def test_without_procedures_there_is_no_target():
    with pytest.raises(InputError, match=r"world hospital\.procedures: is 0"):
        _ = Hospital.preset("demo").target
    with pytest.raises(InputError, match='unknown trained subject "concept:L4-001"'):
        Hospital.preset("tiny").controls("concept:L4-001")
