"""Resolved scopes on a hospital small enough to check by hand: who goes, who stays, how each is related."""

from __future__ import annotations

import dataclasses

import pytest

from expunge.corpus import Corpus, Record, load_corpus
from expunge.errors import InputError
from expunge.scope import Scope, Split


def record(path: str, name: str, answer: str = "", **fields: object) -> Record:
    """A record called `<last node's name>.<name>`; its subject is the patient, else the first node."""
    nodes = tuple(path.split("/")) if path else ()
    subject = next((n for n in nodes if n.startswith("patient:")), nodes[0] if nodes else "")
    return Record(
        id=f"{nodes[-1].split(':')[1] if nodes else ''}.{name}",
        prompt=f"{path} {name}?",
        answer=answer or f"{path} {name}",
        path=nodes,
        subject=subject,
        **fields,
    )  # type: ignore[arg-type]


def hospital(houses: int = 3, patients: int = 4) -> list[Record]:
    found = [record("world:general", f"w{k}") for k in range(4)]
    for h in range(houses):
        house = f"institution:H{h}"
        found += [record(house, f"i{k}") for k in range(3)]
        for p in range(patients):
            h_p = f"{h}{p}" if max(houses, patients) <= 10 else f"{h}-{p}"
            person = f"{house}/patient:P{h_p}"
            found.append(record(person, "name"))
            for s in range(2):
                study = f"{person}/study:S{h_p}{s}"
                found += [record(f"{study}/section:T{h_p}{s}", "size"), record(study, "date")]
    return found


def resolve(text: str, records: list[Record], **options: object) -> Split:
    return Scope.parse(text).resolve(Corpus.of(records), **options)  # type: ignore[arg-type]


def ids(records: tuple[Record, ...]) -> set[str]:
    return {r.id for r in records}


P00 = {"P00.name", "S000.date", "S001.date", "T000.size", "T001.size"}


def test_a_patient_goes_and_everybody_else_stays() -> None:
    split = resolve("patient:P00", hospital())
    assert ids(split.forget) == P00 == split.excluded_ids
    assert split.targets == ("patient:P00",)
    assert ids(split.retain) | ids(split.retain_heldout) == {r.id for r in hospital()} - P00
    assert not split.shared


def test_a_fact_that_another_record_states_is_shared_not_forgotten() -> None:
    records = [
        dataclasses.replace(
            r, facts={"P00.name": ("doctor",), "P20.name": ("doctor",), "S000.date": ("doctor", "own")}.get(r.id, ())
        )
        for r in hospital()
    ]
    split = resolve("patient:P00", records)
    assert ids(split.shared) == {"P00.name"}
    assert ids(split.forget) == P00 - {"P00.name"}
    assert split.excluded_ids == P00
    assert ids(resolve("patient:P00 or patient:P20", records).forget) >= {"P00.name", "P20.name"}


def test_a_fact_in_a_holdout_record_does_not_survive_there() -> None:
    records = [dataclasses.replace(r, facts={"P00.name": ("doctor",)}.get(r.id, ())) for r in hospital()]
    records.append(record("institution:H2/patient:X", "name", facts=("doctor",), split="holdout"))
    split = resolve("patient:P00", records)
    assert "P00.name" in ids(split.forget)
    assert ids(split.holdout) == {"X.name"}


def test_relations_and_distances_to_a_patient() -> None:
    sick = ("P00.name", "P10.name", "P01.name", "general.w1")
    records = [dataclasses.replace(r, answer="asthma") if r.id in sick else r for r in hospital()]
    split = resolve("patient:P00", records, heldout_share=0.99)
    found = split.relation
    assert found["P00.name"] == "self"
    assert {found[name] for name in P00 - {"P00.name"}} == {"descendants"}
    retain_heldout = {r.id: r for r in split.retain_heldout}
    assert {found[name] for name in retain_heldout if name.startswith("H0.")} == {"ancestors"}
    expected = {
        name: "ancestors"
        if r.path == ("institution:H0",)
        else "siblings"
        if r.path[0] == "institution:H0"
        else "unrelated"
        if r.subject == "world:general"
        else "same_attribute"
        if r.answer == "asthma"
        else "cousins"
        for name, r in retain_heldout.items()
    }
    assert {name: found[name] for name in retain_heldout} == expected
    assert set(expected.values()) == {"ancestors", "unrelated", "siblings", "same_attribute", "cousins"}
    depth = {"ancestors": 1, "siblings": 2}
    for name, r in retain_heldout.items():
        if r.subject == "world:general":
            assert name not in split.tree_distance
        else:
            elsewhere = 4 if r.subject.startswith("patient") else 3
            assert split.tree_distance[name] == depth.get(found[name], elsewhere)
    assert split.same_institution == {name for name, relation in expected.items() if relation == "siblings"}


def test_the_other_studies_of_a_patient_are_siblings_of_a_study() -> None:
    split = resolve("study:S000", hospital(), heldout_share=0.9)
    assert ids(split.forget) == {"S000.date", "T000.size"}
    assert (split.relation["S000.date"], split.relation["T000.size"]) == ("self", "descendants")
    expected = {"P00.name": ("ancestors", 1), "S001.date": ("siblings", 2), "T001.size": ("siblings", 2)}
    retain_heldout = P00 & ids(split.retain_heldout)
    assert retain_heldout
    assert retain_heldout | (P00 & ids(split.retain)) == set(expected)
    assert {name: (split.relation[name], split.tree_distance[name]) for name in retain_heldout} == {
        name: expected[name] for name in retain_heldout
    }
    assert {
        (split.relation[r.id], split.tree_distance[r.id])
        for r in split.retain_heldout
        if r.path[0] == "institution:H1" and len(r.path) > 2
    } == {("cousins", 6)}


def test_a_patient_elsewhere_is_a_cousin_of_an_institution() -> None:
    split = resolve("institution:H0", hospital(), heldout_share=0.9)
    found = {
        (r.path[-1].split(":")[0], split.relation[r.id], split.tree_distance.get(r.id)) for r in split.retain_heldout
    }
    assert {("institution", "siblings", 2), ("patient", "cousins", 3), ("world", "unrelated", None)} <= found
    assert ("patient", "siblings", 2) not in found


def test_a_scope_by_attribute_is_seen_from_the_subjects_it_touches() -> None:
    records = [dataclasses.replace(r, attributes={"topic": "Name"}) if r.id == "P00.name" else r for r in hospital()]
    split = resolve("topic=Name", records)
    assert split.relation["P00.name"] == "self"
    rest = P00 - {"P00.name"}
    assert rest & ids(split.retain_heldout)  # a person in part forgotten is where damage shows first
    assert rest & ids(split.retain)  # the rest of the subject is partly retained
    assert {split.relation[name] for name in rest & ids(split.retain_heldout)} == {"siblings"}


def test_records_without_a_place_are_unrelated_and_have_no_distance() -> None:
    records = [Record(id=f"{k}", prompt=f"{k}?", answer="same", attributes={"topic": "ab"[k < 5]}) for k in range(40)]
    split = resolve("topic=b", records)
    assert {split.relation[r.id] for r in split.forget} == {"self"}
    assert {split.relation[r.id] for r in split.retain_heldout} == {"unrelated"}
    assert split.tree_distance == {}
    assert not split.same_institution
    assert 2 <= len(split.retain_heldout) <= 20


def test_siblings_stand_on_both_sides_whatever_the_seed() -> None:
    for seed in range(30):
        split = resolve("patient:P00", hospital(patients=6), seed=seed)
        sides = [
            {r.subject for r in side if r.path[0] == "institution:H0" and len(r.path) > 1}
            for side in (split.retain_heldout, split.retain)
        ]
        assert len(sides[0]) >= 2
        assert len(sides[1]) >= 1
        assert not sides[0] & sides[1]


def test_a_lone_sibling_is_retained_and_two_are_parted() -> None:
    for seed in range(10):
        lone = resolve("patient:P00", hospital(patients=2), seed=seed)
        assert "P01.name" in ids(lone.retain)
        two = resolve("patient:P00", hospital(patients=3), seed=seed)
        assert len({"P01.name", "P02.name"} & ids(two.retain)) == 1


def test_the_share_is_met_for_many_subjects() -> None:
    split = resolve("patient:P0-0", hospital(houses=20, patients=20), heldout_share=0.25)
    people = [
        len({r.subject for r in side if r.subject.startswith("patient")})
        for side in (split.retain_heldout, split.retain)
    ]
    assert sum(people) == 399
    assert people[0] / 399 == pytest.approx(0.25, abs=0.07)


def test_general_and_institution_facts_are_drawn_one_by_one() -> None:
    records = hospital() + [record("world:general", f"more{k}") for k in range(60)]
    split = resolve("patient:P00", records)
    assert 5 <= sum(r.subject == "world:general" for r in split.retain_heldout) <= 30
    assert any(r.subject == "world:general" for r in split.retain)


def test_all_wordings_of_a_general_fact_fall_on_one_side() -> None:
    wordings = [record("institution:H1", f"f{k}.{way}", facts=(f"f{k}",)) for k in range(20) for way in "abc"]
    split = resolve("patient:P00", hospital() + wordings)
    sides = [{fact for r in side for fact in r.facts} for side in (split.retain_heldout, split.retain)]
    assert not sides[0] & sides[1]
    assert sides[0]
    assert sides[1]


def test_a_share_of_nothing_holds_nothing_out() -> None:
    assert resolve("patient:P00", hospital(), heldout_share=0).retain_heldout == ()


@pytest.mark.parametrize("n", [2, 3])
def test_neither_side_is_empty_if_there_are_two_subjects_to_share(n: int) -> None:
    records = [record(f"patient:P{k}", "name") for k in range(n)]
    for seed in range(20):
        split = resolve("ids:P0.name", records, seed=seed)
        assert split.retain
        assert len(split.retain_heldout) == n - 2


def test_few_unplaced_subjects_still_hold_one_out() -> None:
    records = [Record(id=f"{k}", prompt=f"{k}?", answer="x", subject=f"s{k}") for k in range(4)]
    for seed in range(30):
        split = resolve("ids:0", records, seed=seed)
        assert split.retain_heldout
        assert split.retain


def test_a_subject_without_its_own_node_stands_where_its_records_meet() -> None:
    records = [dataclasses.replace(r, subject=f"person {r.subject}") for r in hospital()]
    split = resolve('subject:"person patient:P00"', records)
    assert {split.relation[name] for name in ("P00.name", "S000.date")} == {"self", "descendants"}
    assert {split.tree_distance[r.id] for r in split.retain_heldout if split.relation[r.id] == "siblings"} == {2}


def test_the_digest_of_a_split_sees_every_set() -> None:
    split = resolve("patient:P00", hospital())
    assert split.digest == resolve("patient:P00", hospital()[::-1]).digest
    assert split.digest != resolve("patient:P00", hospital(), seed=1).digest
    assert split.digest != dataclasses.replace(split, utility=split.retain[:1]).digest


def test_controls_holdout_and_utility_are_gathered() -> None:
    controls = [
        record("institution:H0/patient:T1", "name", split="control", attributes={"control_of": "patient:P00"}),
        record("institution:H0/patient:T2", "name", split="control", attributes={"control_of": "patient:P01"}),
    ]
    general = record("", "g", split="utility")
    more = Corpus.of([record("institution:H0/patient:X", "name")])
    split = resolve("patient:P00", [*hospital(), *controls, general], holdout=more)
    assert (ids(split.controls), ids(split.utility), ids(split.holdout)) == ({"T1.name"}, {".g"}, {"X.name"})
    assert (split.summary()["controls"], split.summary()["utility"]) == (1, 1)


def test_never_trained_records_in_the_scope_are_not_forgotten() -> None:
    held = record("institution:H0/patient:X", "name", split="holdout")
    split = resolve("institution:H0", [*hospital(), held])
    assert "X.name" in ids(split.holdout)
    assert "X.name" not in split.excluded_ids


def test_a_predefined_split_is_a_scope() -> None:
    records = [dataclasses.replace(r, split="forget" if r.id in P00 else "retain") for r in hospital()]
    split = resolve("split=forget", records)
    assert ids(split.forget) == P00
    assert split.targets == ("patient:P00",)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("not kind=cloze", "names all 73 trained records; leave something to retain"),
        ("split=holdout", "names only records that were never trained"),
        ("patient:P02", "every fact in it is also stated by records outside it"),
    ],
)
def test_a_scope_that_cannot_be_resolved_is_refused(text: str, part: str) -> None:
    records = [
        dataclasses.replace(r, facts=("common",)) if r.subject in ("patient:P02", "patient:P01") else r
        for r in hospital()
    ]
    with pytest.raises(InputError) as caught:
        resolve(text, [*records, record("", "x", split="holdout", kind="cloze")])
    assert str(caught.value).startswith(f'scope "{text}": ')
    assert part in str(caught.value)


@pytest.mark.parametrize("facts", [9, 10, 40])
def test_five_of_ten_or_more_far_from_the_target_are_held_out(facts: int) -> None:
    """With a share of .001 nothing would be drawn; fewer than five records cannot tell whether half is lost."""
    far = [record("world:general", f"g{k}") for k in range(facts)]
    near = [r for r in hospital(houses=1) if r.path[0] != "world:general" and "patient" in r.prompt]
    split = resolve("patient:P00", [*far, *near], heldout_share=0.001)
    heldout = [r for r in split.retain_heldout if split.relation[r.id] == "unrelated"]
    assert len(heldout) == (0 if facts < 10 else 5)


@pytest.mark.parametrize("share", [-0.1, 1.0, 2])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="heldout_share: is"):
        resolve("patient:P00", hospital(), heldout_share=share)


def test_holdout_records_must_be_others() -> None:
    with pytest.raises(InputError, match=r'holdout: the id "P01\.name" is also in the corpus'):
        resolve(
            "patient:P00",
            hospital(),
            holdout=Corpus.of([hospital()[0], record("patient:P01", "name")]).where(lambda r: r.id == "P01.name"),
        )


def test_the_published_split_of_lume_is_a_scope(shared_data) -> None:  # type: ignore[no-untyped-def]
    split = Scope.parse("split=forget").resolve(load_corpus(shared_data / "lume"))
    assert len(split.forget) == 2732
    assert len(split.retain) + len(split.retain_heldout) == 2734
    assert len({r.subject for r in split.retain_heldout}) == pytest.approx(867 / 4, rel=0.2)
    assert {split.relation[r.id] for r in split.retain_heldout} == {"siblings"}
