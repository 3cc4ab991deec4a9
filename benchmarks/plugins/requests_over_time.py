"""Requests one after another on one model: what every request's records give after each of them, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from request_runs import AfterRequest, Course, Mode
from ward import WardRequests

from expunge._io import read_json, write_json
from expunge.audit.policy import Policy
from expunge.audit.record_sets import drawn
from expunge.audit.request_file import MARGIN
from expunge.audit.request_history import true_share
from expunge.audit.run import audit
from expunge.audit.scores import Scores
from expunge.audit.scoring import score
from expunge.bench.analysis import entry, mean, t_interval
from expunge.bench.measures.base import Study, measure
from expunge.bench.measures.core import MAX_NEW_TOKENS, retention
from expunge.bench.places import ModelPlace
from expunge.corpus import Record
from expunge.corpus.general_ability import neutral_text
from expunge.engine.general_ability import perplexity
from expunge.engine.request_chain import audited_request
from expunge.engine.stop_controls import surrogate_controls
from expunge.errors import RunFailed
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.models.likelihoods import answer_log_softmax, mean_nll
from expunge.models.run_file import read_run_file
from expunge.scope import Scope

QUESTIONS, CONTROLS, CONTROL_ROWS = 64, 2, 16  # of a request: its own, surrogates, and questions to each
PROBES = 48  # held-out questions on which distributions are compared
ENERGY = 0.99  # share of the squared singular values that the rank of a change covers
COLUMNS = (
    *("first", "first_controls", "worst_excess", "leaks", "kept", "kept_letters", "perplexity_ratio"),
    *("kl_original", "kl_retrained", "weights", "weights_retrained", "rank", "adapter_rank", "seconds"),
)


@dataclass(frozen=True)
class Yardsticks:
    """What every model of a cell is held against: made once for all modes of an arm."""

    place: ModelPlace
    neutral: bool

    @cached_property
    def requests(self) -> WardRequests:
        requests: WardRequests = self.place.sets.more
        return requests

    @cached_property
    def original(self) -> LanguageModel:
        return merge_adapter(load(self.place.reference("original").model))

    @cached_property
    def retrained(self) -> LanguageModel:
        return merge_adapter(load(self.place.reference("retrained").model))

    @cached_property
    def probes(self) -> tuple[Record, ...]:
        return drawn(self.requests.heldout, PROBES, "probes")

    @cached_property
    def controls(self) -> list[list[Record]]:
        """Per request what nobody was trained on: its questions about surrogates; of a letter, other letters."""
        retained = [r for r in self.requests.given if r.split is None]
        return [
            list(self.requests.never)
            if of[0].kind == "document"
            else [
                r
                for one in surrogate_controls(of, retained, self.place.cell.seed, CONTROL_ROWS)[:CONTROLS]
                for r in one
            ]
            for of in self.requests.forget
        ]

    @cached_property
    def kept_before(self) -> Scores:
        return score(self.original, self.requests.heldout)

    @cached_property
    def letters_before(self) -> float:
        return true_share(self.original, self.requests.heldout_letters, "tokens")

    @cached_property
    def perplexity_before(self) -> float:
        return self.fluency(self.original)

    @cached_property
    def distributions(self) -> dict[str, list[torch.Tensor]]:
        items = self.original.template.encode_all(self.probes)
        return {name: answer_log_softmax(getattr(self, name), items) for name in ("original", "retrained")}

    def fluency(self, lm: LanguageModel) -> float:
        """Perplexity of neutral text, or of letters that no model was trained on."""
        if self.neutral:
            return perplexity(lm, neutral_text())
        return math.exp(float(mean_nll(lm, self.requests.never).mean()))

    def state(self, lm: LanguageModel) -> dict[str, Any]:
        """All that is measured of one model."""
        requests, shares, controls = self.requests, [], []
        for records, others in zip(requests.forget, self.controls, strict=True):
            what = "tokens" if records[0].kind == "document" else "answers"
            shares.append(true_share(lm, drawn(records, QUESTIONS, "history"), what, MAX_NEW_TOKENS))
            controls.append(true_share(lm, others, what, MAX_NEW_TOKENS))
        heldout = requests.heldout
        items = lm.template.encode_all(self.probes)
        log_p = answer_log_softmax(lm, items)
        change, whole, ranks = weight_change(lm.module, self.original.module)
        from_retrained, size, _ = weight_change(lm.module, self.retrained.module, rank=False)
        return {
            "shares": shares,
            "controls": controls,
            "kept": retention(score(lm, heldout), self.kept_before, heldout, np.ones(len(heldout), dtype=bool)),
            "kept_letters": true_share(lm, requests.heldout_letters, "tokens") / self.letters_before,
            "perplexity_ratio": self.fluency(lm) / self.perplexity_before,
            **{f"kl_{name}": divergence(of, log_p) for name, of in self.distributions.items()},
            "weights": change / whole,
            "weights_retrained": from_retrained / size,
            "rank": ranks,
        }


def divergence(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> float:
    """Mean KL(first || second) over answer tokens, nats; one [a, V] tensor of log-probs a question."""
    every = [(p.double().exp() * (p.double() - q.double())).sum(-1) for p, q in zip(first, second, strict=True)]
    return float(torch.cat(every).mean())


def weight_change(after: Any, before: Any, rank: bool = True) -> tuple[float, float, float | None]:
    """Norm of the difference of all weights, norm of those before, and the mean rank of the matrices that changed.

    The rank is the number of singular values that hold `ENERGY` of the squared difference.
    """
    old, squares, whole, ranks = dict(before.named_parameters()), 0.0, 0.0, []
    for name, new in after.named_parameters():
        difference = (new.detach() - old[name].detach()).float()
        norm = float(difference.double().square().sum())
        squares += norm
        whole += float(old[name].detach().double().square().sum())
        if rank and norm > 0 and difference.ndim == 2:
            ranks.append(rank_of(torch.linalg.svdvals(difference)))
    return math.sqrt(squares), math.sqrt(whole), mean(ranks)


def rank_of(values: torch.Tensor) -> int:
    """The least number of the first singular values that hold `ENERGY` of their squares; (3, 4, 0) gives 2."""
    squares = values.double().square().sort(descending=True).values
    return int((squares.cumsum(0) < ENERGY * squares.sum()).sum()) + 1


def cached(path: Path, one: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, one())
    content: dict[str, Any] = read_json(path)
    return content


def _summarize(study: Study) -> dict[str, Any]:
    """`modes`: arm and mode to the columns after the last request; `curves`: the same after each; `goal`; `audits`."""
    seen: dict[str, list[dict[str, Any]]] = {}
    for place in study.runs():
        for mode, of in (place.observation("requests_over_time") or {}).items():
            seen.setdefault(f"{place.name}, {mode}", []).append(of)
    curves = {name: curve([of["states"] for of in every]) for name, every in seen.items()}
    results = {
        "modes": {name: last_of([of["states"] for of in every]) for name, every in seen.items()},
        "curves": curves,
        "matrix": {name: every[0]["states"] for name, every in seen.items()},
        "goal": {name: goal([of["states"] for of in every]) for name, every in seen.items()},
        "audits": {name: audits_of(every) for name, every in seen.items() if any(of.get("audits") for of in every)},
        "guards": {name: every[0]["guards"] for name, every in seen.items() if every[0].get("guards")},
        "again": again(seen, study.experiment.options["requests_over_time"].get("again", {})),
        "scopes": list(study.cells[0].sets().more.scopes),
        "failed": study.failed,
    }
    return {key: value for key, value in results.items() if value or key not in ("again", "audits", "guards")}


def columns_of(state: Mapping[str, Any], number: int) -> dict[str, float | None]:
    """The columns of the model after request `number`; the first `number` requests have been asked.

    first           share of the first request's true answers
    first_controls  the same about people that no model was trained on
    worst_excess    the largest share above its controls, over the requests asked so far
    leaks           requests asked so far whose share is more than `MARGIN` above the controls
    """
    excess = [s - c for s, c in zip(state["shares"][:number], state["controls"][:number], strict=True)]
    values = {name: state.get(name) for name in COLUMNS}
    own = {
        "first": state["shares"][0],
        "first_controls": state["controls"][0],
        "worst_excess": max(excess) if excess else None,
        "leaks": float(sum(e > MARGIN for e in excess)),
    }
    return values | own


def curve(courses: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, list[float | None]]:
    """Column to its means over seeds, one for each model of a course."""
    numbers = [s["number"] for s in courses[0]]
    of = [[columns_of(s, s["number"]) for s in course] for course in courses]
    return {"number": numbers} | {c: [mean(o[k][c] for o in of) for k in range(len(numbers))] for c in COLUMNS}


def last_of(courses: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Column to mean and interval over seeds after the last request."""
    rows = [columns_of(course[-1], course[-1]["number"]) for course in courses]
    values = {c: [value for r in rows if (value := r[c]) is not None] for c in COLUMNS}
    return {c: entry(mean(of), t_interval(of)) for c, of in values.items()}


def goal(courses: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The worst seed after the last request: the first one's excess, and what is kept; both limits at once."""
    last = [columns_of(course[-1], course[-1]["number"]) for course in courses]
    excess = max((c["first"] or 0.0) - (c["first_controls"] or 0.0) for c in last)
    retention = min(c["kept"] or 0.0 for c in last)
    return {"first_excess": excess, "kept": retention, "reached": excess <= MARGIN and retention >= 0.97}


def audits_of(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Request to its scope, its verdicts over seeds after the last run, and the checks that failed."""
    audited = [seed["audits"] for seed in every if seed.get("audits")]
    rows = {}
    for k, first in enumerate(audited[0]):
        of = [seed[k] for seed in audited]
        words = [o["verdict"] for o in of]
        rows[str(k + 1)] = {
            "scope": first["scope"],
            "verdict": ", ".join(f"{word} {words.count(word)}" for word in sorted(set(words))),
            "failed": ", ".join(sorted({name for o in of for name in o["failed"]})) or "none",
        }
    return rows


def again(seen: Mapping[str, Sequence[Mapping[str, Any]]], names: Mapping[str, str]) -> dict[str, Any]:
    """Column to the mean |again - first| over seeds, and the spread of `first` over seeds."""
    first, second = (seen.get(names.get(key, "")) for key in ("first", "again"))
    if not first or not second:
        return {}
    ends = [[columns_of(of["states"][-1], of["states"][-1]["number"]) for of in every] for every in (first, second)]
    rows = {}
    for c in COLUMNS:
        pairs = [(a[c], b[c]) for a, b in zip(*ends, strict=True) if a[c] is not None and b[c] is not None]
        if pairs:
            values = [a for a, _ in pairs]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            rows[c] = {"again": mean(abs(b - a) for a, b in pairs), "seeds": spread}
    return rows


@measure("requests_over_time", needs="run", summarize=_summarize)
def requests_over_time(place: ModelPlace) -> dict[str, Any]:
    """Mode to `states` after each request, `guards` of each run, and `audits`."""
    options = place.options["requests_over_time"]
    sticks = Yardsticks(place, bool(options.get("neutral")))
    base = place.base.with_name(f"{place.base.name}-requests")
    start = cached(base / "original.json", lambda: {**sticks.state(sticks.original), "number": 0, "seconds": 0.0})
    seen = {}
    for name, raw in options["modes"].items():
        mode = Mode(**(raw or {}))
        if mode.arms and place.name not in mode.arms:
            continue
        folder = base / name
        course = Course(place, mode, folder, options["documents"], tuple(options.get("document_set", ())))
        try:
            seen[name] = _course(course, sticks, start)
        except RunFailed as error:
            seen[name] = {"states": [start], "failed": str(error)}
    return seen


def _course(course: Course, sticks: Yardsticks, start: dict[str, Any]) -> dict[str, Any]:
    states, guards, rank, run = [start], {}, 0, None
    for after in course.models():
        rank += int(course.recipe(after.number, after.split.forget).train.rank)
        if course.mode.way == "joint":
            rank *= 2

        def one(after: AfterRequest = after, rank: int = rank) -> dict[str, Any]:
            about = {"number": after.number, "seconds": after.about["seconds"], "adapter_rank": rank}
            return {**sticks.state(after.load()), **about, "guards": after.about.get("guards")}

        states.append(cached(course.folder / f"state-{after.number}.json", one))
        guards[str(after.number)] = states[-1]["guards"]
        run = after.run
    first_seed = course.place.cell.seed == course.place.runner.experiment.seeds[0]
    audits = _audits(course, run) if course.mode.audit and first_seed and run else []
    return {"states": states, "guards": guards if any(guards.values()) else None, "audits": audits}


def _audits(course: Course, run: Path) -> list[dict[str, Any]]:
    """Every request judged on the last model, beside the retrained one, which lacks all of them."""
    place, rows = course.place, []
    models = [place.reference(name).model for name in ("original", "retrained")]
    for number, scope in enumerate(place.sets.more.scopes, 1):

        def one(number: int = number, scope: str = scope) -> dict[str, Any]:
            about = read_run_file(run)
            split = audited_request(course.corpus(1), Scope.parse(scope), about, place.cell.seed, "ignore")
            out = course.folder / f"audit-{number}"
            policy = Policy.load("with-retrained")
            result = audit(models[0], run, split, out, retrained=models[1], policy=policy, data_name="ward")
            required = {name for name, rule in policy.rules.items() if rule.required}
            failed = [r.key for r in result.results if r.status == "failed" and r.key in required]
            return {"scope": scope, "verdict": result.verdict.status, "failed": failed}

        rows.append(cached(course.folder / f"audit-{number}.json", one))
    return rows
