"""Token saliency from attention: how much of a token's reading is spent on the words that lie before its answer.

For every answer token: the attention that the position which predicts it pays to the prompt, its first position left
out (models park unused attention there), mean over heads and blocks, before the run. Averaged per vocabulary id over
forget and over retained rows, it stands in for the gradients of eq. 13. Our reading: the paper names attention as an
alternative and gives no formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.gradients.saliency import Side, TokenSaliency
from expunge.models.adapters import adapter_off
from expunge.models.collate import by_length, collate
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded

ROWS = 64


@torch.no_grad()
def attention_saliency(lm: LanguageModel, sides: dict[Side, Sequence[Encoded]]) -> TokenSaliency:
    """Saliency of both sides, measured once on the model before the run."""
    found = TokenSaliency(lm.module.get_output_embeddings().weight.shape[0])
    module: Any = lm.module
    before = module.config._attn_implementation
    module.set_attn_implementation("eager")  # others do not say where they look
    try:
        with adapter_off(module):
            for side, items in sides.items():
                seen = [_paid(lm, [items[k] for k in part]) for part in by_length(items, ROWS)]
                if seen:
                    found.observe(side, torch.cat([ids for ids, _ in seen]), torch.cat([paid for _, paid in seen]))
    finally:
        module.set_attn_implementation(before)
    return found


def _paid(lm: LanguageModel, items: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
    """Ids of all answer tokens of a batch and the attention paid to their prompts, both [n]."""
    batch = collate(list(items)).to(lm.device)
    module: Any = lm.module
    maps = module(**batch.inputs, use_cache=False, output_attentions=True).attentions
    mean = torch.stack([m.float().mean(1) for m in maps]).mean(0)  # [B, T, T]
    inside = torch.zeros(mean.shape[0], mean.shape[2], device=mean.device)
    for row, item in enumerate(items):
        inside[row, 1 : len(item.prompt)] = 1
    paid = (mean * inside[:, None, :]).sum(-1).gather(1, batch.index)
    return batch.labels[batch.mask], paid[batch.mask]
