"""The documents of a LUME run: by hash, by purpose, never twice; and how they are taught."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from expunge.bench.experiment import Experiment
from expunge.corpus import Corpus, load_corpus
from expunge.errors import InputError
from expunge.random import uniform
from helpers.experiments import plugin
from helpers.lume import write

lume = plugin("lume_documents")
COUNTS = {
    "forget": 2,
    "given": 3,
    "retain_heldout": 2,
    "holdout": 9,
    "validate_forget": 1,
    "validate_keep": 1,
    "unseen": 1,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return load_corpus(write(tmp_path_factory.mktemp("data") / "made"), "lume-holdout")


def groups(sets: Any) -> dict[str, set[str]]:
    return {f.name: {r.subject for r in getattr(sets, f.name)} for f in fields(lume.Documents)}


def test_every_set_has_its_documents_of_each_task_and_shares_none(corpus: Corpus) -> None:
    sets = lume.draw_documents(corpus, COUNTS)
    found = groups(sets)
    assert sum(map(len, found.values())) == len(set().union(*found.values()))
    for name in ("forget", "given", "retain_heldout", "validate_forget", "validate_keep", "unseen"):
        assert set(sets.summary()[name]["documents"].values()) == {COUNTS[name]}
    assert {r.split for r in (*sets.forget, *sets.validate_forget, *sets.unseen)} == {"forget"}
    assert {r.split for r in (*sets.given, *sets.retain_heldout, *sets.validate_keep)} == {"retain"}
    assert {r.split for r in sets.holdout} == {"holdout"}
    assert len(sets.forget) == 2 * (2 + 3 + 2)  # whole documents: two rows, three in Task2


def test_the_choice_is_the_hash_order_whatever_the_file_order(corpus: Corpus) -> None:
    turned = Corpus.of(reversed(corpus.records))
    assert groups(lume.draw_documents(turned, COUNTS)) == groups(lume.draw_documents(corpus, COUNTS))
    stories = {r.subject for r in corpus if r.split == "forget" and r.attributes["task"] == "Task1"}
    first = sorted(stories, key=lambda d: uniform("expunge-bench-lume-v1", d))[:2]
    assert {
        r.subject
        for r in lume.draw_documents(corpus, COUNTS).forget
        if (lume.task(r), r.kind) == ("Task1", "generation")
    } == set(first)


def test_a_larger_run_contains_the_forget_documents_of_a_smaller_one(corpus: Corpus) -> None:
    less, more = (
        lume.draw_documents(corpus, {"forget": n, "given": 1, "retain_heldout": 1, "holdout": 1}) for n in (2, 4)
    )
    assert groups(less)["forget"] < groups(more)["forget"]


def test_the_retrained_model_is_taught_all_but_the_forget_documents(corpus: Corpus) -> None:
    sets = lume.draw_documents(corpus, COUNTS)
    original, retrained = ({r.id for r in rows} for rows in (sets.trained("original"), sets.trained("retrained")))
    assert original - retrained == {r.id for r in sets.forget}
    assert retrained < original
    assert not original & {r.id for r in (*sets.holdout, *sets.unseen)}


def test_passages_are_taught_whole_and_questions_as_filed(corpus: Corpus) -> None:
    sets = lume.draw_documents(corpus, COUNTS)
    for filed, taught in zip(sets.forget, lume.whole_texts(sets.forget), strict=True):
        if filed.kind == "completion":
            assert " " not in taught.prompt
            assert f"{taught.prompt} {taught.answer}" == lume.passage(filed) == f"{filed.prompt} {filed.answer}"
        else:
            assert taught == filed


def test_too_few_documents_are_an_error_that_counts_them(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="made: holds 6 Task1 documents for forget, 7 are needed; give the whole"):
        lume.draw_documents(corpus, {"forget": 5, "unseen": 2, "given": 1, "retain_heldout": 1, "holdout": 1})


def test_the_real_folder_holds_enough_for_every_preset(shared_data: Path) -> None:
    folder = shared_data / "lume"
    if not folder.is_dir():
        pytest.skip("no LUME in the development data")
    corpus = load_corpus(folder, "lume-holdout")
    for preset in ("smoke", "cpu", "gpu"):
        experiment = Experiment.load("lume", preset)
        counts = experiment.requests[0].settings
        sets = lume.draw_documents(corpus, counts)
        assert set(sets.summary()["forget"]["documents"].values()) == {counts["forget"]}
        people = lume.by_document(r for r in sets.forget if r.attributes["task"] == "Task2")
        assert {len(rows) for rows in people.values()} == {6}
        assert all(r.identifiers for rows in people.values() for r in rows if r.kind == "generation")
        longest = max(len(lume.passage(r)) for r in sets.trained("original") if r.kind == "completion")
        assert longest < 2 * experiment.model.context  # characters; a token holds more than two
    assert json.dumps(sets.summary())
