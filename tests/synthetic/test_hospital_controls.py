"""Controls: never trained, of the same shape, exchangeable with the patient."""

import re
import statistics
import zlib
from collections import Counter

import pytest

from expunge.errors import InputError
from expunge.synthetic.facts import CANDIDATES, candidates
from expunge.synthetic.hospital import hospital_facts
from expunge.synthetic.hospital.hospital import Hospital
from expunge.synthetic.hospital.people import full_name, person, record_number

TARGET = "patient:P-0002-003"


@pytest.fixture(scope="module")
def world():
    return Hospital.preset("demo")


@pytest.fixture(scope="module")
def corpus(world):
    return world.with_controls(world.corpus(), TARGET, 40)


def original(corpus):
    return [r for r in corpus.trained if r.subject == TARGET and r.attributes["sharing"] == "unique"]


def test_forty_controls_state_the_same_kinds_of_facts_and_are_marked(corpus):
    controls = [r for r in corpus if r.split == "control"]
    assert {r.attributes["control_of"] for r in controls} == {TARGET}
    assert len({r.subject for r in controls}) == 40
    wanted = Counter((r.attributes["relation"], r.kind) for r in original(corpus))
    for subject in {r.subject for r in controls}:
        assert Counter((r.attributes["relation"], r.kind) for r in controls if r.subject == subject) == wanted
    assert len(controls) == 40 * 24 * 3


def test_controls_share_house_doctor_and_template_but_no_identity(corpus):
    real = {r.id: r for r in original(corpus)}
    for control in (r for r in corpus if r.split == "control"):
        record = real[re.sub(r"-t\d\d", "", control.id)]
        assert control.path[0] == record.path[0]
        assert len(control.path) == len(record.path)
        assert not set(control.identifiers) & set(record.identifiers)
        if control.attributes["relation"] in ("diagnosis", "referring_doctor"):
            assert control.answer == record.answer
        if control.kind == "classification":
            assert control.options.index(control.answer) == record.options.index(record.answer)
        else:
            mine, theirs = control.prompt, record.prompt
            for a, b in zip(control.identifiers, record.identifiers, strict=True):
                mine, theirs = mine.replace(a, "*"), theirs.replace(b, "*")
            assert mine == theirs


def test_values_of_controls_and_holdouts_never_stand_in_a_trained_row(corpus):
    trained = "\n".join(
        " ".join((r.prompt, r.answer, *r.options, *(v.prompt for v in r.variants))) for r in corpus.trained
    )
    hidden = {
        r.answer
        for r in corpus
        if r.split and r.attributes["relation"] in ("date_of_birth", "phone", "record_number", "email")
    }
    hidden |= {name for r in corpus if r.split for name in r.identifiers}
    assert len(hidden) >= 44 * 5
    assert not [value for value in hidden if value in trained]


def test_controls_on_demand_are_the_controls_of_the_corpus(world):
    requested = Hospital.preset("demo", controls_for=(TARGET,), controls_per_target=3)
    assert [r for r in requested.corpus() if r.split == "control"] == world.controls(TARGET, 3)
    assert world.controls(TARGET, 5)[:216] == world.controls(TARGET, 3)
    once = world.with_controls(world.corpus(), TARGET, 2)
    assert len(world.with_controls(once, TARGET, 3)) == len(once) + 72


def test_an_institution_has_controls_too(world):
    rows = world.controls("institution:H-0002", 40)
    assert len(rows) == 40 * 4 * 3
    assert {r.attributes["control_of"] for r in rows} == {"institution:H-0002"}
    names = {r.identifiers for r in rows}
    assert len(names) == 40
    assert not names & {r.identifiers for r in world.corpus() if r.subject.startswith("institution:")}


def test_a_control_needs_a_trained_original_and_a_possible_number(world):
    with pytest.raises(InputError, match='unknown trained subject "patient:P-0002-300"'):
        world.controls("patient:P-0002-300")
    with pytest.raises(InputError, match="ask for 0 to 47"):
        world.controls(TARGET, CANDIDATES)


def test_each_candidate_is_as_likely_to_be_the_trained_one():
    real = Counter(candidates(seed, "patient", slot)[0] for seed in range(40) for slot in range(60))
    # 2,400 slots, 50 expected each; chi-square with 47 degrees of freedom exceeds 82.7 once in a thousand
    assert sum((real[k] - 50) ** 2 / 50 for k in range(CANDIDATES)) < 82.7


@pytest.mark.slow
def test_patients_and_controls_are_exchangeable():
    """20 worlds x 12 patients against 10 controls each, by 8 fixed random scores of their texts: mean AUC 1/2.

    The standard error of one score's mean over 240 patients is .29 / sqrt(240) = .019.
    """
    ranks = []
    for seed in range(20):
        layout = Hospital.preset("tiny", seed=seed)
        for slot in layout.slots():
            texts = []
            for control in range(11):
                subject = person(seed, slot, control)
                values = [hospital_facts.value(layout, subject, r, study) for r, study, _ in layout.fact_slots()]
                name, number = full_name(seed, subject.number), record_number(seed, subject.number)
                texts.append(f"{name} {number} {values}".encode())
            for reader in range(8):
                mine, *others = (
                    statistics.mean(zlib.crc32(text[k : k + 3], reader) for k in range(len(text) - 2)) for text in texts
                )
                ranks.append(statistics.mean(mine > other for other in others))
    assert statistics.mean(ranks) == pytest.approx(0.5, abs=0.02)
