"""`expunge data generate NAME`: write a synthetic corpus, and beside it `world.json`, which says how to repeat it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.options import Sets, check_is_no_folder, typed_options
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError


def generate(
    name: Annotated[str, typer.Argument(help="Name of the world; `expunge list worlds` shows all.")],
    out: Annotated[Path, typer.Option("--out", help="JSONL file to write.")],
    patients: Annotated[int | None, typer.Option(help="Trained patients.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every draw.")] = None,
    preset: Annotated[str | None, typer.Option(help="A set of sizes, for example default, small or tiny.")] = None,
    controls_for: Annotated[
        list[str] | None, typer.Option("--controls-for", metavar="NODE", help="Node that gets controls; repeatable.")
    ] = None,
    terms: Annotated[
        Path | None, typer.Option("--terms", help="File for the dictionary of its terms, with levels.")
    ] = None,
    set_: Sets = None,
) -> CommandResult:
    """Write the records of a synthetic world, whose facts are all known."""
    from expunge.synthetic.base import WORLDS

    kind: Any = WORLDS.get(name)
    controls = tuple(controls_for) if controls_for else None
    settings = typed_options(patients=patients, seed=seed, controls_for=controls)
    if set_:
        from expunge._config import apply_overrides

        settings = apply_overrides(settings, set_)
    world = kind.preset(preset, **settings) if preset else kind(**settings)
    check_is_no_folder(out, "records.jsonl")
    if out.exists() and not out.with_name("world.json").exists():
        raise InputError(str(out), "exists and has no world.json beside it", "choose another file")
    if terms:
        dictionary = world.terms()
        if not len(dictionary):
            raise InputError("--terms", f'the world "{name}" has no terms as it is set', "leave it out")
        dictionary.save(terms)
    return write(world, out)


def write(world: Any, out: Path) -> CommandResult:
    """Write `world` to `out` and `world.json` beside it."""
    from expunge._io import write_json

    world.corpus().save(out)
    description = world.describe()
    write_json(out.with_name("world.json"), description)
    rows = list(description["rows"].items())
    return CommandResult({**description, "out": out}, (ResultTable(("records", "number"), rows), f"written to {out}"))
