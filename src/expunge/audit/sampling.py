"""Samples of a model at temperature 1. A sample depends on its key and the seed, not on what is drawn beside it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from expunge.models.collate import pad_ids
from expunge.models.forward import cache_argument, context_length, hook_head_input, takes
from expunge.models.language_model import LanguageModel
from expunge.random import stream

ROWS = 64  # prompts that are continued together


@torch.no_grad()
def sample(
    lm: LanguageModel, prompts: Sequence[tuple[int, ...]], keys: Sequence[str], new_tokens: int, seed: int
) -> list[list[int]]:
    """A continuation of each prompt, drawn at temperature 1 from the whole vocabulary.

    Args:
        lm: The model.
        prompts: Token ids; several equal ones give several samples.
        keys: What each draw is for; equal keys draw alike.
        new_tokens: Most tokens of a continuation, which ends with the first end token.
        seed: Of all draws.
    """
    lm.module.eval()
    order = sorted(range(len(prompts)), key=lambda k: (-len(prompts[k]), k))
    done: list[list[int]] = [[] for _ in prompts]
    padded = takes(lm.module, "position_ids")
    while order:
        part = [k for k in order[:ROWS] if padded or len(prompts[k]) == len(prompts[order[0]])]
        order = order[len(part) :]
        room = min(new_tokens, context_length(lm.module) - max(len(prompts[k]) for k in part))
        if room > 0:
            chance = torch.from_numpy(np.stack([stream(seed, "sample", keys[k]).random(room) for k in part]))
            rows = _continue(lm, [prompts[k] for k in part], lm.template.stops, chance, padded)
            for k, ids in zip(part, rows, strict=True):
                done[k] = ids
    return done


def drawn_token(logits: Tensor, chance: Tensor) -> Tensor:
    """The token [B] that a number in [0, 1) [B] falls on when the probabilities of [B, V] are laid end to end."""
    cumulative = logits.double().softmax(-1).cumsum(-1)
    place = torch.searchsorted(cumulative, (chance * cumulative[:, -1]).unsqueeze(-1), right=True).squeeze(-1)
    return place.clamp(max=logits.shape[-1] - 1)


def _continue(
    lm: LanguageModel, prompts: Sequence[tuple[int, ...]], stops: Collection[int], chance: Tensor, padded: bool
) -> list[list[int]]:
    device = lm.device
    ids, mask = (x.to(device) for x in pad_ids(list(prompts), left=True))
    chance, ends = chance.to(device), torch.tensor(sorted(stops), device=device)
    position, cache = (mask.cumsum(-1) - 1).clamp(min=0), None
    rows: list[list[int]] = [[] for _ in prompts]
    alive = torch.ones(len(prompts), dtype=torch.bool, device=device)
    for step in range(chance.shape[1]):
        more = {**cache_argument(lm.module, cache), **({"position_ids": position} if padded else {})}
        with hook_head_input(lm.module, lambda hidden: hidden[:, -1:]):
            output = lm.module(input_ids=ids, attention_mask=mask, use_cache=True, **more)
        ids = drawn_token(output.logits[:, -1].float(), chance[:, step]).unsqueeze(-1)
        for b in alive.nonzero().flatten().tolist():
            rows[b].append(int(ids[b]))
        alive &= ~torch.isin(ids.squeeze(-1), ends)
        if not alive.any():
            break
        cache, position = output.past_key_values, position[:, -1:] + 1
        mask = torch.cat([mask, torch.ones_like(ids)], -1)
    return rows
