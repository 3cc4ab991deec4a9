"""The prefix cache replaces the lower blocks where it is exact, and gives a reason where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from expunge.models.adapters import TrainableConfig, adapter_off, prepare, set_trainable_blocks, trainable
from expunge.models.collate import collate
from expunge.models.forward import answer_forward
from expunge.models.prefix_cache import PrefixCache
from helpers.shapes import adapted, build, ragged, shared_keys, text_model

ITEMS = ragged(7, 30)
ENOUGH = 1 << 20


def cached(module: nn.Module, **settings: Any) -> PrefixCache:
    result = PrefixCache.build(module, ITEMS, **{"budget": ENOUGH, **settings})
    assert isinstance(result, PrefixCache), result
    return result


@pytest.mark.trains
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
@pytest.mark.parametrize(("budget", "where"), [(ENOUGH, "memory"), (0, "disk")])
def test_training_with_the_cache_ends_where_training_without_it_ends(
    tmp_path: Path, name: str, budget: int, where: str
) -> None:
    ends = []
    for use in (True, False):
        module = adapted(build(name))
        cache = cached(module, budget=budget, folder=tmp_path / "cache", rows=7)
        assert (cache.where, cache.bytes) == (where, sum(i.length for i in ITEMS) * 32 * 4)
        optimizer = torch.optim.SGD(trainable(module).values(), lr=0.05)
        for step in range(6):
            rows = [(step * 5 + k) % len(ITEMS) for k in range(5)]
            batch = collate([ITEMS[k] for k in rows])
            if use:
                with cache.context(rows, batch):
                    loss = -answer_forward(module, batch).logprob(batch).sum()
            else:
                loss = -answer_forward(module, batch).logprob(batch).sum()
            optimizer.zero_grad()
            loss.backward()
            # As runs do: without it, some processors' rounding of 1e-7 grows to 1e-3 in six steps.
            nn.utils.clip_grad_norm_(list(trainable(module).values()), 1.0)
            optimizer.step()
        ends.append([p.detach().clone() for p in trainable(module).values()])
    start = [p.detach() for p in trainable(adapted(build(name))).values()]
    assert max(float((a - b).abs().max()) for a, b in zip(ends[1], start, strict=True)) > 1e-2
    for with_cache, without in zip(*ends, strict=True):
        torch.testing.assert_close(with_cache, without, rtol=0, atol=1e-5)


def test_a_restarted_run_reuses_its_file_and_computes_only_the_check(tmp_path: Path) -> None:
    module = adapted(text_model("llama"))
    counts = []
    for _ in range(2):
        recorded: list[int] = []
        cached(
            module,
            budget=0,
            folder=tmp_path,
            rows=10,
            on_progress=lambda done, total, recorded=recorded: recorded.append(done),
        )
        counts.append(recorded)
    assert counts == [[10, 20, 30], []]
    assert len(list(tmp_path.iterdir())) == 1


def test_the_adapter_above_the_boundary_may_be_on_or_off() -> None:
    module = adapted(text_model("llama"))
    cache, rows = cached(module), [3, 1, 29]
    batch = collate([ITEMS[k] for k in rows])
    logits = {}
    with torch.no_grad():
        for off in (False, True):
            with adapter_off(module) if off else torch.no_grad():
                plain = answer_forward(module, batch).logits
                with cache.context(rows, batch):
                    logits[off] = answer_forward(module, batch).logits
            torch.testing.assert_close(logits[off], plain, rtol=0, atol=1e-5)
    assert (logits[True] - logits[False]).abs().max() > 1e-2


def test_a_trained_adapter_below_may_not_change_and_a_fresh_one_may() -> None:
    rows = [0, 1]
    batch = collate([ITEMS[k] for k in rows])
    for train, fails in ((adapted, True), (lambda m, t: prepare(m, t, seed=0), False)):
        module = train(text_model("llama"), TrainableConfig(layers="all", rank=2))
        set_trainable_blocks(module, 1, frozenset(trainable(module)))
        cache = cached(module)
        assert cache.boundary.first == 3
        with cache.context(rows, batch):
            answer_forward(module, batch)
            with adapter_off(module):
                if fails:
                    with pytest.raises(RuntimeError, match="adapters below the boundary"):
                        answer_forward(module, batch)
                else:
                    answer_forward(module, batch)


def test_building_leaves_the_restriction_of_a_phase_in_force() -> None:
    module = adapted(text_model("llama"), TrainableConfig(layers="all", rank=2))
    set_trainable_blocks(module, 1, frozenset(trainable(module)))
    before = list(trainable(module))
    cached(module)
    assert list(trainable(module)) == before


def test_rows_and_batch_must_belong_together() -> None:
    module = adapted(text_model("llama"))
    cache, batch = cached(module), collate([ITEMS[2], ITEMS[4]])
    with pytest.raises(RuntimeError, match="does not hold record row-4"):
        cache.context([4, 2], batch)
    with pytest.raises(ValueError, match=r"longer|shorter"):
        cache.context([2], batch)


def test_one_record_is_enough_and_none_is_a_reason() -> None:
    module = adapted(text_model("llama"))
    assert isinstance(PrefixCache.build(module, ITEMS[:1], budget=ENOUGH), PrefixCache)
    assert PrefixCache.build(module, [], budget=ENOUGH) == "there are no records"


def test_half_precision_states_are_kept_in_half_precision(tmp_path: Path) -> None:
    module = adapted(text_model("llama").to(torch.bfloat16))
    for budget in (ENOUGH, 0):
        cache = cached(module, budget=budget, folder=tmp_path)
        assert cache.bytes == sum(i.length for i in ITEMS) * 32 * 2


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: adapted(text_model("llama"), TrainableConfig(layers="all", rank=2)), "block 0 trains"),
        (lambda: prepare(shared_keys(), TrainableConfig(layers=2), seed=0), "the pass without the lower blocks fails"),
    ],
)
def test_where_it_would_not_be_exact_there_is_a_reason_and_no_file(tmp_path: Path, make: Any, reason: str) -> None:
    result = PrefixCache.build(make(), ITEMS, budget=ENOUGH, folder=tmp_path)
    assert isinstance(result, str)
    assert reason in result
    assert not list(tmp_path.iterdir())
