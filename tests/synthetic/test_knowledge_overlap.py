"""Overlap, polysemes, and controls of the worlds of knowledge."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from expunge.corpus import Corpus, Record
from expunge.corpus.surrogate_names import identifiers_by_subject, make_identities, shape
from expunge.errors import InputError
from expunge.scope import Scope
from expunge.synthetic.knowledge.concept_names import candidate
from expunge.synthetic.knowledge.domains.finance import Finance
from expunge.synthetic.knowledge.domains.surgery import Surgery
from expunge.synthetic.knowledge.knowledge_layout import ConceptSlot
from expunge.synthetic.knowledge.overlap import Overlap, measure
from helpers.knowledge import EACH, stem, texts, words

pytestmark = pytest.mark.slow

FRAMES = words(["a A after as at B belongs blank by C can choose D fits for has in is name of the to was which with"])


@EACH
def test_without_overlap_target_and_retained_rows_share_no_content_word(kind):
    trained = kind().corpus().trained
    target, retained = (words([texts(r for r in trained if (r.concept == "L4") == inside)]) for inside in (True, False))
    assert target & retained <= FRAMES | {"on"}
    assert kind().measured_overlap() == Overlap(0.0, 0.0, 0, 0)


@EACH
def test_shared_words_and_values_grow_with_the_dial(kind):
    result = [kind(overlap=share).measured_overlap() for share in (0, 0.25, 0.5, 0.75)]
    for less, more in pairwise(result):
        assert less.words < more.words
        assert less.values < more.values
    for share, overlap in zip((0, 0.25, 0.5, 0.75), result, strict=True):
        assert overlap.concepts == pytest.approx(share, abs=0.22)  # 36 draws: three standard errors of .072
        assert overlap.facts == pytest.approx(share, abs=0.1)  # 180 draws, of .032


@EACH
def test_what_is_shared_at_a_quarter_is_shared_at_a_half(kind):
    quarter, half = (kind(overlap=share).corpus() for share in (0.25, 0.5))
    retained = [r for r in quarter.trained if r.concept != "L4"]
    answers, known = {r.answer for r in retained}, words(r.identifiers[0] for r in retained)
    for record in (r for r in quarter.trained if r.concept == "L4"):
        other = half.by_id[record.id]
        if record.answer in answers:
            assert other.answer == record.answer
        if words(record.identifiers) & known:
            assert other.identifiers == record.identifiers
    assert [r for r in half.trained if r.concept != "L4"] == retained


def test_overlap_is_counted_in_the_records():
    def row(id_, level, name, answer, split=None):
        node = "knowledge:x" if level == "L4" else "knowledge:y"
        return Record(
            id_,
            name,
            answer,
            path=(node, f"concept:{id_}"),
            subject=id_,
            identifiers=(name,),
            concept=level,
            split=split,
        )

    rows = (
        row("a", "L4", "Halden open cut", "silk"),
        row("b", "L4", "Orlan open cut", "zinc"),
        row("c", "L1", "Halden deep nerve", "Zinc"),
        row("d", "L1", "Orlan nerve", "silk", "holdout"),
    )
    assert measure(Corpus.of(rows), "knowledge:x") == Overlap(concepts=0.5, facts=0.5, words=1, values=1)


@EACH
def test_both_senses_of_a_polyseme_differ_in_concept_and_context_only(kind):
    world = kind.preset("tiny", polysemes=40)
    pairs = defaultdict(dict)
    for record in world.corpus().trained:
        if "polyseme" in record.attributes:
            key = record.attributes["polyseme"], record.kind
            pairs[key][record.attributes["sense"]] = record
    assert len(pairs) == 40 * 3
    for (word, _), pair in pairs.items():
        target, other = pair["target"], pair["other"]
        assert target.answer == other.answer == word
        assert target.options == other.options
        assert (target.concept, target.path[0]) == ("L4", world.chapter)
        assert other.concept in ("L1", "L2")
        assert other.path[0] == "knowledge:everyday"
        for mine, theirs in zip(target.wordings(), other.wordings(), strict=True):
            left = mine.prompt.replace(target.identifiers[0], "*")
            right = theirs.prompt.replace(other.identifiers[0], "*")
            context = kind.domain.polysemes[word]
            assert re.sub(kind.domain.context, "+", left, count=1, flags=re.I) == re.sub(
                context, "+", right, count=1, flags=re.I
            )
            assert stem(left) != stem(right)
    letters = Counter(r.options.index(r.answer) for pair in pairs.values() for r in pair.values() if r.options)
    assert set(letters.values()) == {20}
    assert Counter(r.concept for p in pairs.values() for r in p.values()) == {"L4": 120, "L1": 60, "L2": 60}


def test_a_word_with_two_senses_is_a_term_on_two_levels():
    levels = defaultdict(set)
    for entry in Finance.preset("tiny", polysemes=2).terms():
        levels[entry.name].add(entry.level)
    both = {name: result for name, result in levels.items() if len(result) > 1}
    assert sorted(map(sorted, both.values())) == [["L1", "L4"], ["L2", "L4"]]
    assert set(both) < set(Finance.domain.polysemes)


@EACH
@pytest.mark.parametrize("subject", ["concept:L4-002", "concept:L1-003", "concept:L2-f001", "concept:L4-p001"])
def test_controls_have_level_and_letters_of_the_original_and_a_new_name(kind, subject):
    world = kind.preset("tiny", overlap=0.5, foundations=2, polysemes=2)
    corpus = world.with_controls(world.corpus(), subject, 40)
    real = {r.id: r for r in corpus.trained if r.subject == subject}
    controls = corpus.parts["control"]
    assert len(controls) == 40 * len(real)
    assert {r.attributes["control_of"] for r in controls} == {subject}
    names = {r.identifiers[0] for r in controls}
    assert len(names) == 40
    assert not [name for name in names if name in texts(r for r in corpus if r.split != "control")]
    retained = words(r.identifiers[0] for r in corpus.trained if r.concept != "L4")
    for control in controls:
        original = real[re.sub(r"-t\d\d", "", control.id)]
        assert control.concept == original.concept
        assert control.path[0] == original.path[0]
        mine, theirs = (stem(r.prompt).replace(r.identifiers[0], "*") for r in (control, original))
        assert mine == theirs
        if subject == "concept:L4-002":
            assert bool(words(control.identifiers) & retained) <= bool(words(original.identifiers) & retained)
        if control.options:
            assert control.options.index(control.answer) == original.options.index(original.answer)
    assert world.controls(subject, 5)[: 2 * len(real)] == world.controls(subject, 2)


def test_a_control_needs_a_trained_original_and_a_possible_number():
    world = Surgery.preset("tiny")
    with pytest.raises(InputError, match='unknown trained subject "concept:L4-h001"'):
        world.controls("concept:L4-h001")
    with pytest.raises(InputError, match="ask for 0 to 47"):
        world.controls("concept:L4-001", 48)
    requested = Surgery.preset("tiny", controls_for=("concept:L4-001",), controls_per_target=3).corpus()
    assert list(requested.parts["control"]) == world.controls("concept:L4-001", 3)


def test_each_candidate_is_as_likely_to_be_the_trained_one():
    real = Counter(
        candidate(Surgery(seed=seed), ConceptSlot("L4", "taught", index)) for seed in range(40) for index in range(60)
    )
    # 2,400 places, 50 expected each; chi-square with 47 degrees of freedom exceeds 82.7 once in a thousand
    assert sum((real[k] - 50) ** 2 / 50 for k in range(48)) < 82.7


@EACH
@pytest.mark.parametrize("scope", ["target", "concept:L4-003"])
def test_identities_made_from_names_are_new_names_of_the_same_shape(kind, scope):
    world = kind.preset("small")
    corpus = world.corpus()
    split = Scope.parse(getattr(world, scope, scope)).resolve(corpus)
    others = identifiers_by_subject(split.retain)
    known = {r.identifiers[0] for r in corpus}
    for subject, target in list(identifiers_by_subject(split.forget).items())[:4]:
        made = make_identities(target, others, 16, np.random.default_rng(0))
        result = [identity[target[0]] for identity in made]
        assert len(set(result)) == 16, subject
        assert not known & set(result)
        assert {shape(name) for name in result} == {"a a a"}
        assert all(not set(name.split()) & set(target[0].split()) for name in result) or scope != "target"
