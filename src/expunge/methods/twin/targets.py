"""Rows, teacher distributions and floors of a `twin` run, built once on the model before the run.

For each subject: invent surrogates, ask the original model the subject's questions about each of them, and draw for
every question how unlikely a model that never met the subject would find the true answer (`null_distribution.py`). A
subject, or each fact, takes the surrogate whose true answers come closest to these draws. Its true answers then end up
as likely as other people's are: neither leaked nor conspicuously avoided.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.corpus.surrogates import Surrogate, make_surrogates
from expunge.methods.examples import Example, ExampleKind, Generation, Inference, TargetCost, Targets
from expunge.methods.refusals import refusal
from expunge.methods.twin.config import TwinConfig
from expunge.methods.twin.fallback import fallback_rows, split_by_surrogate
from expunge.methods.twin.null_distribution import CandidateAnswers, NullDistribution
from expunge.methods.twin.refusing import certain, refuse_at_start
from expunge.methods.twin.rows import TwinRow, TwinTargets
from expunge.methods.twin.surrogates import nearest_candidates, share_candidate, typical_surrogate
from expunge.methods.twin.unknown_tokens import UnknownTokens
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import LOGPROB_BATCH, NLL_BATCH, Nats, answer_log_softmax, greedy_answers, mean_nll
from expunge.models.prompt_template import Encoded
from expunge.random import stream

EXTRA_TOKENS = 4  # a teacher's own answer may be longer than the longest true answer of its subject by so many


def build(
    lm: LanguageModel, forget: Sequence[Record], others: Sequence[Record], config: TwinConfig, seed: int
) -> TwinTargets:
    """Build the targets of a run: a gold row per record, and the teacher's own answer where it differs.

    Records that cannot be asked about a surrogate have a gold row without a teacher, and a refusal if the run refuses.

    Args:
        lm: The model before the run.
        forget: Records to forget.
        others: Records of other subjects that the method may see (the retain set).
        config: Settings.
        seed: Seed of all draws.
    """
    forget, alone = split_by_surrogate(forget)
    candidate_answers = CandidateAnswers(forget, others, seed)
    types = {answer_type(r) for r in others}
    masks = config.mask_unknown_tokens and any(answer_type(r) not in types for r in forget)
    unknown = UnknownTokens.of(lm, forget, others, seed) if masks else None
    rows: list[TwinRow] = []
    for subject in sorted({r.subject for r in forget}):
        records = [r for r in forget if r.subject == subject]
        surrogates = make_surrogates(records, others, config.candidates, seed, config.replace, config.scale)
        chosen, floors = _draw_floors(lm, records, surrogates, candidate_answers, config, seed)
        for masked in (False, True):
            part = [k for k, r in enumerate(records) if (masks and answer_type(r) not in types) == masked]
            if not part:
                continue
            pairs, low = [(records[k], surrogates[chosen[k]]) for k in part], floors[part]
            with unknown.masked(lm) if unknown and masked else nullcontext():
                if unknown and masked and unknown.partners:
                    low = mean_nll(lm, [surrogate.substitute(r) for r, surrogate in pairs])
                rows += _rows(lm, pairs, low, config, seed)
    return TwinTargets([*rows, *fallback_rows(lm, alone, config, seed)], config.least_floor, lm.device)


def _draw_floors(
    lm: LanguageModel,
    records: Sequence[Record],
    surrogates: Sequence[Surrogate],
    candidate_answers: CandidateAnswers,
    config: TwinConfig,
    seed: int,
) -> tuple[list[int], Nats]:
    """For the records of one subject: the surrogate of each, and its floor."""
    gold = np.stack([mean_nll(lm, [one.substitute(r) for r in records]) for one in surrogates])
    if config.floors == "surrogate":
        return typical_surrogate(gold, records, config.least_floor)
    answers = [candidate_answers.of(r, config.floors, stream(seed, "null", r.stream_key)) for r in records]
    nulls = _nulls(lm, records, surrogates[: config.null_candidates], answers)
    least = np.array([0.0 if r.options else config.least_floor for r in records])
    wanted = np.array(
        [
            null.draw(low, stream(seed, "floor", r.stream_key))
            for r, null, low in zip(records, nulls, least, strict=True)
        ]
    )
    chosen = nearest_candidates(gold, wanted, [r.fact_keys for r in records])
    if config.identity == "subject":
        shared = nearest_candidates(gold, wanted, [()] * len(records))
        chosen = share_candidate(gold, chosen, shared, records, config.least_floor)
    if not config.ceiling:  # what the teacher finds unlikelier than was drawn stays so
        least = np.maximum(least, gold[chosen, np.arange(len(records))])
    return chosen, rescale_floors(wanted, least, float(np.mean([null.nll.mean() for null in nulls])))


def _nulls(
    lm: LanguageModel, records: Sequence[Record], surrogates: Sequence[Surrogate], answers: Sequence[Sequence[str]]
) -> list[NullDistribution]:
    """For each record: the NLL of these answers in the place of the true one, over all surrogates."""
    cuts = np.cumsum([len(a) for a in answers])[:-1]
    nll = []
    for one in surrogates:
        questions = [one.substitute(r, a) for r, of_r in zip(records, answers, strict=True) for a in of_r]
        nll.append(np.split(mean_nll(lm, questions), cuts))
    return [NullDistribution(np.stack([of_surrogate[k] for of_surrogate in nll])) for k in range(len(records))]


def rescale_floors(wanted: Nats, least: Nats, mean: float) -> Nats:
    """Floors [N] of at least `least` [N] with the given mean: the part of `wanted` above `least`, times one factor.

    Draws under a least value were drawn again, and where the teacher finds the true answer unlikelier than was
    drawn, it stays so. Taken as they are, such floors would be higher on average than other people's losses.
    """
    above = np.maximum(wanted - least, 0.0)
    room = max(0.0, mean - float(least.mean()))
    return least + above * (room / float(above.mean()) if above.any() else 0.0)


def _rows(
    lm: LanguageModel, pairs: Sequence[tuple[Record, Surrogate]], floors: Nats, config: TwinConfig, seed: int
) -> list[TwinRow]:
    """Gold rows of one subject with its surrogate's own answers, or refusals, beside them."""
    substitutes = [surrogate.substitute(r) for r, surrogate in pairs]
    items, questions = lm.template.encode_all(r for r, _ in pairs), lm.template.encode_all(substitutes)
    own, kind = _own_answers(lm, pairs, substitutes, items, config, seed)
    rows: list[tuple[Example, Encoded, float, int]] = []
    for (record, _), item, question, floor, own_item in zip(pairs, items, questions, floors, own, strict=True):
        answer = own_item.answer
        rows.append((Example.of(record, item, "gold", 0), question, float(floor), answer[0]))
        fits = max(len(item.prompt), len(question.prompt)) + len(answer) <= lm.context
        if config.own_answer and answer != item.answer and fits:
            example = Example.of(record, replace(item, answer=answer, ends=own_item.ends), kind, 0)
            rows.append((example, replace(question, answer=answer, ends=own_item.ends), 0.0, answer[0]))
    teachers = answer_log_softmax(lm, [question for _, question, *_ in rows])
    return [
        TwinRow(example, question, _taught(teacher, example, question, floor, config, start), floor)
        for (example, question, floor, start), teacher in zip(rows, teachers, strict=True)
    ]


def _own_answers(
    lm: LanguageModel,
    pairs: Sequence[tuple[Record, Surrogate]],
    substitutes: Sequence[Record],
    items: Sequence[Encoded],
    config: TwinConfig,
    seed: int,
) -> tuple[list[Encoded], ExampleKind]:
    """What the model is to say instead: its answers about the surrogates, or refusals."""
    if config.say == "refuse":
        return lm.template.encode_all(replace(r, answer=refusal(r, seed), options=()) for r, _ in pairs), "substitute"
    return greedy_answers(lm, substitutes, max(len(item.answer) for item in items) + EXTRA_TOKENS), "own"


def _taught(
    teacher: Tensor, example: Example, question: Encoded, floor: float, config: TwinConfig, refusal_start: int
) -> Tensor:
    """What a row is taught, [a, V]."""
    if example.kind == "gold":
        corrected = _correct(teacher, question, floor, config)
        return refuse_at_start(corrected, refusal_start) if config.say == "refuse" else corrected
    if example.kind == "substitute":
        return certain(teacher, torch.tensor(question.answer, device=teacher.device))
    return teacher


def _correct(teacher: Tensor, question: Encoded, floor: float, config: TwinConfig) -> Tensor:
    """The teacher [a, V] with a true answer no likelier than its floor; the end token stays as it is."""
    labels = torch.tensor(question.content, device=teacher.device)
    exact = config.ceiling > 0 and floor >= config.least_floor
    answer, end = teacher[: len(labels)], teacher[len(labels) :]
    return torch.cat([correct_leakage(answer, labels, floor, exact=exact), end])


def correct_leakage(log_p: Tensor, labels: Tensor, floor: float, exact: bool = False) -> Tensor:
    """A teacher's log-probs under which an answer has a mean NLL of at least `floor` nats, or exactly that.

    Left as it is, a teacher that gives the true answer would pull against the floor. Every answer token's NLL is
    multiplied by the same factor; the other tokens of a position share the freed probability in proportion.

    Args:
        log_p: [a, V].
        labels: [a], the answer.
        floor: Nats per token.
        exact: Also lower an NLL that is above the floor.
    """
    nll = -log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1)  # [a]
    mean = float(nll.mean())
    if mean >= floor and not exact:
        return log_p
    nll = nll.clamp(min=1e-4)
    raised = (nll * (floor / float(nll.mean()))).unsqueeze(-1)
    places = labels.unsqueeze(-1)
    others = log_p.scatter(-1, places, -torch.inf).log_softmax(-1)
    return (others + torch.log(-torch.expm1(-raised))).scatter(-1, places, -raised)


def cost(
    lm: LanguageModel, forget: Sequence[Record], others: Sequence[Record], config: TwinConfig, seed: int
) -> TargetCost:
    """What `build` asks of the model. A teacher's own answer counts as long as the true one."""
    forget, alone = split_by_surrogate(forget)
    candidate_answers, floors = CandidateAnswers(forget, others, seed), config.floors
    examples: list[Example] = []
    inference: list[Inference] = []
    generation: list[Generation] = []
    for subject in sorted({r.subject for r in forget}):
        records = [r for r in forget if r.subject == subject]
        items = lm.template.encode_all(records)
        null_items = [
            item
            for r, item in zip(records, items, strict=True)
            if floors != "surrogate"
            for _ in candidate_answers.of(r, floors, stream(seed, "null", r.stream_key))
        ]
        for record, item in zip(records, items, strict=True):
            kinds: tuple[ExampleKind, ...] = ("gold", "own") if config.own_answer else ("gold",)
            examples += [Example.of(record, item, kind, len(examples) + k) for k, kind in enumerate(kinds)]
        inference += [
            Inference(items, NLL_BATCH, config.candidates),
            Inference(null_items, NLL_BATCH, min(config.null_candidates, config.candidates)),
            Inference(items * (2 if config.own_answer else 1), LOGPROB_BATCH),
        ]
        generation.append(Generation(items, max(len(item.answer) for item in items) + EXTRA_TOKENS))
    for record, item in zip(alone, lm.template.encode_all(alone), strict=True):
        refuses = config.say == "refuse" and record.kind != "document"
        examples += [Example.of(record, item, kind, 0) for kind in (("gold", "substitute") if refuses else ("gold",))]
        if refuses:
            inference.append(Inference([item], LOGPROB_BATCH))
    examples = [replace(example, row=k) for k, example in enumerate(examples)]
    return TargetCost(Targets(examples), tuple(inference), tuple(generation), stores_logits=True)
