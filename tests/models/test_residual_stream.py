"""The residual stream of several architectures: read, read out, and changed without naming a module."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from expunge.corpus import Record
from expunge.models.collate import collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import load
from expunge.models.residual_stream import (
    answer_states,
    block_count,
    change_block_outputs,
    place_states,
    read_out,
    spread_blocks,
    without_direction,
)
from helpers.world import ARCHITECTURES

RECORDS = [Record("a", "Who is it?", "Nobody at all"), Record("b", "Where?", "There")]


def test_blocks_are_spread_to_the_last_one() -> None:
    assert spread_blocks(30, 8) == (3, 7, 11, 14, 18, 22, 26, 29)
    assert spread_blocks(3, 8) == (0, 1, 2)
    assert spread_blocks(1, 8) == (0,)


def test_a_state_less_its_part_along_a_direction() -> None:
    hidden = torch.tensor([[[3.0, 4.0]], [[1.0, 2.0]]])
    assert torch.equal(without_direction(hidden, torch.tensor([1.0, 0.0])), torch.tensor([[[0.0, 4.0]], [[0.0, 2.0]]]))
    own = without_direction(hidden, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert torch.equal(own, torch.tensor([[[3.0, 0.0]], [[0.0, 2.0]]]))


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_the_last_state_reads_out_as_the_model_answers(folders: dict[str, Path], kind: str) -> None:
    lm = load(folders[kind])
    batch = collate(lm.template.encode_all(RECORDS))
    states, logits = answer_states(lm.module, batch)
    assert states.shape[:3] == (block_count(lm.module), *batch.index.shape)
    assert torch.allclose(logits, answer_forward(lm.module, batch).logits)
    read = read_out(lm.module, states[-1])
    assert torch.allclose(read[batch.mask], logits[batch.mask], atol=1e-5)
    lower = read_out(lm.module, states[0])
    assert not torch.allclose(lower[batch.mask], logits[batch.mask], atol=1e-3)
    assert torch.allclose(answer_forward(lm.module, batch).logits, logits)  # nothing is left behind


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_own_states_change_nothing_and_others_do(folders: dict[str, Path], kind: str) -> None:
    lm = load(folders[kind])
    batch = collate(lm.template.encode_all(RECORDS))
    states, logits = answer_states(lm.module, batch)
    for block in range(len(states)):
        for own, same in ((states[block], True), (states[block] + torch.randn_like(states[block]), False)):
            with change_block_outputs(lm.module, {block: lambda h, own=own: place_states(h, own, batch)}):
                patched = answer_forward(lm.module, batch).logits
            assert torch.allclose(patched[batch.mask], logits[batch.mask], atol=1e-5) is same
