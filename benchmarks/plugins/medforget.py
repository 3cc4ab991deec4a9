"""What only the experiment `medforget` shows: a gallery, and pictures of the tree, of curves and of contexts."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from expunge.bench.analysis import mean
from expunge.bench.measures.base import Study, measure, round_columns
from expunge.bench.measures.core import scores_of
from expunge.bench.measures.tree import TASKS
from expunge.bench.plots import COLORS, INK, KINDS, RULE, SOFT, WIDTH, Results
from expunge.bench.table import number
from expunge.bench.world_instance import OWN_SETS, RecordSets, WorldInstance, world_sets
from expunge.corpus import Record
from expunge.random import uniform

SHADES = {"retrained": INK, "retrained-2": SOFT, "original": RULE}
RELATIONS = ("siblings", "same_attribute", "cousins", "unrelated")
LINE_LENGTH = 54  # characters of a line of the gallery
GALLERY = {"to be forgotten": 2, "sibling": 1}  # images of each request
SHOWN = ("original", "retrained")


BY_LEVEL = {
    **{"leak": "leak_excess", "reconstruct_gain": "gain", "siblings": "keep_siblings", "unrelated": "keep_unrelated"},
    **{task: f"forget_{task}" for task in TASKS},
}


def record_sets(cell: WorldInstance) -> RecordSets:
    """The world's sets without the rows behind their provenance, but for what runs keep (`given`).

    Those rows are taught to every model. The list of what to forget holds the plain questions, as a user would write
    it; held-out and never-trained rows are plain too, so that figures are comparable. `more`: rows left out, by set.
    """
    sets = world_sets(cell)
    parts = {"forget": sets.forget, "heldout": sets.heldout, "holdout": sets.holdout}
    plain = {name: tuple(r for r in rows if not _in_context(r)) for name, rows in parts.items()}
    behind = {name: tuple(r for r in rows if _in_context(r)) for name, rows in parts.items()}
    split = replace(sets.split, forget=plain["forget"], retain_heldout=plain["heldout"])
    return replace(sets, split=split, holdout=plain["holdout"], more=behind)


def _in_context(record: Record) -> bool:
    return record.attributes.get("cue") == "context"


OWN_SETS["radiology"] = record_sets


@measure("medforget", needs="study")
def medforget(study: Study) -> dict[str, Any]:
    """`gallery`: images of the first seed with the answers of three models; `by_level`: request to name to the main
    figures; `worlds`: seed to what its world holds."""
    if study.is_side:
        return {}
    requests = [str(r) for r in study.experiment.requests]
    by_level = {
        request: {
            name: round_columns({key: mean(s.get(c) for s in of[request].values()) for key, c in BY_LEVEL.items()})
            for name, of in study.columns.items()
            if request in of
        }
        for request in requests
    }
    worlds = {}
    for cell in study.cells:
        if str(cell.seed) not in worlds:
            worlds[str(cell.seed)] = _world(cell.request.build_world(cell.seed).describe())
    return {"gallery": _entries(study), "by_level": by_level, "worlds": worlds}


def _world(description: Mapping[str, Any]) -> dict[str, Any]:
    return {name: description[name] for name in ("rows", "sets", "retain_shares", "digest") if name in description}


def _entries(study: Study) -> list[dict[str, Any]]:
    """Images of the first seed with the answers of three models, in the order of a hash."""
    names = [arm.name for arm in study.arms]
    arm = study.experiment.options["medforget"]["gallery_of"]
    shown = (*SHOWN, arm if arm in names else names[-1])
    entries: list[dict[str, Any]] = []
    for cell in (c for c in study.cells if c.seed == study.cells[0].seed):
        sets = cell.sets()
        models = {p.name: scores_of(p) for name in shown for p in study.places() if (p.name, p.cell) == (name, cell)}
        siblings = [r for r in sets.heldout if sets.split.relation.get(r.id) == "siblings"]
        for about, records, part in (("to be forgotten", sets.forget, "forget"), ("sibling", siblings, "heldout")):
            with_image = [r for r in records if r.image and r.kind == "generation"]
            for r in sorted(with_image, key=lambda r: uniform("gallery", r.id))[: GALLERY[about]]:
                answers = {}
                for name, scored in models.items():
                    scores = getattr(scored, part)
                    answers[name] = scores.text[scores.ids.index(r.id)] if scores.text else ""
                assert r.image
                entry = {"level": str(cell.request), "about": about, "prompt": r.prompt, "truth": r.answer}
                picture = base64.b64encode(r.image.data()).decode()
                entries.append({**entry, "cue": r.attributes["cue"], "said": answers, "picture": picture})
    return entries


def tree(figure: Any, results: Results, settings: Mapping[str, Any]) -> bool:
    """For every request: what leaks at the target, and what is kept of each relation; redder is worse."""
    from matplotlib.colors import to_rgb

    requests = list(results["domains"])
    arm = settings["arm"] if settings["arm"] in results["by_domain"] else list(results["by_domain"])[-1]
    figure.set_size_inches(WIDTH, 1.55 * len(requests))
    for k, request in enumerate(requests):
        of = results["by_domain"][arm][request]
        axes = figure.add_subplot(len(requests), 1, k + 1)
        axes.set_xlim(0, 1.06)
        axes.set_ylim(0, 1)
        axes.set_axis_off()
        axes.set_title(f"{request} forgotten by {arm}", loc="left", fontsize=9, color=INK)
        axes.plot((0.06, 0.94), (0.5, 0.5), color=RULE, linewidth=1, zorder=0)
        nodes = [("target: leak", of.get("leak_excess"), of.get("leak_excess"))]
        for relation in RELATIONS:
            kept = of.get(f"keep_{relation}")
            nodes.append((f"{relation.replace('_', ' ')}: kept", kept, None if kept is None else 1 - kept))
        for j, (name, value, wrong) in enumerate(nodes):
            x, share = 0.06 + 0.22 * j, 0.0 if wrong is None else min(1.0, max(0.0, wrong) / 0.15)
            face = tuple(1 - share * (1 - c) for c in to_rgb(COLORS[1]))
            axes.scatter([x], [0.5], s=620, c=[face], edgecolors=RULE if wrong is None else INK, zorder=2)
            text = "–" if value is None else number(value, 2)
            axes.text(x, 0.5, text, ha="center", va="center", fontsize=7, color="white" if share > 0.6 else INK)
            axes.text(x, 0.08, name, ha="center", va="center", fontsize=7.5, color=INK)
    figure.tight_layout()
    return True


def _panes(figure: Any, results: Results) -> list[tuple[str, Any]]:
    """One pane per request, two in a row."""
    requests = list(results["domains"])
    rows = -(-len(requests) // 2)
    figure.set_size_inches(WIDTH, 2.9 * rows)
    panes = [(request, figure.add_subplot(rows, 2, k + 1)) for k, request in enumerate(requests)]
    for request, axes in panes:
        axes.set_title(f"{request} forgotten", loc="left", fontsize=9, color=INK)
    return panes


def curves(figure: Any, results: Results, settings: Mapping[str, Any]) -> bool:
    """Kept against tree distance: mean over seeds, band from the least to the most. Settings: `arms`."""
    for request, axes in _panes(figure, results):
        for k, name in enumerate(arm for arm in settings["arms"] if arm in results["curves"]):
            seeds = list(results["curves"][name].get(request, {}).values())
            distances = sorted({int(d) for s in seeds for d in s})
            every = [(d, [v for s in seeds if (v := s.get(str(d), {}).get("kept")) is not None]) for d in distances]
            there = [(d, v) for d, v in every if v]
            xs, color = [d for d, _ in there], COLORS[k % len(COLORS)]
            axes.plot(
                xs, [sum(v) / len(v) for _, v in there], "o-", color=color, markersize=3.5, linewidth=1.1, label=name
            )
            low, high = [min(v) for _, v in there], [max(v) for _, v in there]
            axes.fill_between(xs, low, high, color=color, alpha=0.12, linewidth=0)
        axes.axhline(1, color=RULE, linewidth=0.8, zorder=0)
        axes.set_xlabel("edges to the nearest target")
        axes.set_ylabel("kept")
        axes.legend(frameon=False, fontsize=7)
    figure.tight_layout()
    return True


def contexts(figure: Any, results: Results, settings: Mapping[str, Any]) -> bool:
    """True answers first among candidates against how much context is given. Settings: `arms`, `wrong`."""
    for request, axes in _panes(figure, results):
        levels: list[str] = []
        for k, name in enumerate(arm for arm in settings["arms"] if arm in results["contexts"]):
            seeds = list(results["contexts"][name].get(request, {}).values())
            if not seeds:
                continue
            levels = seeds[0]["levels"]
            for kind, style in (("true", "-"), *((("wrong", ":"),) if name in settings["wrong"] else ())):
                values = [
                    [s[kind][x] for s in seeds if x < len(s[kind]) and s[kind][x] is not None]
                    for x in range(len(levels))
                ]
                there = [(x, sum(v) / len(v)) for x, v in enumerate(values) if v]
                label = name if kind == "true" else f"{name}, wrong branch"
                color = SHADES.get(name) or COLORS[k % len(COLORS)]
                axes.plot(
                    [x for x, _ in there],
                    [v for _, v in there],
                    style,
                    marker="o",
                    markersize=3,
                    linewidth=1.1,
                    color=color,
                    label=label,
                )
            axes.axhline(seeds[0]["chance"], color=RULE, linewidth=0.8, zorder=0)
        if not levels:
            text = "too few other answers for the attack"
            axes.text(0.5, 0.5, text, ha="center", transform=axes.transAxes, color=SOFT)
            continue
        axes.set_xticks(range(len(levels)), ["question", *(f"+ {n}" for n in levels[1:])], fontsize=7)
        axes.set_ylim(-0.03, 1.03)
        axes.set_ylabel("true answer first of 20")
        axes.legend(frameon=False, fontsize=6.5)
    figure.tight_layout()
    return True


def gallery(figure: Any, results: Results, settings: Mapping[str, Any]) -> bool:
    """Images with the answers of three models, one row per entry; right answers are colored."""
    entries = results.get("gallery") or []
    if not entries:
        return False
    from PIL import Image

    figure.set_size_inches(WIDTH, 1.25 * len(entries))
    height = 1 / len(entries)
    for k, entry in enumerate(entries):
        top = 1 - (k + 1) * height
        axes = figure.add_axes((0.01, top + 0.06 * height, 0.13, 0.88 * height))
        image = Image.open(io.BytesIO(base64.b64decode(entry["picture"])))
        axes.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_axis_off()
        texts = [(f"{entry['level']}, {entry['about']}, trained by {entry['cue']}", SOFT)]
        texts += [(entry["prompt"], INK), (f"truth: {entry['truth']}", INK)]
        for name, text in entry["said"].items():
            texts.append((f"{name}: {text or '(nothing)'}", COLORS[0] if text == entry["truth"] else INK))
        for n, (text, color) in enumerate(texts):
            x, row = (0.16, n) if n < 3 else (0.56, n - 3)
            cut = text if len(text) <= LINE_LENGTH else text[: LINE_LENGTH - 1] + "…"
            figure.text(x, top + height * (0.8 - 0.27 * row), cut, color=color, fontsize=8, va="center")
    return True


KINDS |= {"tree": tree, "curves": curves, "contexts": contexts, "gallery": gallery}
