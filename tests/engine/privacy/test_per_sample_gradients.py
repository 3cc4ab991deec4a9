"""Gradients by unit are those of a plain loop over rows, whatever the architecture and the path of the pass."""

from __future__ import annotations

import pytest
import torch

from expunge.engine.forward import ForwardRunner
from expunge.engine.privacy.per_sample_gradients import adapted_layers, record_calls, unit_gradients
from expunge.engine.recipe_config import Memory
from expunge.errors import InputError
from expunge.gradients.base import Gradients
from expunge.models.adapters import TrainableConfig, trainable
from expunge.models.collate import collate
from expunge.models.forward import answer_forward, answer_logprob
from expunge.models.fused_lora import fuse
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import PromptTemplate
from helpers.shapes import TEXT, ragged, text_model
from helpers.shapes import adapted as with_adapters
from helpers.shapes import batch as ragged_batch
from helpers.world import tokenizer

OWNER, UNITS = [0, 2, 0, 1, 2], 3


def plain(module: torch.nn.Module) -> Gradients:
    """One pass per row."""
    found: Gradients = {}
    parameters = trainable(module)
    for item, unit in zip(ragged(), OWNER, strict=True):
        batch = collate([item])
        loss = -answer_logprob(answer_forward(module, batch).logits, batch).sum()
        for name, g in zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True):
            found.setdefault(name, torch.zeros(UNITS, *g.shape))[unit] += g
    return found


def off(one: Gradients, other: Gradients) -> float:
    assert set(one) == set(other)
    return max(float((one[name] - other[name]).abs().max() / other[name].abs().max().clamp(min=1e-3)) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", sorted(TEXT))
def test_every_architecture_gives_the_gradients_of_a_loop(name: str, fused: bool) -> None:
    attention = ("q_proj", "k_proj", "v_proj", "o_proj") if name == "mixtral" else ()  # its experts are fused
    module = with_adapters(text_model(name), TrainableConfig(layers=2, rank=2, modules=attention))
    expected = plain(module)
    if fused:
        fuse(module)
    batch = ragged_batch()
    with record_calls(adapted_layers(module, trainable(module))) as calls:
        logprob = answer_logprob(answer_forward(module, batch).logits, batch)
    assert all(p.requires_grad for p in trainable(module).values())
    assert set(trainable(module)) == set(expected)
    assert off(unit_gradients(-logprob.sum(), calls, batch, OWNER, UNITS), expected) < 1e-4


@pytest.mark.parametrize("memory", [Memory(), Memory(prefix_cache=False)], ids=["cached", "plain"])
def test_the_cheap_paths_of_a_run_give_them_too(memory: Memory) -> None:
    module = with_adapters(text_model("llama"))
    expected = plain(module)
    lm = LanguageModel(module, tokenizer(), PromptTemplate.of(tokenizer(), 64, "plain"), "test")
    passes = ForwardRunner(lm, ragged(), memory)
    passes.start_phase(range(len(OWNER)))
    assert passes.about.startswith("the first 2" if memory.prefix_cache else "plain")
    with record_calls(adapted_layers(module, trainable(module))) as calls:
        passed = passes.run(range(len(OWNER)), logits=False)
    assert {call.x.shape[:2] for call in calls} > {passed.batch.input_ids.shape}  # and the last part sees answers only
    found = unit_gradients(-passed.logprob.sum(), calls, passed.batch, OWNER, UNITS)
    passes.end_phase()
    assert off(found, expected) < 1e-4


def test_a_unit_that_is_not_in_the_pass_has_gradient_zero() -> None:
    module = with_adapters(text_model("gpt2"))
    batch = ragged_batch(rows=2)
    with record_calls(adapted_layers(module, trainable(module))) as calls:
        logprob = answer_logprob(answer_forward(module, batch).logits, batch)
    found = unit_gradients(-logprob.sum(), calls, batch, [0, 2], 3)
    assert all(g[1].abs().max() == 0 < g[0].abs().max() for g in found.values())


def test_what_is_no_plain_adapter_is_refused_by_name() -> None:
    module = text_model("llama")
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name == "model.norm.weight")
    with pytest.raises(InputError, match=r"model\.norm\.weight trains"):
        adapted_layers(module, trainable(module))


def test_a_layer_that_mixes_rows_is_refused_by_name() -> None:
    module = with_adapters(text_model("mixtral"), TrainableConfig(layers=2, rank=2, modules=("q_proj",)))
    batch = ragged_batch()
    with record_calls(adapted_layers(module, trainable(module))) as calls:
        logprob = answer_logprob(answer_forward(module, batch).logits, batch)
    fewer = ragged_batch(rows=4)
    with pytest.raises(InputError, match="does not tell whose rows"):
        unit_gradients(-logprob.sum(), calls, fewer, [0, 1, 2, 3], 4)
