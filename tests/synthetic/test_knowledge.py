"""Worlds of knowledge: sizes, levels, scopes, prompts, options, letters."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest

from expunge.corpus import BLANK, Corpus, load_corpus
from expunge.errors import InputError
from expunge.scope import Scope
from expunge.synthetic.base import WORLDS
from expunge.synthetic.knowledge.domains.finance import Finance
from expunge.synthetic.knowledge.domains.mental_health import MentalHealth
from expunge.synthetic.knowledge.domains.surgery import Surgery
from helpers.knowledge import EACH, stem, texts

AREAS = {
    "surgery": ("anatomy", "clinical", "specialty", "surgery"),
    "mental-health": ("psychology", "general-medicine", "neurology", "mental-disorders"),
    "finance": ("economics", "banking", "investment", "compliance"),
}


def rich(kind, **changes):
    """A small world with everything in it."""
    return kind(**{"targets": 8, "per_level": 8, "overlap": 0.5, "foundations": 4, "polysemes": 8} | changes)


def test_the_worlds_are_found_by_name():
    assert [WORLDS.get(name) for name in AREAS] == [Surgery, MentalHealth, Finance]


@pytest.mark.slow
@EACH
def test_presets_have_the_promised_sizes(kind):
    rows = {name: kind.preset(name).describe()["rows"] for name in kind.presets}
    # concepts * facts * 3 kinds of record; a holdout for every target
    assert rows == {
        "default": {"trained": 4 * 36 * 5 * 3, "holdout": 36 * 5 * 3},
        "small": {"trained": 4 * 16 * 4 * 3, "holdout": 16 * 4 * 3},
        "tiny": {"trained": 4 * 4 * 3 * 3, "holdout": 4 * 3 * 3},
    }


@pytest.mark.process
def test_same_seed_gives_the_same_world_whatever_the_hash_seed():
    code = (
        "from expunge.synthetic.knowledge.domains.finance import Finance; "
        "print(Finance.preset('tiny', overlap=.5, polysemes=3, foundations=2).corpus().digest)"
    )
    digests = [
        subprocess.check_output(
            [sys.executable, "-c", code], text=True, env=os.environ | {"PYTHONHASHSEED": seed}
        ).strip()
        for seed in "12"
    ]
    here = Finance.preset("tiny", overlap=0.5, polysemes=3, foundations=2)
    assert digests == [here.corpus().digest] * 2
    assert Finance.preset("tiny", overlap=0.5, polysemes=3, foundations=2, seed=1).corpus().digest != digests[0]


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("size", ["targets", "per_level", "facts", "foundations", "polysemes", "holdout"])
def test_a_smaller_world_is_contained_in_a_larger_one(kind, size):
    worlds = [rich(kind, **{size: n}).corpus() for n in (1, 3, 6)]
    for small, large in pairwise(worlds):
        assert all(large.by_id[record.id] == record for record in small)
        assert len(large) > len(small)


@EACH
def test_every_record_has_its_level_area_name_and_topic(kind):
    world = rich(kind)
    corpus = world.corpus()
    for record in corpus:
        assert record.path[-1] == record.subject == f"concept:{record.id.split(':')[0]}"
        assert record.concept == record.subject[8:10]
        assert len(record.identifiers) == 1
        assert all(record.identifiers[0] in w.prompt for w in record.wordings())
        assert record.attributes["topic"]
        assert record.attributes["sharing"] == "unique"
        assert record.attributes["synthetic"] is True
    areas = defaultdict(set)
    for record in corpus.trained:
        if record.subject[11] not in "fp":
            areas[record.concept].add(record.path[0])
    assert areas == {f"L{k}": {f"knowledge:{area}"} for k, area in enumerate(AREAS[kind.name], 1)}


@EACH
def test_the_target_is_L4_of_its_chapter_and_nothing_else(kind):
    world = rich(kind)
    corpus = world.corpus()
    split = Scope.parse(world.target).resolve(corpus)
    wanted = {r.id for r in corpus.trained if r.concept == "L4"}
    assert {r.id for r in split.forget} == wanted == split.excluded_ids
    assert len(wanted) == (8 * 5 + 8) * 3
    assert {r.concept for r in (*split.retain, *split.retain_heldout)} == {"L1", "L2", "L3"}
    assert {r.subject for r in split.holdout} == {f"concept:L4-h00{k}" for k in range(1, 9)}
    whole = Scope.parse(world.chapter).resolve(corpus)
    assert {r.id for r in whole.forget} == wanted | {r.id for r in corpus.trained if r.subject[11] == "f"}
    assert Counter(r.concept for r in whole.forget) == {"L1": 60, "L2": 60, "L3": 60, "L4": 144}


def test_a_target_fact_that_somebody_else_states_is_kept():
    world = Surgery.preset("tiny")
    corpus = world.corpus()
    stated = next(r for r in corpus.trained if r.concept == "L4")
    ward = replace(stated, id="ward", path=("knowledge:clinical", "concept:ward"), subject="concept:ward", concept="L2")
    split = Scope.parse(world.target).resolve(Corpus.of((*corpus, ward)))
    kept = {r.id for r in corpus.trained if r.facts == stated.facts}
    assert {r.id for r in split.shared} == kept
    assert {r.id for r in split.forget} == {r.id for r in corpus.trained if r.concept == "L4"} - kept


@EACH
def test_names_are_unique_while_their_words_are_shared(kind):
    corpus = kind().corpus()
    names = {r.subject: r.identifiers[0] for r in corpus}
    assert len(set(names.values())) == len(names) == 5 * 36
    assert all(re.fullmatch(r"[A-Z]\w+ \w+ \w+", name) for name in names.values())
    trained = {r.identifiers[0] for r in corpus.trained}
    counts = Counter(w for name in trained for w in name.split())
    shared = [sum(counts[w] > 1 for w in name.split()) for name in trained]
    assert min(shared) >= 1
    assert sum(shared) > 2.5 * len(shared)


def test_very_many_concepts_still_have_names_of_their_own():
    names = [
        r.identifiers[0] for r in Surgery(targets=200, per_level=1, facts=1, holdout=200).corpus() if r.kind == "cloze"
    ]
    assert len(set(names)) == len(names) == 403
    assert not [name for name in names if any(name != other and name in other for other in names)]


@EACH
def test_one_wording_is_trained_and_no_rephrasing_is(kind):
    trained = rich(kind).corpus().trained
    assert len({r.prompt for r in trained}) == len(trained)
    assert not {r.prompt for r in trained} & {v.prompt for r in trained for v in r.variants}
    for record in trained:
        assert len({stem(w.prompt) for w in record.wordings()}) == 4
        for wording in record.wordings():
            assert wording.answer == record.answer
            assert record.answer.casefold() not in stem(wording.prompt).casefold()
            assert (wording.prompt.count(BLANK) == 1) == (record.kind == "cloze")
        assert len(record.prompt.split()) <= 30


@EACH
def test_options_are_four_values_of_one_kind_in_four_rotations(kind):
    corpus = rich(kind).corpus()
    known = defaultdict(set)
    for level in kind.domain.levels.values():
        for relation, pool in zip(level.relations, level.pools, strict=True):
            known[relation.value_type].update(pool)
    known["term"] = set(kind.domain.polysemes)
    for record in (r for r in corpus if r.kind == "classification"):
        for wording in record.wordings():
            assert len({o.casefold() for o in wording.options}) == 4
            assert set(wording.options) <= known[record.attributes["value_type"]]
            shown = " ".join(f"{letter}) {o}" for letter, o in zip("ABCD", wording.options, strict=True))
            assert wording.prompt.endswith(shown)
        assert {w.options.index(record.answer) for w in record.wordings()} == {0, 1, 2, 3}


@EACH
@pytest.mark.parametrize("preset", ["default", "small", "tiny"])
def test_right_letters_are_balanced_in_every_set(kind, preset):
    corpus = kind.preset(preset).corpus()
    for rows in (corpus.trained, corpus.parts["holdout"], [r for r in corpus.trained if r.concept == "L4"]):
        letters = Counter(r.options.index(r.answer) for r in rows if r.options)
        assert set(letters.values()) == {letters.total() // 4}


@EACH
def test_retained_facts_state_every_value_of_their_level(kind):
    trained = kind.preset("small").corpus().trained
    for level in ("L1", "L2", "L3"):
        words = kind.domain.levels[level]
        for relation, pool in list(zip(words.relations, words.pools, strict=True))[:4]:
            result = Counter(r.answer for r in trained if r.attributes["relation"] == relation.name)
            assert result == dict.fromkeys(pool, 2 * 3)  # 16 concepts, 8 values; three kinds of record


@EACH
def test_names_of_holdouts_stand_in_no_trained_row(kind):
    corpus = rich(kind, holdout=20).corpus()
    trained = texts(corpus.trained)
    held = [r for r in corpus if r.split == "holdout"]
    assert len({r.subject for r in held}) == 20
    assert {r.concept for r in held} == {"L4"}
    assert not [r for r in held if r.identifiers[0] in trained]
    requested = {r.attributes["relation"] for r in corpus.trained if r.concept == "L4" and "sense" not in r.attributes}
    assert {r.attributes["relation"] for r in held} == requested


def test_worlds_of_one_seed_are_not_copies_of_each_other():
    letters = [
        [r.options.index(r.answer) for r in kind.preset("tiny").corpus() if r.options]
        for kind in (Surgery, MentalHealth, Finance)
    ]
    assert len({tuple(row) for row in letters}) == 3


def test_saved_world_is_read_back_and_made_again_from_its_settings(tmp_path):
    world = rich(MentalHealth)
    told = world.describe()
    assert load_corpus(world.corpus().save(tmp_path / "world.jsonl")).digest == told["digest"]
    assert MentalHealth(**told["settings"]).corpus().digest == told["digest"]
    assert told["target"] == "knowledge:mental-disorders and concept=L4"
    assert told["chapter"] == "knowledge:mental-disorders"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"targets": 0}, "world finance: targets: must be at least 1"),
        ({"overlap": 0.8}, "world finance: overlap: must be at most 0.75"),
        ({"polysemes": 41}, "world finance: polysemes: must be "),
        ({"facts": 7}, "world finance: facts: must be "),
        ({"per_levels": 8}, 'world finance: unknown key "per_levels"; did you mean "per_level"?'),
        ({"controls_for": ("concept:L4-900",)}, 'world finance.controls_for: unknown trained subject "concept:L4-900"'),
    ],
)
def test_bad_settings_are_one_clear_line(settings, line):
    with pytest.raises(InputError, match=re.escape(line)) as caught:
        Finance(**settings).corpus()
    assert "\n" not in str(caught.value)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(InputError, match="known: default, small, tiny"):
        Finance.preset("smal")


@EACH
def test_terms_are_all_names_and_values_with_the_levels_that_state_them(kind):
    world = rich(kind)
    corpus, terms = world.corpus(), world.terms()
    levels = defaultdict(set)
    for entry in terms:
        levels[entry.name].add(entry.level)
    assert {r.identifiers[0] for r in corpus} <= set(levels)
    assert all(r.concept in levels[r.answer] for r in corpus.trained)
    assert {r.answer for r in corpus} <= set(levels)
    names = {r.identifiers[0]: {r.concept} for r in corpus}
    assert {name: levels[name] for name in names} == names
    assert len({(e.name, e.concept) for e in terms}) == len(terms)


def test_a_shared_value_is_a_term_of_both_levels():
    plain = [e for e in Surgery.preset("small").terms() if ":" in e.concept and not e.concept.startswith("concept:")]
    assert len(plain) == 4 * 4 * 8  # levels, relations, values
    assert max(Counter(e.name for e in plain).values()) == 1
    world = Surgery.preset("small", overlap=0.75)
    shared = {e.name for e in world.terms() if e.level == "L4"} & {e.name for e in world.terms() if e.level != "L4"}
    trained = world.corpus().trained
    assert shared == {r.answer for r in trained if r.concept == "L4"} & {r.answer for r in trained if r.concept != "L4"}
    assert len(shared) > 10
