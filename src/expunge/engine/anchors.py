"""Anchors: retained questions asked about people who do not exist.

Kept as they are by the retain term (kl, logit), they confine what is unlearned to the names it was meant for. Every
second one shares a word with a name that is to be forgotten: without them namesakes are forgotten too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.corpus.image_ops import surrogate_image
from expunge.corpus.surrogate_names import Identity, identifiers_by_subject, make_identities, shape, words
from expunge.corpus.surrogates import Surrogate
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.methods.examples import Inference
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import NLL_BATCH, mean_nll
from expunge.random import stream

LEAK = 1.0  # nats per token below which an answer counts as given


def build_anchors(
    lm: LanguageModel, resolved: ResolvedRecipe, pool: Sequence[Record], forget: Sequence[Record]
) -> list[Record]:
    """The anchors of a run: of the retained records that it draws from, without those that leak; asks the model."""
    if not (resolved.uses_retain and resolved.recipe.retain.anchors):
        return []
    return drop_leaking_anchors(lm, anchors(pool, forget, resolved.recipe.seed), forget)


def anchors(retain: Sequence[Record], forget: Sequence[Record], seed: int) -> list[Record]:
    """Questions of `retain` about invented people, one (with images) per subject; ids are those of the questions.

    Records with neither identifiers nor an image have no anchor.
    """
    pool = identifiers_by_subject(retain)
    targets = [i for names in identifiers_by_subject(forget).values() for i in names if len(words(i)) > 1]
    by_subject: dict[str, list[Record]] = {}
    for r in retain:
        if r.identifiers or r.image:
            by_subject.setdefault(r.subject, []).append(r)
    shown = list({r.image.digest: r.image for r in retain if r.image}.values())
    invented: list[Record] = []
    for number, (subject, records) in enumerate(sorted(by_subject.items())):
        rng = stream(seed, "anchor", subject)
        names: Identity = {}
        if subject in pool:
            names = make_identities(pool[subject], {s: i for s, i in pool.items() if s != subject}, 1, rng)[0]
        if number % 2 == 0:
            names = {old: namesake(new, targets, rng) for old, new in names.items()}
        images = {
            digest: surrogate_image(shown, rng) for digest in sorted({r.image.digest for r in records if r.image})
        }
        invented += [Surrogate(names, images).substitute(r) for r in records]
    return invented


def namesake(identifier: str, targets: Sequence[str], rng: np.random.Generator) -> str:
    """`identifier` with one word of a target of the same shape in its place; unchanged if there is none."""
    alike = [t for t in targets if shape(t) == shape(identifier) and not any(w.isdigit() for w in words(t))]
    if not alike:
        return identifier
    target = words(alike[int(rng.integers(len(alike)))])
    place = int(rng.integers(len(target)))
    own = words(identifier)
    new = identifier.replace(own[place], target[place], 1) if own[place] not in own[:place] else identifier
    return identifier if new in targets else new


def _answers_of_type(forget: Sequence[Record]) -> Mapping[str, set[str]]:
    answers: dict[str, set[str]] = {}
    for r in forget:
        answers.setdefault(answer_type(r), set()).add(r.answer)
    return answers


def drop_leaking_anchors(
    lm: LanguageModel, invented: Sequence[Record], forget: Sequence[Record], least: float = LEAK
) -> list[Record]:
    """The anchors to which the model before the run does not give the answers of `forget` to such a question.

    Keeping what the model says about a namesake must not keep what it knows of the person. `least`: nats per token.
    """
    answers = _answers_of_type(forget)
    questions = [
        (k, replace(r, answer=a))
        for k, r in enumerate(invented)
        if not r.options
        for a in sorted(answers.get(answer_type(r), ()))
    ]
    leaks = mean_nll(lm, [r for _, r in questions]) < least
    leaking = {k for (k, _), leak in zip(questions, leaks, strict=True) if leak}
    return [r for k, r in enumerate(invented) if k not in leaking]


def leak_cost(lm: LanguageModel, invented: Sequence[Record], forget: Sequence[Record]) -> Inference:
    """What `drop_leaking_anchors` asks; an answer counts as long as the anchor's own."""
    answers = _answers_of_type(forget)
    items = [
        item
        for r in invented
        if not r.options
        for item in [lm.template.encode(r)] * len(answers.get(answer_type(r), ()))
    ]
    return Inference(items, NLL_BATCH)
