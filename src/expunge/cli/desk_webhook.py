"""`expunge desk webhook`: other privacy desks that submit requests and hear of their state."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.desk_options import DeskFolder, Person, acting, open_desk, read_input
from expunge.cli.desk_serve import check_web_installed
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError


def webhook(
    name: Annotated[str, typer.Argument(help="Short name of the other desk.")],
    desk: DeskFolder,
    acts: Person,
    url: Annotated[str | None, typer.Option(help="Where it listens to status messages.")] = None,
    face: Annotated[str, typer.Option(help="In whose words: drp, ketch, sap-dpi or transcend.")] = "drp",
    every_request: Annotated[
        bool, typer.Option("--every-request", help="Tell it of all requests, not of its own only.")
    ] = False,
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="A secret that the other desk made; - for standard input.")
    ] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make a new key for one that is there.")] = False,
    overlap_hours: Annotated[int, typer.Option(min=0, max=720, help="Hours for which the old key still holds.")] = 24,
    end: Annotated[bool, typer.Option("--end", help="Take nothing from it any more, and tell it nothing.")] = False,
) -> CommandResult:
    """Add another desk, change its key, or end it; prints the shared secret once."""
    check_web_installed()
    opened = open_desk(desk)
    from expunge.web import webhook_peers

    if new_key and end:
        raise InputError("--new-key", "stands beside --end", "leave one of them out")
    secret = read_input(secret_file, "--secret-file").strip() if secret_file else None
    with opened.session(acting(opened, acts, ["admin"])) as s:
        if end:
            webhook_peers.end_peer(s, name)
            return CommandResult({"ended": name}, (f"{name} is ended",))
        if new_key:
            shared = webhook_peers.new_key(s, name, secret=secret, overlap_hours=overlap_hours)
        else:
            shared = webhook_peers.add_peer(s, name, url=url, face=face, every_request=every_request, secret=secret)
    path = f"/api/v1/webhooks/{name}"
    lines = (f"it sends to {path}; the shared secret, shown once:", shared)
    return CommandResult({"name": name, "path": path, "secret": shared}, lines)


def webhook_list(desk: DeskFolder, acts: Person) -> CommandResult:
    """List other desks, and how many messages wait for them."""
    check_web_installed()
    opened = open_desk(desk)
    from expunge.web.webhook_outbox import waiting_messages
    from expunge.web.webhook_peers import peers

    with opened.reading(acting(opened, acts, ["admin"])) as s:
        waiting = waiting_messages(s)
        rows = [{key: row[key] for key in ("name", "url", "face", "ended_at")} for row in peers(s)]
    for row in rows:
        row["waiting"] = waiting.get(row["name"], 0)
    columns = ("name", "url", "face", "waiting", "ended_at")
    table = ResultTable(columns, [[row[key] for key in columns] for row in rows])
    return CommandResult({"webhooks": rows}, (table if rows else "no webhooks",))
