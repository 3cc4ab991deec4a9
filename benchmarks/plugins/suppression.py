"""Suppression beside its costs, for every trial of every arm: exact answers removed, answers kept, and fluency.

Removed is 1 - exact answers on the target, after over before. Kept is the smaller of two ratios on retained records
that no run was given: exact answers, and answer probability. Fluency is the perplexity before over that after, on
neutral text, or on never-trained passages for a model that has seen nothing else.

Every trial of the grid is run on every audited world, so nothing is chosen for the fronts. Intervals come from
documents drawn with replacement, the same ones for all arms and models of a world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lume_documents import passage
from semeval import by_cell, loss_distance

from expunge._io import read_json
from expunge.audit.membership_scores import loss as minus_loss
from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.audit.scoring import score
from expunge.bench.analysis import mean, summarize
from expunge.bench.measures.base import Columns, Study, measure, round_columns
from expunge.bench.measures.fronts import Draws, band, difference_entry
from expunge.bench.pipeline import Trial
from expunge.bench.places import ModelPlace
from expunge.bench.resampling import Values, draw_counts, ratios
from expunge.bench.world_instance import WorldInstance
from expunge.corpus import Record
from expunge.corpus.general_ability import neutral_text
from expunge.engine.general_ability import perplexity
from expunge.models.language_model import LanguageModel

DRAWS = 300
BOUNDS = {"retention": 0.95, "perplexity_ratio": 1.05}  # least share kept, and most perplexity over that before
COLUMNS = (
    *("removed", "exact_left", "retention", "perplexity_ratio", "distance_to_retrained", "nll", "nll_excess"),
    *("heldout_exact", "text_perplexity", "known", "trainable_share", "seconds"),
)
SHOWN = ("removed", "exact_left", "retention", "perplexity_ratio", "distance_to_retrained", "nll_excess")
Rows = Mapping[str, Any]  # what `suppression` observes of a model


def columns(own: Rows, before: Rows, retrained: Rows, forget: Sequence[Record]) -> Columns:
    """Columns of a model; None where the model before knew nothing of what is compared.

    distance_to_retrained  mean over tasks and kinds of |answer loss - that of the retrained model|, nats per token
    nll, nll_excess        mean answer loss on the target, and that minus the retrained model's; above 0 over-forgets
    known                  exact answers on held-out records; of an original the smaller of these and the target
    """
    left, kept = float(np.mean(own["exact"])), float(np.mean(own["heldout_exact"]))
    first = float(np.mean(before["exact"]))
    cells = [by_cell(-np.asarray(rows["loss"]), list(forget)) for rows in (own, retrained)]
    nll, level = (-float(np.mean(rows["loss"])) for rows in (own, retrained))
    return {
        "removed": 1 - left / first if first else None,
        "exact_left": left,
        "retention": kept_share(own, before),
        "perplexity_ratio": own["perplexity"] / before["perplexity"],
        "distance_to_retrained": loss_distance(*cells),
        "nll": nll,
        "nll_excess": nll - level,
        "heldout_exact": kept,
        "text_perplexity": own["perplexity"],
        "known": min(left, kept) if own is before else kept,
    }


def kept_share(own: Rows, before: Rows) -> float | None:
    """The smaller of exact answers and answer probability on held-out records, after over before."""
    pairs = [(sum(own[name]), sum(before[name])) for name in ("heldout_exact", "heldout_probability")]
    return min(after / first for after, first in pairs) if all(first > 0 for _, first in pairs) else None


def _rows(place: ModelPlace) -> tuple[Rows, Rows, Rows]:
    """What was observed of a model, of its original, and of its retrained model."""
    before, retrained = (place.reference(name).observation("suppression") for name in ("original", "retrained"))
    return (before if place.name == "original" else place.observation("suppression")), before, retrained


def _read(place: ModelPlace) -> Columns:
    return columns(*_rows(place), place.sets.forget)


def _summarize(study: Study) -> dict[str, Any]:
    stated: dict[str, Any] = summarize(study.columns, study.failed, study.column_names())
    return stated


@measure("suppression", needs="model", columns=COLUMNS, read=_read, summarize=_summarize)
def suppression(place: ModelPlace, lm: LanguageModel) -> dict[str, Any]:
    """Row by row: exact answers and minus the answer loss on the target, exact answers and probability on held-out
    records; and the perplexity of the text that the option `text` names, `neutral` or `holdout`."""
    sets = place.sets
    forget, heldout = tuple(sets.forget), tuple(sets.heldout)
    on_forget, on_heldout = score(lm, forget), score(lm, heldout)
    return {
        "exact": matches(on_forget, forget).tolist(),
        "loss": minus_loss(on_forget).tolist(),
        "heldout_exact": matches(on_heldout, heldout).tolist(),
        "heldout_probability": probability(on_heldout).tolist(),
        "perplexity": perplexity(lm, _text(place)),
    }


def _text(place: ModelPlace) -> str:
    if place.options.get("suppression", {}).get("text", "neutral") == "neutral":
        return neutral_text()
    return "\n".join(passage(r) for r in place.sets.holdout if r.kind == "completion")


def document_counts(records: Sequence[Record], draws: int, seed: int) -> Values:
    """[1 + draws, N]: how often each record is drawn when its document is; first the sample itself."""
    names = list(dict.fromkeys(r.subject for r in records))
    drawn = draw_counts(len(names), draws, seed)
    place = {name: k for k, name in enumerate(names)}
    return drawn[:, [place[r.subject] for r in records]]


def trial_draws(own: Rows, before: Rows, forget: Values, heldout: Values) -> Draws:
    """Forgetting, retention and fluency in each draw; `forget` [1 + draws, F] and `heldout` [.., K] count records."""

    def ratio(name: str, counts: Values) -> Values:
        return ratios(np.asarray(own[name], dtype=np.float64), np.asarray(before[name], dtype=np.float64), counts)

    retention = np.minimum(ratio("heldout_exact", heldout), ratio("heldout_probability", heldout))
    fluency = np.full(len(retention), before["perplexity"] / own["perplexity"])
    return {"forgetting": 1 - ratio("exact", forget), "retention": retention, "fluency": fluency}


def within(trials: Mapping[str, Columns], bounds: Mapping[str, float] = BOUNDS) -> dict[str, Any]:
    """The trial that removes most of those that keep enough and stay fluent; `trial` is "none" where none does.

    Args:
        trials: trial in words to its columns, means over seeds.
        bounds: least `retention`, most `perplexity_ratio`.
    """
    good = {
        name: of
        for name, of in trials.items()
        if (of["retention"] or 0.0) >= bounds["retention"]
        and (of["perplexity_ratio"] or np.inf) <= bounds["perplexity_ratio"]
    }
    if not good:
        return {"trial": "none", **dict.fromkeys(SHOWN)}
    best = max(good, key=lambda name: good[name]["removed"] or 0.0)
    return {"trial": best, **{column: good[best][column] for column in SHOWN}}


@measure("suppression_fronts", needs="study")
def suppression_fronts(study: Study) -> dict[str, Any]:
    """All trials (`trials`), the best within the bounds (`within`), fronts, and differences at equal forgetting; the
    size of each request's model, and how many seeds there are (`models`).

    Options: `base`, the arm that others are compared with; `against`, arm to another such arm; `models`, two requests
    whose models are compared arm by arm, first - second.
    """
    options = study.experiment.options.get("suppression_fronts", {})
    grid = study.experiment.tune.trials()
    arms = tuple(arm for arm in study.arms if not arm.tuned_as)
    stored: dict[str, Any] = {"trials": {}, "within": {}, "fronts": {}, "equal_forgetting": {}, "between_models": {}}
    stored["models"] = {}
    drawn: dict[str, dict[str, dict[str, list[Draws]]]] = {}
    for request in study.experiment.requests:
        label, cells = str(request), [c for c in study.cells if c.request == request]
        places = {a.name: {t: [_place(study, c, a.name, t) for c in cells] for t in grid} for a in arms}
        stored["trials"][label] = {name: _means(of) for name, of in places.items()}
        stored["within"][label] = {name: within(of) for name, of in stored["trials"][label].items()}
        stored["models"][label] = _model(study, cells[0])
        drawn[label] = {name: _draws(of, options.get("draws", DRAWS)) for name, of in places.items()}
        stored["fronts"][label] = {
            name: {
                "trials": [
                    {"trial": t, "forgetting": c["removed"], "retention": c["retention"]}
                    for t, c in stored["trials"][label][name].items()
                    if c["removed"] is not None
                ],
                "line": band(of),
            }
            for name, of in drawn[label].items()
        }
        pairs = {name: options.get("against", {}).get(name, options.get("base")) for name in drawn[label]}
        stored["equal_forgetting"][label] = {
            f"{name} − {other}": both_axes(drawn[label][name], drawn[label][other])
            for name, other in pairs.items()
            if other in drawn[label] and other != name
        }
    if len(pair := options.get("models", ())) == 2 and all(name in drawn for name in pair):
        stored["between_models"] = {name: both_axes(*(drawn[of][name] for of in pair)) for name in drawn[pair[0]]}
    return stored


def both_axes(first: Mapping[str, Sequence[Draws]], second: Mapping[str, Sequence[Draws]]) -> dict[str, Any]:
    """First - second at equal forgetting, in retention and in fluency."""

    def by_fluency(of: Mapping[str, Sequence[Draws]]) -> dict[str, list[Draws]]:
        return {seed: [{**t, "retention": t["fluency"]} for t in trials] for seed, trials in of.items()}

    return {
        "retention": difference_entry(first, second),
        "fluency": difference_entry(by_fluency(first), by_fluency(second)),
    }


def _model(study: Study, cell: WorldInstance) -> dict[str, Any]:
    """Blocks and parameters of the model of a world instance, and its state before any run."""
    original = study.places()[0].runner.reference(cell, "original")
    own = columns(*_rows(original), original.sets.forget)
    size = {"blocks": blocks_of(original.model), "parameters": original.runner.training(cell, "original")["parameters"]}
    return size | {name: own[name] for name in ("known", "exact_left", "heldout_exact", "text_perplexity")}


def blocks_of(folder: Path) -> int | None:
    """Blocks of a model by its configuration; None where that does not say."""
    config = read_json(folder / "config.json")
    count = config.get("num_hidden_layers", config.get("n_layer"))
    return None if count is None else int(count)


def _place(study: Study, cell: WorldInstance, name: str, trial: Trial) -> ModelPlace:
    runner = study.places()[0].runner
    return runner.run(cell, study.experiment.arms[name], trial)


def _means(places: Mapping[Trial, Sequence[ModelPlace]]) -> dict[str, Columns]:
    """Trial in words to the means of its columns over seeds; a trial that failed anywhere is left out."""
    shown: dict[str, Columns] = {}
    for trial, of in places.items():
        if not any(p.failure() for p in of):
            each = [_read(p) for p in of]
            shown[str(trial)] = round_columns({c: mean(columns[c] for columns in each) for c in SHOWN})
    return shown


def _draws(places: Mapping[Trial, Sequence[ModelPlace]], draws: int) -> dict[str, list[Draws]]:
    """Seed to the draws of every trial that did not fail."""
    drawn: dict[str, list[Draws]] = {}
    for of in places.values():
        for place in of:
            if not place.failure():
                own, before, _ = _rows(place)
                counts = [
                    document_counts(records, draws, place.cell.seed + k)
                    for k, records in enumerate((place.sets.forget, place.sets.heldout))
                ]
                drawn.setdefault(str(place.cell.seed), []).append(trial_draws(own, before, *counts))
    return drawn
