"""`expunge rehearse`: a recipe once on other people of the same records, before anybody decides on the real run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from expunge._printable import pluralize
from expunge.cli import options as opt
from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult
from expunge.cli.unlearn import after_step, start_of

if TYPE_CHECKING:
    from expunge.engine.tune.rehearsal_report import RehearsalRate, RehearsalReport


def rehearse(
    data: opt.Data,
    scope: opt.ScopeText,
    out: opt.Folder,
    model: opt.StartModel = None,
    after: opt.After = None,
    recipe: opt.RecipeName = "auto",
    set_: opt.Sets = None,
    seed: opt.RunSeed = None,
    stand_ins: Annotated[
        int | None, typer.Option(help="Subjects that are forgotten for practice; as many as the scope names.", min=1)
    ] = None,
    exclude_scope: Annotated[
        str | None, typer.Option("--exclude-scope", help="Further people who are no stand-ins.")
    ] = None,
    near_duplicates: opt.NearDuplicates = None,
    loader: opt.Loader = None,
    map_: opt.Mapping = None,
    device: opt.Device = None,
    dtype: opt.Dtype = "auto",
    template: opt.TemplateKind = "auto",
) -> CommandResult:
    """Try a recipe once on subjects that nobody asked to forget, and count what it costs."""
    from expunge.corpus import load_corpus
    from expunge.engine.tune.recipe_rehearsal import RehearsedRequest, rehearse_recipe
    from expunge.models.dtypes import check_dtype

    check_dtype(dtype, training=True)
    start, chain = start_of(model, after)
    request = RehearsedRequest(
        load_corpus(data, loader, map_), scope, exclude_scope, chain, near_duplicates or "report"
    )
    with Progress().bar("rehearsing") as tick:
        report = rehearse_recipe(
            start,
            request,
            recipe,
            out,
            changes=[*(set_ or []), *opt.seed_override(seed)],
            stand_ins=stand_ins,
            template=template,
            device=device,
            dtype=dtype,
            on_step=lambda event, total: after_step(tick, event, total),
        )
    return CommandResult(
        {"out": out, **report.model_dump(mode="json")}, lines_of(report), 0 if report.status == "done" else 3
    )


def lines_of(report: RehearsalReport) -> tuple[str, ...]:
    """The report as people read it."""
    if report.status == "not_possible":
        return (f"not rehearsed: it {report.reason}",)
    people = pluralize(report.stand_ins, "other person", "other people")
    return (
        f"rehearsed on {people} with {pluralize(report.records, 'record')}; nobody of the scope was looked at",
        f"their answers, word for word before: {rate_text(report.before)}; afterwards: {rate_text(report.after)}",
        f"answers still right of those that were, not given to the run: {rate_text(report.heldout)}; "
        f"given to the run to keep: {rate_text(report.retained)}",
        report.limits,
    )


def rate_text(rate: RehearsalRate | None) -> str:
    """`39 of 40 (86.8 to 99.9 %)`."""
    if rate is None or not rate.n or rate.low is None or rate.high is None:
        return "none to count"
    return f"{rate.hits} of {rate.n} ({100 * rate.low:.1f} to {100 * rate.high:.1f} %)"
