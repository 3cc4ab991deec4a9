"""`expunge plan`: what a run will do, frozen under a hash, and the two approvals before and after it."""

from __future__ import annotations

from typing import Annotated

import typer

from expunge.cli.desk_options import DeskFolder, Person, ReasonFile, acting, open_desk, read_reason, roles_for
from expunge.cli.result import CommandResult, ResultTable

Hash = Annotated[str, typer.Argument(help="Hash of the plan; 8 digits name it, an approval needs all of them.")]


def listing(desk: DeskFolder, person: Person) -> CommandResult:
    """List plans, the newest first."""
    opened = open_desk(desk)
    from expunge.desk import service

    with opened.reading(acting(opened, person, service.PEOPLE)) as s:
        rows = service.plan_views(s)
    columns = ("hash", "number", "kind", "state", "author", "run", "audit", "guard")
    table = ResultTable(columns, [[row[name] for name in columns] for row in rows])
    return CommandResult({"plans": rows}, (table if rows else "no plans",))


def show(plan: Hash, desk: DeskFolder, person: Person) -> CommandResult:
    """Show a plan completely: what will be run, on what, judged how."""
    opened = open_desk(desk)
    import yaml

    from expunge.desk import service

    with opened.reading(acting(opened, person, service.PEOPLE)) as s:
        (view,) = service.plan_views(s, service.plan_row(s, plan)["hash"])
    view["progress"] = service.progress(opened, view["hash"])
    keys = ("hash", "state", "author", "approver", "run", "audit", "guard")
    lines: list[str | ResultTable] = [f"{key}: {view[key]}" for key in keys]
    if view["earlier_requests"]:
        columns = ("reference", "choice", "status")
        rows = [[row[name] or "-" for name in columns] for row in view["earlier_requests"]]
        lines.append(ResultTable(("earlier request", "chosen", "attacks"), rows))
    lines += ["", "tried on other people:", *service.rehearsal_lines(view["rehearsal"])]
    return CommandResult(view, (*lines, "", yaml.safe_dump(view["content"], sort_keys=False).rstrip()))


def approve(plan: Hash, desk: DeskFolder, person: Person) -> CommandResult:
    """Approve a plan of somebody else, by its whole hash."""
    opened = open_desk(desk)
    from expunge.desk import service

    with opened.session(acting(opened, person, ["approver"])) as s:
        states = service.approve_plan(s, plan)
    return CommandResult({"states": states}, (f"requests: {', '.join(states)}",))


def reject(plan: Hash, desk: DeskFolder, person: Person, reason_file: ReasonFile = None) -> CommandResult:
    """Send a plan back; another one is made."""
    opened = open_desk(desk)
    from expunge.desk import service

    with opened.session(acting(opened, person, ["approver"])) as s:
        states = service.reject_plan(s, plan, read_reason(reason_file))
    return CommandResult({"states": states}, (f"requests: {', '.join(states)}",))


def promote(plan: Hash, desk: DeskFolder, person: Person) -> CommandResult:
    """Approve that the model of a plan whose audit passed comes into use; a worker then exchanges it."""
    opened = open_desk(desk)
    from expunge.desk import service

    with opened.session(acting(opened, person, roles_for("approve_promotion"))) as s:
        states = service.approve_promotion(s, service.plan_row(s, plan)["hash"])
    return CommandResult({"states": states}, (f"requests: {', '.join(states)}",))


def retry(
    plan: Hash,
    desk: DeskFolder,
    person: Person,
    kind: Annotated[str | None, typer.Option(help="unlearn; or an exact route: retrain, drop.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Another recipe.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed; the next one if not given.")] = None,
) -> CommandResult:
    """After a failed audit: plan again, with another recipe or an exact route."""
    opened = open_desk(desk)
    from expunge.desk import service

    actor = acting(opened, person, ["operator"])
    with opened.reading(actor) as s:
        batch = service.plan_row(s, plan)["batch_id"]
    wish = service.PlanWish(kind=kind, recipe=recipe, overrides=tuple(set_ or ()), seed=seed)
    digest = service.plan_again(opened, actor, batch, wish)
    return CommandResult({"hash": digest}, (f"new plan {digest}; somebody else approves it",))


def cancel(plan: Hash, desk: DeskFolder, person: Person, reason_file: ReasonFile = None) -> CommandResult:
    """Stop the run of a plan; its checkpoint stays, and `request do REF recover` goes on."""
    opened = open_desk(desk)
    from expunge.desk import service

    with opened.session(acting(opened, person, ["operator", "reviewer"])) as s:
        digest = service.plan_row(s, plan)["hash"]
        service.cancel_run(s, digest, read_reason(reason_file))
    return CommandResult({"hash": digest}, ("the worker stops it within seconds",))
