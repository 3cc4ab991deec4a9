"""Targets of the `twin` method: what the original model says when asked about somebody it never met.

For each subject: invent identities, ask the original model the subject's questions about each of them, and draw for
every question how unlikely an ignorant model would find the true answer (from what it thinks of other people's
answers, `engine/null.py`). A person, or each fact, then takes the identity whose answers come closest to those draws,
so that the true answers of the person end up as likely as true answers of strangers are: not echoed, and not
conspicuously avoided. Everything runs once, on the model before the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from expunge.corpus import Record
from expunge.engine.doubles import Surrogate, make_surrogates, refuse_nameless
from expunge.engine.null import CandidateAnswers, Nats, NullDistribution
from expunge.engine.reference import adapter_off
from expunge.engine.rows import ForgetExample, answer_type
from expunge.engine.sampling import stream
from expunge.engine.strange_words import UnknownTokens
from expunge.methods.base import ModelOutputs
from expunge.methods.twin import Twin, correct_leakage
from expunge.models.collate import by_length, collate
from expunge.models.forward import answer_forward, answer_logprob, greedy
from expunge.models.language_model import LanguageModel
from expunge.models.loss_cache import cached_losses
from expunge.models.prompt_template import Encoded

OWN = "~own"  # ends the id of a row that holds the teacher's own answer
ECHO = 1.0  # nats per token


def mean_nll(lm: LanguageModel, records: Sequence[Record], rows: int = 256) -> Nats:
    """NLL per answer token of each record [N], nats, the end token left out, on the model before the run."""
    questions = [(r.prompt, r.answer, *([r.image.digest] if r.image else [])) for r in records]
    return cached_losses(lm.module, questions, lambda: _mean_nll(lm, records, rows))


@torch.no_grad()
def _mean_nll(lm: LanguageModel, records: Sequence[Record], rows: int) -> Nats:
    items = lm.template.encode_all(records)
    found = np.zeros(len(items))
    with adapter_off(lm.module):
        for part in by_length(items, rows):
            batch = collate([items[k] for k in part]).to(lm.device)
            said = ModelOutputs(answer_logprob(answer_forward(lm.module, batch).logits, batch), batch.mask)
            found[part] = said.answer_nll.cpu().numpy()
    return found


def drop_leaking_anchors(
    lm: LanguageModel, anchors: Sequence[Record], forget: Sequence[Record], least: float = ECHO
) -> list[Record]:
    """The anchors on which the model does not give the person's answers to that type of question.

    Keeping what the model says about a namesake must not keep what it knows of the person. least: NLL per token
    in nats below which an answer counts as given.
    """
    answers: dict[str, set[str]] = {}
    for r in forget:
        answers.setdefault(answer_type(r), set()).add(r.answer)
    asked = [
        (k, replace(r, answer=a))
        for k, r in enumerate(anchors)
        if not r.options
        for a in sorted(answers.get(answer_type(r), ()))
    ]
    given = mean_nll(lm, [r for _, r in asked]) < least
    echoes = {k for (k, _), hit in zip(asked, given, strict=True) if hit}
    return [r for k, r in enumerate(anchors) if k not in echoes]


def choose(gold: Nats, wanted: Nats, facts: Sequence[tuple[str, ...]]) -> list[int]:
    """The candidate for each question: of those for one fact, the nearest to what was drawn for its questions.

    gold    NLL of the true answers [candidates, N]
    wanted  drawn NLL per question [N]
    facts   fact of each question; questions of one fact share their candidate, so that they agree. The same for all:
            one candidate
    """
    best = {}
    for fact in sorted(set(facts)):
        of_fact = [k for k, f in enumerate(facts) if f == fact]
        best[fact] = int(np.abs(gold[:, of_fact] - wanted[of_fact]).sum(1).argmin())
    return [best[fact] for fact in facts]


def share_candidate(
    gold: Nats, apart: Sequence[int], one: Sequence[int], records: Sequence[Record], least: float
) -> list[int]:
    """`one` candidate for every question of a subject, but for the facts that it would give away.

    gold   NLL of the true answers [candidates, N]
    apart  the candidate that each fact would take by itself, for those with a true answer under `least` nats
    """
    given = {r.fact_keys for k, r in enumerate(records) if not r.options and gold[one[k], k] < least}
    return [apart[k] if r.fact_keys in given else one[k] for k, r in enumerate(records)]


def rescale_floors(wanted: Nats, least: Nats, mean: float) -> Nats:
    """Floors [N] of at least `least` [N] with the given mean: the part of `wanted` above `least`, all times one factor.

    Draws under a least value were drawn again, and where the teacher finds the true answer unlikelier than was
    drawn, it stays so. Taken as they are, such floors would be higher on average than strangers' losses.
    """
    above = np.maximum(wanted - least, 0.0)
    room = max(0.0, mean - float(least.mean()))
    return least + above * (room / float(above.mean()) if above.any() else 0.0)


def twin_rows(
    lm: LanguageModel, forget: Sequence[Record], others: Sequence[Record], method: Twin, seed: int
) -> list[ForgetExample]:
    """The forget rows of a `twin` run: each gold answer, and the teacher's own answer where it differs.

    others   records of other subjects that the method may see (the retain set)
    InputError where a record neither names identifiers nor shows a picture.
    """
    refuse_nameless(forget)
    strangers = CandidateAnswers(forget, others, seed)
    foreign = _foreign(forget, others) if method.mask_unknown_tokens else frozenset()
    strange = UnknownTokens.of(lm, forget, others, seed) if foreign else None
    rows: list[ForgetExample] = []
    for subject in sorted({r.subject for r in forget}):
        records = [r for r in forget if r.subject == subject]
        strange_ones = make_surrogates(records, others, method.candidates, seed, method.swap)
        gold = np.stack([mean_nll(lm, [one.asked(r) for r in records]) for one in strange_ones])
        answers = [strangers.of(r, method.floors, stream(seed, "null", r.id)) for r in records]
        nulls = _nulls(lm, records, strange_ones[: method.strangers], answers)
        least = np.array([0.0 if r.options else method.least_floor for r in records])
        wanted = np.array(
            [null.draw(low, stream(seed, "floor", r.id)) for r, null, low in zip(records, nulls, least, strict=True)]
        )
        chosen = choose(gold, wanted, [r.fact_keys for r in records])
        if method.identity == "subject":
            chosen = share_candidate(
                gold, chosen, choose(gold, wanted, [()] * len(records)), records, method.least_floor
            )
        if not method.ceiling_weight:  # what the teacher finds unlikelier than was drawn stays so
            least = np.maximum(least, gold[chosen, np.arange(len(records))])
        floors = rescale_floors(wanted, least, float(np.mean([null.nll.mean() for null in nulls])))
        for odd in (False, True):
            part = [k for k, r in enumerate(records) if (r.id in foreign) == odd]
            if not part:
                continue
            named, low = [strange_ones[chosen[k]] for k in part], floors[part]
            with strange.unknown(lm) if strange and odd else nullcontext():
                if strange and odd and strange.partners:
                    low = mean_nll(lm, [one.asked(records[k]) for k, one in zip(part, named, strict=True)])
                rows += _targets(lm, [records[k] for k in part], named, low, method)
    return rows


def _foreign(forget: Sequence[Record], others: Sequence[Record]) -> frozenset[str]:
    """Ids of the records whose kind of question nobody answers who stays."""
    types = {answer_type(r) for r in others}
    return frozenset(r.id for r in forget if answer_type(r) not in types)


def _nulls(
    lm: LanguageModel, records: Sequence[Record], strange_ones: Sequence[Surrogate], answers: Sequence[Sequence[str]]
) -> list[NullDistribution]:
    """For each record: what the model thinks of these answers in the place of the true one, over all candidates."""
    cuts = np.cumsum([len(a) for a in answers])[:-1]
    asked = []
    for one in strange_ones:
        questions = [one.asked(r, a) for r, of_r in zip(records, answers, strict=True) for a in of_r]
        asked.append(np.split(mean_nll(lm, questions), cuts))
    return [NullDistribution(np.stack([of_candidate[k] for of_candidate in asked])) for k in range(len(records))]


def _targets(
    lm: LanguageModel, records: Sequence[Record], strange_ones: Sequence[Surrogate], floors: Nats, method: Twin
) -> list[ForgetExample]:
    """Gold and own rows of one subject with the teacher's distributions, each question asked about its double."""
    asked = [one.asked(r) for r, one in zip(records, strange_ones, strict=True)]
    eos = lm.template.eos
    longest = max(len(lm.template.answer_ids(r.answer, r.prompt)) for r in records)
    with adapter_off(lm.module):
        posed = [lm.template.question(r) for r in asked]
        own = greedy(lm.module, [q.prompt for q in posed], eos, longest + 4, images=[q.image for q in posed])
    questions: list[Encoded] = []
    rows: list[ForgetExample] = []
    for record, twin, floor, said in zip(records, asked, floors, own, strict=True):
        item, question = lm.template.encode(record), lm.template.encode(twin)
        rows.append(ForgetExample(item, record.concept, floor=float(floor), subject=record.subject))
        questions.append(question)
        answer = tuple(said) if said and said[-1] == eos else (*said, eos)
        fits = max(len(item.prompt), len(question.prompt)) + len(answer) <= lm.context
        if method.own_answer and answer != item.answer and fits:
            rows.append(ForgetExample(replace(item, id=item.id + OWN, answer=answer), record.concept, is_gold=False))
            questions.append(replace(question, id=item.id + OWN, answer=answer))
    taught = zip(rows, questions, teacher_logprobs(lm, questions), strict=True)
    return [
        replace(
            row,
            asked=q,
            teacher=torch.cat(
                [
                    correct_leakage(
                        t[:-1],
                        torch.tensor(q.answer[:-1], device=t.device),
                        row.floor,
                        exact=method.ceiling_weight > 0 and row.floor >= method.least_floor,
                    ),
                    t[-1:],
                ]
            ),
        )
        if row.is_gold
        else replace(row, asked=q, teacher=t)
        for row, q, t in taught
    ]


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
