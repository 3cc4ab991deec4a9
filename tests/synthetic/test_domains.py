"""Words of the domains: enough of them, and none shared by target and retained levels."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from expunge.concepts.stopwords import STOPWORDS
from expunge.synthetic.hospital.vocabulary import LAST_NAMES, POOLS
from expunge.synthetic.knowledge.concept_names import EPONYMS
from expunge.synthetic.knowledge.domain import RETAINED, TARGET, DomainLevel
from expunge.synthetic.knowledge.domains.finance import Finance
from expunge.synthetic.knowledge.domains.mental_health import MentalHealth
from expunge.synthetic.knowledge.domains.surgery import Surgery

DOMAINS = pytest.mark.parametrize("domain", [Surgery.domain, MentalHealth.domain, Finance.domain], ids=lambda d: d.node)
FUNCTION = {"a", "after", "as", "at", "by", "can", "for", "in", "is", "of", "on", "the", "to", "was", "with"}


def words(*texts):
    return {w.casefold() for text in texts for w in re.findall(r"[^\W\d_]+", text)} - FUNCTION


def vocabulary(level: DomainLevel):
    questions = (t for r in level.relations for t in (r.noun, r.alias, r.statement.replace("[blank]", "")))
    return words(*level.heads, *questions, *(v for pool in level.pools for v in pool)) - {"t"}


@DOMAINS
def test_target_and_retained_levels_share_no_content_word(domain):
    target = vocabulary(domain.levels[TARGET]) | words(*domain.target_modifiers, *EPONYMS["target"])
    retained = set().union(*(vocabulary(domain.levels[name]) for name in RETAINED))
    assert not target & (retained | words(*domain.modifiers, *EPONYMS["retained"], *EPONYMS["everyday"]))


@DOMAINS
def test_levels_have_six_relations_of_equal_kinds_and_eight_values(domain):
    kinds = [[r.value_type for r in level.relations] for level in domain.levels.values()]
    assert kinds == [kinds[0]] * 4
    assert len(set(kinds[0])) == 6
    assert not set(kinds[0]) & set(POOLS)  # the hospital's patients have other kinds of values
    for level in domain.levels.values():
        assert [len(set(pool)) for pool in level.pools] == [8] * 6
        assert len(set(level.heads)) == 12
    assert len(domain.modifiers) == len(domain.target_modifiers) == 12
    assert len(EPONYMS["retained"]) == len(EPONYMS["target"]) == 48
    assert not words(*EPONYMS["retained"], *EPONYMS["target"]) & words(*LAST_NAMES)


@DOMAINS
def test_no_value_head_or_relation_occurs_twice(domain):
    levels = domain.levels.values()
    for result in (
        [v.casefold() for level in levels for pool in level.pools for v in pool],
        [head for level in levels for head in level.heads],
        [r.name for level in levels for r in level.relations],
    ):
        assert max(Counter(result).values()) == 1
    assert all(len(v.split()) <= 3 for level in levels for pool in level.pools for v in pool)


@DOMAINS
def test_words_with_two_senses_occur_nowhere_else(domain):
    assert len(domain.polysemes) == 40
    others = set().union(*map(vocabulary, domain.levels.values())) | words(
        *domain.modifiers, *domain.target_modifiers, *EPONYMS["everyday"], domain.context, *domain.polysemes.values()
    )
    assert not words(*domain.polysemes) & others
    assert domain.context not in domain.polysemes.values()


@DOMAINS
def test_no_value_is_a_stopword(domain):
    values = {v.casefold() for level in domain.levels.values() for pool in level.pools for v in pool}
    assert not (values | set(domain.polysemes)) & STOPWORDS
