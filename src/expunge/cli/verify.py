"""`expunge verify`: does a finished folder still hold what was written there? Exit code 3 unless all fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expunge.cli import options as opt
from expunge.cli.result import CommandResult
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.scope import Split

ModelOf = Annotated[str | None, typer.Option(metavar="MODEL", help="Of an audit: the model that was audited as this.")]


def verify(
    source: Annotated[Path, typer.Argument(help="Folder of a run or an audit; or of a trained or exported model.")],
    data: Annotated[Path | None, typer.Option("--data", help="Records that it should be about.")] = None,
    original: ModelOf = None,
    unlearned: ModelOf = None,
    retrained: ModelOf = None,
    seed: opt.SplitSeed = None,
    loader: opt.Loader = None,
    map_: opt.Mapping = None,
) -> CommandResult:
    """Check a finished folder against the digests in it."""
    from expunge.audit.verify import kind_of_folder
    from expunge.audit.verify import verify as run

    kind = kind_of_folder(source)
    models = {"original": original, "unlearned": unlearned, "retrained": retrained}
    sources = {role: model for role, model in models.items() if model is not None}
    if sources and kind != "audit":
        raise InputError(f"--{next(iter(sources))}", f"has no meaning for a {kind}", "leave it out")
    if data and kind not in ("run", "audit"):
        raise InputError("--data", f"has no meaning for a {kind}", "leave it out")
    split = _split(kind, source, data, loader, map_, seed, unlearned) if data else None
    result = run(source, split=split, models=sources)
    n = len(result.problems)
    last = (
        f"{source}: {n} thing{'s do' if n != 1 else ' does'} not fit" if n else f"{source}: all that was checked fits"
    )
    return CommandResult(
        {"out": source, "kind": kind, "fits": result.fits, "problems": result.problems, "unchecked": result.unchecked},
        (
            *(f"does not fit: {line}" for line in result.problems),
            *(f"fits: {what}" for what in result.fits),
            *(f"not checked: {line}" for line in result.unchecked),
            last,
        ),
        3 if n else 0,
    )


def _split(
    kind: str,
    source: Path,
    data: Path,
    loader: str | None,
    mapping: Path | None,
    seed: int | None,
    unlearned: str | None,
) -> Split:
    """The split of the scope that the folder names, with the seed of the run's recipe where there is one."""
    from expunge._io import read_json
    from expunge.audit.schema import find_audit, load_audit

    if kind == "audit":
        stored = load_audit(find_audit(source)).split
        scope, near = stored.scope, stored.near
    else:
        about = read_json(source / "run.json")
        scope, near = str(about.get("scope")) if isinstance(about, dict) else "", opt.near_duplicates_of(source)
    run = source if kind == "run" else Path(unlearned).expanduser() if unlearned else None
    if seed is None and run and (run / "recipe.yaml").is_file():
        from expunge.engine.recipe import Recipe

        seed = Recipe.load(run / "recipe.yaml").seed
    return opt.load_run_split(data, loader, mapping, scope, 42 if seed is None else seed, near, run)
