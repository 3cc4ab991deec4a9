"""`expunge unlearn`: make a model forget what a scope names, as a recipe says.

One seed decides the run and the held-out retain set. The run's recipe keeps it, so `expunge audit` finds the same set.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from expunge.cli import options as opt
from expunge.cli.progress import Progress, ProgressCallback
from expunge.cli.result import CommandResult

if TYPE_CHECKING:
    from expunge.engine.event import Event
    from expunge.engine.trackers import StepRecorder


def unlearn(
    model: opt.Model,
    data: opt.Data,
    scope: opt.ScopeText,
    out: opt.Folder,
    recipe: opt.RecipeName = "twin",
    set_: opt.Sets = None,
    seed: opt.RunSeed = None,
    loader: opt.Loader = None,
    map_: opt.Mapping = None,
    track: opt.Track = None,
) -> CommandResult:
    """Make a model forget, or resume a stopped run."""
    from expunge._io import read_json
    from expunge.engine.distributed import DistributedContext
    from expunge.engine.privacy.privacy_state import STATEMENT
    from expunge.engine.privacy.statement import statement_lines
    from expunge.engine.recipe import Recipe
    from expunge.engine.trackers import tracking
    from expunge.engine.unlearn import unlearn as run

    context = DistributedContext.init()
    with context.synchronized():
        loaded = Recipe.load(recipe, [*(set_ or []), *opt.seed_override(seed)])
        split = opt.load_split(data, loader, map_, scope, loaded.seed)
    with tracking(track, out, loaded.model_dump()) as record, Progress().bar("unlearning") as tick:
        show = (lambda event, total: after_step(tick, event, total, record)) if context.is_main_process else None
        folder = run(model, split, loaded, out, on_step=show)
    about = read_json(folder / "run.json")
    statement = read_json(folder / STATEMENT) if loaded.privacy else {}
    edited = about.get("edited")
    what = f"{about['steps']} steps"
    if edited:
        what = f"{edited['neurons']:,} neurons of {edited['matrices']} matrices edited"
    return CommandResult(
        {
            "out": folder,
            "recipe": recipe,
            "method": loaded.method,
            "seed": loaded.seed,
            "split": split.summary(),
            "steps": about["steps"],
            "seconds": about["seconds"],
            "passes": about.get("passes"),
            **({"privacy": statement} if statement else {}),
            **({"edited": edited} if "edited" in about else {}),
        },
        (
            f"{loaded.method}: {what} against {len(split.forget):,} records ({about['seconds']:.0f} s); "
            f"{len(split.retain):,} retained, {len(split.retain_heldout):,} held out",
            f"passes: {about.get('passes')}",
            *(statement_lines(statement) if statement else ()),
            f"run written to {folder}; expunge audit says whether it worked",
        ),
    )


def after_step(tick: ProgressCallback, event: Event, total: int, record: StepRecorder | None = None) -> None:
    """Show the progress of unlearning, and log the step where it is tracked."""
    step = event.step + 1
    if record:
        record(event, step)
    losses = [
        f"{side} loss {loss:.3f}"
        for side, loss in (("forget", event.forget), ("retain", event.retain))
        if math.isfinite(loss)
    ]
    tick(step / total, ", ".join([f"step {step} of {total}", *losses]))
