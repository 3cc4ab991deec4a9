"""Log-probabilities in slices are those of the whole, with their gradients, and the whole is never there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from expunge.models.adapters import TrainableConfig, prepare, trainable
from expunge.models.chunked_logprob import answer_hidden, answer_logprob_chunked, plain_head
from expunge.models.forward import answer_forward
from helpers.shapes import adapted, batch, build

PLAIN = {
    "gpt2": True,
    "llama": True,
    "gemma": True,
    "gemma3": True,
    "phi": True,
    "gptj": True,
    "llava": True,
    "idefics3": True,
    "gemma2": False,
    "cohere": False,
    "granite": False,
}


def example(n: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(n)
    hidden, weight, bias = (
        torch.randn(s, generator=source).to(dtype).requires_grad_(True) for s in ((n, 8), (30, 8), (30,))
    )
    return hidden, weight, bias, torch.randint(30, (n,), generator=source)


def test_two_words_by_hand() -> None:
    weight = torch.tensor([[0.0], [1.0]])  # p of word 1 is sigmoid(h): .5 at 0, .75 at ln 3
    hidden = torch.tensor([[0.0], [1.0986123]], requires_grad=True)
    result = answer_logprob_chunked(hidden, weight, None, torch.tensor([1, 1]))
    torch.testing.assert_close(result.exp(), torch.tensor([0.5, 0.75]))
    result.sum().backward()
    torch.testing.assert_close(hidden.grad, torch.tensor([[0.5], [0.25]]))  # 1 - p


@pytest.mark.parametrize("n", [1, 7, 12])
@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients_are_those_of_log_softmax(n: int, chunk: int, with_bias: bool) -> None:
    hidden, weight, bias, labels = example(n)
    shift = bias if with_bias else None
    wanted = nn.functional.linear(hidden, weight, shift).log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1)
    result = answer_logprob_chunked(hidden, weight, shift, labels, chunk)
    torch.testing.assert_close(result, wanted, rtol=0, atol=1e-5)
    factors = torch.linspace(-1, 2, n)
    inputs = [hidden, weight, bias] if with_bias else [hidden, weight]
    torch.testing.assert_close(
        torch.autograd.grad((result * factors).sum(), inputs),
        torch.autograd.grad((wanted * factors).sum(), inputs),
        rtol=0,
        atol=1e-5,
    )


def test_only_what_requires_a_gradient_gets_one() -> None:
    hidden, weight, bias, labels = example(5)
    answer_logprob_chunked(hidden, weight.detach(), bias.detach(), labels).sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None
    answer_logprob_chunked(hidden.detach(), weight.detach(), bias, labels).sum().backward()
    assert bias.grad is not None
    assert not answer_logprob_chunked(hidden.detach(), weight.detach(), None, labels).requires_grad


def test_no_answers_are_no_numbers() -> None:
    hidden, weight, bias, labels = example(0)
    result = answer_logprob_chunked(hidden, weight, bias, labels)
    assert result.shape == (0,)
    result.sum().backward()
    assert weight.grad is not None
    assert weight.grad.eq(0).all()


def test_half_precision_is_summed_in_single() -> None:
    hidden, weight, bias, labels = example(9, torch.bfloat16)
    result = answer_logprob_chunked(hidden, weight, bias, labels, 4)
    assert result.dtype == torch.float32
    logits = nn.functional.linear(hidden, weight, bias).float()  # the rounding of the product is the model's own
    torch.testing.assert_close(
        result, logits.log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1), rtol=0, atol=1e-5
    )
    slopes = torch.autograd.grad(result.sum(), [hidden, weight, bias])
    assert {s.dtype for s in slopes} == {torch.bfloat16}


class Largest(TorchDispatchMode):
    """The most elements that any tensor made inside has."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.numbers = max([self.numbers, *(t.numel() for t in tree_leaves(out) if isinstance(t, Tensor))])
        return out


@pytest.mark.parametrize("chunk", [2, 8])
def test_no_more_logits_are_held_than_a_slice_has(chunk: int) -> None:
    hidden, labels = torch.randn(64, 4, requires_grad=True), torch.zeros(64, dtype=torch.int64)
    weight = torch.randn(1000, 4)
    with Largest() as largest:
        answer_logprob_chunked(hidden, weight, None, labels, chunk).sum().backward()
    assert largest.numbers == max(chunk, 4) * 1000  # 4: the head itself, transposed


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_head_with_a_cap_or_a_scale_is_not_plain(name: str) -> None:
    assert plain_head(build(name)) is PLAIN[name]


def test_a_head_with_an_adapter_is_not_plain() -> None:
    from peft import LoraConfig, get_peft_model

    assert not plain_head(get_peft_model(build("llama"), LoraConfig(target_modules=["lm_head"])))
    assert plain_head(adapted(build("llama")))


@pytest.mark.parametrize("name", ["llama", "gpt2", "phi"])
@pytest.mark.parametrize("which", ["lora", "full"])
def test_the_sliced_pass_equals_the_plain_pass(name: str, which: Any) -> None:
    module, whole = prepare(build(name), TrainableConfig(which=which), seed=0), batch()
    head, moving = module.get_output_embeddings(), list(trainable(module).values())
    wanted = answer_forward(module, whole).logprob(whole)
    hidden = answer_hidden(module, whole)
    assert hidden.shape == (*whole.labels.shape, 32)
    result = answer_logprob_chunked(hidden[whole.mask], head.weight, head.bias, whole.labels[whole.mask], 3)
    torch.testing.assert_close(result, wanted[whole.mask], rtol=0, atol=1e-5)
    for short, plain in zip(
        torch.autograd.grad(result.sum(), moving), torch.autograd.grad(wanted.sum(), moving), strict=True
    ):
        torch.testing.assert_close(short, plain, rtol=1e-4, atol=1e-5)
    assert not head._forward_pre_hooks
