"""Counting by hand: a model of round numbers, passes of few rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from expunge.engine.estimate.cost_model import (
    FLOAT,
    OPS_PER_LOGIT,
    TEMPORARY_LOGITS,
    BatchShape,
    ComputeSpeed,
    Flops,
    ModelShape,
    RowSize,
    activation_bytes,
    block_ops,
    cache_bytes,
    distribution_bytes,
    generation_cost,
    head_ops,
    in_batches,
    in_chunks,
    inference_bytes,
    inference_cost,
    optimizer_bytes,
    prefix_cost,
    training_cost,
)
from expunge.models.language_model import load

SHAPE = ModelShape(blocks=(100, 200, 300), head=70, width=10, widest=20, vocabulary=7, itemsize=4, weights=3000)
ONE = BatchShape(rows=2, longest=5, answers=3)  # 10 tokens, 6 positions
ATTENTION = 10 * 4 * 5 * 10  # tokens · 4 · longest · width, for each block


def test_a_pass_is_as_long_as_its_longest_row_and_its_longest_answer() -> None:
    assert BatchShape.of([RowSize(5, 1), RowSize(3, 2)]) == BatchShape(2, 5, 2)
    assert (ONE.tokens, ONE.positions) == (10, 6)


def test_batches_take_the_longest_rows_first() -> None:
    assert in_batches([RowSize(2, 1), RowSize(9, 1), RowSize(5, 2)], 2) == [BatchShape(2, 9, 2), BatchShape(1, 2, 1)]


def test_a_step_is_cut_as_the_loop_cuts_it() -> None:
    assert in_chunks([RowSize(5, 1)] * 4, 2) == [BatchShape(2, 5, 1)] * 2
    assert in_chunks([RowSize(10, 1), RowSize(500, 1)], None) == [BatchShape(1, 10, 1), BatchShape(1, 500, 1)]


def test_blocks_cost_two_operations_per_parameter_and_token_and_attention() -> None:
    assert block_ops(SHAPE, ONE) == 2 * 10 * 600 + 3 * ATTENTION
    assert block_ops(SHAPE, ONE, 2) == 2 * 10 * 300 + ATTENTION
    assert prefix_cost(SHAPE, [ONE, ONE], 2) == Flops(2, 2 * (2 * 10 * 300 + 2 * ATTENTION))


def test_the_head_costs_at_answer_positions_only() -> None:
    assert head_ops(SHAPE, ONE) == 6 * (2 * 70 + OPS_PER_LOGIT * 7)
    assert inference_cost(SHAPE, [ONE]) == Flops(1, block_ops(SHAPE, ONE) + head_ops(SHAPE, ONE))


def test_a_training_pass_costs_two_forward_passes_and_the_weight_gradients() -> None:
    found = training_cost(SHAPE, [ONE], runs_from=0, trains_from=0, weights=600)
    assert found == Flops(1, 2 * inference_cost(SHAPE, [ONE]).ops + 2 * 600 * 10)


def test_frozen_blocks_cost_forward_only_and_cached_ones_nothing() -> None:
    plain = training_cost(SHAPE, [ONE], runs_from=0, trains_from=2, weights=300).ops
    cached = training_cost(SHAPE, [ONE], runs_from=2, trains_from=2, weights=300).ops
    assert plain - cached == block_ops(SHAPE, ONE, 0, 2)
    again = training_cost(SHAPE, [ONE], runs_from=2, trains_from=2, weights=300, recompute=True).ops
    assert again - cached == block_ops(SHAPE, ONE, 2)


def test_generation_is_a_pass_over_prompts_and_one_per_further_token() -> None:
    found = generation_cost(SHAPE, [RowSize(5, 3)], new=4)
    token = block_ops(SHAPE, BatchShape(1, 1, 1)) + head_ops(SHAPE, BatchShape(1, 1, 1))
    assert found == Flops(4, block_ops(SHAPE, BatchShape(1, 2, 1)) + head_ops(SHAPE, BatchShape(1, 1, 1)) + 3 * token)


def test_bytes_are_numbers_times_four() -> None:
    sizes = [RowSize(5, 3), RowSize(4, 2)]
    assert cache_bytes(SHAPE, sizes) == 9 * 10 * 4
    assert distribution_bytes(SHAPE, sizes) == 5 * 7 * 4
    assert inference_bytes(SHAPE, ONE) == 3 * 10 * 20 * 4
    assert inference_bytes(SHAPE, BatchShape(2, 5, 100)) == 3 * 200 * 7 * 4


def test_checkpointing_keeps_the_input_of_each_block_and_the_inside_of_one() -> None:
    logits = int(ONE.positions * 7 * (8 + TEMPORARY_LOGITS * FLOAT))
    assert activation_bytes(SHAPE, ONE, per_block_token=50, blocks=3, per_logit=8) == 3 * 50 * 10 + logits
    found = activation_bytes(SHAPE, ONE, per_block_token=50, blocks=3, per_logit=8, recompute=True)
    assert found == 3 * 10 * 10 * 4 + 50 * 10 + logits


def test_logits_taken_in_slices_are_never_all_there() -> None:
    whole, sliced = (
        activation_bytes(SHAPE, ONE, per_block_token=0, blocks=3, per_logit=0, positions_at_once=n) for n in (None, 2)
    )
    assert (whole, sliced) == (6 * 7 * TEMPORARY_LOGITS * FLOAT, 2 * 7 * TEMPORARY_LOGITS * FLOAT)


@pytest.mark.parametrize(("name", "numbers"), [("adamw", 2 * 12 + 2 * 3), ("muon", 12 + 2 * 3), ("sgd", 0)])
def test_the_optimizer_keeps_state_on_what_trains(name: str, numbers: int) -> None:
    parameters = {"matrix": nn.Parameter(torch.zeros(3, 4)), "bias": nn.Parameter(torch.zeros(3))}
    assert optimizer_bytes(name, parameters, set()) == 4 * numbers


def test_two_timings_tell_the_cost_of_a_pass_from_that_of_an_operation() -> None:
    speed = ComputeSpeed.fit((100, 3.0), (300, 5.0))  # 2 s and 0.01 s per operation
    assert (speed.fixed, speed.per_op) == (pytest.approx(2.0), pytest.approx(0.01))
    assert speed.seconds(Flops(10, 1000)) == pytest.approx(30.0)
    assert ComputeSpeed.fit((100, 3.0), (100, 3.0)) == ComputeSpeed(0.0, 0.03)
    assert ComputeSpeed.fit((100, 3.0), (300, 2.0)) == ComputeSpeed(
        2.0, 0.0
    )  # noise: never less than nothing per operation


@pytest.mark.parametrize(
    ("architecture", "block"),
    [
        ("llama", 4 * 32 * 32 + 3 * 32 * 96 + 2 * 32),  # q k v o, the MLP, two norms
        ("gpt2", 4 * 32 * 32 + 4 * 32 + 2 * 32 * 128 + 128 + 32 + 4 * 32),
    ],
)
def test_the_parameters_of_a_block_are_found_by_structure(
    folders: dict[str, Path], architecture: str, block: int
) -> None:
    module = load(folders[architecture]).module
    shape = ModelShape.of(module)
    vocabulary = module.get_output_embeddings().weight.shape[0]
    assert shape.blocks == (block,) * 3
    assert (shape.head, shape.width, shape.vocabulary) == (vocabulary * 32, 32, vocabulary)
    assert shape.widest == (96 if architecture == "llama" else 128)
    assert shape.weights == 4 * sum(p.numel() for p in module.parameters())
