"""The documents of a LUME run: by hash, by purpose, never twice; and how they are taught."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from made_lume import write

from expunge.bench.lume_preset import PRESETS
from expunge.bench.lume_sets import Counts, Sets, cell, documents, draw, text, whole
from expunge.corpus import Corpus, load_corpus
from expunge.errors import InputError
from expunge.random import uniform

COUNTS = Counts(forget=2, given=3, retain_heldout=2, holdout=9, validate_forget=1, validate_keep=1, unseen=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return load_corpus(write(tmp_path_factory.mktemp("data") / "made"), "lume-holdout")


def groups(sets: Sets) -> dict[str, set[str]]:
    return {f.name: {r.subject for r in getattr(sets, f.name)} for f in fields(Sets)}


def test_every_set_has_its_documents_of_each_task_and_shares_none(corpus: Corpus) -> None:
    sets = draw(corpus, COUNTS)
    found = groups(sets)
    assert sum(map(len, found.values())) == len(set().union(*found.values()))
    for name in ("forget", "given", "retain_heldout", "validate_forget", "validate_keep", "unseen"):
        assert set(sets.summary()[name]["documents"].values()) == {getattr(COUNTS, name)}
    assert {r.split for r in (*sets.forget, *sets.validate_forget, *sets.unseen)} == {"forget"}
    assert {r.split for r in (*sets.given, *sets.retain_heldout, *sets.validate_keep)} == {"retain"}
    assert {r.split for r in sets.holdout} == {"holdout"}
    assert len(sets.forget) == 2 * (2 + 3 + 2)  # whole documents: two rows, three in Task2


def test_the_choice_is_the_hash_order_whatever_the_file_order(corpus: Corpus) -> None:
    turned = Corpus.of(reversed(corpus.records))
    assert groups(draw(turned, COUNTS)) == groups(draw(corpus, COUNTS))
    stories = {r.subject for r in corpus if r.split == "forget" and r.attributes["task"] == "Task1"}
    first = sorted(stories, key=lambda d: uniform("expunge-bench-lume-v1", d))[:2]
    assert {r.subject for r in draw(corpus, COUNTS).forget if cell(r) == "Task1/generation"} == set(first)


def test_a_larger_run_contains_the_forget_documents_of_a_smaller_one(corpus: Corpus) -> None:
    less, more = (draw(corpus, Counts(forget=n, given=1, retain_heldout=1, holdout=1)) for n in (2, 4))
    assert groups(less)["forget"] < groups(more)["forget"]


def test_the_retrained_model_is_taught_all_but_the_forget_documents(corpus: Corpus) -> None:
    sets = draw(corpus, COUNTS)
    original, retrained = ({r.id for r in rows} for rows in (sets.original, sets.retrained))
    assert original - retrained == {r.id for r in sets.forget}
    assert retrained < original
    assert not original & {r.id for r in (*sets.holdout, *sets.unseen)}


def test_passages_are_taught_whole_and_questions_as_filed(corpus: Corpus) -> None:
    sets = draw(corpus, COUNTS)
    for filed, taught in zip(sets.forget, whole(sets.forget), strict=True):
        if filed.kind == "completion":
            assert " " not in taught.prompt
            assert f"{taught.prompt} {taught.answer}" == text(filed) == f"{filed.prompt} {filed.answer}"
        else:
            assert taught == filed


def test_too_few_documents_are_an_error_that_counts_them(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="made: holds 6 Task1 documents for forget, 7 are needed; give the whole"):
        draw(corpus, Counts(forget=5, unseen=2, given=1, retain_heldout=1, holdout=1))


def test_the_real_folder_holds_enough_for_every_preset(shared_data: Path) -> None:
    folder = shared_data / "lume"
    if not folder.is_dir():
        pytest.skip("no LUME in the development data")
    corpus = load_corpus(folder, "lume-holdout")
    for preset in PRESETS.values():
        sets = draw(corpus, preset.counts)
        assert set(sets.summary()["forget"]["documents"].values()) == {preset.counts.forget}
        people = documents(r for r in sets.forget if r.attributes["task"] == "Task2")
        assert {len(rows) for rows in people.values()} == {6}
        assert all(r.identifiers for rows in people.values() for r in rows if r.kind == "generation")
        longest = max(len(text(r)) for r in sets.original if r.kind == "completion")
        assert longest < 2 * preset.model.context  # characters; a token holds more than two
    assert json.dumps(sets.summary())
