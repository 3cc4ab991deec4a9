"""Write the reference pages from the registries and the fields of the models. MkDocs runs this file (mkdocs-gen-files).

Nothing here repeats what the code says: a field without a description fails the build.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mkdocs_gen_files
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))


def write(name: str, lines: Iterable[str]) -> None:
    with mkdocs_gen_files.open(f"reference/{name}.md", "w") as page:
        page.write("\n".join(lines) + "\n")


def cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(map(cell, row))} |" for row in rows)
    yield ""


def code(value: object) -> str:
    return f"`{cell(value)}`" if str(value) else ""


def fields(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """(key, type, default, description) of every field; a field without a description fails the build."""
    from expunge.cli.field_table import field_rows

    for name, kind, default, about in field_rows(model):
        if not about:
            raise SystemExit(f"{model.__name__}.{name} has no description")
        yield code(name), code(kind), default if default in ("", "required") else code(default), about


def paragraphs(thing: Any) -> Iterator[str]:
    yield inspect.cleandoc(inspect.getdoc(thing) or "")
    yield ""


def recipe_keys() -> Iterator[str]:
    from expunge.engine.recipe import Recipe

    yield "# Recipe keys\n"
    yield "Every key of a recipe. `--set a.b=c` changes one; an unknown key is an error that names the nearest.\n"
    yield from table(("key", "type", "default", "meaning"), fields(Recipe))


def registry_page(title: str, intro: str, registry: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """One section per class of a registry: docstring, source, settings."""
    yield f"# {title}\n\n{intro}\n"
    for name, cls in registry:
        yield f"## {name}\n"
        doc = inspect.getdoc(cls) or ""
        yield f"```text\n{inspect.cleandoc(doc)}\n```\n"
        if cls.source:
            yield f"Source: {cls.source}\n"
        rows = list(fields(cls))
        if rows:
            yield from table(("setting", "type", "default", "meaning"), rows)


def metrics() -> Iterator[str]:
    from expunge.audit.metrics import METRICS

    yield "# Metrics\n\nOne value per record; NaN where a metric does not apply to a record.\n"
    for name, metric in METRICS:
        yield f"## {name}\n"
        yield from paragraphs(metric.compute)
        yield f"A forgotten record has a {metric.forgotten} value. Ignorance is shown by: {metric.floor}.\n"


def checks() -> Iterator[str]:
    from expunge.audit.context import CHECKS

    yield "# Checks\n\nA check that raises becomes `not_run`; it never counts as passed.\n"
    for name, check in CHECKS:
        yield f"## {name}\n"
        yield f"Keys: {', '.join(map(code, check.keys))}\n"
        yield from paragraphs(check.run)
        profile = check.profile
        rows = [
            ("a pass shows", profile.title),
            ("smallest preset", code(profile.preset)),
            ("compared with", profile.control),
            ("cost", profile.cost),
            ("a pass does not mean", profile.limits),
            ("source", profile.source),
        ]
        yield from table(("", ""), [row for row in rows if row[1]])
        yield ""


def record_fields() -> Iterator[str]:
    import dataclasses
    import re

    from expunge.corpus import Record

    doc = inspect.cleandoc(Record.__doc__ or "").partition("Attributes:")[2]
    meaning = {m[1]: m[2] for m in re.finditer(r"^ +(\w+): (.*(?:\n {8,}.*)*)", doc, re.M)}
    yield "# Fields of a record\n\nThe columns of the generic layout."
    yield "[Your data](../guides/your-data.md) says how other layouts map to them.\n"
    rows = [(code(f.name), code(f.type), meaning[f.name]) for f in dataclasses.fields(Record)]
    yield from table(("field", "type", "meaning"), rows)


def recipes() -> Iterator[str]:
    from expunge.cli.list_registry import KINDS

    yield "# Recipes and policies\n\n`expunge list recipes NAME` prints one with all its keys.\n"
    for kind in ("recipes", "policies"):
        items = KINDS[kind]()
        yield f"## {kind.capitalize()}\n"
        yield from table(tuple(items[0]), ([code(row["name"]), *list(row.values())[1:]] for row in items))


PAGES = {
    "record-fields": "every column of a record",
    "recipe-keys": "every key of a recipe, for `--set` and YAML files",
    "recipes": "what each recipe and policy is for",
    "methods": "methods and their settings",
    "gradient-rules": "how forget and retain gradients meet",
    "metrics": "one value per record",
    "checks": "what an audit judges",
    "audit-json": "the fields of audit.json",
    "cli": "every command and option",
    "api": "the public names in Python",
}


def index() -> Iterator[str]:
    yield "# Reference\n\nWritten from the code.\n"
    yield from table(("page", "what it holds"), ((f"[{name}]({name}.md)", about) for name, about in PAGES.items()))


def audit_json() -> Iterator[str]:
    from expunge.audit.schema import AuditFile

    yield "# audit.json\n\nThe fields of `audit.json`, from `expunge.audit.schema`.\n"
    yield from table(("field", "type", "default", "meaning"), fields(AuditFile))


def cli() -> Iterator[str]:
    import click
    import typer.main

    from expunge.cli.app import app

    yield "# Command line\n"

    def section(command: Any, name: str, depth: int) -> Iterator[str]:
        yield f"{'#' * min(depth, 4)} {name}\n"
        if command.help:
            yield f"{inspect.cleandoc(command.help)}\n"
        if hasattr(command, "commands"):
            for sub, inner in command.commands.items():
                yield from section(inner, f"{name} {sub}", depth + 1)
            return
        context = click.Context(command, info_name=name)
        yield f"```text\n{command.get_usage(context) if hasattr(command, 'get_usage') else name}\n```\n"
        rows = [record for p in command.params if (record := p.get_help_record(context))]
        if rows:
            yield from table(("option", "meaning"), ((code(flag), about) for flag, about in rows))

    yield from section(typer.main.get_command(app), "expunge", 2)


def api() -> Iterator[str]:
    import expunge
    import expunge.plugins

    yield "# Python\n\nWhat stands here is public. Everything else is internal and may change without notice.\n"
    yield "## expunge\n"
    for name in sorted(expunge.__all__):
        target = getattr(expunge, name)
        yield f"::: {target.__module__}.{target.__qualname__}\n"
    yield "## expunge.plugins\n\nThe one import for people who extend the package.\n"
    for name in sorted(expunge.plugins.__all__):
        target = getattr(expunge.plugins, name)
        if hasattr(target, "__qualname__"):
            yield f"::: {target.__module__}.{target.__qualname__}\n"


def main() -> None:
    from expunge.gradients.base import RULES
    from expunge.methods.base import METHODS

    write("recipe-keys", recipe_keys())
    write("methods", registry_page("Methods", "`settings` of a recipe are the fields of its method.", METHODS))
    write("gradient-rules", registry_page("Gradient rules", "How forget and retain gradients meet.", RULES))
    write("metrics", metrics())
    write("checks", checks())
    write("audit-json", audit_json())
    write("cli", cli())
    write("api", api())
    write("record-fields", record_fields())
    write("recipes", recipes())
    write("index", index())


main()
