"""What the model said before the run: cached or live, the same numbers, and never a second model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from expunge.engine.reference import Reference, kept_bytes
from expunge.errors import InputError
from expunge.models.adapters import TrainableConfig, prepare, trainable
from expunge.models.collate import collate, pad
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel, load
from expunge.models.prompt_template import Encoded
from helpers.runs import loop, recipe, run
from helpers.world import one_person


@pytest.fixture
def lm(folders: dict[str, Path]) -> LanguageModel:
    found = load(folders["llama"])
    return found.with_module(prepare(found.module, TrainableConfig(), seed=0))


@pytest.fixture
def items(lm: LanguageModel) -> dict[int, Encoded]:
    return dict(enumerate(lm.template.encode_all(one_person().forget)))


def disturb(lm: LanguageModel) -> None:
    with torch.no_grad():
        for parameter in trainable(lm.module).values():
            parameter.add_(0.05)


def test_the_cache_says_what_the_model_without_its_adapter_says_live(
    lm: LanguageModel, items: dict[int, Encoded]
) -> None:
    cached, live = Reference(lm.module, items, logits=True, rows=2), Reference(lm.module, items, logits=True, budget=0)
    log_probs = Reference(lm.module, items, logits=False)
    disturb(lm)
    rows: Sequence[int] = (7, 0, 3)
    batch = collate([items[k] for k in rows])
    one, two, three = (r.outputs(rows, batch) for r in (cached, live, log_probs))
    assert one.logits is not None
    assert two.logits is not None
    torch.testing.assert_close(one.logits[batch.mask], two.logits[batch.mask], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.logprob, two.logprob, rtol=0, atol=1e-5)
    torch.testing.assert_close(three.logprob, two.logprob, rtol=0, atol=1e-5)
    assert three.logits is None
    now = answer_forward(lm.module, batch).logits
    assert not torch.allclose(now[batch.mask], two.logits[batch.mask], atol=1e-3)


def test_a_too_large_cache_is_refused_where_the_old_weights_are_lost(
    folders: dict[str, Path], items: dict[int, Encoded]
) -> None:
    plain = load(folders["llama"]).module
    with pytest.raises(InputError, match=r"train\.which: full: the reference's distributions would take"):
        Reference(plain, items, logits=True, budget=1000)
    assert Reference(plain, items, logits=False, budget=0).outputs([0], collate([items[0]])).logprob.shape[0] == 1


def test_distributions_are_counted_as_they_are_kept(lm: LanguageModel, folders: dict[str, Path]) -> None:
    """Final hidden states (width) where the head is frozen, whole distributions (vocabulary) where it trains."""
    head = lm.module.get_output_embeddings().weight
    assert kept_bytes(lm.module, 10) == 10 * head.shape[1] * 4
    full = prepare(load(folders["llama"]).module, TrainableConfig(which="full"), seed=0)
    assert kept_bytes(full, 10) == 10 * head.shape[0] * 4


def test_the_kl_term_of_an_unchanged_model_is_zero_and_grows_as_it_changes(folders: dict[str, Path]) -> None:
    events = run(loop(folders["llama"], recipe("npo", retain={"loss": "kl"}, optimizer={"lr": 0.05}, steps=3)))
    assert abs(events[0].retain) < 1e-6
    assert events[1].retain > 1e-5


def test_the_preference_of_an_unchanged_model_is_that_of_logratio_zero(folders: dict[str, Path]) -> None:
    (event,) = run(loop(folders["llama"], recipe("npo", steps=1)))
    assert event.forget == pytest.approx(20 * 0.693147, rel=1e-4)  # (2/beta) ln 2 with beta .1


def test_ragged_tensors_are_stacked_with_zeros_behind() -> None:
    found = pad([torch.ones(2, 3), torch.ones(1, 3)], 4)
    expected: Tensor = torch.zeros(2, 4, 3)
    expected[0, :2] = expected[1, :1] = 1
    assert torch.equal(found, expected)
