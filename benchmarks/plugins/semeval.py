"""LUME (SemEval-2025 Task 4): the organisers' twelve terms and membership score, and our own measures.

Rows whose answer tokens are all the most likely ones are not generated, because greedy decoding reproduces them; and a
question's continuation ends as soon as it is too long to equal the answer. Completions get the organisers' full 256
tokens (or the rest of the context), since their recall rewards length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lume_documents import Documents, passage, task

from expunge.audit.membership_scores import loss as minus_loss
from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.audit.metrics.extraction import extraction_strength
from expunge.audit.metrics.rouge_l import official_rouge_l
from expunge.audit.metrics.semeval import TASKS, semeval_from_auc, semeval_terms, whole_output_match
from expunge.audit.scores import Scores, Values
from expunge.audit.scoring import score
from expunge.audit.statistics import auc
from expunge.bench.measures.base import Columns, Study, measure
from expunge.bench.places import ModelPlace
from expunge.corpus import Record
from expunge.models.collate import by_length, collate
from expunge.models.forward import answer_forward, answer_logprob, greedy
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded

MAX_TOKENS = 256  # the organisers' limit
SCORED = ("forget", "given", "retain_heldout", "holdout")
Records = Sequence[Record]


def outputs(lm: LanguageModel, records: Records, scores: Scores) -> list[str]:
    """Greedy continuation of every row's raw input, as text."""
    texts = [r.answer for r in records]
    missed = np.flatnonzero((scores.sum(~scores.hit) > 0) | ~scores.eos_hit).tolist()
    for kind in ("completion", "generation"):
        rows = [k for k in missed if records[k].kind == kind]
        longest = max((len(records[k].answer.encode()) for k in rows), default=0) + 4  # a token is a byte at least
        limit = MAX_TOKENS if kind == "completion" else min(MAX_TOKENS, longest)
        prompts = [lm.template.question(records[k]).prompt for k in rows]
        for k, ids in zip(rows, greedy(lm.module, prompts, lm.template.stops, limit), strict=True):
            texts[k] = lm.template.decode(ids)
    return texts


@torch.no_grad()
def document_nll(lm: LanguageModel, records: Records, rows: int = 32) -> Values:
    """Mean nats per token of each passage as one text, its first token given, no end token, [N]."""
    encoded = [tuple(lm.tokenizer(passage(r), add_special_tokens=False)["input_ids"])[: lm.context] for r in records]
    items = [Encoded(r.id, ids[:1], ids[1:]) for r, ids in zip(records, encoded, strict=True)]
    nll = np.zeros(len(items))
    for part in by_length(items, rows):
        batch = collate([items[k] for k in part]).to(lm.device)
        logprob = answer_logprob(answer_forward(lm.module, batch).logits, batch)
        nll[part] = (-logprob.sum(-1) / batch.mask.sum(-1)).cpu().numpy()
    return nll


def by_cell(values: Values, records: Records) -> dict[str, float]:
    """Mean of values [N] for each task and kind of row, `Task1/completion`."""
    groups: dict[str, list[float]] = {}
    for value, r in zip(values.tolist(), records, strict=True):
        groups.setdefault(f"{task(r)}/{r.kind}", []).append(value)
    return {name: float(np.mean(groups[name])) for name in sorted(groups)}


def over_cells(values: Values, records: Records) -> float:
    """Mean of the means: each task and kind of row weighs alike."""
    return float(np.mean(list(by_cell(values, records).values())))


def losses(lm: LanguageModel, records: Records) -> dict[str, float]:
    """Mean nats per answer token for each task and kind of row."""
    return by_cell(-minus_loss(score(lm, records)), records)


def mean_probability(lm: LanguageModel, records: Records) -> float:
    """Mean answer probability; after over before is the share that is kept."""
    return over_cells(probability(score(lm, records)), records)


def loss_distance(values: Mapping[str, float], level: Mapping[str, float]) -> float:
    """Mean of |loss - level| over tasks and kinds, nats per answer token; the keys must be the same."""
    if set(values) != set(level) or not level:
        raise ValueError(f"different cells: {sorted(values)} and {sorted(level)}")
    return sum(abs(values[k] - level[k]) for k in level) / len(level)


def _trial_columns(place: ModelPlace) -> Columns:
    """Distance of a validation run from the level of never-trained documents, and the share that it keeps."""
    own, before = (p.observation("validation_losses") for p in (place, place.reference("original")))
    distance = loss_distance(own["losses"], before["level"])
    return {"distance_to_retrained": distance, "retention": own["kept"] / before["kept"]}


@measure("validation_losses", needs="model", read=_trial_columns)
def validation_losses(place: ModelPlace, lm: LanguageModel) -> dict[str, Any]:
    """What tuning needs: losses on the documents to forget and on those never trained, and what is kept."""
    documents: Documents = place.sets.more
    return {
        "losses": losses(lm, documents.validate_forget),
        "level": losses(lm, documents.unseen),
        "kept": mean_probability(lm, documents.validate_keep),
    }


def _summarize(study: Study) -> dict[str, Any]:
    """`rows`: name to seed to columns; `summary`: their mean, lowest and highest value over seeds."""
    places = {(p.name, p.cell): p for p in study.places()}
    seeds = {c: str(c.seed) for c in study.cells}
    names = [*study.experiment.references, *(arm.name for arm in study.arms)]
    scored = {key: p.observation("semeval") for key, p in places.items()}
    rows = {
        name: {
            seed: flatten(scored[name, c], scored["original", c], scored["retrained", c])
            for c, seed in seeds.items()
            if (name, c) in scored
        }
        for name in names
    }
    memorised = {
        seed: {"forget": scored["original", c]["forget"]["rows_exact"]}
        | {name: places[name, c].runner.training(c, name)["progress"] for name in study.experiment.references}
        for c, seed in seeds.items()
    }
    sets = study.cells[0].sets()
    named = sum(bool(r.identifiers) for r in sets.forget)
    gate = study.experiment.gate
    return {
        "subset": sets.more.summary(),
        "data": sets.corpus.digest,
        "memorised": memorised,
        "gate": gate,
        "gate_passed": all(m["forget"] >= gate for m in memorised.values()),
        "recipes": {
            name: recipe.model_dump(mode="json") for arm in study.arms for name, recipe in arm.recipes().items()
        },
        "tuning": next(iter(study.tuning.values())),
        "twin_rows": {"named": named, "all": len(sets.forget)},
        "rows": rows,
        "summary": {name: over_seeds(list(of.values())) for name, of in rows.items() if of},
        "failed": study.failed,
    }


@measure("semeval", needs="model", summarize=_summarize)
def semeval(place: ModelPlace, lm: LanguageModel) -> dict[str, Any]:
    """All figures of one model. MMLU says nothing about a model from scratch, so `final` is None."""
    documents: Documents = place.sets.more
    scored = {name: score(lm, getattr(documents, name)) for name in SCORED}
    means: dict[str, dict[tuple[str, str], float]] = {"recall": {}, "exact": {}}
    for side, name in (("forget", "forget"), ("retain", "given")):
        records = getattr(documents, name)
        texts = outputs(lm, records, scored[name])
        for t in TASKS:
            rows = [(r, text) for r, text in zip(records, texts, strict=True) if task(r) == t]
            recalls = [official_rouge_l(r.answer, text, stem=True).recall for r, text in rows if r.kind == "completion"]
            exact = [whole_output_match(text, r.answer) for r, text in rows if r.kind != "completion"]
            means["recall"][side, t], means["exact"][side, t] = float(np.mean(recalls)), float(np.mean(exact))
    terms = semeval_terms(means["recall"], means["exact"])
    membership = _membership(lm, documents, scored)
    official = semeval_from_auc(terms, membership["document"]["Task3"], None)
    return {
        "terms": {f"v{k}": v for k, v in enumerate(terms, 1)},
        **official._asdict(),
        "mia_auc": membership["document"]["Task3"],
        "auc": membership,
        **{name: _own(scored[name], getattr(documents, name)) for name in SCORED},
    }


def _own(scores: Scores, records: Records) -> dict[str, Any]:
    """Our measures of a set; `rows_exact` counts rows, all else is a mean over tasks and kinds."""
    exact = matches(scores, tuple(records))
    return {
        "rows_exact": float(exact.mean()),
        "exact": over_cells(exact, records),
        "strength": over_cells(extraction_strength.compute(scores, tuple(records)), records),
        "probability": over_cells(probability(scores), records),
        "losses": by_cell(-minus_loss(scores), records),
    }


def _membership(lm: LanguageModel, documents: Documents, scored: Mapping[str, Scores]) -> dict[str, dict[str, float]]:
    """AUC per task on the passages to forget (members) against held-out ones, as whole texts and as completions."""
    sides = {n: [r for r in getattr(documents, n) if r.kind == "completion"] for n in ("forget", "holdout")}
    kinds = {
        "document": {n: -document_nll(lm, rows) for n, rows in sides.items()},
        "completion": {n: minus_loss(scored[n].select([r.id for r in rows])) for n, rows in sides.items()},
    }
    return {
        kind: {t: auc(*(values[n][[task(r) == t for r in sides[n]]] for n in ("forget", "holdout"))) for t in TASKS}
        for kind, values in kinds.items()
    }


def flatten(scored: Mapping[str, Any], original: Mapping[str, Any], retrained: Mapping[str, Any]) -> dict[str, float]:
    """Columns of one model: its scores, and its place between original and retrained."""
    forget, retain_heldout = scored["forget"], scored["retain_heldout"]
    gaps = [forget["losses"][c] - level for c, level in retrained["forget"]["losses"].items()]
    return {
        **{k: scored[k] for k in ("task_aggregate", "mia_auc", "mia_score")},
        **scored["terms"],
        **{k: forget[k] for k in ("strength", "exact", "rows_exact")},
        "loss_gap": sum(gaps) / len(gaps),
        "distance": loss_distance(forget["losses"], retrained["forget"]["losses"]),
        "kept": retain_heldout["probability"] / original["retain_heldout"]["probability"],
        "kept_exact": retain_heldout["exact"],
        "given_exact": scored["given"]["exact"],
        **{f"auc_{kind}_{t}": scored["auc"][kind][t] for kind in ("document", "completion") for t in TASKS},
    }


def over_seeds(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Column to its mean, lowest and highest value over `rows`, one per seed."""
    values = {column: np.asarray([row[column] for row in rows], dtype=np.float64) for column in rows[0]}
    return {c: {"mean": float(v.mean()), "low": float(v.min()), "high": float(v.max())} for c, v in values.items()}
