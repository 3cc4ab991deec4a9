"""`expunge unlearn`: make a model forget what a scope names, as a recipe says.

Surprising: one seed decides both the run and which records stay retain_heldout, and it is written into the recipe of
the run, so that `expunge audit` finds the same retain_heldout records again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from expunge.cli.options import Data, Folder, Loader, Mapping, ScopeText, Sets
from expunge.cli.progress import Progress, ProgressCallback
from expunge.cli.result import CommandResult

if TYPE_CHECKING:
    from expunge.engine.event import Event


def unlearn(
    model: Annotated[str, typer.Option(help="Model folder, run folder or hub id; it is not changed.")],
    data: Data,
    scope: ScopeText,
    out: Folder,
    recipe: Annotated[str, typer.Option(help="Name of a shipped recipe, or a YAML file.")] = "twin",
    set_: Sets = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run and of the retain_heldout records.")] = None,
    loader: Loader = None,
    map_: Mapping = None,
) -> CommandResult:
    """Make a model forget. The same command again resumes a stopped run."""
    from expunge._io import read_json
    from expunge.corpus import load_corpus
    from expunge.engine.distributed import DistributedContext
    from expunge.engine.privacy.privacy_state import STATEMENT
    from expunge.engine.privacy.statement import statement_lines
    from expunge.engine.recipe import Recipe
    from expunge.engine.unlearn import unlearn as run
    from expunge.scope import Scope

    context = DistributedContext.init()
    with context.synchronized():
        plan = Recipe.load(recipe, [*(set_ or []), *([] if seed is None else [f"seed={seed}"])])
        split = Scope.parse(scope).resolve(load_corpus(data, loader, map_), seed=plan.seed)
    with Progress().bar("unlearning") as tick:
        show = (lambda event, total: after_step(tick, event, total)) if context.is_main_process else None
        folder = run(model, split, plan, out, on_step=show)
    about = read_json(folder / "run.json")
    told = read_json(folder / STATEMENT) if plan.privacy else {}
    done = {
        "out": folder,
        "recipe": recipe,
        "method": plan.method,
        "seed": plan.seed,
        "split": split.summary(),
        "steps": about["steps"],
        "seconds": about["seconds"],
        "passes": about.get("passes"),
        **({"privacy": told} if told else {}),
        **({"edited": about["edited"]} if "edited" in about else {}),
    }
    edited = about.get("edited")
    what = (
        f"{edited['neurons']:,} neurons of {edited['matrices']} matrices edited"
        if edited
        else (f"{about['steps']} steps")
    )
    return CommandResult(
        done,
        (
            f"{plan.method}: {what} against {len(split.forget):,} records ({about['seconds']:.0f} s); "
            f"{len(split.retain):,} retained, {len(split.retain_heldout):,} never shown to the method",
            f"passes: {about.get('passes')}",
            *(statement_lines(told) if told else ()),
            f"run written to {folder}; expunge audit says whether it worked",
        ),
    )


def after_step(tick: ProgressCallback, event: Event, total: int) -> None:
    """Show how far unlearning is."""
    step = event.step + 1
    found = [
        f"{side} loss {loss:.3f}"
        for side, loss in (("forget", event.forget), ("retain", event.retain))
        if math.isfinite(loss)
    ]
    tick(step / total, ", ".join([f"step {step} of {total}", *found]))
