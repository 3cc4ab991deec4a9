"""The hospital world: sizes, facts, prompts and options."""

import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from expunge.corpus import BLANK, load_corpus
from expunge.errors import InputError
from expunge.synthetic.base import WORLDS
from expunge.synthetic.hospital.hospital import Hospital
from expunge.synthetic.hospital.relations import COMMON, GENERAL, INSTITUTION, PATIENT, SECTION, STUDY
from expunge.synthetic.hospital.vocabulary import FIRST_NAMES, LAST_NAMES, MONTHS, POOLS

RELATIONS = (
    *PATIENT,
    *STUDY,
    *(r for rows in SECTION.values() for r in rows),
    *INSTITUTION,
    *(c.relation for c in COMMON),
    *(r for r, _ in GENERAL),
)
UNIQUE_VALUES = ("date_of_birth", "phone", "record_number", "email")


@pytest.fixture(scope="module")
def demo():
    return Hospital.preset("demo").corpus()


@pytest.fixture(scope="module")
def full():
    return Hospital().corpus()


def stem(prompt):
    """A prompt without its options."""
    return prompt.split(" A) ")[0]


def one_way(text):
    """Institutions write dates in two ways; this is one for both."""
    day = re.fullmatch(r"(\d+) ([A-Z][a-z]+) (\d{4})", text)
    return f"{day[3]}-{MONTHS.index(day[2]) + 1:02d}-{int(day[1]):02d}" if day else text


def masked(record, prompt):
    """A prompt without options, lead, names and entity: what is left is the template."""
    text = stem(prompt).rsplit(": ", 1)[-1] if not record.identifiers else stem(prompt)
    entities = sorted((v for pool in POOLS.values() for v in pool), key=len, reverse=True)
    for name in (*record.identifiers, *entities):
        text = text.replace(name, "*")
    return text


def test_the_world_is_found_by_name():
    assert WORLDS.get("hospital") is Hospital


@pytest.mark.slow
def test_presets_have_the_promised_sizes(demo, full):
    tiny = Hospital.preset("tiny").corpus()
    # tiny: 12 patients * (3 + 2 studies * (1 + 1) + 1 shared) facts, 4 houses * 1, 3 levels * 1; 3 kinds each
    assert len(tiny.trained) == 3 * (12 * 8 + 4 + 3) == 309
    assert len(demo.trained) == 3 * (32 * (12 + 2 * 2 + 2 * 4 + 2) + 4 * 4 + 3 * 4) == 2580
    unique = {f for r in full.trained if r.attributes["sharing"] == "unique" for f in r.facts}
    assert len(unique) == 8 * 376  # 8 + 8 patients * (10 + 2 * (6 + 4 * 3)) facts in each of 8 institutions
    houses = {f"institution:H-000{k}" for k in (1, 2, 3, 4)}
    assert {r.path[0] for r in demo.trained} == houses | {"world:general"}
    held = Counter(r.path[0] for r in demo if r.split == "holdout" and r.kind == "cloze")
    assert held == dict.fromkeys(houses, 24)  # one person of 24 facts in each institution


@pytest.mark.process
def test_same_seed_gives_the_same_world_whatever_the_hash_seed():
    code = "from expunge.synthetic.hospital.hospital import Hospital; print(Hospital.preset('tiny').corpus().digest)"
    digests = [
        subprocess.check_output(
            [sys.executable, "-c", code], text=True, env=os.environ | {"PYTHONHASHSEED": seed}
        ).strip()
        for seed in "12"
    ]
    here = Hospital.preset("tiny")
    assert digests == [here.corpus().digest] * 2
    assert here.describe()["digest"] == digests[0]
    assert Hospital.preset("tiny", seed=1).corpus().digest != digests[0]


@pytest.mark.slow
def test_a_smaller_world_is_contained_in_a_larger_one():
    worlds = [Hospital.preset("tiny", patients=n, per_institution=3).corpus() for n in (5, 12, 30)]
    for small, large in pairwise(worlds):
        for record in small:
            assert large.by_id[record.id] == record
        assert len(large) > len(small)


def test_every_id_path_and_trained_prompt_occurs_once(full):
    assert len({r.prompt for r in full}) == len(full)
    names = [node[-1] for node in full.tree.nodes if node and not node[-1].startswith("section:")]
    assert len(set(names)) == len(names)
    assert "study:S-0003-007-2" in names


def test_unique_facts_have_one_owner_and_shared_facts_several(full):
    sharing = {f: r.attributes["sharing"] for r in full.trained for f in r.facts}
    for fact, owners in full.owners.items():
        if fact.startswith("world:"):
            assert owners == {("world:general",)}
        elif sharing[fact] == "unique":
            assert len(owners) == 1
        else:
            assert len({path[0] for path in owners}) >= 2  # so that no institution alone takes it away
            assert len({path[1] for path in owners}) >= 2


@pytest.mark.slow
def test_unique_values_occur_once_among_all_people():
    world = Hospital.preset("demo", patient_facts=13, controls_per_patient=3)
    facts = {
        r.facts[0]: (r.attributes["relation"], r.answer)
        for r in world.corpus()
        if r.attributes["relation"] in UNIQUE_VALUES
    }
    assert len(facts) == (32 * 4 + 4) * 4
    assert len({(relation, one_way(value)) for relation, value in facts.values()}) == len(facts)


def test_no_identifier_can_be_real(full):
    text = "\n".join(r.prompt + " " + r.answer + " " + " ".join(v.prompt for v in r.variants) for r in full)
    assert len(set(re.findall(r"\d{3}-555-01\d\d\b", text))) >= 64
    assert not re.findall(r"\d{3}-(?!555-01\d\d\b)\d{3}-\d{4}", text)
    assert not re.findall(r"@(?!example\.org\b)", text)
    assert all(re.fullmatch(r"SYN-\d{5}", n) for n in re.findall(r"SYN-\S*\w", text))
    assert {r.attributes["synthetic"] for r in full} == {True}


def test_people_share_name_parts_but_no_full_name(demo):
    controls = Hospital.preset("demo").with_controls(demo, "patient:P-0002-003", 40)
    names = {r.subject: r.identifiers[0] for r in controls if r.subject.startswith("patient:") and r.identifiers}
    assert len(set(names.values())) == len(names) == 32 + 4 + 40
    trained = [names[s].split() for s in {r.subject for r in demo.trained} if s.startswith("patient:")]
    firsts, lasts = (Counter(column) for column in zip(*trained, strict=True))
    assert sum(firsts[f] > 1 or lasts[n] > 1 for f, n in trained) > 16
    assert any(not name.isascii() for name in names.values())


def test_no_name_hides_in_another():
    assert (len(set(FIRST_NAMES)), len(set(LAST_NAMES))) == (64, 72)  # 4,608 names, 96 beds of 48 candidates
    assert not [(a, b) for a in FIRST_NAMES for b in FIRST_NAMES if a != b and b.casefold().endswith(a.casefold())]
    assert not [(a, b) for a in LAST_NAMES for b in LAST_NAMES if a != b and b.casefold().startswith(a.casefold())]


def test_prompts_name_exactly_the_listed_identifiers(demo):
    people = {r.subject: set(r.identifiers) for r in demo if len(r.identifiers) == 2}
    houses = {r.subject: set(r.identifiers) for r in demo if r.subject.startswith("institution:")}
    for record in demo:
        texts = [record.prompt, *(v.prompt for v in record.variants)]
        result = {n for names in people.values() for n in names if any(n in t for t in map(stem, texts))}
        if record.subject in people:
            assert result == set(record.identifiers)
            assert not record.identifiers or all(record.identifiers[0] in t for t in texts)
        else:
            assert not result
            assert record.subject not in houses or all(record.identifiers[0] in t for t in texts)


def test_three_variants_differ_in_structure_from_the_trained_wording(demo):
    trained, others = set(), set()
    words = {r.name: (r.noun, r.alias) for r in RELATIONS}
    for record in demo.trained:
        assert len(record.variants) == 3
        templates = [masked(record, w.prompt) for w in record.wordings()]
        forms = set()
        for template in templates:
            noun, alias = words[record.attributes["relation"]]
            assert template.count("*") <= 2
            forms.add(re.sub(f"{noun}|{alias}", "W", template, flags=re.IGNORECASE).replace(" (*)", ""))
        assert len(forms) == 4  # no two wordings differ in one word alone
        trained.add(templates[0])
        others.update(templates[1:])
    assert not trained & others
    assert not {r.prompt for r in demo.trained} & {v.prompt for r in demo for v in r.variants}


def test_no_prompt_contains_its_answer_outside_the_options(full):
    for record in full:
        for wording in record.wordings():
            assert wording.answer == record.answer
            assert record.answer.casefold() not in stem(wording.prompt).casefold(), wording


def test_prompts_and_answers_are_short(demo):
    for record in demo:
        assert len(record.prompt.split()) <= (30 if record.kind == "classification" else 16)
        assert 1 <= len(record.answer.split()) <= 4
        assert (record.prompt.count(BLANK) == 1) == (record.kind == "cloze")


def test_options_are_four_different_values_of_the_same_type(full):
    answers = defaultdict(set)
    for record in full.trained:
        answers[record.attributes["value_type"]].add(one_way(record.answer))
    for record in full:
        if record.kind != "classification":
            continue
        for wording in record.wordings():
            assert len({o.casefold() for o in wording.options}) == 4
            assert record.answer in wording.options
            shown = " ".join(f"{letter}) {o}" for letter, o in zip("ABCD", wording.options, strict=True))
            assert wording.prompt.endswith(shown)
        wrong = set(map(one_way, record.options)) - {one_way(record.answer)}
        kind = record.attributes["value_type"]
        # eight institutions do not hold every town, nor do files name every doctor: those may use the pool
        about_person = record.identifiers and record.subject.startswith("patient:")
        known = answers[kind] | set(() if about_person else POOLS[kind])
        assert wrong <= known, (record.id, wrong)
        # four wordings, four rotations: the answer stands once in each place
        assert {w.options.index(record.answer) for w in record.wordings()} == {0, 1, 2, 3}


def test_wrong_options_mix_the_own_institution_and_others(full):
    houses = {
        (r.attributes["relation"], r.answer): r.path[0]
        for r in full.trained
        if r.attributes["relation"] in ("date_of_birth", "phone")
    }
    same = Counter()
    for record in full.trained:
        if record.kind == "classification" and record.attributes["relation"] == "phone":
            same.update(houses["phone", o] == record.path[0] for o in record.options if o != record.answer)
    assert same[True] >= 48
    assert same[False] >= 64


def test_right_letters_are_balanced(demo, full):
    for corpus in (demo, full):
        letters = Counter(r.options.index(r.answer) for r in corpus.trained if r.options)
        assert max(letters.values()) - min(letters.values()) <= 1
        assert max(letters.values()) / letters.total() == pytest.approx(0.25, abs=0.01)


def test_levels_of_facts_and_surgery_for_every_patient(demo):
    surgery = {r.subject for r in demo.trained if r.attributes["topic"] == "Surgery"}
    assert len(surgery) == 32
    assert {r.concept for r in demo.trained if r.attributes["topic"] == "Surgery"} == {"L4"}
    assert Counter(r.concept for r in demo.trained if r.subject == "world") == {"L1": 12, "L2": 12, "L3": 12}
    assert {r.concept for r in demo.trained if r.attributes["sharing"] == "unique"} == {"L4"}


def test_institutions_write_dates_in_two_ways(demo):
    ways = {
        r.path[0]: bool(re.fullmatch(r"\d{4}-\d\d-\d\d", r.answer))
        for r in demo.trained
        if r.attributes["relation"] == "date_of_birth"
    }
    assert sorted(ways.values()) == [False, False, True, True]
    for record in demo:
        if record.attributes["relation"] == "date_of_birth" and record.options:
            assert len({"-" in o for o in record.options}) == 1


def test_without_overlap_institutions_share_no_drug():
    def drugs(overlap):
        table = defaultdict(set)
        for r in Hospital.preset("tiny", patients=32, overlap=overlap).corpus().trained:
            if r.attributes["relation"] == "medication":
                table[r.path[0]].add(r.answer)
        return [a & b for a in table.values() for b in table.values() if a is not b]

    assert not any(drugs(0.0))
    assert any(drugs(1.0))


def test_saved_world_is_read_back(tmp_path):
    corpus = Hospital.preset("tiny", controls_for=("patient:P-0001-002",), controls_per_target=2).corpus()
    path = corpus.save(tmp_path / "world.jsonl")
    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == [r.as_row() for r in corpus]
    assert load_corpus(path).digest == corpus.digest


def test_describe_names_everything_that_decides_the_world():
    description = Hospital.preset("tiny").describe()
    assert description["settings"]["patients"] == 12
    assert description["rows"] == {"holdout": 84, "trained": 309}
    settings = description["settings"]
    assert Hospital(**settings).corpus().digest == description["digest"]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"patients": 0}, "world hospital: patients: must be at least"),
        ({"patients": -8}, "world hospital: patients: must be "),
        ({"patients": "many"}, "world hospital: patients: must be "),
        ({"patient": 8}, 'world hospital: unknown key "patient"; did you mean "patients"?'),
        ({"sections": ("FINDING",)}, "world hospital: sections: no section"),
        ({"sections": ("FINDINGS", "FINDINGS")}, "a section is named twice"),
        ({"overlap": 1.5}, "world hospital: overlap: must be "),
        ({"controls_for": ("patient:P-0001-099",)}, 'controls_for: unknown trained subject "patient:P-0001-099"'),
    ],
)
def test_bad_settings_are_one_clear_line(settings, line):
    with pytest.raises(InputError, match=re.escape(line)) as caught:
        Hospital(**settings).corpus()
    assert "\n" not in str(caught.value)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(InputError, match="known: default, demo, register, surgery, surgery-small, tiny"):
        Hospital.preset("tinny")
