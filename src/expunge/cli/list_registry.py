"""`expunge list`: the names of each registry, and with a name what it is, its settings or its keys."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import unknown

if TYPE_CHECKING:
    from pydantic import BaseModel

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
            "about": recipe_purpose(name, r.algorithm),
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


def _policies() -> list[Row]:
    from importlib import resources

    from expunge._config import named_files
    from expunge.audit.policy import Policy

    files = named_files("policy", resources.files("expunge.audit") / "policies")
    return [
        {"name": name, "about": policy.about, "reference": policy.reference, "required": ", ".join(policy.required)}
        for name, policy in (
            (name, Policy.parse(file.read_text("utf-8"), f"policy {name}")) for name, file in sorted(files.items())
        )
    ]


def _settings() -> list[Row]:
    from expunge.cli.field_table import field_rows
    from expunge.engine.recipe import Recipe

    return [dict(zip(FIELD_COLUMNS, row, strict=True)) for row in field_rows(Recipe)]


FIELD_COLUMNS = ("name", "type", "default", "about")
KINDS: dict[str, Callable[[], list[Row]]] = {
    "methods": _methods,
    "metrics": _metrics,
    "loaders": _loaders,
    "recipes": _recipes,
    "settings": _settings,
    "rules": _rules,
    "worlds": _worlds,
    "checks": _checks,
    "policies": _policies,
    "hierarchies": _hierarchies,
}


def listing(
    kind: Annotated[str, typer.Argument(help=", ".join(KINDS))],
    name: Annotated[str | None, typer.Argument(help="One of them: its settings, keys or description.")] = None,
) -> CommandResult:
    """List methods, metrics, loaders, recipes, settings of recipes, and more; with a name, describe one."""
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS, "expunge list")
    rows = KINDS[kind]()
    if name is not None:
        row = next((r for r in rows if r["name"] == name), None)
        if row is None:
            raise unknown(kind.removesuffix("s"), name, [r["name"] for r in rows], f"expunge list {kind}")
        return describe(kind, row)
    return CommandResult(
        {"kind": kind, "items": rows}, (ResultTable(tuple(rows[0]), [[*row.values()] for row in rows]),)
    )


def describe(kind: str, row: Row) -> CommandResult:
    """One entry: its columns as lines, then what its kind has more to show."""
    from expunge.cli.field_table import field_rows

    name = row["name"]
    lines = tuple(f"{key}: {value}" for key, value in row.items() if key != "name" and value not in ("", None))
    more: dict[str, Any] = {}
    parts: tuple[str | ResultTable, ...] = ()
    if kind == "recipes":
        from expunge.engine.recipe import Recipe

        more["recipe"] = Recipe.load(name).model_dump(mode="json")
        parts = ("", Recipe.load(name).resolve().to_yaml().rstrip())
    elif (model := _model(kind, name)) is not None:
        fields = list(field_rows(model))
        more["settings"] = [dict(zip(FIELD_COLUMNS, field, strict=True)) for field in fields]
        settings = ResultTable(("setting", "type", "default", "meaning"), fields)
        parts = ("", _docstring(model), "", settings if fields else "no settings")
    return CommandResult({"kind": kind, "item": row | more}, (name, *lines, *parts))


def _model(kind: str, name: str) -> type[BaseModel] | None:
    """The class whose fields are the settings of an entry; None for a kind without settings."""
    if kind == "methods":
        from expunge.methods.base import METHODS

        return METHODS.get(name)
    if kind == "rules":
        from expunge.gradients.base import RULES

        return RULES.get(name)
    if kind == "worlds":
        from expunge.synthetic.base import WORLDS

        return WORLDS.get(name)
    return None


def recipe_purpose(name: str, method: object) -> str:
    """What a recipe is for: the first sentence of its file, else that of its method."""
    from importlib import resources

    from expunge._config import find_yaml

    text = find_yaml(name, "recipe", resources.files("expunge.recipes")).text
    return _first_comment(text) or _first_line(type(method))


def _first_comment(text: str) -> str:
    """The beginning of a YAML file's comment: whole sentences of 30 characters or more together; "" without one."""
    lines = takewhile(lambda line: line.startswith("#"), text.splitlines())
    comment = " ".join(line.lstrip("# ").strip() for line in lines)
    ends = [m.start() for m in re.finditer(r"(?<!\beq)(?<!e\.g)\.(?=\s|$)", comment)]
    return comment[: next((end for end in ends if end >= 30), len(comment))].rstrip(".")


def _docstring(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").strip()


def _first_line(thing: Any) -> str:
    return _docstring(thing).split("\n")[0].rstrip(".")
