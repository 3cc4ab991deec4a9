"""The audit: ask original, unlearned and retrained model once, measure, attack, judge by the policy.

`audit.json` holds every entry, the verdict, and the numbers that the report draws. Scores are files addressed by
a digest of model and records, so a second audit of the same models asks nothing again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from expunge._io import digest, read_json, write_json
from expunge.audit.check_result import CheckResult
from expunge.audit.checks.leak import KINDS
from expunge.audit.context import CHECKS, Context
from expunge.audit.image_examples import gallery
from expunge.audit.metrics import METRICS
from expunge.audit.metrics.published import (
    fr_abs,
    fr_chance,
    fr_ref,
    fr_rel,
    kpr_abs,
    kpr_rel,
    mia_resistance,
    privacy_risk,
    us,
)
from expunge.audit.policy import Policy
from expunge.audit.scores import Scores
from expunge.audit.scoring import score
from expunge.audit.statistics import bootstrap_mean
from expunge.audit.tree_retention import tree
from expunge.audit.verdict import Verdict, verdict
from expunge.corpus import Record
from expunge.engine.run_directory import environment
from expunge.errors import InputError
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import LanguageModel, check, load
from expunge.models.threads import set_threads
from expunge.scope.split import Split

SCORER = "2"  # changes whenever a scoring pass would give other numbers
NOT_TESTED = (
    "quantization (int8, int4)",
    "sampling (leak@k)",
    "prefix and jailbreak prompts",
    "benign relearning",
    "reference-model membership attacks",
)


@dataclass(frozen=True)
class Audit:
    """A finished audit: the verdict, its entries, and `data`, the whole of `audit.json`."""

    verdict: Verdict
    entries: tuple[CheckResult, ...]
    data: dict[str, Any]
    path: Path

    def __getitem__(self, key: str) -> CheckResult:
        return next(e for e in self.entries if e.key == key)


def record_sets(split: Split) -> dict[str, Sequence[Record]]:
    """What every model is asked: forget in all wordings, and the other sets as they stand."""
    return {
        "forget": tuple(w for r in split.forget for w in r.wordings()),
        "retain_heldout": split.retain_heldout,
        "shared": split.shared,
        "holdout": split.holdout,
        "controls": split.controls,
    }


def audit(
    original: str | Path,
    unlearned: str | Path,
    split: Split,
    out: str | Path,
    *,
    retrained: str | Path | None = None,
    policy: Policy | None = None,
    on_progress: Callable[[str, float], None] | None = None,
) -> Audit:
    """Audit `unlearned` against `original` and `retrained`; writes `out`/audit.json.

    Without `retrained`, never-trained controls in the split are the reference, and what needs a model that never
    knew becomes inconclusive. `on_progress` gets a phrase and the share done, 0 … 1.
    """
    started, out = time.perf_counter(), Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(str(out), "is a file", "name a folder for the audit")
    policy = policy or Policy.load()
    say = on_progress or (lambda phrase, done: None)
    sources = {"original": str(original), "unlearned": str(unlearned)}
    if retrained is not None:
        sources["retrained"] = str(retrained)
    for source in sources.values():
        check(source)  # before minutes are spent on the first of them
    set_threads()
    split, template = _by_id(split), template_of(Path(unlearned))
    sets = record_sets(split)
    if not sets["forget"]:
        raise InputError("forget set", "is empty", "give a scope that matches something")
    records = {r.row_id: r for group in sets.values() for r in group}
    models: dict[str, Any] = {}
    scores: dict[str, dict[str, Scores]] = {}
    for k, (role, source) in enumerate(sources.items()):
        say(f"asking the {role} model", 0.7 * k / len(sources))
        lm = load(source, template=template)
        fingerprint = model_digest(source)
        models[role] = {"digest": fingerprint, "parameters": lm.parameters, "template": lm.template.kind}
        # controls are asked to choose among options only where they are the reference: it is a third of all the work
        chosen = {"forget", "retain_heldout"} | (set() if retrained else {"controls"})
        scores[role] = {
            name: _scored(lm, fingerprint, name, group, name in chosen, out / "scores") for name, group in sets.items()
        }
    ctx = Context(split, policy, scores, records, lambda role: load(sources[role], template=template), score)
    entries: list[CheckResult] = []
    for k, (name, measurement) in enumerate(CHECKS):
        say(f"attack: {name}", 0.7 + 0.3 * k / len(CHECKS.names()))
        entries += _guarded(ctx, measurement.keys, measurement.run)
    result = verdict(entries, policy)
    more = {"gallery": gallery(ctx), "tree": tree(ctx)}
    data = _clean(
        {
            "format": "expunge-audit/1",
            "split": split.summary(),
            "split_digest": split.digest,
            "policy": {**policy.model_dump(mode="json"), "digest": policy.digest},
            "reference": ctx.reference,
            "models": models,
            "verdict": result.model_dump(mode="json"),
            "entries": [e.as_json() for e in entries],
            "measures": measures(ctx),
            "aggregates": aggregates(ctx),
            "distributions": distributions(ctx),
            "examples": examples(ctx),
            "not_tested": list(NOT_TESTED),
            "environment": environment(),
            **ctx.notes,
            **{name: found for name, found in more.items() if found},
        }
    )
    write_json(out / "audit.json", {**data, "seconds": round(time.perf_counter() - started, 2)})
    say("done", 1.0)
    return Audit(result, tuple(entries), data, out / "audit.json")


def _by_id(split: Split) -> Split:
    """The split with its records sorted, so that no order given by a caller can show in a number."""
    names = ("forget", "retain", "retain_heldout", "holdout", "controls", "shared")
    sets: dict[str, Any] = {name: tuple(sorted(getattr(split, name), key=lambda r: r.id)) for name in names}
    return replace(split, **sets)


def template_of(unlearned: Path) -> str:
    """How the run asked its model: all models of an audit are asked alike."""
    run = unlearned / "run.json"
    return str(read_json(run).get("template", "auto")) if run.is_file() else "auto"


def _guarded(ctx: Context, keys: Sequence[str], run: Callable[[Context], Any]) -> list[CheckResult]:
    """The entries of a measurement; a failure makes every key it did not reach `not_run`, never passed."""
    found: list[CheckResult] = []
    try:
        for entry in run(ctx):
            found.append(entry)
        return found
    except Exception as error:
        reason = f"the attack failed: {type(error).__name__}: {error}"[:300]
        done = {e.key for e in found}
        return found + [CheckResult(key=k, status="not_run", reason=reason) for k in keys if k not in done]


def _scored(
    lm: LanguageModel, fingerprint: str, name: str, records: Sequence[Record], options: bool, folder: Path
) -> Scores:
    if not records:
        return score(lm, ())
    forget = name == "forget"
    key = digest([SCORER, fingerprint, lm.template.kind, name, options, [r.content() for r in records]])
    path = folder / f"{key}.npz"
    if path.is_file():
        return Scores.load(path)
    found = score(lm, records, options=options, text=forget)
    found.save(path)
    return found


def measures(ctx: Context) -> list[dict[str, Any]]:
    """Every metric on every set for every model: one number, the records it rests on, its interval if there is one.

    Pooled metrics (perplexity) have no interval, nor have fewer subjects than the policy wants.
    """
    rows = []
    for name in ("forget", "rephrased", "retain_heldout", "shared", "holdout", "controls"):
        for role in ctx.roles:
            scores = ctx.scores[role]["forget" if name == "rephrased" else name]
            if name in ("forget", "rephrased"):
                trained = set(ctx.trained_wording)
                scores = scores.select([i for i in scores.ids if (i in trained) == (name == "forget")])
            for key, metric in METRICS:
                value = metric.summary(scores, ctx.records) if len(scores) else float("nan")
                if np.isfinite(value):
                    found = bootstrap_mean(metric(scores, ctx.records), ctx.subjects(scores.ids), ctx.policy.bootstrap)
                    ci = None if found.low is None or metric.pool else [round(found.lower, 6), round(found.upper, 6)]
                    rows.append(
                        {
                            "metric": key,
                            "set": name,
                            "model": role,
                            "value": round(value, 6),
                            "n": found.n_records,
                            "ci": ci,
                        }
                    )
    return rows


def aggregates(ctx: Context) -> dict[str, Any]:
    """Published one-number scores, for comparison only: several definitions of FR and KPR, named apart."""
    exact = {role: float(np.mean(ctx.values("exact_match", role, "forget", ctx.trained_wording))) for role in ctx.roles}
    kept = {
        role: float(np.mean(ctx.values("exact_match", role, "retain_heldout")))
        if ctx.split.retain_heldout
        else float("nan")
        for role in ctx.roles
    }
    before, after = exact["original"], exact["unlearned"]
    choice = {
        role: float(np.nanmean(v))
        for role in ctx.roles
        if np.isfinite(v := ctx.values("mcq_acc", role, "forget", ctx.trained_wording)).any()
    }
    found: dict[str, Any] = {
        "exact_match": exact,
        "choice": choice,
        "fr_abs": fr_abs(after),
        "fr_rel": fr_rel(before, after),
        "kpr_abs": kpr_abs(kept["unlearned"]),
        "kpr_rel": kpr_rel(kept["original"], kept["unlearned"]),
        "us": us(fr_abs(after), kpr_abs(kept["unlearned"])),
    }
    if "retrained" in exact:
        found["fr_ref"] = fr_ref(before, after, exact["retrained"])
    if choice:
        options = [len(set(ctx.records[i].options)) for i in ctx.trained_wording if ctx.records[i].options]
        found["fr_chance"] = fr_chance(
            choice["original"], choice["unlearned"], float(np.mean([1 / o for o in options]))
        )
    for name, by_role in ctx.notes.get("membership_auc", {}).items():
        found[f"mia_resistance.{name}"] = {role: mia_resistance(v) for role, v in by_role.items()}
        found[f"privacy_risk.{name}"] = {role: privacy_risk(v) for role, v in by_role.items()}
    return found


def distributions(ctx: Context) -> dict[str, dict[str, list[float]]]:
    """Mean answer loss (nats per token) of every record by model and set, for drawing."""
    found: dict[str, dict[str, list[float]]] = {}
    for role in ctx.roles:
        forget = ctx.scores[role]["forget"].select(ctx.trained_wording)
        groups = {
            "forgotten": forget,
            "retained": ctx.scores[role]["retain_heldout"],
            "never seen": ctx.scores[role]["controls"] if ctx.split.controls else ctx.scores[role]["holdout"],
        }
        found[role] = {name: [round(float(v), 4) for v in s.nll / s.length] for name, s in groups.items() if len(s)}
    return found


def examples(ctx: Context, most: int = 8) -> list[dict[str, str]]:
    """What the three models say to some questions about the target, for people to read."""
    texts = {role: dict(zip(s["forget"].ids, s["forget"].text or (), strict=False)) for role, s in ctx.scores.items()}
    chosen: list[Record] = []
    for kind in KINDS:
        chosen += [r for r in ctx.split.forget if r.kind == kind][: most // 3 + 1]
    return [
        {
            "prompt": r.prompt,
            "answer": r.answer,
            "kind": r.kind,
            **{role: t.get(r.row_id, "") for role, t in texts.items()},
        }
        for r in chosen[: most + 1]
    ]


def _clean(value: Any) -> Any:
    """JSON-ready: NaN becomes None, numpy becomes Python."""
    if isinstance(value, Mapping):
        return {k: _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain
