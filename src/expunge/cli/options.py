"""Options that several commands share, and how every command gets `--json` and `--debug`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.result import CommandResult

Data = Annotated[Path, typer.Option("--data", help="Records: a JSONL, CSV or Parquet file, or a folder.")]
Loader = Annotated[str | None, typer.Option("--loader", help="Layout of the records; detected if not given.")]
Mapping = Annotated[Path | None, typer.Option("--map", help="YAML file with lines `our field: their column`.")]
ScopeText = Annotated[str, typer.Option("--scope", help="What to forget, e.g. patient:P-0001-003.")]
Folder = Annotated[Path, typer.Option("--out", help="Folder for the result.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")]

SHARED = {
    "json": Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")],
}


def add(app: typer.Typer, name: str, function: Callable[..., CommandResult]) -> None:
    """Register `function` as the command `name` of `app`, with `--json` and `--debug` added.

    The function never sees these two: it returns a `CommandResult`, and `runner.run` prints it.
    """

    @functools.wraps(function)
    def command(**options: Any) -> CommandResult:
        return function(**{key: value for key, value in options.items() if key not in SHARED})

    own = inspect.signature(function, eval_str=True)
    shared = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for key, kind in SHARED.items()
    ]
    command.__signature__ = own.replace(parameters=[*own.parameters.values(), *shared])  # type: ignore[attr-defined]
    command.__annotations__ = {**function.__annotations__, **SHARED}
    app.command(name)(command)
