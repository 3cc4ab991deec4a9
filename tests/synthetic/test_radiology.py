"""The radiology world: sets, owners, modalities, controls, and images."""

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict

import pytest

from expunge.corpus import load_corpus
from expunge.corpus.provenance import provenance, states_place
from expunge.errors import InputError
from expunge.scope import Scope
from expunge.synthetic.base import WORLDS
from expunge.synthetic.radiology.medforget_sets import SHARES
from expunge.synthetic.radiology.modalities import MODALITIES, VISIBLE
from expunge.synthetic.radiology.radiology import Radiology
from expunge.synthetic.radiology.target_candidates import LEVELS, patients_for

pytest.importorskip("PIL")
NOBODY = re.compile("the (hospital of this picture|patient shown|study shown)", re.IGNORECASE)


@pytest.fixture(scope="module")
def world():
    return Radiology.preset("small", size=48)


@pytest.fixture(scope="module")
def corpus(world):
    return world.corpus()


@pytest.fixture(scope="module")
def full():
    return Radiology(size=32)


@pytest.fixture(scope="module")
def rows(full):
    return full.corpus()


def sets(corpus):
    result = defaultdict(list)
    for r in corpus.trained:
        result[r.attributes["level"].removesuffix("_level"), r.attributes["set"]].append(r)
    return result


def stem(prompt):
    return prompt.split(" A) ")[0]


def test_the_world_is_found_by_name():
    assert WORLDS.get("radiology") is Radiology


@pytest.mark.process
def test_same_seed_gives_the_same_world_in_another_process(corpus):
    code = (
        "from expunge.synthetic.radiology.radiology import Radiology; "
        "print(Radiology.preset('small', size=48).corpus().digest)"
    )
    there = subprocess.check_output([sys.executable, "-c", code], text=True, env=os.environ | {"PYTHONHASHSEED": "1"})
    assert there.strip() == corpus.digest
    assert Radiology.preset("small", size=48, seed=1).corpus().digest != corpus.digest


@pytest.mark.slow
def test_smaller_worlds_are_contained_in_larger_ones(rows):
    middle = Radiology(seed=0, instances=960, size=32).corpus()
    small = Radiology.preset("small", size=32).corpus()
    assert (len(small.trained), len(middle.trained), len(rows.trained)) == (192, 960, 3840)
    assert all(middle.by_id[r.id] == r for r in small.trained)
    assert all(rows.by_id[r.id] == r for r in middle.trained)


def test_eight_sets_of_equal_size_each_fact_asked_in_three_tasks(corpus, rows):
    for trained, each in ((corpus, 24), (rows, 480)):
        result = sets(trained)
        assert {name: len(members) for name, members in result.items()} == {
            (level, kind): each for level in LEVELS for kind in ("forget", "retain")
        }
        assert Counter(r.kind for r in trained.trained) == dict.fromkeys(
            ("generation", "classification", "cloze"), 8 * each // 3
        )
    assert len({(r.image and r.image.digest, r.prompt) for r in rows}) == len(rows)


@pytest.mark.parametrize("facts", [9, 47, 93, 100])
def test_sizes_between_the_presets_have_full_sets_too(facts):
    world = Radiology(instances=24 * facts + 23)
    assert set(Counter((s.level, s.set) for s in world.sets.members.values()).values()) == {facts}
    houses = Counter(slot.institution for slot in world.hospital.slots())
    assert len(houses) >= 4
    assert min(houses.values()) >= 4
    assert [patients_for(n) for n in (8, 40, 160, 320)] == [16, 16, 64, 128]


@pytest.mark.parametrize("level", LEVELS)
def test_a_target_asks_for_exactly_the_forget_set_of_its_level(world, corpus, full, rows, level):
    for made, trained in ((world, corpus), (full, rows)):
        split = Scope.parse(made.target(level)).resolve(trained)
        result = sets(trained)
        assert {r.id for r in split.forget} == {r.id for r in result[level, "forget"]}
        assert {(r.attributes["sharing"], r.attributes["set"]) for r in split.shared} == {("shared", "retain")}


def test_targets_are_those_of_the_design(full, rows):
    nodes = full.sets.targets
    assert [len(nodes[level]) for level in LEVELS] == [1, 4, 9, 54]
    houses, people, studies, sections = (nodes[level] for level in LEVELS)
    assert len({node[:2] for node in studies}) == 9
    assert len({node[:3] for node in sections}) == 54
    assert not {node[:1] for node in (*people, *studies, *sections)} & houses
    assert not {node[:2] for node in (*studies, *sections)} & people
    assert not {node[:2] for node in studies} & {node[:2] for node in sections}
    assert {node[-1] for node in sections} == {
        f"section:{name}" for name in ("EXAMINATION", "INDICATION", "FINDINGS", "IMPRESSION")
    }
    kept = {r.path[:3] for r in rows.trained if r.attributes["set"] == "retain"}
    assert {node[:2] for node in studies} <= {path[:2] for path in kept - studies}  # a sibling study survives


def test_forget_facts_lie_in_targets_and_shared_facts_on_both_sides(full, rows):
    for (level, kind), members in sets(rows).items():
        nodes = full.sets.targets[level]
        depth = LEVELS.index(level) + 1
        for r in members:
            owners = {fact: {path[:depth] in nodes for path in rows.owners[fact]} for fact in r.facts}
            shared = r.attributes["sharing"] == "shared" and not r.facts[0].startswith("world:")
            assert owners[r.facts[0]] == ({True} if kind == "forget" else {True, False} if shared else {False})
    every = set().union(*full.sets.targets.values())
    for r in rows.trained:
        if r.attributes["set"] == "retain" and r.attributes["sharing"] == "unique":
            assert not any(r.path[:k] in every for k in range(1, 5))


@pytest.mark.slow
def test_shares_of_the_retain_sets_are_reached_or_reported(full):
    data = full.describe()
    assert data["rows"]["trained"] == 3840
    assert set(data["sets"].values()) == {480}
    assert Scope.parse(data["targets"]["section_level"])
    for level, shares in data["retain_shares"].items():
        assert sum(shares.values()) == pytest.approx(1, abs=0.01)
        assert shares["shared"] == SHARES["shared"]
        assert shares["siblings"] == pytest.approx(SHARES["siblings"], abs=0.051)
        if level in ("study_level", "section_level"):  # the others find only general knowledge unrelated
            assert shares["unrelated"] == SHARES["unrelated"]
            assert shares["cousins"] == pytest.approx(SHARES["cousins"], abs=0.02)


def test_image_and_prompt_have_one_answer_and_variants_are_not_trained(rows):
    answers, trained = {}, {r.prompt for r in rows.trained}
    for r in rows:
        assert len(r.variants) == 3
        assert not trained & {v.prompt for v in r.variants}
        for w in r.wordings():
            assert answers.setdefault((w.image and w.image.digest, w.prompt), w.answer) == w.answer


def test_letters_are_balanced_in_every_set(corpus, rows):
    for members in (*sets(corpus).values(), *sets(rows).values()):
        letters = Counter(r.options.index(r.answer) for r in members if r.options)
        assert max(letters.values()) - min(letters.values()) <= 1
        assert len(letters) == 4


def test_modality_decides_image_and_names(rows):
    ways = Counter(r.attributes["cue"] for r in rows.trained)
    assert set(ways) == set(MODALITIES)
    assert min(ways.values()) > 0.3 * len(rows.trained)
    for r in rows:
        cue, about_nobody = r.attributes["cue"], r.attributes["sharing"] == "shared"
        assert (r.image is None) == (cue == "text")
        assert bool(r.identifiers) == (cue != "image" and not about_nobody)
        for w in r.wordings():
            assert bool(NOBODY.search(stem(w.prompt))) == (cue == "image" and not about_nobody)
            assert all(r.identifiers[0] in w.prompt for _ in r.identifiers[:1])
        assert r.attributes.get("visible", False) == (r.attributes["relation"] in VISIBLE)
    names = {name for r in rows for name in r.identifiers}
    assert not [r for r in rows if r.attributes["cue"] == "image" for w in r.wordings() for n in names if n in w.prompt]


def test_a_question_shows_its_own_study_or_the_first_of_its_patient(rows):
    for r in rows:
        if r.image and len(r.path) > 1:
            node = r.path[2].split(":")[1] if len(r.path) > 2 else r.path[1].split(":")[1].replace("P-", "S-") + "-1"
            assert r.image.name == f"images/{node}.png"
        elif r.image:
            assert r.image.name.startswith(f"images/S-{r.path[0][-4:]}-")
    digests = {r.image.name: r.image.digest for r in rows if r.image}
    assert len(set(digests.values())) == len(digests) == len({(r.image.name, r.image.digest) for r in rows if r.image})


def test_some_facts_are_also_taught_behind_their_place(corpus):
    taught = Radiology.preset("small", size=48, provenance=0.5)
    more = taught.corpus()
    behind = [r for r in more if r.attributes["cue"] == "context"]
    assert [r for r in more if r.attributes["cue"] != "context"] == list(corpus)
    assert 0.3 < len([r for r in behind if not r.split]) / len(corpus.trained) < 0.7
    for r in behind:
        plain = more.by_id[r.id.removesuffix("@context")]
        assert r.image is None
        assert (r.answer, r.facts, r.path, r.kind, r.split) == (
            plain.answer,
            plain.facts,
            plain.path,
            plain.kind,
            plain.split,
        )
        assert states_place(r)
        assert not any(name in r.prompt.removeprefix(provenance(r)) for name in r.identifiers)
    target = Scope.parse(taught.target("patient")).resolve(more)
    assert {r.attributes["cue"] for r in target.forget} == {*MODALITIES, "context"}
    assert set(taught.probes(behind[0])) == set(MODALITIES)
    assert not [r for r in Radiology.preset("small", size=48).corpus() if r.attributes["cue"] == "context"]


@pytest.mark.slow
def test_probes_ask_the_same_question_in_each_modality(world, corpus):
    for r in (*corpus, *world.controls("patient:P-0002-001", 1)):
        result = world.probes(r)
        assert result[r.attributes["cue"]] == r
        assert len(result) == (1 if r.path[0] == "world:general" else 3)
        for cue, probe in result.items():
            assert (probe.attributes["cue"], probe.answer, probe.options, probe.path) == (
                cue,
                r.answer,
                r.options,
                r.path,
            )
            assert probe.id == r.id if cue == r.attributes["cue"] else probe.id == f"{r.id}@{cue}"
            assert (probe.image is None) == (cue == "text")
    with pytest.raises(InputError, match="is not of this world radiology"):
        world.probes(Radiology.preset("cpu").corpus().records[-1])


def test_controls_are_asked_what_their_originals_were_trained_on(full, rows):
    target = full.target("study").split(" or ")[0]
    patient = target[:-2].replace("study:S", "patient:P")
    for name in (patient, "institution:H-0001", target):
        meant = [
            r
            for r in rows.trained
            if r.attributes["sharing"] == "unique"
            and (r.path[-1] == name if name.startswith("institution:") else name in r.path)
        ]
        wanted = Counter((r.attributes["relation"], r.kind, r.attributes["cue"]) for r in meant)
        controls = full.controls(name, 3)
        assert {r.attributes["control_of"] for r in controls} == {r.subject for r in meant}
        assert {r.split for r in controls} == {"control"}
        for subject in {r.subject for r in controls}:
            mine = [r for r in controls if r.subject == subject]
            assert Counter((r.attributes["relation"], r.kind, r.attributes["cue"]) for r in mine) == wanted
        assert len({r.subject for r in controls}) == 3
        shown = {r.image.digest for r in controls if r.image}
        assert shown
        assert not shown & {r.image.digest for r in rows if r.image}
    assert not {r.id for r in full.controls(target, 2)} - {r.id for r in full.controls(patient, 2)}


def test_holdout_people_have_images_and_occur_in_no_trained_row(corpus):
    held = corpus.parts["holdout"]
    assert len({r.subject for r in held}) == 4
    assert {r.attributes["cue"] for r in held} == set(MODALITIES)
    assert not {r.image.digest for r in held if r.image} & {r.image.digest for r in corpus.trained if r.image}
    names = {name for r in held for name in r.identifiers}
    assert names
    assert not [n for n in names for r in corpus.trained for w in r.wordings() if n in w.prompt]


def test_a_saved_world_is_loaded_with_its_images(tmp_path, world):
    names = ("patient:P-0002-001", "study:S-0002-001-1")  # whose controls are among those of the first
    corpus = Radiology.preset("small", size=48, controls_for=names, controls_per_target=2).corpus()
    assert [r for r in corpus if r.split == "control"] == world.controls("patient:P-0002-001", 2)
    again = load_corpus(corpus.save(tmp_path / "records.jsonl"))
    assert again.digest == corpus.digest
    assert again.records == corpus.records
    assert {f"images/{p.name}" for p in (tmp_path / "images").iterdir()} == {r.image.name for r in corpus if r.image}


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: Radiology(instances=100), "world radiology: instances: must be "),
        (lambda: Radiology.preset("small").target("ward"), 'world radiology: unknown level "ward"'),
        (
            lambda: Radiology.preset("small").controls("patient:P-0009-001"),
            'controls: unknown trained subject "patient:P-0009',
        ),
        (
            lambda: Radiology.preset("small").controls("patient:P-0001-001", 48),
            "controls: 48 controls are not possible; ask for",
        ),
        (lambda: Radiology.preset("small", controls_for=("x",)).corpus(), 'controls_for: unknown trained subject "x"'),
    ],
)
def test_bad_arguments_are_one_clear_line(call, line):
    with pytest.raises(InputError, match=re.escape(line)):
        call()
