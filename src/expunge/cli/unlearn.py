"""`expunge unlearn`: make a model forget what a scope names, as a recipe says.

One seed decides the run and the held-out retain set. The run's recipe keeps it, so `expunge audit` finds the same set.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge._printable import pluralize
from expunge.cli import options as opt
from expunge.cli.progress import Progress, ProgressCallback
from expunge.cli.result import CommandResult

if TYPE_CHECKING:
    from expunge.engine.event import Event
    from expunge.engine.trackers import StepRecorder
    from expunge.models.run_file import ChainLink


def unlearn(
    data: opt.Data,
    scope: opt.ScopeText,
    out: opt.Folder,
    model: opt.StartModel = None,
    after: opt.After = None,
    recipe: opt.RecipeName = "auto",
    say: opt.Say = None,
    set_: opt.Sets = None,
    seed: opt.RunSeed = None,
    near_duplicates: opt.NearDuplicates = None,
    loader: opt.Loader = None,
    map_: opt.Mapping = None,
    device: opt.Device = None,
    dtype: opt.Dtype = "auto",
    template: opt.TemplateKind = "auto",
    track: opt.Track = None,
) -> CommandResult:
    """Make a model forget, or resume a stopped run."""
    from expunge.engine.auto_recipe import recipe_for, seed_of
    from expunge.engine.distributed import DistributedContext
    from expunge.engine.fallback_records import fallback_lines, fallback_summary
    from expunge.engine.privacy.privacy_state import read_statement
    from expunge.engine.privacy.statement import statement_lines
    from expunge.engine.trackers import tracking
    from expunge.engine.unlearn import unlearn as run
    from expunge.models.dtypes import check_dtype
    from expunge.models.export import remaining_copies
    from expunge.models.run_file import read_run_file
    from expunge.scope.outlook import audit_outlook, outlook_lines

    check_dtype(dtype, training=True)
    start, chain = start_of(model, after)
    context = DistributedContext.init(device)
    with context.synchronized():
        changes = [*(set_ or []), *opt.seed_override(seed)]
        split = opt.load_split(data, loader, map_, scope, seed_of(recipe, changes), near_duplicates, chain)
        chosen = recipe_for(recipe, changes, start, split, say)
        loaded = chosen.recipe
    outlook = audit_outlook(split)
    progress = Progress()
    fallback = fallback_lines(fallback_summary(loaded.resolve(), split.forget), len(split.forget))
    for line in (*(f"auto: {note}" for note in chosen.notes), *fallback) if context.is_main_process else ():
        progress.say(line)
    with tracking(track, out, loaded.model_dump()) as record, progress.bar("unlearning") as tick:

        def show(event: Event, total: int) -> None:
            if event.step == 0:
                for line in outlook_lines(outlook):
                    progress.say(f"unlearning: {line}")
            after_step(tick, event, total, record)

        folder = run(
            start,
            split,
            loaded,
            out,
            template=template,
            device=device,
            dtype=dtype,
            on_step=show if context.is_main_process else None,
            notes=chosen.notes,
            chain=chain,
        )
    about = read_run_file(folder)
    statement = read_statement(folder) if loaded.privacy else {}
    edited = about.get("edited")
    what = pluralize(about["steps"], "step")
    if edited:
        what = (
            f"{pluralize(edited['neurons'], 'neuron')} of {pluralize(edited['matrices'], 'matrix', 'matrices')} edited"
        )
    return CommandResult(
        {
            "out": folder,
            "recipe": chosen.name,
            "auto": chosen.notes,
            "method": loaded.method,
            "seed": loaded.seed,
            "split": split.summary(),
            "near_duplicates": split.near_duplicate_summary(),
            "steps": about["steps"],
            "seconds": about["seconds"],
            "passes": about.get("passes"),
            **{key: about[key] for key in TOLD if key in about},
            "remaining_copies": [str(copy) for copy in remaining_copies(folder)],
            **({"privacy": statement} if statement else {}),
            "audit": [asdict(o) for o in outlook],
            **({"edited": edited} if "edited" in about else {}),
        },
        (
            f"{loaded.method}: {what} against {pluralize(len(split.forget), 'record')} ({about['seconds']:.0f} s); "
            f"{len(split.retain):,} retained, {len(split.retain_heldout):,} held out",
            f"passes: {about.get('passes')}",
            *chain_lines(about, len(split.guards)),
            *outcome_lines(about),
            *fallback_lines(about, len(split.forget)),
            *(statement_lines(statement) if statement else ()),
            *outlook_lines(outlook),
            *result_lines(folder, about),
        ),
    )


TOLD = (
    "stopped",
    "say",
    "dtype",
    "trainable_share",
    "loaded",
    "fallback",
    "guards",
    "warnings",
    "saliency",
)  # keys of run.json in the output
REACHED = 0.95  # share of the weights in the chosen blocks from which on nothing is said
SAYS = {
    "stranger": "about the forgotten subject the model now says what it would say of somebody it never met: it may "
    "state false things (--say refuse has it refuse instead)",
    "refuse": "asked about the forgotten subject the model now refuses, which tells that there was something to forget",
}


def start_of(model: str | None, after: str | None) -> tuple[str, list[ChainLink]]:
    """What the run starts from, and the requests that were fulfilled before it.

    Raises:
        InputError: neither is given, or both and they do not belong together, or `after` is no finished run.
    """
    from expunge.errors import InputError

    if after is None:
        if model is None:
            raise InputError(
                "--model", "is missing", "name the model that is to forget, or an earlier run with --after"
            )
        return model, []
    from expunge.engine.request_chain import chain_after, check_base

    chain = chain_after(after)
    check_base(model, chain, after)
    return after, chain


def chain_lines(about: dict[str, Any], earlier: int) -> list[str]:
    """What became of earlier requests; `about` is run.json, `earlier` how many of their records are in the data."""
    chain = about.get("chain") or []
    if not chain:
        return []
    guards = about.get("guards") or {}
    before = pluralize(sum(len(link["forget"]) for link in chain), "record")
    lines = [
        f"request number {1 + len(chain)} on this model: earlier ones forgot {before}, of which "
        f"the data holds {earlier:,}; rows that keep them forgotten: {guards.get('rows', 0):,}"
    ]
    if guards.get("leaking"):
        lines.append(
            f"{guards['leaking']:,} of them the model still answered before this run, and they are not guarded"
        )
    if guards.get("unguarded"):
        lines.append(f"{guards['unguarded']:,} are not guarded: {guards['reason']}; audit them again")
    return lines


def outcome_lines(about: dict[str, Any]) -> list[str]:
    """Why the run ended where it did, and what the model says instead; `about` is run.json."""
    lines = []
    if stopped := about.get("stopped"):
        lines.append(
            f"ended after {stopped['step']} of at most {pluralize(stopped['bound'], 'step')}: {stopped['reason']}"
        )
    if about.get("say") in SAYS:
        lines.append(f"say: {about['say']}; {SAYS[about['say']]}")
    return [*lines, *(f"warning: {line}" for line in about.get("warnings", ()))]


def result_lines(folder: Path, about: dict[str, Any]) -> list[str]:
    """Where the result lies and how to use it; `about` is run.json."""
    from expunge.models.source import base_of_run

    lines = list(about.get("loaded", ()))
    share = about.get("trainable_share", 1.0)
    if share < REACHED:
        lines.append(f"adapters reach {share:.0%} of the weights in the chosen blocks; the rest did not change")
    if (folder / "adapter").is_dir():
        lines.append(
            f"run written to {folder}: an adapter on {base_of_run(folder, about)}, which without it still knows all"
        )
    else:
        lines.append(f"run written to {folder}: a whole model, in {folder / 'model'}")
    return [
        *lines,
        f"expunge audit says whether it worked; for one model to deploy: expunge export {folder} --out {folder}-model",
    ]


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
