"""Losses are cached per model and query, inside the context only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.loss_cache import cached_losses, remember
from expunge.models.tiny import build
from helpers.world import small, tokenizer

QUESTIONS = [("who", "ada"), ("where", "here")]


class Asker:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        return np.array([float(self.times)])


def test_equal_queries_to_equal_weights_run_once() -> None:
    ask, model, twin = Asker(), build(small(), tokenizer(), 1), build(small(), tokenizer(), 1)
    with remember({}):
        first = cached_losses(model, QUESTIONS, ask)
        first[0] = 99  # a caller's change stays the caller's
        assert cached_losses(model, QUESTIONS, ask) == cached_losses(twin, QUESTIONS, ask) == [1.0]
        assert cached_losses(prepare(twin, TrainableConfig(rank=2), 0), QUESTIONS, ask) == [
            2.0
        ]  # other names: asked again
        assert cached_losses(model, [("whoa", "da"), ("where", "here")], ask) == [3.0]
        assert cached_losses(build(small(), tokenizer(), 2), QUESTIONS, ask) == [4.0]


def test_adapters_do_not_count_because_they_are_off() -> None:
    ask = Asker()
    first, second = (
        prepare(build(small(), tokenizer(), 1), TrainableConfig(rank=rank), seed) for rank, seed in ((2, 0), (4, 1))
    )
    with torch.no_grad():
        for name, p in second.named_parameters():
            if "lora_B" in name:
                p.fill_(1.0)
    with remember({}):
        assert cached_losses(first, QUESTIONS, ask) == cached_losses(second, QUESTIONS, ask) == [1.0]


def test_nothing_is_cached_outside_the_context() -> None:
    ask, model = Asker(), build(small(), tokenizer(), 1)
    assert [float(cached_losses(model, QUESTIONS, ask)[0]) for _ in range(2)] == [1, 2]


def test_changed_weights_or_hooks_run_again() -> None:
    ask, model = Asker(), build(small(), tokenizer(), 1)
    with remember({}):
        assert cached_losses(model, QUESTIONS, ask) == [1.0]
        handle = model.get_output_embeddings().register_forward_hook(lambda module, args, out: out * 0)
        assert cached_losses(model, QUESTIONS, ask) == [2.0]
        handle.remove()
        assert cached_losses(model, QUESTIONS, ask) == [1.0]
        with torch.no_grad():
            model.get_output_embeddings().weight.mul_(2)
        assert cached_losses(model, QUESTIONS, ask) == [3.0]
