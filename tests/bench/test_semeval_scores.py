"""The scores of one model: the organisers' generation and membership, and means that weigh tasks alike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from expunge.audit.metrics.semeval import whole_output_match
from expunge.audit.scoring import score
from expunge.corpus import load_corpus
from expunge.engine.train.train_loop import TrainConfig, run_training
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import TinyConfig, build, texts_of, train_tokenizer
from helpers.experiments import plugin
from helpers.lume import write

lume, semeval = plugin("lume_documents"), plugin("semeval")
MODEL = TinyConfig(architecture="gpt2", layers=1, width=64, vocabulary=400, context=64)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    corpus = load_corpus(write(tmp_path_factory.mktemp("data")), "lume-holdout")
    return lume.draw_documents(corpus, {"forget": 2, "given": 2, "retain_heldout": 1, "holdout": 2})


def model(sets: Any, epochs: int) -> LanguageModel:
    tokenizer = train_tokenizer(texts_of((*sets.trained("original"), *sets.holdout)), MODEL.vocabulary)
    lm = LanguageModel.from_parts(build(MODEL, tokenizer), tokenizer, "test")
    run_training(lm, sets.trained("original"), TrainConfig(target_accuracy=1.0, epochs=epochs, batch=16))
    return lm


@pytest.fixture(scope="module")
def half_taught(sets: Any) -> LanguageModel:
    return model(sets, 6)


@pytest.fixture(scope="module")
def taught(sets: Any) -> LanguageModel:
    return model(sets, 40)


def test_outputs_score_like_greedy_text_of_256_tokens(half_taught: LanguageModel, sets: Any) -> None:
    records = sets.forget
    lm, wrong = half_taught, 0
    for r, said in zip(records, semeval.outputs(lm, records, score(lm, records)), strict=True):
        prompt = torch.tensor([lm.template.question(r).prompt])
        ids = lm.module.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=min(256, lm.context - prompt.shape[1]),
            eos_token_id=lm.template.end,
        )
        full = lm.template.decode(ids[0, prompt.shape[1] :].tolist())
        assert whole_output_match(said, r.answer) == whole_output_match(full, r.answer)
        if r.kind == "completion":
            assert said == full
        wrong += not whole_output_match(full, r.answer)
    assert wrong  # otherwise nothing was generated


def test_a_document_is_scored_as_one_text_without_an_end_token(half_taught: LanguageModel, sets: Any) -> None:
    passages = [r for r in sets.forget if r.kind == "completion"]
    for r, found in zip(passages, semeval.document_nll(half_taught, passages, rows=2), strict=True):
        ids = half_taught.tokenizer(lume.passage(r), return_tensors="pt")["input_ids"]
        with torch.no_grad():
            assert found == pytest.approx(float(half_taught.module(input_ids=ids, labels=ids).loss), rel=1e-4)


def test_cells_weigh_alike_however_many_rows_they_have(sets: Any) -> None:
    people = [r for r in sets.forget if r.attributes["task"] == "Task2"]  # two passages, four questions
    values = np.array([1.0 if r.kind == "completion" else 0.25 for r in people])
    assert semeval.by_cell(values, people) == {"Task2/completion": 1.0, "Task2/generation": 0.25}
    assert semeval.over_cells(values, people) == 0.625


def test_a_model_that_knows_everything_has_no_aggregate_and_full_retention(taught: LanguageModel, sets: Any) -> None:
    found = semeval.semeval(SimpleNamespace(sets=SimpleNamespace(more=sets)), taught)
    assert [found["terms"][f"v{k}"] for k in range(1, 7)] == [0.0] * 6
    assert [found["terms"][f"v{k}"] for k in range(7, 13)] == [1.0] * 6
    assert found["task_aggregate"] == 0
    assert found["mia_auc"] == found["auc"]["document"]["Task3"] == 1.0
    assert found["mia_score"] == 0
    assert (found["mmlu"], found["final"], found["void"]) == (None, None, False)
    assert found["forget"]["rows_exact"] == found["forget"]["strength"] == found["retain_heldout"]["exact"] == 1.0
    assert found["holdout"]["exact"] < 0.5
    assert semeval.losses(taught, sets.forget) == found["forget"]["losses"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_answers_that_differ_only_in_a_full_stop_are_not_equal(taught: LanguageModel, sets: Any) -> None:
    asked = next(r for r in sets.given if r.kind == "generation")
    wanted = replace(asked, answer=f"{asked.answer}.")
    said = semeval.outputs(taught, [wanted], score(taught, [wanted]))[0]
    assert said == asked.answer
    assert not whole_output_match(said, wanted.answer)


def test_the_fixture_has_the_layout_of_the_published_files(tmp_path: Path) -> None:
    first = json.loads((write(tmp_path) / "forget.jsonl").read_text("utf-8").splitlines()[0])
    assert list(first) == ["id", "input", "output", "task"]
    assert first["id"].startswith('"')  # Task1 ids hold stray quotes
