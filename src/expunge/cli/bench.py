"""`expunge bench …`: suites of runs side by side; the work is done in `expunge.bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult
from expunge.errors import InputError


def lume(
    data: Annotated[Path, typer.Option("--data", help="Folder of LUME: forget.jsonl, retain.jsonl, holdout.")],
    preset: Annotated[str, typer.Option("--preset", help="Size of the suite: cpu or smoke.")] = "cpu",
    out: Annotated[Path | None, typer.Option("--out", help="Folder for models, runs and scores.")] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="For example 42,43; else those of the preset.")] = None,
    results: Annotated[Path | None, typer.Option("--results", help="Markdown file, or folder for lume.md.")] = None,
) -> CommandResult:
    """Compare unlearning methods on LUME."""
    chosen = numbers(seeds) if seeds else ()
    from expunge.bench.lume import main

    folder = out or Path("runs") / f"bench-lume-{preset}"
    found = main(data=data, preset=preset, out=folder, seeds=chosen, results=results, say=Progress().say)
    return CommandResult(found, (found["table"],))


def numbers(text: str) -> tuple[int, ...]:
    """`42,43` as numbers; `InputError` for anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError("--seeds", f'"{text}" is not a list of numbers', "write for example 42,43,44") from error
