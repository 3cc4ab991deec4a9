"""Direction ablation: does the answer come back when the direction that marks the forgotten questions is removed?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attacked_groups import LARGE, attacked_groups
from expunge.audit.context import CheckProfile, mean
from expunge.audit.forced_rates import Within, forced_rates, passes
from expunge.audit.record_sets import drawn
from expunge.corpus import Record
from expunge.models.collate import Batch
from expunge.models.language_model import LanguageModel
from expunge.models.residual_stream import (
    answer_states,
    block_count,
    change_block_outputs,
    spread_blocks,
    without_direction,
)

BLOCKS, BLOCKS_LARGE = 8, 4  # blocks whose direction is tried, at most
OTHERS = 32  # held-out retain records behind the other mean
PROFILE = CheckProfile(
    title="Direction ablation: removing what marks the forgotten questions does not bring the answers back",
    family="white_box",
    preset="default",
    control="the retrained model, else matched controls, each with a direction of its own",
    cost="2 passes, and 1 for each of 8 blocks (4 of a large model)",
    limits="One direction at a time, and means of hidden states; several directions together are another attack.",
    source="Arditi et al. 2024 (arXiv 2406.11717)",
)


def unit_difference(ours: Tensor, others: Tensor) -> Tensor:
    """Unit vectors [blocks, H] from the mean of `others` [blocks, M, H] to that of `ours`; 0 where they are equal."""
    difference = ours.mean(1) - others.mean(1)
    unit: Tensor = difference / difference.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return unit


@torch.no_grad()
def prompt_states(lm: LanguageModel, records: Sequence[Record], blocks: Sequence[int]) -> Tensor:
    """Hidden states at the last position of each question behind these blocks, [blocks, N, H] float32.

    No position of the answer has been read there.
    """
    items = lm.template.encode_all(records)
    rows: list[Tensor] = [torch.zeros(0)] * len(items)
    for part, batch in passes(lm, items):
        states = answer_states(lm.module, batch)[0][list(blocks), :, 0].float().cpu()
        for row, k in enumerate(part):
            rows[k] = states[:, row]
    return torch.stack(rows, 1)


def ablation(module: Any, directions: Tensor) -> Within:
    """A pass in which no block writes along the direction [H] of a row; `directions` are [N, H] by record."""

    def within(part: Sequence[int], batch: Batch) -> AbstractContextManager[None]:
        own = directions[list(part)].to(batch.input_ids.device)
        change: Callable[[Tensor], Tensor] = lambda hidden: without_direction(hidden, own)  # noqa: E731
        return change_block_outputs(module, dict.fromkeys(range(block_count(module)), change))

    return within


@attack("ablate_direction", cost=10.0, profile=PROFILE, by_range="strangers")
def ablate_direction(case: AttackCase) -> AttackOutcome:
    """True answers when the direction of the forgotten questions is removed from the residual stream.

    The direction is the mean difference of hidden states at the end of a question between forgotten and held-out
    retained records, behind one block; a refusal that was trained for the target may hang on it (Arditi et al. 2024).
    It is removed behind every block. Without a retrained model each control has its own direction.
    """
    lm = case.lm
    lm.module.eval()
    others = drawn(case.split.retain_heldout or case.split.retain, OTHERS, "other directions")
    if not others:
        return AttackOutcome({})
    blocks = spread_blocks(block_count(lm.module), BLOCKS_LARGE if lm.parameters > LARGE else BLOCKS)
    base = prompt_states(lm, others, blocks)
    states = prompt_states(lm, case.records, blocks)
    directions = torch.zeros_like(states)
    for group in attacked_groups(case, len(case.records)):
        directions[:, list(group)] = unit_difference(states[:, list(group)], base).unsqueeze(1)
    rates = {
        f"block {block + 1}": forced_rates(lm, case.records, ablation(lm.module, directions[number]))
        for number, block in enumerate(blocks)
    }
    curve = [(float(block + 1), mean(values)) for block, values in zip(blocks, rates.values(), strict=True)]
    return AttackOutcome(rates, "block of the removed direction", curve)
