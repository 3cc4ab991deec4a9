"""Soft prompt: do a few free embeddings before the question, trained on some facts, bring the others back?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attacked_groups import LARGE, attacked_groups
from expunge.audit.context import CheckProfile
from expunge.audit.forced_rates import Hits, hit_rates, hits_of, passes
from expunge.audit.scores import Values
from expunge.corpus import Record
from expunge.engine.sampling import batch_at
from expunge.models.collate import collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded
from expunge.random import stream

TOKENS = 4  # free embeddings
STEPS, STEPS_LARGE = 40, 15
BATCH, BATCH_LARGE = 32, 8
STEP = 0.2  # of an entry in the first step, in standard deviations of the model's embeddings; falls to 0
CONTROLS = 8  # controls, each with embeddings of its own
PROFILE = CheckProfile(
    title="Soft prompt: four free embeddings trained on half of the facts do not bring back the other half",
    family="white_box",
    preset="full",
    control="the retrained model with embeddings of its own, else 8 matched controls, each with its own",
    cost="2 trainings of four embeddings by 40 steps (15 of a large model), for every model and control",
    limits="More embeddings, more steps, or embeddings at every block are stronger attacks.",
    source="Schwinn et al. 2024 (arXiv 2402.09063), soft prompt threats",
)


def halves(records: Sequence[Record], seed: int) -> tuple[list[int], list[int]]:
    """Places of the records of each half of the facts, drawn; a record that states facts of both halves is in neither.

    With one fact the second half is empty.
    """
    facts = sorted({fact for r in records for fact in r.fact_keys})
    order = [facts[int(k)] for k in stream(seed, "soft prompt").permutation(len(facts))]
    first, second = set(order[: -(-len(order) // 2)]), set(order[-(-len(order) // 2) :])
    return (
        [k for k, r in enumerate(records) if set(r.fact_keys) <= first],
        [k for k, r in enumerate(records) if set(r.fact_keys) <= second],
    )


def with_places(item: Encoded, count: int) -> Encoded:
    """The item with `count` tokens before its prompt, whose embeddings are to be replaced."""
    return replace(item, prompt=(item.prompt[0],) * count + item.prompt)


@contextmanager
def first_embeddings(module: Any, vectors: Tensor) -> Iterator[None]:
    """Inside, the first tokens of every row have these embeddings [m, H]."""

    def change(_: Any, __: Any, output: Tensor) -> Tensor:
        rows = vectors.to(output.dtype).expand(output.shape[0], -1, -1)
        return torch.cat([rows, output[:, len(vectors) :]], 1)

    with module.get_input_embeddings().register_forward_hook(change):
        yield


def trained_embeddings(lm: LanguageModel, items: Sequence[Encoded], steps: int, batch: int, seed: int) -> Tensor:
    """Embeddings [m, H] after sign steps on the loss of the answers of `items`, which have places for them."""
    table = lm.module.get_input_embeddings()
    ids = stream(seed, "soft prompt start").integers(0, table.weight.shape[0], size=64)
    with torch.no_grad():
        sample = table(torch.as_tensor(ids, device=lm.device).unsqueeze(0))[0].float()
    scale, vectors = float(sample.std()), sample[:TOKENS].clone().requires_grad_(True)
    for step in range(steps):
        part = collate([items[k] for k in batch_at(step, batch, len(items), seed, "soft prompt")]).to(lm.device)
        with first_embeddings(lm.module, vectors):
            logits = answer_forward(lm.module, part).logits
        loss = torch.nn.functional.cross_entropy(logits[part.mask], part.labels[part.mask])
        (gradient,) = torch.autograd.grad(loss, vectors)
        with torch.no_grad():
            vectors -= STEP * scale * (1 - step / steps) * gradient.sign()
    result: Tensor = vectors.detach()
    return result


@contextmanager
def frozen(module: Any) -> Iterator[None]:
    """Inside, no parameter needs a gradient."""
    flags = [(p, p.requires_grad) for p in module.parameters()]
    module.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


@torch.no_grad()
def rates_behind(lm: LanguageModel, items: Sequence[Encoded], records: Sequence[Record], vectors: Tensor) -> Values:
    """Rates [N] of records whose items have places for these embeddings."""
    hits: list[Hits] = [np.zeros(0, dtype=bool)] * len(items)
    for part, batch in passes(lm, items):
        with first_embeddings(lm.module, vectors):
            logits = answer_forward(lm.module, batch).logits
        for k, row in zip(part, hits_of(logits, batch), strict=True):
            hits[k] = row
    return hit_rates(hits, items, records)


@attack("soft_prompt", cost=16.0, profile=PROFILE, min_controls=CONTROLS, applies=lambda record: record.image is None)
def soft_prompt(case: AttackCase) -> AttackOutcome:
    """True answers behind four free embeddings that were trained on the true answers to other facts of the target.

    The facts are halved; embeddings that are trained on one half are tried on the other, and the reverse. What they
    teach a model about a person whom it never met does not answer the other half; what they switch on again does
    (Schwinn et al. 2024). Without a retrained model each of 8 matched controls is attacked alone in the same way.
    """
    lm = case.lm
    lm.module.eval()
    large = lm.parameters > LARGE
    steps, batch = (STEPS_LARGE, BATCH_LARGE) if large else (STEPS, BATCH)
    rates = np.full(len(case.records), np.nan)
    with frozen(lm.module):
        for group in attacked_groups(case, CONTROLS):
            records = [case.records[k] for k in group]
            items = [with_places(item, TOKENS) for item in lm.template.encode_all(records)]
            fits = [item.length <= lm.context for item in items]
            parts = [[k for k in half if fits[k]] for half in halves(records, case.seed)]
            for training, tested in (parts, parts[::-1]):
                if training and tested:
                    vectors = trained_embeddings(lm, [items[k] for k in training], steps, batch, case.seed)
                    own = rates_behind(lm, [items[k] for k in tested], [records[k] for k in tested], vectors)
                    rates[[group[k] for k in tested]] = own
    return AttackOutcome({"other half": rates} if np.isfinite(rates).any() else {})
