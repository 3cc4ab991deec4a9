"""`expunge tune`: find a recipe for a request on other subjects of the same records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expunge._printable import pluralize
from expunge.cli import options as opt
from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult, ResultTable

if TYPE_CHECKING:
    from expunge.engine.tune.search import TuneProgress


def tune(
    model: opt.Model,
    data: opt.Data,
    scope: opt.ScopeText,
    out: Annotated[Path, typer.Option("--out", help="YAML file for the recipe.")],
    recipe: Annotated[str, typer.Option("--recipe", help="Shipped recipe that is changed.")] = "twin",
    trials: Annotated[int, typer.Option(help="Rehearsals.")] = 12,
    steps: Annotated[int | None, typer.Option(help="Most steps of a rehearsal; by the rules if not given.")] = None,
    stand_ins: Annotated[int, typer.Option(help="Subjects that are forgotten together for practice.", min=1)] = 1,
    retention: Annotated[float, typer.Option(help="Least share of held-out answers that must stay.")] = 0.98,
    seed: Annotated[int, typer.Option(help="Seed of stand-ins, samples and proposals.")] = 42,
    near_duplicates: opt.NearDuplicates = None,
    template: opt.TemplateKind = "auto",
    device: opt.Device = None,
    loader: opt.Loader = None,
    map_: opt.Mapping = None,
) -> CommandResult:
    """Search rate, steps, retain weight and blocks on subjects that nobody asked to forget."""
    from expunge.corpus import load_corpus
    from expunge.engine.tune.tune_recipe import tune as run

    with Progress().bar("tuning") as tick:
        result = run(
            model,
            load_corpus(data, loader, map_),
            scope,
            out,
            base=recipe,
            trials=trials,
            steps=steps,
            stand_ins=stand_ins,
            retention=retention,
            seed=seed,
            near=near_duplicates or "report",
            template=template,
            device=device,
            on_progress=lambda p: tick(p.done, note(p)),
        )
    best = result.best
    lines = [
        f"rehearsed on {', '.join(result.stand_ins)}; the records of {scope} were not looked at",
        f"best: loss {best.forget:.2f} where controls have {best.controls:.2f} nats, rank {best.rank:.2f}, "
        f"kept {best.retention:.3f}, after {pluralize(best.step, 'step')}",
        "recipe: " + ", ".join(result.changes),
    ]
    if not result.retained:
        lines.append(f"no rehearsal keeps {retention:g}; the best is written nevertheless: try more --trials")
    lines.append(f"written to {out}; expunge unlearn --recipe {out} uses it")
    data_out = {
        "recipe": result.recipe,
        "changes": result.changes,
        "best": best.to_dict(),
        "trials": result.trials,
        "stand_ins": result.stand_ins,
        "retained": result.retained,
    }
    return CommandResult(data_out, (*lines[:2], table(result.trials), *lines[2:]), 0 if result.retained else 3)


def table(trials: list[dict[str, object]]) -> ResultTable:
    """One row a trial, at its best look."""
    columns = ("trial", "settings", "steps", "loss", "controls", "rank", "kept", "value", "state")
    rows = []
    for trial in trials:
        looks: list[dict[str, float]] = trial["looks"]  # type: ignore[assignment]
        look = min(looks, key=lambda s: s["value"])
        kept = min(look["tokens"], look["text"])
        settings = ", ".join(trial["changes"])  # type: ignore[arg-type]
        rows.append(
            [
                trial["trial"],
                settings,
                look["step"],
                look["forget"],
                look["controls"],
                look["rank"],
                kept,
                look["value"],
                trial["state"],
            ]
        )
    return ResultTable(columns, rows)


def note(progress: TuneProgress) -> str:
    """`trial 3 of 12, step 40, nearest 0.12 nats from the controls, kept 1.000`."""
    best = progress.best
    parts = [f"trial {progress.trial} of {progress.trials}", f"step {progress.step}"]
    if best:
        gap = abs(best.forget - best.controls)
        parts.append(f"nearest {gap:.2f} nats from the controls, kept {best.retention:.3f}")
    return ", ".join(parts)
