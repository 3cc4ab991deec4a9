"""Weight of a word in the forget loss where it means the target, and where it means something else.

The other sense is never in a forget batch; its weight is what it would get there, by the engine's own functions.
Nothing in equation 13 as printed depends on a context: its saliency belongs to a vocabulary id, and where the word is
the whole answer, normalization within the answer does not bring a context back. Saliency by occurrence and the
annotator's context are measured beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from polysemy import by_side, find_words

from expunge.bench.analysis import effect, paired
from expunge.bench.measures.base import Study, measure
from expunge.bench.places import ModelPlace
from expunge.concepts.dictionary import Dictionary
from expunge.corpus import Record
from expunge.engine import checkpoint
from expunge.engine.dataset import RunDataset, answer_levels
from expunge.engine.forward import ForwardRunner
from expunge.engine.loss_inputs import LossInputs
from expunge.engine.recipe import Recipe
from expunge.engine.reference import Reference
from expunge.engine.run_questions import forget_questions
from expunge.errors import RunFailed
from expunge.gradients.saliency import Side, TokenSaliency
from expunge.methods.base import Method
from expunge.models.collate import chunks, collate
from expunge.models.language_model import LanguageModel, load

KINDS = ("id", "record", "token", "context", "occurrence", "before", "after")
ROWS = 64  # in a pass
Weights = dict[str, dict[str, float]]  # kind -> record -> mean over the tokens of its answer, end token left out


def _summarize(study: Study) -> dict[str, Any]:
    """`weights`: kind to its mean in either context, the effect target - other over words, and its side of 0."""
    runs = [p for p in study.places() if p.observation("token_weights")]
    table = {}
    for kind in KINDS if runs else ():
        senses = {
            (p.cell.request.world, str(p.cell.seed)): by_side(
                find_words(p.sets), p.observation("token_weights")[kind], ("target", "other")
            )
            for p in runs
        }
        target, other = ({place: of[sense] for place, of in senses.items()} for sense in ("target", "other"))
        difference = effect(paired(target, other))
        table[kind] = {
            "target": effect(target).as_row()["mean"],
            "other": effect(other).as_row()["mean"],
            "difference": difference.as_row(),
            "above_zero": difference.excludes_zero(1),
            "below_zero": difference.excludes_zero(-1),
        }
    return {"weights": table}


@measure("token_weights", needs="run", summarize=_summarize)
def token_weights(place: ModelPlace) -> Weights | None:
    """The weights of the arm that the options name; None for other arms and failed runs.

    id      saliency by vocabulary id as the run had it at its last checkpoint, mean 1 over an answer
    record  the same times beta of the record's level: what the recipe as shipped applies
    token   the same times beta of the highest level that the world's dictionary gives the token, else of the record's
    context the same times beta of the level that the dictionary gives it in its context, else of the record's
    occurrence  as id, with the gradient of this very place in the place of the id's average, before the run
    before, after  length of the gradient of the row's own forget loss at the word, before the run and after, over its
            mean over all rows, within the engine's limits (the denominator of eq. 13 belongs to the id: left out)
    """
    if place.name != place.options["token_weights"]["arm"] or place.failure():
        return None
    sets = place.sets
    forgotten = [w for w in find_words(sets) if w.forgotten]
    records = [r for w in forgotten for side in ("target", "other") for r in w.sides[side]]
    mine = {r.id for r in records}
    recipe = place.stages()[0].recipe
    lm, run = load(place.reference("original").model), place.base / "run-1"
    terms = place.cell.request.build_world(place.cell.seed).terms()
    saliency = _saliency(run, lm)
    weights = _by_id(lm, records, recipe.resolve().method, terms, saliency)
    others = [r for r in sets.split.retain if r.id not in mine]
    for name, model in (("before", lm), ("after", load(run))):
        norms = gradient_norms(model, recipe, records, others)
        weights[name] = limit({record: float(of.mean()) for record, of in norms.items()})
        if name == "before":
            weights["occurrence"] = _by_occurrence(lm, records, norms, saliency)
    return weights


def _saliency(run: Path, lm: LanguageModel) -> TokenSaliency:
    """The token saliency of the run's last checkpoint; `RunFailed` if it left none."""
    state = checkpoint.load(run / "checkpoint")
    if not state or not state["source"]["saliency"]:
        raise RunFailed(str(run), "left no token saliency", "run at least 25 steps of a recipe that measures it")
    return TokenSaliency(lm.module.get_output_embeddings().weight.shape[0], state=state["source"]["saliency"])


def _by_id(
    lm: LanguageModel, records: Sequence[Record], method: Method, terms: Dictionary, saliency: TokenSaliency
) -> Weights:
    from expunge.concepts.annotate import Annotator

    annotator = Annotator(terms)
    weights: Weights = {kind: {} for kind in KINDS[:4]}
    for record in records:
        item = lm.template.encode(record)
        batch = collate([item])
        levels = answer_levels(lm.template, annotator, item)
        in_context = answer_levels(lm.template, annotator, item, record.concept, in_context=True)
        known: dict[str, list[str | None]] = {
            "record": [record.concept] * len(levels),
            "token": [level or record.concept for level in levels],
            "context": [level or record.concept for level in in_context],
        }
        beta = {kind: [method.token_factor(level) for level in of] for kind, of in known.items()}
        for kind in weights:
            factor = torch.tensor([beta[kind]]) if kind in beta else 1.0
            weights[kind][record.id] = float(saliency.weights(batch.labels, batch.mask, factor)[0, :-1].mean())
    return weights


def _by_occurrence(
    lm: LanguageModel, records: Sequence[Record], norms: Mapping[str, torch.Tensor], saliency: TokenSaliency
) -> dict[str, float]:
    saliency = replace(saliency, by_occurrence=True)
    weights: dict[str, float] = {}
    for record in records:
        batch = collate([lm.template.encode(record)])
        own = torch.nn.functional.pad(norms[record.id], (0, 1))[None]  # the end token is no input
        weights[record.id] = float(saliency.weights(batch.labels, batch.mask, norms=own)[0, :-1].mean())
    return weights


def gradient_norms(
    lm: LanguageModel, recipe: Recipe, records: Sequence[Record], others: Sequence[Record]
) -> dict[str, torch.Tensor]:
    """Record to lengths of the gradient of its own forget loss at its answer tokens without the end, unweighted.

    Args:
        lm: its adapter, if it has one, is switched off for what the loss looks up before the run.
        others: records that the loss may take wrong answers and identities from.
    """
    recipe = recipe.with_overrides(["settings.token_weights=none", "retain.loss=none"])
    method = recipe.resolve().method
    needs = method.requirements()
    questions = forget_questions(recipe.resolve(), records, lm.template)
    targets = method.build_targets(lm, questions, others, recipe.seed)
    table = RunDataset(lm.template, recipe.resolve(), targets, questions, ())
    reference: dict[Side, Reference] = {}
    if needs.reference_logprobs or needs.reference_logits:
        reference["forget"] = Reference(lm.module, dict(enumerate(table.encoded)), needs.reference_logits)
    losses = LossInputs(method, table, reference, None)
    passes = ForwardRunner(lm, table.encoded, recipe.memory)
    gold = [k for k, example in enumerate(table.examples) if example.kind != "own"]
    lengths: dict[str, torch.Tensor] = {}
    for cut in chunks([table.encoded[k].length for k in gold], ROWS):
        rows = [gold[c] for c in cut]
        passed = passes.run(rows, losses.wants_logits("forget", "none"), return_hidden=True)
        loss = losses.of("forget", rows, passed, "none").sum()  # rows do not see each other, so a sum keeps them apart
        assert passed.hidden is not None
        (gradient,) = torch.autograd.grad(loss, [passed.hidden])
        norms = gradient.norm(dim=-1).gather(1, passed.batch.index[:, 1:])  # token a stands at position index[a + 1]
        for at, k in enumerate(rows):
            lengths[table.examples[k].record_id] = norms[at, : len(table.encoded[k].answer) - 1].detach()
    return lengths


def limit(
    values: Mapping[str, float], low: float = TokenSaliency.low, high: float = TokenSaliency.high
) -> dict[str, float]:
    """`values` over their mean, in [low, high]: a few rows have gradients many times as long as the others."""
    mean = sum(values.values()) / len(values)
    return {name: min(max(value / mean, low), high) for name, value in values.items()}
