"""Targets of the `twin` method: what the original model says when asked about somebody it never met.

For each subject: make candidate identities, keep the one on whose questions the subject's true answers look most
like other people's answers do (the original model echoes what it knows of similar names), then cache the
teacher's distributions and draw each fact's floor. Everything runs once, on the model before the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from expunge.corpus import Record
from expunge.corpus.identities import Identity, identifiers_by_subject, make_identities, replace_all
from expunge.engine.order import stream
from expunge.engine.reference import adapter_off
from expunge.engine.rows import ForgetRow, WrongAnswers
from expunge.errors import InputError
from expunge.methods.twin import Twin
from expunge.models.batches import by_length, collate
from expunge.models.forward import answer_forward, answer_logprob, greedy
from expunge.models.language_model import LanguageModel
from expunge.models.template import Encoded

NULL_ANSWERS = 4  # other people's answers per fact in the null distribution


@dataclass(frozen=True)
class Asked:
    """Mean NLL per answer token (nats) and whether the greedy answer equals it, for a list of questions."""

    nll: np.ndarray  # [N]
    hit: np.ndarray  # [N] bool


@torch.no_grad()
def ask(lm: LanguageModel, items: Sequence[Encoded], rows: int = 256) -> Asked:
    """Score `items` on the model as it was before the run."""
    nll, hit = np.zeros(len(items)), np.zeros(len(items), dtype=bool)
    with adapter_off(lm.module):
        for part in by_length(items, rows):
            batch = collate([items[k] for k in part]).to(lm.device)
            logits = answer_forward(lm.module, batch).logits
            mean = -answer_logprob(logits, batch).sum(-1) / batch.mask.sum(-1)
            nll[part] = mean.cpu().numpy()
            hit[part] = (((logits.argmax(-1) == batch.labels) | ~batch.mask).all(-1)).cpu().numpy()
    return Asked(nll, hit)


def asked_of(record: Record, identity: Identity, answer: str | None = None) -> Record:
    """The record's question about the twin, with its own or another answer."""
    return replace(record, prompt=replace_all(record.prompt, identity), answer=answer or record.answer)


def mismatch(gold: Asked, null: Asked, kinds: Sequence[str], null_kinds: Sequence[str]) -> float:
    """How unlike other people's answers the true ones look on a candidate's questions; 0 is best.

    |difference of mean NLL| in nats, plus per kind of question the difference of exact-match rates, an excess of
    the true answers counting four times.
    """
    total = abs(float(gold.nll.mean() - null.nll.mean()))
    for kind in sorted(set(kinds)):
        here = np.array([k == kind for k in kinds])
        there = np.array([k == kind for k in null_kinds])
        excess = float(gold.hit[here].mean() - (null.hit[there].mean() if there.any() else 0.0))
        total += 4 * max(excess, 0.0) + max(-excess, 0.0)
    return total


def draw_floor(null: np.ndarray, least: float, rng: np.random.Generator) -> float:
    """One value of the null distribution [K] in nats; values under `least` are drawn again, or its median taken."""
    allowed = null[null >= least]
    return float(rng.choice(allowed)) if len(allowed) else max(least, float(np.median(null)))


def twin_rows(lm: LanguageModel, forget: Sequence[Record], others: Sequence[Record], method: Twin,
              seed: int) -> list[ForgetRow]:
    """The forget rows of a `twin` run: each gold answer, and the teacher's own answer where it differs.

    others   records of other subjects that the method may see (the retain set)
    InputError where a record names no identifiers.
    """
    nameless = next((r for r in forget if not r.identifiers), None)
    if nameless is not None:
        raise InputError(f'record "{nameless.id}"', "names no identifiers of its subject, and twin replaces them",
                         "add the column identifiers, or use the recipe simnpo")
    pool = identifiers_by_subject(others)
    mine = identifiers_by_subject(forget)
    wrong = WrongAnswers(forget, others, seed)
    rows: list[ForgetRow] = []
    for subject, identifiers in sorted(mine.items()):
        records = [r for r in forget if r.subject == subject]
        identities = make_identities(identifiers, {s: i for s, i in pool.items() if s != subject}, method.candidates,
                                     stream(seed, "identities", subject))
        nulls = [(r, r2) for r in records for k in range(NULL_ANSWERS) for r2 in (wrong.draw(r, -1 - k),)]
        best: tuple[float, Identity, Asked] | None = None
        for identity in identities:
            gold = ask(lm, _encode(lm, [asked_of(r, identity) for r in records]))
            null = ask(lm, _encode(lm, [asked_of(r, identity, r2.answer) for r, r2 in nulls]))
            score = mismatch(gold, null, [r.kind for r in records], [r.kind for r, _ in nulls])
            if best is None or score < best[0]:
                best = (score, identity, null)
        assert best is not None
        rows += _targets(lm, records, best[1], best[2], method, seed)
    return rows


def _encode(lm: LanguageModel, records: Sequence[Record]) -> list[Encoded]:
    return lm.template.encode_all(records)


def _targets(lm: LanguageModel, records: Sequence[Record], identity: Identity, null: Asked, method: Twin,
             seed: int) -> list[ForgetRow]:
    """Gold and own rows of one subject with the teacher's distributions, asked about `identity`."""
    asked = [asked_of(r, identity) for r in records]
    eos = lm.template.eos
    with adapter_off(lm.module):
        own = greedy(lm.module, [lm.template.prompt_ids(r.prompt) for r in asked], eos,
                     max(len(lm.template.answer_ids(r.answer, r.prompt)) for r in records) + 4)
    questions: list[Encoded] = []
    real: list[ForgetRow] = []
    for k, (record, twin) in enumerate(zip(records, asked, strict=True)):
        item, asked_item = lm.template.encode(record), lm.template.encode(twin)
        per_fact = null.nll[k * NULL_ANSWERS : (k + 1) * NULL_ANSWERS]
        least = 0.0 if record.options else method.least_floor
        floor = draw_floor(per_fact, least, stream(seed, "floor", record.id))
        real.append(ForgetRow(item, record.concept, floor=floor))
        questions.append(asked_item)
        answer = tuple(own[k]) if own[k] and own[k][-1] == eos else (*own[k], eos)
        if method.own_answer and answer != item.answer and len(item.prompt) + len(answer) <= lm.context:
            real.append(ForgetRow(Encoded(f"{item.id}~own", item.prompt, answer), record.concept, is_gold=False))
            questions.append(Encoded(f"{item.id}~own", asked_item.prompt, answer))
    return [replace(row, teacher=t) for row, t in zip(real, teacher_logprobs(lm, questions), strict=True)]


@torch.no_grad()
def teacher_logprobs(lm: LanguageModel, items: Sequence[Encoded], rows: int = 128) -> list[Any]:
    """Log-probs over the vocabulary at answer positions, one [a, V] tensor per item, adapter off."""
    found: list[Any] = [None] * len(items)
    with adapter_off(lm.module):
        for part in by_length(items, rows):
            batch = collate([items[k] for k in part]).to(lm.device)
            log_p = answer_forward(lm.module, batch).logits.log_softmax(-1)
            for row, k in enumerate(part):
                found[k] = log_p[row, : len(items[k].answer)].clone()
    return found
