"""Token saliency from attention: how much the position that predicts an answer token attends to the prompt.

Measured before the run, as the mean over heads and blocks. The first position is left out, where models park unused
attention. Averaged per vocabulary id over forget and over retain rows, it replaces the gradients of eq. 13. This is our
reading: the paper names attention as an alternative and gives no formula.
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
    saliency = TokenSaliency(lm.module.get_output_embeddings().weight.shape[0])
    module: Any = lm.module
    before = module.config._attn_implementation
    module.set_attn_implementation("eager")  # other implementations return no attention maps
    try:
        with adapter_off(module):
            for side, items in sides.items():
                parts = [_prompt_attention(lm, [items[k] for k in part]) for part in by_length(items, ROWS)]
                if parts:
                    saliency.observe(side, torch.cat([ids for ids, _ in parts]), torch.cat([a for _, a in parts]))
    finally:
        module.set_attn_implementation(before)
    return saliency


def _prompt_attention(lm: LanguageModel, items: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
    """Ids of all answer tokens of a batch, and their attention to the prompt, both [n]."""
    batch = collate(list(items)).to(lm.device)
    module: Any = lm.module
    maps = module(**batch.inputs, use_cache=False, output_attentions=True).attentions
    mean = torch.stack([m.float().mean(1) for m in maps]).mean(0)  # [B, T, T]
    prompt = torch.zeros(mean.shape[0], mean.shape[2], device=mean.device)
    for row, item in enumerate(items):
        prompt[row, 1 : len(item.prompt)] = 1
    attention = (mean * prompt[:, None, :]).sum(-1).gather(1, batch.index)
    return batch.labels[batch.mask], attention[batch.mask]
