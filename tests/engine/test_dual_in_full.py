"""The dual strategy in the loop: levels, selection, m:1 blocks, attention, the printed form; and killing it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.concepts.annotate import Annotator
from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.engine.dataset import answer_levels
from expunge.engine.loop_builder import build_loop
from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from expunge.models.adapters import prepare
from expunge.models.language_model import load
from helpers.runs import changed, loop, recipe, run, weights
from helpers.world import one_person

pytestmark = pytest.mark.trains

PRINTED: dict[str, Any] = {
    "settings": {"loss": "ga", "raw_weights": True, "level_by": "parameter", "saliency_point": "embedding"},
    "rule_settings": {"unit": True},
    "train": {"layers": "max 4"},
}
EVERY: dict[str, dict[str, Any]] = {
    "twin inside": {"settings": {"loss": "twin", "twin": {"candidates": 2}}},
    "attention": {"settings": {"token_weights": "attention"}},
    "level weights": {"settings": {"token_weights": "level"}},
    "adam metric": {"rule_settings": {"metric": "adam"}},
    "selection": {"selection": {"share": 0.3, "every": 2, "rows": 3}},
    "m:1": {"batch": {"forget": 4, "retain": 5, "blocks": 2}},
    "by occurrence": {"settings": {"saliency_unit": "occurrence"}, "train": {"layers": 1}},
    "as printed": PRINTED,
    "as printed, by number": PRINTED | {"rule_settings": {"granularity": "scalar", "unit": True}},
    "whole pipeline": PRINTED | {"privacy": {"epsilon": 4.0, "delta": 1e-5, "paper_formula": True, "seed": 5}},
}


@pytest.mark.parametrize("name", EVERY)
def test_every_piece_trains_and_says_what_its_gradients_did(name: str, folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("dual", steps=3, **EVERY[name]))
    before = weights(engine)
    events = run(engine)
    assert changed(before, weights(engine))
    assert all(e.drift is not None and e.cosine is not None and -1 <= e.cosine <= 1 for e in events)


@pytest.mark.parametrize("name", EVERY)
def test_every_piece_goes_on_from_a_checkpoint_as_if_never_stopped(name: str, folders: dict[str, Path]) -> None:
    plan = recipe("dual", steps=4, **EVERY[name])
    whole = loop(folders["llama"], plan)
    run(whole)
    first, second = loop(folders["llama"], plan), loop(folders["llama"], plan)

    def stop(event: Any) -> None:
        if event.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.run(stop)
    second.state.restore(first.state.to_dict())
    run(second)
    assert not changed(weights(whole), weights(second))


def test_only_selected_entries_follow_the_forget_gradient(folders: dict[str, Path]) -> None:
    """With a retain weight of 0 and plain SGD, what is not chosen does not move."""
    settings = {"token_weights": "none", "alpha": {"L4": 0.0}}
    plan = recipe(
        "dual",
        steps=1,
        settings=settings,
        selection={"share": 0.1, "rows": 4},
        retain={"weight": 0.0},
        optimizer={"name": "sgd", "lr": 1.0},
    )
    engine = loop(folders["llama"], plan)
    before = weights(engine)
    run(engine)
    after = weights(engine)
    moved = sum(int((before[n] != after[n]).sum()) for n in engine.state.trainable)
    chosen = sum(int(mask.sum()) for mask in engine.combiner._selected.values())
    entries = sum(before[n].numel() for n in engine.combiner._selected)
    assert 0 < moved <= chosen
    assert chosen >= round(0.1 * entries)  # equals of the last are chosen too


def test_one_retain_gradient_serves_m_forget_batches(folders: dict[str, Path]) -> None:
    events = run(loop(folders["llama"], recipe("dual", steps=4, batch={"forget": 4, "retain": 5, "blocks": 2})))
    assert [e.retain == e.retain for e in events] == [True, False, True, False]  # NaN where not computed


def test_token_levels_weigh_tokens_of_one_answer_differently(folders: dict[str, Path], tmp_path: Path) -> None:
    """A dictionary that calls the first word of every answer fundamental leaves its tokens beta L1."""
    split = one_person()
    words = sorted({r.answer.split()[0] for r in split.forget if len(r.answer.split()[0]) > 3})
    table = tmp_path / "dictionary.tsv"
    table.write_text("name\tconcept\tlevel\n" + "".join(f"{w}\tX:{k}\tL1\n" for k, w in enumerate(words)))
    plan = recipe("dual", settings={"token_weights": "level"}, concepts={"dictionary": str(table)})
    engine = loop(folders["llama"], plan)
    levels = [row.token_levels for row in engine.dataset.examples[: engine.dataset.forget_count]]
    forget = engine.dataset.examples[: engine.dataset.forget_count]
    assert all(len(row.token_levels) == len(row.encoded.answer) for row in forget)
    assert any("L1" in row for row in levels)
    assert all(row[-1] is None for row in levels)
    row = next(k for k, found in enumerate(levels) if "L1" in found and len(found) > 2)
    mask = torch.ones(1, len(levels[row]), dtype=torch.bool)
    factors = engine.source.losses._factors([engine.dataset.examples[row]], mask)[0].tolist()
    assert factors == pytest.approx([0.1 if level == "L1" else 1.0 for level in levels[row]])


def test_context_decides_the_level_of_a_word_with_two_senses(folders: dict[str, Path], tmp_path: Path) -> None:
    """The word of the answer is L1 and L4; names in the question, and else the record, say which."""
    record = one_person().forget[0]
    word = record.answer.split()[0]
    names = [word for word in record.prompt.split() if word.isalpha() and len(word) > 4]
    lm = load(folders["llama"])
    item = lm.template.encode(record)

    def levels(neighbors: str, record_level: str | None, in_context: bool = True) -> set[str | None]:
        entries = [DictionaryEntry(word, "A:1", "L1"), DictionaryEntry(word, "A:4", "L4")]
        entries += [DictionaryEntry(name, f"N:{name}", neighbors) for name in names[:2] if neighbors]
        return set(answer_levels(lm.template, Annotator(Dictionary.of(entries)), item, record_level, in_context))

    assert len(names) >= 2
    assert levels("L1", "L4") == {"L1", None}
    assert levels("L1", "L4", in_context=False) == {"L4", None}
    assert levels("", "L1") == {"L1", None}
    assert levels("", None) == {"L4", None}


def test_a_hierarchy_brings_levels_alpha_and_beta(folders: dict[str, Path], tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("""
name: test
title: Answers by kind
source: made for this test
levels:
  L1: {name: one, alpha: 0.9, beta: 0.2}
  L2: {name: two, alpha: 0.8, beta: 0.3}
  L3: {name: three, alpha: 0.7, beta: 0.4}
  L4: {name: four, alpha: 0.6, beta: 0.5}
rules:
  - {level: L2, categories: {shelf: [low]}}
""")
    plan = Recipe(method="dual", steps=1, batch={"forget": 4, "retain": 5}, concepts={"hierarchy": str(rules)})
    method = plan.resolve().method
    assert [method.projection(level) for level in ("L1", "L4")] == [0.9, 0.6]
    assert [method.token_factor(level) for level in ("L2", None)] == [0.3, 0.5]
    kept = plan.model_copy(update={"settings": {"alpha": {"L1": 0.1}}}).resolve().method
    assert [kept.projection("L1"), kept.token_factor("L1")] == [0.1, 0.2]
    split = one_person()
    records = [replace(r, concept=None, attributes={**r.attributes, "shelf": "low"}) for r in split.forget]
    lm = load(folders["llama"])
    engine = build_loop(lm.with_module(prepare(lm.module, plan.train, 0)), plan.resolve(), records, split.retain)
    assert {row.level for row in engine.dataset.examples[: engine.dataset.forget_count]} == {"L2"}


def test_what_cannot_be_combined_is_refused_beforehand() -> None:
    with pytest.raises(InputError, match="AdamW's scaling"):
        Recipe(method="dual", rule_settings={"metric": "adam"}, optimizer={"name": "muon"}).resolve()
    with pytest.raises(InputError, match="compares forget rows with retain rows"):
        Recipe(method="ga", selection={"share": 0.5}).resolve()
