"""What one model scores on LUME: the organisers' twelve terms and membership score, and our own measures.

Surprising: rows whose answer tokens are all the most likely ones are not generated, because greedy decoding
reproduces them by definition; and a question's continuation ends as soon as it is too long to equal the answer.
Completions get the organisers' full 256 tokens (or the rest of the context), since their recall rewards length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from expunge.audit.membership_scores import loss as minus_loss
from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.audit.metrics.extraction import extraction_strength
from expunge.audit.metrics.rouge_l import official_rouge_l
from expunge.audit.metrics.semeval import TASKS, semeval_from_auc, semeval_terms, whole_output_match
from expunge.audit.scores import Scores, Values
from expunge.audit.scoring import score
from expunge.audit.statistics import auc
from expunge.bench.lume_sets import Sets, cell, task, text
from expunge.corpus import Record
from expunge.models.collate import by_length, collate
from expunge.models.forward import answer_forward, answer_logprob, greedy
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded

MOST_TOKENS = 256  # the organisers' limit
Records = Sequence[Record]


def outputs(lm: LanguageModel, records: Records, scores: Scores) -> list[str]:
    """Greedy continuation of every row's raw input, as text."""
    said = [r.answer for r in records]
    missed = np.flatnonzero((scores.sum(~scores.hit) > 0) | ~scores.eos_hit).tolist()
    for kind in ("completion", "generation"):
        rows = [k for k in missed if records[k].kind == kind]
        longest = max((len(records[k].answer.encode()) for k in rows), default=0) + 4  # a token is a byte at least
        limit = MOST_TOKENS if kind == "completion" else min(MOST_TOKENS, longest)
        prompts = [lm.template.prompt_ids(records[k].prompt) for k in rows]
        for k, ids in zip(rows, greedy(lm.module, prompts, lm.template.eos, limit), strict=True):
            said[k] = lm.template.decode(ids)
    return said


@torch.no_grad()
def document_nll(lm: LanguageModel, records: Records, rows: int = 32) -> Values:
    """Mean nats per token of each passage as one text, its first token given, no end token, [N]."""
    encoded = [tuple(lm.tokenizer(text(r), add_special_tokens=False)["input_ids"])[: lm.context] for r in records]
    items = [Encoded(r.id, ids[:1], ids[1:]) for r, ids in zip(records, encoded, strict=True)]
    found = np.zeros(len(items))
    for part in by_length(items, rows):
        batch = collate([items[k] for k in part]).to(lm.device)
        found[part] = (
            (-answer_logprob(answer_forward(lm.module, batch).logits, batch).sum(-1) / batch.mask.sum(-1)).cpu().numpy()
        )
    return found


def cells(values: Values, records: Records) -> dict[str, float]:
    """Mean of values [N] in each cell (task and kind of row)."""
    found: dict[str, list[float]] = {}
    for value, r in zip(values.tolist(), records, strict=True):
        found.setdefault(cell(r), []).append(value)
    return {name: float(np.mean(found[name])) for name in sorted(found)}


def over_cells(values: Values, records: Records) -> float:
    """Mean of the cell means: each task and kind weighs alike."""
    return float(np.mean(list(cells(values, records).values())))


def losses(lm: LanguageModel, records: Records) -> dict[str, float]:
    """Mean nats per answer token in each cell."""
    return cells(-minus_loss(score(lm, records)), records)


def kept(lm: LanguageModel, records: Records) -> float:
    """Mean answer probability over cells: after over before is the share that was kept."""
    return over_cells(probability(score(lm, records)), records)


def measure(lm: LanguageModel, sets: Sets) -> dict[str, Any]:
    """All numbers of one model, ready for JSON. MMLU says nothing about a model from scratch, so `final` is None."""
    scored = {name: score(lm, getattr(sets, name)) for name in ("forget", "given", "retain_heldout", "holdout")}
    means: dict[str, dict[tuple[str, str], float]] = {"recall": {}, "exact": {}}
    for side, name in (("forget", "forget"), ("retain", "given")):
        records = getattr(sets, name)
        said = outputs(lm, records, scored[name])
        for t in TASKS:
            rows = [(r, s) for r, s in zip(records, said, strict=True) if task(r) == t]
            means["recall"][side, t] = float(
                np.mean([official_rouge_l(r.answer, s, stem=True).recall for r, s in rows if r.kind == "completion"])
            )
            means["exact"][side, t] = float(
                np.mean([whole_output_match(s, r.answer) for r, s in rows if r.kind != "completion"])
            )
    terms = semeval_terms(means["recall"], means["exact"])
    sides = {name: [r for r in getattr(sets, name) if r.kind == "completion"] for name in ("forget", "holdout")}
    membership = {
        "document": _membership(sides, {name: -document_nll(lm, rows) for name, rows in sides.items()}),
        "completion": _membership(
            sides, {name: minus_loss(scored[name].select([r.id for r in rows])) for name, rows in sides.items()}
        ),
    }
    official = semeval_from_auc(terms, membership["document"]["Task3"], None)
    return {
        "terms": {f"v{k}": v for k, v in enumerate(terms, 1)},
        **official._asdict(),
        "mia_auc": membership["document"]["Task3"],
        "auc": membership,
        "forget": _own(scored["forget"], sets.forget),
        "given": _own(scored["given"], sets.given),
        "retain_heldout": _own(scored["retain_heldout"], sets.retain_heldout),
        "holdout": _own(scored["holdout"], sets.holdout),
    }


def _own(scores: Scores, records: Records) -> dict[str, Any]:
    """Our measures of a set; `rows_exact` counts rows, everything else is a mean over cells."""
    exact = matches(scores, tuple(records))
    return {
        "rows_exact": float(exact.mean()),
        "exact": over_cells(exact, records),
        "strength": over_cells(extraction_strength.compute(scores, tuple(records)), records),
        "probability": over_cells(probability(scores), records),
        "losses": cells(-minus_loss(scores), records),
    }


def _membership(sides: Mapping[str, Records], values: Mapping[str, Values]) -> dict[str, float]:
    """AUC per task of `values` on the passages to forget (members) against held-out ones."""
    return {
        t: auc(*(values[name][[task(r) == t for r in sides[name]]] for name in ("forget", "holdout"))) for t in TASKS
    }
