"""Unlearning depth: how many blocks forgot, by activation patching into the original model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.context import CheckProfile
from expunge.audit.forced_rates import passes
from expunge.audit.scores import Values
from expunge.models.collate import Batch
from expunge.models.forward import answer_forward, answer_logprob
from expunge.models.language_model import LanguageModel
from expunge.models.residual_stream import answer_states, block_count, change_block_outputs, place_states, spread_blocks

BLOCKS = 8  # blocks that are patched, at most
LEAST_DROP = 0.05  # of probability, by states of the retrained model; blocks below it did not hold the fact
MARGIN = 0.10
PROFILE = CheckProfile(
    title="Unlearning depth: the hidden states of the answers are as in the retrained model",
    family="white_box",
    preset="default",
    control="the retrained model, whose states count as forgotten; without one it does not apply",
    cost="2 passes through the original model for each of 8 blocks, and one more load of both other models",
    limits="States at answer positions alone are exchanged; knowledge at positions of the question stays unseen.",
    source="after the unlearning depth score (activation patching against a retrained model)",
)


def remaining(original: Values, patched: Values, retrained: Values, least: float = LEAST_DROP) -> Values:
    """Share of each fact that is left, [N] in 0..1: 0 as in the retrained model, 1 as in the original.

    Blocks count by the drop that the retrained model's states cause, if it is at least `least`. Original .9, behind
    two blocks .4 and .9 with states of the unlearned model and .1 and .88 with those of the retrained one: only the
    first block counts, and (.9 - .4) of (.9 - .1) is gone, which leaves .375.

    Args:
        original: Probability of each answer, [N].
        patched: The same with states of the unlearned model at each block, [blocks, N].
        retrained: The same with states of the retrained model, [blocks, N].
        least: Smallest drop of a block that counts.

    Returns:
        NaN for a record whose answer no block of the retrained model takes away.
    """
    full, own = original - retrained, original - patched
    counts = full >= least
    total = np.where(counts, full, 0.0).sum(0)
    gone = np.where(counts, own, 0.0).sum(0)
    rest = 1 - gone / np.where(total > 0, total, 1.0)
    return np.where(total > 0, np.clip(rest, 0.0, 1.0), np.nan)


def answer_probability(logits: Tensor, batch: Batch) -> Tensor:
    """Geometric mean of the probabilities of the answer tokens, [B].

    Log-probabilities of unknown answers differ by nats among models that never knew them; probabilities do not.
    """
    return (answer_logprob(logits, batch).sum(-1) / batch.mask.sum(-1)).exp()


@torch.no_grad()
def states_by_pass(lm: LanguageModel, batches: Sequence[Batch], blocks: Sequence[int]) -> list[Tensor]:
    """States [blocks, B, A, H] of each batch."""
    lm.module.eval()
    return [answer_states(lm.module, batch.to(lm.device))[0][list(blocks)] for batch in batches]


@torch.no_grad()
def patched_probability(
    lm: LanguageModel, batches: Sequence[Batch], blocks: Sequence[int], states: Sequence[Tensor]
) -> list[Tensor]:
    """`answer_probability` with these states in place of those of each block in turn, [blocks, B] of each batch."""
    probabilities = []
    for batch, of_batch in zip(batches, states, strict=True):
        rows = []
        for block, own in zip(blocks, of_batch, strict=True):
            place = partial(place_states, states=own, batch=batch)
            with change_block_outputs(lm.module, {block: place}):
                rows.append(answer_probability(answer_forward(lm.module, batch).logits, batch))
        probabilities.append(torch.stack(rows))
    return probabilities


@attack("depth", cost=4.0, profile=PROFILE, margin=MARGIN, needs_retrained=True, calibrated=True)
def depth(case: AttackCase) -> AttackOutcome:
    """How much of a fact the original model still gives when its states at the answer are the unlearned model's.

    Block by block, the hidden states that predict the answer are put into the original model. Where it then gives the
    answer, the unlearned model still had it at that block. A rate is 1 less the unlearning depth score: 0 where the
    states do as those of the retrained model do, 1 where they do as the original's own. The curve shows the
    probability of the answer behind each block.
    """
    if case.role == "retrained":
        return AttackOutcome({"states": np.zeros(len(case.records))})
    if case.role == "original":
        return AttackOutcome({"states": np.ones(len(case.records))})
    parts = list(passes(case.lm, case.lm.template.encode_all(case.records)))
    batches, blocks = [batch for _, batch in parts], spread_blocks(block_count(case.lm.module), BLOCKS)
    ours = states_by_pass(case.lm, batches, blocks)
    theirs = states_by_pass(case.reload("retrained"), batches, blocks)
    original = case.reload("original")
    original.module.eval()
    values = {name: np.zeros((len(blocks), len(case.records))) for name in ("ours", "theirs", "plain")}
    patched = {name: patched_probability(original, batches, blocks, of) for name, of in
               (("ours", ours), ("theirs", theirs))}  # fmt: skip
    for number, (part, batch) in enumerate(parts):
        with torch.no_grad():
            plain = answer_probability(answer_forward(original.module, batch).logits, batch)
        values["plain"][:, part] = plain.double().cpu().numpy()
        for name, of in patched.items():
            values[name][:, part] = of[number].double().cpu().numpy()
    rest = remaining(values["plain"], values["ours"], values["theirs"])
    if not np.isfinite(rest).any():
        return AttackOutcome({})
    curve = [(float(block + 1), float(p)) for block, p in zip(blocks, values["ours"].mean(1), strict=True)]
    return AttackOutcome({"states": rest}, "block (probability of the answer with its states)", curve)
