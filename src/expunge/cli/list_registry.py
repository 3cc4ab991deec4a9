"""`expunge list`: the names of each registry."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import unknown

Row = dict[str, Any]


def _methods() -> list[Row]:
    from expunge.methods.base import METHODS

    return [
        {
            "name": n,
            "about": _first_line(m),
            "retain": getattr(m, "retain", "none"),
            "rule": getattr(m, "rule", "none"),
            "source": m.source,
        }
        for n, m in METHODS
    ]


def _rules() -> list[Row]:
    from expunge.gradients.base import RULES

    return [{"name": n, "about": _first_line(r), "source": r.source} for n, r in RULES]


def _metrics() -> list[Row]:
    from expunge.audit.metrics import METRICS

    return [{"name": n, "about": m.about, "forgotten": m.forgotten, "floor": m.floor} for n, m in METRICS]


def _checks() -> list[Row]:
    from expunge.audit.context import CHECKS

    return [{"name": n, "about": c.about, "results": ", ".join(c.keys)} for n, c in CHECKS]


def _loaders() -> list[Row]:
    from expunge.corpus.loaders import LOADERS

    return [
        {
            "name": n,
            "about": _first_line(loader.fits if loader.fits.__doc__ else inspect.getmodule(loader.fits)),
            "endings": " ".join(loader.suffixes),
        }
        for n, loader in LOADERS
    ]


def _worlds() -> list[Row]:
    from expunge.synthetic.base import WORLDS

    return [{"name": n, "about": _first_line(w), "version": w.version} for n, w in WORLDS]


def _recipes() -> list[Row]:
    from expunge.engine.recipe import Recipe, shipped

    resolved = {name: Recipe.load(name).resolve() for name in shipped()}
    return [
        {
            "name": name,
            "method": r.recipe.method,
            "rule": "none" if r.edit else r.recipe.rule or r.method.rule,
            "retain": r.retain_loss,
            "steps": r.total_steps,
            "optimizer": "none" if r.edit else f"{r.recipe.optimizer.name} {r.recipe.optimizer.lr:g}",
        }
        for name, r in resolved.items()
    ]


def _hierarchies() -> list[Row]:
    from expunge.concepts.hierarchy import Hierarchy, shipped

    return [
        {"name": n, "about": h.title, "L4": h.levels.L4.name, "rules": len(h.rules), "source": h.source}
        for n in shipped()
        for h in [Hierarchy.load(n)]
    ]


KINDS: dict[str, Callable[[], list[Row]]] = {
    "methods": _methods,
    "metrics": _metrics,
    "loaders": _loaders,
    "recipes": _recipes,
    "rules": _rules,
    "worlds": _worlds,
    "checks": _checks,
    "hierarchies": _hierarchies,
}


def listing(kind: Annotated[str, typer.Argument(help=", ".join(KINDS))]) -> CommandResult:
    """List methods, metrics, loaders, recipes, rules, worlds, checks or hierarchies."""
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS, "expunge list")
    rows = KINDS[kind]()
    return CommandResult(
        {"kind": kind, "items": rows}, (ResultTable(tuple(rows[0]), [[*row.values()] for row in rows]),)
    )


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").strip().split("\n")[0]
