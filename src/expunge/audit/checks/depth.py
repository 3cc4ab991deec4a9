"""Unlearning depth: how many blocks forgot, by activation patching into the original model.

A block has forgotten where its states do no more for the answer than states about somebody whom the model never met.
States of a retrained model are no such measure while its blocks speak another language than the original's: states of
any other model take the answer away. Among strangers some have a true answer by chance, so each stranger is measured
as well, against the others, and the target may stand where the worst of them does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.context import CheckProfile
from expunge.audit.forced_rates import passes
from expunge.audit.scores import Values
from expunge.corpus import Record
from expunge.corpus.surrogates import can_ask_about_another, make_surrogates
from expunge.models.collate import Batch, collate
from expunge.models.forward import answer_forward, answer_logprob
from expunge.models.language_model import LanguageModel
from expunge.models.residual_stream import answer_states, block_count, change_block_outputs, place_states, spread_blocks
from expunge.scope.split import Split

BLOCKS = 8  # blocks that are patched, at most
STRANGERS = 6  # people who do not exist, whose states each record is measured against
LEAST_DROP = 0.05  # of probability, by states about strangers; blocks below it did not hold the fact
MARGIN = 0.10
PROFILE = CheckProfile(
    title="Unlearning depth: the hidden states of the answers are as those about somebody unknown",
    family="white_box",
    preset="default",
    control="the worst of the retrained model and of 6 strangers, by the same measure; zero is what the original's own "
    "states about strangers do, or the retrained model's, where a record can be asked about nobody else; without a "
    "retrained model it does not apply",
    cost="8 passes through the original model for each of 8 blocks, and one more load of both other models",
    limits="States at answer positions alone are exchanged; knowledge at positions of the question stays unseen. "
    "States of a model that was trained anew, or moved far, do nothing in the original and count as forgotten.",
    source="after the unlearning depth score (activation patching), with another zero",
)


def remaining(original: Values, patched: Values, unknown: Values, least: float = LEAST_DROP) -> Values:
    """Share of each fact that is left, [N] in 0..1: 0 as for somebody unknown, 1 as in the original.

    Blocks count by the drop that states about somebody unknown cause, if it is at least `least`. Original .9, behind
    two blocks .4 and .9 with states of the unlearned model and .1 and .88 with those about strangers: only the first
    block counts, and (.9 - .4) of (.9 - .1) is gone, which leaves .375.

    Args:
        original: Probability of each answer, [N].
        patched: The same with states of the unlearned model at each block, [blocks, N].
        unknown: The same with states about somebody unknown, [blocks, N].
        least: Smallest drop of a block that counts.

    Returns:
        NaN for a record whose answer no block's states about somebody unknown take away.
    """
    full, own = original - unknown, original - patched
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


@dataclass(frozen=True)
class Patching:
    """The original model, which answers questions with states from elsewhere.

    Attributes:
        lm: The original model.
        passes: (positions of records, their batch).
        blocks: Blocks whose states are exchanged, each alone.
    """

    lm: LanguageModel
    passes: Sequence[tuple[list[int], Batch]]
    blocks: Sequence[int]

    @torch.no_grad()
    def plain(self) -> Values:
        """`answer_probability` of each record as it is, [N]."""
        self.lm.module.eval()
        values = np.zeros(sum(len(part) for part, _ in self.passes))
        for part, batch in self.passes:
            logits = answer_forward(self.lm.module, batch).logits
            values[part] = answer_probability(logits, batch).double().cpu().numpy()
        return values

    @torch.no_grad()
    def patched(self, states: Sequence[Tensor]) -> Values:
        """The same with the states of each pass in the place of those of each block in turn, [blocks, N]."""
        self.lm.module.eval()
        values = np.zeros((len(self.blocks), sum(len(part) for part, _ in self.passes)))
        for (part, batch), of_pass in zip(self.passes, states, strict=True):
            for row, (block, own) in enumerate(zip(self.blocks, of_pass, strict=True)):
                place = partial(place_states, states=own, batch=batch)
                with change_block_outputs(self.lm.module, {block: place}):
                    logits = answer_forward(self.lm.module, batch).logits
                values[row, part] = answer_probability(logits, batch).double().cpu().numpy()
        return values


def stranger_questions(records: Sequence[Record], split: Split, seed: int) -> list[list[Record | None]]:
    """The records' questions [N] about each of `STRANGERS` strangers; None where one can be asked about nobody else."""
    lists: list[list[Record | None]] = [[None] * len(records) for _ in range(STRANGERS)]
    for subject in sorted({r.subject for r in records}):
        own = [k for k, r in enumerate(records) if r.subject == subject and can_ask_about_another(r)]
        if own:
            strangers = make_surrogates([records[k] for k in own], split.retain, STRANGERS, seed)
            for questions, stranger in zip(lists, strangers, strict=False):
                for k in own:
                    question = stranger.substitute(records[k])
                    questions[k] = question if question != records[k] else None
    return lists


def stranger_probability(patching: Patching, records: Sequence[Record], split: Split, seed: int) -> Values:
    """Probability of each answer with the original model's own states about each stranger, [strangers, blocks, N].

    NaN for a record that can be asked about nobody else, or whose question about a stranger does not fit.
    """
    lm = patching.lm
    items = lm.template.encode_all(records)
    values = []
    for questions in stranger_questions(records, split, seed):
        stranger_items = lm.template.encode_all([q or r for q, r in zip(questions, records, strict=True)])
        fits = np.array(
            [
                q is not None and there.length <= lm.context and len(there.answer) == len(here.answer)
                for q, there, here in zip(questions, stranger_items, items, strict=True)
            ]
        )
        rows = [there if fit else here for fit, there, here in zip(fits, stranger_items, items, strict=True)]
        batches = [collate([rows[k] for k in part]).to(lm.device) for part, _ in patching.passes]
        patched = patching.patched(states_by_pass(lm, batches, patching.blocks))
        values.append(np.where(fits, patched, np.nan))
    return np.stack(values)


def mean_of_known(values: Values) -> Values:
    """Mean over the first axis of what is no NaN; NaN where nothing else is: (.2, NaN, .4) gives .3."""
    known = np.isfinite(values)
    return np.where(known.any(0), np.where(known, values, 0.0).sum(0) / np.maximum(known.sum(0), 1), np.nan)


@attack("depth", cost=8.0, profile=PROFILE, margin=MARGIN, needs_retrained=True, calibrated=True)
def depth(case: AttackCase) -> AttackOutcome:
    """How much of a fact the original model still gives when its states at the answer are the unlearned model's.

    Block by block, the hidden states that predict the answer are put into the original model. Where it then gives the
    answer, the unlearned model still had it at that block. A rate is 1 less the unlearning depth score: 0 where the
    states do no more than the original's own about strangers, 1 where they do as the original's about the target.
    Beside the retrained model stand strangers, each measured against the others. The curve shows the probability of
    the answer behind each block.
    """
    if case.role == "original":
        return AttackOutcome({"states": np.ones(len(case.records))})
    blocks = spread_blocks(block_count(case.lm.module), BLOCKS)
    parts = list(passes(case.lm, case.lm.template.encode_all(case.records)))
    batches = [batch for _, batch in parts]
    states = states_by_pass(case.lm, batches, blocks)
    patching = Patching(case.reload("original"), parts, blocks)
    patched = patching.patched(states)
    by_stranger = stranger_probability(patching, case.records, case.split, case.seed)
    unknown, plain = mean_of_known(by_stranger), patching.plain()
    if np.isnan(unknown).any():
        theirs = states if case.role == "retrained" else states_by_pass(case.reload("retrained"), batches, blocks)
        unknown = np.where(np.isnan(unknown), patching.patched(theirs), unknown)
    rates = {"states": remaining(plain, patched, unknown)}
    if case.role == "retrained":
        for number, own in enumerate(by_stranger):
            others = mean_of_known(np.delete(by_stranger, number, axis=0))
            rates[f"stranger {number + 1}"] = remaining(plain, own, others)
    rates = {form: rest for form, rest in rates.items() if np.isfinite(rest).any()}
    if "states" not in rates:
        return AttackOutcome({})
    curve = [(float(block + 1), float(p)) for block, p in zip(blocks, patched.mean(1), strict=True)]
    return AttackOutcome(rates, "block (probability of the answer with its states)", curve)
