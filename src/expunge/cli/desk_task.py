"""`expunge request notice` and `settle`: purge tasks that a person does, not a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from expunge.cli.desk_options import DeskFolder, Person, ReasonFile, Reference, acting, open_desk, read_reason
from expunge.cli.result import CommandResult

if TYPE_CHECKING:
    from expunge.desk.desk import DeskSession

Asset = Annotated[str, typer.Argument(help="Name of the asset, as `request show` lists its task.")]


def notice(
    reference: Reference,
    asset: Asset,
    desk: DeskFolder,
    person: Person,
    on: Annotated[str, typer.Option("--on", help="Day on which the notice went out: 2026-03-05.")],
    reason_file: ReasonFile = None,
) -> CommandResult:
    """Note that the recipient of a copy was told; the file says how."""
    opened = open_desk(desk)
    from expunge.desk import service

    with opened.session(acting(opened, person, ["clerk", "operator"])) as s:
        task = _task(s, reference, asset)
        until = service.note_notice(s, task, on, read_reason(reason_file))
    return CommandResult({"task": task, "due_on": until}, (f"{asset}: told; it confirms by {until}",))


def settle(
    reference: Reference, asset: Asset, desk: DeskFolder, person: Person, reason_file: ReasonFile = None
) -> CommandResult:
    """Settle a purge task by hand: a recipient confirmed, a backup has expired, or somebody removed it."""
    opened = open_desk(desk)
    from expunge.desk import service

    with opened.session(acting(opened, person, ["operator"])) as s:
        task = _task(s, reference, asset)
        service.confirm_task(s, task, read_reason(reason_file))
    return CommandResult({"task": task}, (f"{asset}: settled",))


def _task(s: DeskSession, reference: str, asset: str) -> str:
    """Id of the purge task of an asset; `Refusal` of kind `missing`."""
    from expunge.desk import service
    from expunge.desk.roles import Refusal

    for row in service.tasks(s, service.find_request(s, reference)):
        if row["asset"] == asset:
            return str(row["id"])
    raise Refusal("task", f"the request has none for {asset}", "see expunge request show", kind="missing")
