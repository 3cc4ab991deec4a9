"""Pictures of the suite: what leaks and what is kept at each level, by distance in the tree, and under the attack.

Surprising: the tree is drawn once for every level with the same colours for leak and damage, because what both have in
common is that they should not be there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from expunge.audit.reconstruction import Reconstruction
from expunge.audit.reconstruction.prompts import TRUE, WRONG
from expunge.bench.concepts.rows import REFERENCES
from expunge.bench.medforget.rows import CANDIDATE
from expunge.bench.panel import COLOURS, INK, RULE, SOFT, STYLE

SHADES = {"retrained": INK, "retrained-2": SOFT, "original": RULE}
NODES = {"siblings": (0.28, 0.5), "same_attribute": (0.5, 0.5), "cousins": (0.72, 0.5), "unrelated": (0.94, 0.5)}


def by_level(found: Reconstruction) -> dict[str, Any]:
    """Context level → true answers first: with the true context, with a wrong branch, by chance."""
    chance = float(found.chance.mean())
    return {
        "levels": list(found.levels),
        "chance": round(chance, 6),
        "true": _means(found.of("top1", TRUE)),
        "wrong": _means(found.of("top1", WRONG)),
    }


def _means(values: Any) -> list[float | None]:
    return [round(float(np.nanmean(v)), 6) if np.isfinite(v).any() else None for v in values.T]


def levels(found: Mapping[str, Any]) -> str:
    """For every level a tree: what is above the retrained model in the target, and what is lost around it."""
    return _drawn(found, "Leak and damage around the target", _tree, height=1.55)


def curves(found: Mapping[str, Any]) -> str:
    """For every level: kept against distance in the tree, mean over seeds, band from the least to the most."""
    return _drawn(found, "Kept against distance in the tree", _curve)


def contexts(found: Mapping[str, Any]) -> str:
    """For every level: true answers first among candidates against how much of the place is told."""
    return _drawn(found, "Memory with growing context", _context)


def _drawn(
    found: Mapping[str, Any], title: str, pane: Callable[[Any, Mapping[str, Any], str], None], height: float = 2.9
) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    domains = list(found["domains"])
    columns = 1 if height < 2 else 2
    rows = -(-len(domains) // columns)
    with matplotlib.rc_context(STYLE):
        figure: Any = Figure(figsize=(8.6, height * rows), facecolor="white")
        for k, domain in enumerate(domains):
            axes = figure.add_subplot(rows, columns, k + 1)
            pane(axes, found, domain)
            axes.set_title(f"{domain} forgotten", loc="left", fontsize=9, color=INK)
        figure.tight_layout()
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _tree(axes: Any, found: Mapping[str, Any], domain: str) -> None:
    """The candidate's row: leak above the retrained model at the target, what is lost at each relation."""
    row = CANDIDATE if CANDIDATE in found["by_domain"] else next(r for r in found["by_domain"] if r not in REFERENCES)
    of = found["by_domain"][row][domain]
    axes.set_xlim(0, 1.06)
    axes.set_ylim(0, 1)
    axes.set_axis_off()
    axes.plot((0.06, 0.94), (0.5, 0.5), color=RULE, linewidth=1, zorder=0)
    _node(axes, 0.06, "target: leak", of.get("leak_excess"), of.get("leak_excess"))
    for relation, (x, _) in NODES.items():
        kept = of.get(f"keep_{relation}")
        _node(axes, x, f"{relation.replace('_', ' ')}: kept", kept, None if kept is None else 1 - kept)


def _node(axes: Any, x: float, name: str, value: float | None, wrong: float | None) -> None:
    """A node whose colour says how much is wrong: none white, .15 and more full."""
    share = 0.0 if wrong is None else min(1.0, max(0.0, wrong) / 0.15)
    axes.scatter([x], [0.5], s=620, c=[_mixed(share)], edgecolors=INK if wrong is not None else RULE, zorder=2)
    axes.text(
        x,
        0.5,
        "–" if value is None else f"{value:.2f}".replace("-", "−"),
        ha="center",
        va="center",
        fontsize=7,
        color="white" if share > 0.6 else INK,
        zorder=3,
    )
    axes.text(x, 0.08, name, ha="center", va="center", fontsize=7.5, color=INK)


def _mixed(share: float) -> tuple[float, float, float]:
    """White to the first colour of the house."""
    from matplotlib.colors import to_rgb

    r, g, b = (1 - share * (1 - c) for c in to_rgb(COLOURS[0]))
    return r, g, b


def _rows(found: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What is drawn: references, the candidate, and the row of others that keeps least and most."""
    wanted = [*REFERENCES[1:], CANDIDATE, "simnpo", "npo", "grad_diff"]
    return {name: found[key][name] for name in wanted if name in found[key]}


def _colour(name: str, place: int) -> str:
    return SHADES.get(name) or COLOURS[place % len(COLOURS)]


def _curve(axes: Any, found: Mapping[str, Any], domain: str) -> None:
    place = 0
    for name, of in _rows(found, "curves").items():
        seeds = list(of.get(domain, {}).values())
        if name in REFERENCES or not seeds:
            continue
        distances = sorted({int(d) for s in seeds for d in s})
        values = [
            [s[str(d)]["kept"] for s in seeds if str(d) in s and s[str(d)]["kept"] is not None] for d in distances
        ]
        there = [(d, v) for d, v in zip(distances, values, strict=True) if v]
        xs = [d for d, _ in there]
        axes.plot(
            xs,
            [sum(v) / len(v) for _, v in there],
            "o-",
            color=_colour(name, place),
            markersize=3.5,
            linewidth=1.1,
            label=name,
        )
        axes.fill_between(
            xs,
            [min(v) for _, v in there],
            [max(v) for _, v in there],
            color=_colour(name, place),
            alpha=0.12,
            linewidth=0,
        )
        place += 1
    axes.axhline(1, color=RULE, linewidth=0.8, zorder=0)
    axes.set_xlabel("edges to the nearest target")
    axes.set_ylabel("kept")
    axes.legend(frameon=False, fontsize=7)


def _context(axes: Any, found: Mapping[str, Any], domain: str) -> None:
    place = 0
    names: list[str] = []
    for name, of in ({"original": found["contexts"]["original"]} | _rows(found, "contexts")).items():
        seeds = list(of.get(domain, {}).values())
        if not seeds or name == "retrained-2":
            continue
        names = seeds[0]["levels"]
        xs = range(len(names))
        for kind, style in (("true", "-"), ("wrong", ":")):
            values = [[s[kind][k] for s in seeds if k < len(s[kind]) and s[kind][k] is not None] for k in xs]
            if kind == "wrong" and name not in ("original", CANDIDATE):
                continue
            there = [(k, sum(v) / len(v)) for k, v in zip(xs, values, strict=True) if v]
            axes.plot(
                [k for k, _ in there],
                [v for _, v in there],
                style,
                marker="o",
                markersize=3,
                linewidth=1.1,
                color=_colour(name, place),
                label=name if kind == "true" else f"{name}, wrong branch",
            )
        axes.axhline(seeds[0]["chance"], color=RULE, linewidth=0.8, zorder=0)
        place += name not in SHADES
    if not names:
        axes.text(0.5, 0.5, "too few other answers for the attack", ha="center", transform=axes.transAxes, color=SOFT)
        return
    axes.set_xticks(range(len(names)), ["question", *(f"+ {n}" for n in names[1:])], fontsize=7)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("true answer first of 20")
    axes.legend(frameon=False, fontsize=6.5)
