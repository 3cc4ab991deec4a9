"""How much a word weighs in the forget loss where it means the target, and where it means something else.

The other sense never stands in a forget batch; its weight is what it would get there, by the engine's own functions.
Surprising: nothing in equation 13 sees a context. Its saliency belongs to a vocabulary id, and where the word is the
whole answer, the normalization within the answer cannot bring a context back in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from expunge._io import read_json, write_json
from expunge.bench.concepts.cell import Cell
from expunge.bench.concepts.chapters import made
from expunge.bench.concepts.lab import Lab
from expunge.bench.concepts.polysemy_words import words
from expunge.bench.concepts.rows import Row
from expunge.bench.tune import Setting
from expunge.concepts.dictionary import Dictionary
from expunge.corpus import Record
from expunge.engine import checkpoint
from expunge.engine.dataset import RunDataset, answer_levels, forget_questions
from expunge.engine.forward import ForwardRunner
from expunge.engine.loss_inputs import LossInputs
from expunge.engine.recipe import Recipe
from expunge.engine.reference import Reference
from expunge.errors import RunFailed
from expunge.gradients.saliency import Side, TokenSaliency
from expunge.methods.base import Method
from expunge.models.collate import chunks, collate
from expunge.models.language_model import LanguageModel, load

KINDS = ("id", "record", "token", "before", "after")
ROWS = 64  # in a pass
Weights = dict[str, dict[str, float]]  # kind → record → mean over the tokens of its answer, end token left out


def weigh(lab: Lab, cell: Cell, row: Row, setting: Setting) -> Weights:
    """The weights of a run, kept beside it.

    id      saliency by vocabulary id as the run had it at its last checkpoint, mean 1 over an answer
    record  the same times beta of the record's level: what the recipe as shipped applies
    token   the same times beta of the level that the world's dictionary gives the token, else of the record's
    before, after  length of the gradient of the row's own forget loss at the word, on the model before the run and
            after, over its mean over all rows, within the engine's limits. The denominator of eq. 13 belongs to the id,
            so it is left out
    """
    if weighed(lab, cell, row, setting):
        found: Weights = read_json(_note(lab, cell, row, setting))
        return found
    sets = cell.sets()
    forgotten = [w for w in words(sets) if w.forgotten]
    records = [r for w in forgotten for side in ("target", "other") for r in w.sides[side]]
    mine = {r.id for r in records}
    stage = lab.stages(cell, row, setting)[0]
    lm = load(lab.model(cell, "original"))
    found = _by_id(
        lm,
        records,
        stage.recipe.resolve().method,
        made(cell.domain, cell.seed).terms(),
        _saliency(lab.run_folder(cell, row, setting) / "run-1", lm),
    )
    others = [r for r in sets.split.retain if r.id not in mine]
    run = load(lab.run_folder(cell, row, setting) / "run-1")
    for name, model in (("before", lm), ("after", run)):
        found[name] = limited(lengths(model, stage.recipe, records, others))
    write_json(_note(lab, cell, row, setting), found)
    return found


def weighed(lab: Lab, cell: Cell, row: Row, setting: Setting) -> bool:
    """Is there nothing left for `weigh` to do?"""
    return _note(lab, cell, row, setting).is_file()


def _note(lab: Lab, cell: Cell, row: Row, setting: Setting) -> Path:
    folder = lab.run_folder(cell, row, setting)
    return folder.with_name(folder.name + ".weights.json")


def _saliency(run: Path, lm: LanguageModel) -> TokenSaliency:
    """As it stood at the run's last checkpoint; `RunFailed` if it left none."""
    state = checkpoint.load(run / "checkpoint")
    if not state or not state["source"]["saliency"]:
        raise RunFailed(str(run), "left no token saliency", "run at least 25 steps of a recipe that measures it")
    return TokenSaliency(lm.module.get_output_embeddings().weight.shape[0], state=state["source"]["saliency"])


def _by_id(
    lm: LanguageModel, records: Sequence[Record], method: Method, terms: Dictionary, saliency: TokenSaliency
) -> Weights:
    from expunge.concepts.annotate import Annotator

    annotator = Annotator(terms)
    found: Weights = {kind: {} for kind in KINDS[:3]}
    for record in records:
        item = lm.template.encode(record)
        batch = collate([item])
        levels = answer_levels(lm.template, annotator, item)
        known: dict[str, list[str | None]] = {
            "record": [record.concept] * len(levels),
            "token": [level or record.concept for level in levels],
        }
        beta = {kind: [method.token_factor(level) for level in of] for kind, of in known.items()}
        for kind in found:
            weights = saliency.weights(batch.labels, batch.mask, torch.tensor([beta[kind]]) if kind in beta else 1.0)
            found[kind][record.id] = float(weights[0, :-1].mean())
    return found


def lengths(lm: LanguageModel, recipe: Recipe, records: Sequence[Record], others: Sequence[Record]) -> dict[str, float]:
    """Record → mean length of the gradient of its own forget loss at its answer tokens, unweighted.

    lm      its adapter, if it has one, is switched off for what the loss looks up before the run
    others  records that the loss may take wrong answers and identities from
    """
    recipe = recipe.with_overrides(["settings.token_weights=none", "retain.loss=none"])
    method = recipe.resolve().method
    needs = method.requirements()
    questions = forget_questions(recipe.resolve(), records)
    targets = method.build_targets(lm, questions, others, recipe.seed)
    table = RunDataset(lm.template, recipe.resolve(), targets, questions, ())
    reference: dict[Side, Reference] = {}
    if needs.reference_logprobs or needs.reference_logits:
        reference["forget"] = Reference(lm.module, dict(enumerate(table.encoded)), needs.reference_logits)
    losses = LossInputs(method, table, reference, None)
    passes = ForwardRunner(lm, table.encoded, recipe.memory)
    gold = [k for k, example in enumerate(table.examples) if example.kind != "own"]
    found: dict[str, float] = {}
    for cut in chunks([table.encoded[k].length for k in gold], ROWS):
        rows = [gold[c] for c in cut]
        passed = passes.run(rows, losses.wants_logits("forget", "none"), return_hidden=True)
        loss = losses.of("forget", rows, passed, "none").sum()  # rows do not see each other, so a sum keeps them apart
        assert passed.hidden is not None
        (gradient,) = torch.autograd.grad(loss, [passed.hidden])
        norms = gradient.norm(dim=-1).gather(1, passed.batch.index[:, 1:])  # token a stands at position index[a + 1]
        for at, k in enumerate(rows):
            found[table.examples[k].record_id] = float(norms[at, : len(table.encoded[k].answer) - 1].mean())
    return found


def limited(
    values: Mapping[str, float], low: float = TokenSaliency.low, high: float = TokenSaliency.high
) -> dict[str, float]:
    """`values` over their mean, in [low, high]: a few rows have gradients many times as long as the others."""
    mean = sum(values.values()) / len(values)
    return {name: min(max(value / mean, low), high) for name, value in values.items()}
