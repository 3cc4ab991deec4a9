"""Models from scratch depend on their seed only."""

from __future__ import annotations

import pytest
import torch

from expunge.errors import InputError
from expunge.models.tiny import EOS, PAD, TinyConfig, build, texts_of, train_tokenizer
from helpers.world import ARCHITECTURES, people, small, tokenizer


def test_the_same_texts_give_the_same_tokenizer() -> None:
    one, two = (train_tokenizer(texts_of(people()), 500).backend_tokenizer.to_str() for _ in range(2))
    assert one == two


def test_every_text_survives_the_tokenizer_also_in_unknown_letters() -> None:
    own = tokenizer()
    assert own.convert_tokens_to_ids([EOS, PAD]) == [own.eos_token_id, own.pad_token_id] == [0, 1]
    for text in ("Zoë Öztürk", "患者は東京", "a  b\n", " leading", "🙂"):
        assert own.decode(own(text)["input_ids"]) == text


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_depend_on_the_seed_and_the_global_generator_is_unchanged(architecture: str) -> None:
    before = torch.random.get_rng_state()
    one, two, other = (build(small(architecture), tokenizer(), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(one.get_input_embeddings().weight, other.get_input_embeddings().weight)
    assert float(one.get_input_embeddings().weight.detach().std()) == pytest.approx(0.15, rel=0.05)


def test_sizes_that_cannot_be_built_are_refused() -> None:
    with pytest.raises(InputError, match="3 heads do not divide a width of 32"):
        build(TinyConfig(width=32, heads=3), tokenizer())
    with pytest.raises(InputError, match='did you mean "llama"'):
        build(TinyConfig(architecture="lama"), tokenizer())
