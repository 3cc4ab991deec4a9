"""Without its frozen lower blocks, a model gives the loss and the gradients of the plain pass; else it is refused."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from expunge.models.adapters import TrainableConfig, adapter_off, block_stack, prepare, trainable
from expunge.models.collate import Batch
from expunge.models.forward import answer_forward
from expunge.models.frozen_prefix import Boundary, find_boundary, hidden_states, substitute, why_inexact
from helpers.shapes import IMAGE, TEXT, adapted, batch, build, llava, shared_keys, text_model

LLAMA = "base_model.model.model.layers"


def boundary_of(module: nn.Module) -> Boundary:
    result = find_boundary(module)
    assert isinstance(result, Boundary), result
    return result


def one_by_one(module: nn.Module, boundary: Boundary, whole: Batch) -> Tensor:
    """States of every row computed alone and unpadded, zeros behind, [B, T, H]."""
    rows, width = [], whole.input_ids.shape[1]
    for b, length in enumerate(whole.attention_mask.sum(1).tolist()):
        alone = Batch(
            whole.input_ids[b : b + 1, :length],
            whole.attention_mask[b : b + 1, :length],
            whole.index[b : b + 1],
            whole.labels[b : b + 1],
            whole.mask[b : b + 1],
        )
        rows.append(nn.functional.pad(hidden_states(module, boundary, alone)[0], (0, 0, 0, width - length)))
    return torch.stack(rows)


def loss_and_gradients(module: nn.Module, whole: Batch) -> tuple[Tensor, list[Tensor]]:
    loss = -answer_forward(module, whole).logprob(whole).sum()
    return loss.detach(), list(torch.autograd.grad(loss, list(trainable(module).values()), allow_unused=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TEXT, "llava", "idefics3"])
def test_loss_and_gradients_are_those_of_the_plain_pass(name: str) -> None:
    module = adapted(build(name))
    boundary = boundary_of(module)
    assert (boundary.first, boundary.count) == (2, 4)
    for seed in range(3):
        whole = batch(seed)
        hidden = one_by_one(module, boundary, whole)
        loss, slopes = loss_and_gradients(module, whole)
        with substitute(module, boundary, hidden):
            short_loss, short_slopes = loss_and_gradients(module, whole)
        torch.testing.assert_close(short_loss, loss, rtol=2e-6, atol=0)
        for result, plain in zip(short_slopes, slopes, strict=True):
            assert (result is None) == (plain is None)  # an expert that no token chose
            if result is not None:
                torch.testing.assert_close(result, plain, rtol=0, atol=1e-5 * max(1.0, float(plain.abs().max())))
        with torch.no_grad(), adapter_off(module):
            before = answer_forward(module, whole).logits
            with substitute(module, boundary, hidden):
                torch.testing.assert_close(answer_forward(module, whole).logits, before, rtol=0, atol=1e-5)
    assert why_inexact(module, boundary, whole, tolerance=1e-5) is None


def test_on_the_batch_of_the_states_everything_is_bit_for_bit_equal() -> None:
    module, whole = adapted(text_model("llama")), batch()
    boundary = boundary_of(module)
    hidden = hidden_states(module, boundary, whole)
    assert hidden.shape == (*whole.input_ids.shape, 32)
    assert not hidden.requires_grad
    plain = loss_and_gradients(module, whole)
    with substitute(module, boundary, hidden):
        short = loss_and_gradients(module, whole)
    assert torch.equal(plain[0], short[0])
    assert all(map(torch.equal, plain[1], short[1]))


def count_calls(module: nn.Module, names: list[str]) -> dict[str, int]:
    calls = dict.fromkeys(names, 0)

    def up(name: str, *_: Any) -> None:
        calls[name] += 1

    for name in names:
        module.get_submodule(name).register_forward_hook(partial(up, name))
    return calls


def test_blocks_below_do_not_run_and_states_run_no_block_above() -> None:
    module, whole = adapted(text_model("llama"), TrainableConfig(layers=1)), batch()
    boundary = boundary_of(module)
    calls = count_calls(module, [f"{LLAMA}.{k}.mlp" for k in range(4)] + ["base_model.model.lm_head"])
    hidden = hidden_states(module, boundary, whole)
    assert list(calls.values()) == [1, 1, 1, 0, 0]
    with substitute(module, boundary, hidden):
        answer_forward(module, whole)
    assert list(calls.values()) == [1, 1, 1, 1, 1]


def test_the_model_is_left_as_it_was_also_after_a_failure() -> None:
    module, whole = adapted(text_model("llama")), batch()
    boundary = boundary_of(module)
    blocks: Any = module.get_submodule(LLAMA)
    own = partial(type(blocks[1]).forward, blocks[1])
    blocks[1].forward = own  # as tools do that move a block's inputs between devices
    hidden, plain = hidden_states(module, boundary, whole), answer_forward(module, whole).logits
    with substitute(module, boundary, hidden):
        assert torch.equal(answer_forward(module, whole).logits, plain)
    with pytest.raises(RuntimeError, match="do not fit a batch"), substitute(module, boundary, hidden[:, 1:]):
        answer_forward(module, whole)
    with pytest.raises(IndexError), substitute(module, boundary, hidden):
        answer_forward(module, Batch(whole.input_ids + 64, whole.attention_mask, whole.index, whole.labels, whole.mask))
    assert blocks[1].__dict__["forward"] is own
    assert all("forward" not in blocks[k].__dict__ for k in (0, 2, 3))
    assert not any(b._forward_pre_hooks or b._forward_hooks for b in blocks)
    assert torch.equal(answer_forward(module, whole).logits, plain)


def test_gradient_checkpointing_of_the_upper_blocks_changes_nothing() -> None:
    module, whole = adapted(text_model("llama")), batch()
    boundary = boundary_of(module)
    hidden, (loss, slopes) = hidden_states(module, boundary, whole), loss_and_gradients(module, whole)
    for reentrant in (True, False):
        module.gradient_checkpointing_enable({"use_reentrant": reentrant})
        module.enable_input_require_grads()
        module.train()
        with substitute(module, boundary, hidden):
            result = -answer_forward(module, whole).logprob(whole).sum()
            result.backward()
        assert torch.equal(result.detach(), loss)
        assert all(torch.equal(p.grad, s) for p, s in zip(trainable(module).values(), slopes, strict=True))
        module.zero_grad()


def test_the_states_include_the_image_so_its_tower_does_not_run_again() -> None:
    module = adapted(llava())
    boundary = boundary_of(module)
    ids = torch.tensor([[5, IMAGE, IMAGE, IMAGE, 9, 11, 12]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    result: list[Tensor] = []
    handle = module.get_submodule(boundary.stack)[2].register_forward_pre_hook(lambda _, args: result.append(args[0]))
    with torch.no_grad():
        plain = module(**inputs, pixel_values=torch.rand(1, 3, 16, 16)).logits
        handle.remove()
        calls = count_calls(module, ["base_model.model.model.vision_tower"])
        with substitute(module, boundary, result[0]):
            assert torch.equal(module(**inputs).logits, plain)
    assert list(calls.values()) == [0]


def test_what_acts_after_the_stack_may_train() -> None:
    module = prepare(text_model("llama"), TrainableConfig(which="full", layers=1), seed=0)
    module.lm_head.weight.requires_grad_(True)
    module.model.norm.weight.requires_grad_(True)
    assert find_boundary(module) == Boundary("model.layers", 3, 4)
    untied = prepare(text_model("gpt2", tie_word_embeddings=False), TrainableConfig(which="full", layers=(2,)), seed=0)
    untied.lm_head.weight.requires_grad_(True)
    assert find_boundary(untied) == Boundary("transformer.h", 2, 4)


def test_adapters_below_count_only_if_they_train() -> None:
    module = adapted(text_model("llama"), TrainableConfig(layers="all", rank=2))
    assert find_boundary(module) == "block 0 trains, so no block below it is frozen"
    for name, parameter in module.named_parameters():
        parameter.requires_grad_("lora_" in name and ".layers.3." in name)
    boundary = boundary_of(module)
    assert boundary.first == 3
    assert why_inexact(module, boundary, batch(), tolerance=1e-5) is None


class Mixed(nn.Module):
    """Adds the mean over the rows of a batch."""

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + hidden.mean(0, keepdim=True)


def last_block(name: str = "llama", **changes: Any) -> Any:
    return prepare(text_model(name, **changes), TrainableConfig(layers=1), seed=0)


def frozen() -> Any:
    return last_block().requires_grad_(False)


def with_embedding() -> Any:
    module = last_block()
    module.get_input_embeddings().weight.requires_grad_(True)
    return module


def with_tied_head() -> Any:
    module = last_block("gpt2")
    module.get_output_embeddings().weight.requires_grad_(True)
    return module


def only_the_head() -> Any:
    module = frozen()
    module.get_output_embeddings().weight.requires_grad_(True)
    return module


def with_connector() -> Any:
    module = prepare(llava(), TrainableConfig(layers=1), seed=0)
    for parameter in module.base_model.model.model.multi_modal_projector.parameters():
        parameter.requires_grad_(True)
    return module


def with_hook() -> Any:
    module, extra = last_block(), nn.Linear(32, 32)
    module.get_input_embeddings().register_forward_hook(lambda _, __, output: output + extra(output))
    return module


def with_batch_norm() -> Any:
    module = last_block()
    module.get_submodule(LLAMA)[0].extra = nn.BatchNorm1d(4, affine=False)
    return module.train()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (frozen, "nothing trains"),
        (lambda: nn.Linear(2, 2), "no stack of equal blocks was found in it"),
        (only_the_head, "no block trains"),
        (lambda: adapted(text_model("llama"), TrainableConfig(layers=(0, 3), rank=2)), "block 0 trains"),
        (with_embedding, "embed_tokens.weight trains and acts below block 3"),
        (with_tied_head, "wte.weight trains and acts below block 3"),
        (with_connector, "multi_modal_projector.linear_1.bias trains, and a trial pass does not show where it acts"),
        (lambda: last_block("gpt2").train(), "drop is in training mode and drops at random (p = 0.1)"),
        (
            lambda: last_block("llama", attention_dropout=0.2).train(),
            "training mode and random (attention_dropout = 0.2)",
        ),
        (with_batch_norm, "0.extra is in training mode and mixes the rows of a batch"),
        (with_hook, "embed_tokens trains"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_a_prefix_that_is_not_constant_is_refused_with_the_reason(make: Any, reason: str) -> None:
    result = find_boundary(make())
    assert isinstance(result, str)
    assert reason in result


def test_dropout_that_is_off_or_above_the_boundary_is_no_reason() -> None:
    module = last_block("gpt2")
    assert boundary_of(module).first == 3
    module.get_submodule("base_model.model.transformer.h")[3].train()
    assert boundary_of(module).first == 3


def test_the_check_notices_rows_that_influence_each_other() -> None:
    module = last_block()
    block: Any = module.get_submodule(LLAMA)[0]
    block.mlp = nn.Sequential(block.mlp, Mixed())
    reason = why_inexact(module, boundary_of(module), batch())
    assert reason is not None
    assert "the logits differ" in reason


def test_the_check_notices_that_more_than_a_hidden_state_passes_on() -> None:
    module = prepare(shared_keys(), TrainableConfig(layers=2), seed=0)
    reason = why_inexact(module, boundary_of(module), batch())
    assert reason is not None
    assert "the pass without the lower blocks fails" in reason


def test_the_check_notices_states_that_are_not_those_of_the_batch() -> None:
    module, whole = last_block(), batch()
    boundary = boundary_of(module)
    hidden = hidden_states(module, boundary, whole)
    assert why_inexact(module, boundary, whole, hidden=hidden) is None
    assert why_inexact(module, boundary, whole, hidden=hidden.flip(0)) is not None
    assert why_inexact(module, boundary, whole, hidden=hidden * float("nan")) is not None


def test_a_stack_that_text_does_not_pass_through_is_an_error_that_says_so() -> None:
    module = prepare(llava(vision_blocks=6), TrainableConfig(layers=2), seed=0)
    tower = Boundary("base_model.model.model.vision_tower.encoder.layers", 4, 6)
    with pytest.raises(RuntimeError, match=r"a pass over text does not reach block 4 of .*vision_tower"):
        hidden_states(module, tower, batch())


def test_the_block_stack_is_the_language_tower_even_if_vision_is_deeper() -> None:
    assert "language_model" in block_stack(llava(vision_blocks=6))[0]
    assert "language_model" in boundary_of(prepare(llava(vision_blocks=6), TrainableConfig(layers=2), seed=0)).stack
