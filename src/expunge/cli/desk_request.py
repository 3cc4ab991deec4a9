"""`expunge request`: requests of people, from the letter to the answer. Names come from files, never from arguments."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge._printable import pluralize
from expunge.cli.desk_options import (
    DeskFolder,
    Person,
    ReasonFile,
    Reference,
    acting,
    open_desk,
    read_input,
    read_mapping,
    read_reason,
    roles_for,
)
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError

Identifiers = Annotated[Path, typer.Argument(help="YAML file with lines `kind: value`; - for standard input.")]
Matches = Annotated[list[str] | None, typer.Argument(help="Ids of matches, as `request matches` shows them.")]
All = Annotated[bool, typer.Option("--all", help="All that are neither confirmed nor rejected.")]


def submit(
    identifiers: Identifiers,
    desk: DeskFolder,
    person: Person,
    policy: Annotated[str | None, typer.Option("--policy", help="Policy, e.g. gdpr or ccpa@1; the desk's own.")] = None,
    received: Annotated[
        str | None, typer.Option("--received", help="When it came: 2026-03-01T09:00+01:00; now.")
    ] = None,
    language: Annotated[str, typer.Option(help="Language of letters: en, de or fr.")] = "en",
) -> CommandResult:
    """Open a request."""
    opened = open_desk(desk)
    from expunge.desk import service
    from expunge.desk.facts import request_row

    actor = acting(opened, person, ["clerk"])
    values = read_mapping(identifiers, "identifiers")
    with opened.session(actor) as s:
        request_id = service.submit(s, values, regime=policy, received_at=_moment(received), language=language)
        row = request_row(s, request_id)
        like = service.requests_like(s, request_id)
    lines = [f"{row['reference']}: {row['state']}, due {row['due_on'] or 'without a date'} ({row['regime']})"]
    if like:
        lines.append(f"{pluralize(len(like), 'other request')} may be of the same person")
    data = {
        "id": request_id,
        "reference": row["reference"],
        "state": row["state"],
        "due_on": row["due_on"],
        "like": like,
    }
    return CommandResult(data, tuple(lines))


def inbox(
    desk: DeskFolder,
    person: Person,
    state: Annotated[list[str] | None, typer.Option(help="Only this state; repeatable.")] = None,
    done: Annotated[bool, typer.Option("--done", help="Also those that are done.")] = False,
) -> CommandResult:
    """List requests, the most urgent first."""
    opened = open_desk(desk)
    from expunge.desk import service
    from expunge.desk.lifecycle import STATES
    from expunge.errors import unknown

    for name in state or ():
        if name not in STATES:
            raise unknown("state", name, STATES, "--state")
    with opened.reading(acting(opened, person, service.PEOPLE)) as s:
        rows = service.inbox(s, states=state or (), include_done=done, limit=10_000)
    columns = ("reference", "state", "due_on", "days_left", "verified", "regime")
    table = ResultTable(columns, [[row[name] for name in columns] for row in rows])
    return CommandResult({"requests": rows}, (table if rows else "no requests",))


def show(
    reference: Reference,
    desk: DeskFolder,
    person: Person,
    reasons: Annotated[bool, typer.Option("--reasons", help="Also the reasons in words; the log notes it.")] = False,
) -> CommandResult:
    """Show a request, its decisions and tasks, and what can be done next."""
    opened = open_desk(desk)
    from expunge.desk import service

    actor = acting(opened, person, service.PEOPLE)
    with opened.reading(actor) as s:
        view = service.request_view(s, service.find_request(s, reference))
        view["timeline"] = service.timeline(s, view["id"])
    lines = [f"{key}: {view[key]}" for key in ("reference", "state", "regime", "received_on", "due_on", "days_left")]
    parts: list[Any] = [*lines]
    if view["matches"]:
        parts.append("matches: " + ", ".join(f"{count} {state}" for state, count in sorted(view["matches"].items())))
    keys = ("name", "kind", "value", "ground")
    parts.append(
        ResultTable(("asset", "kind", "decision", "ground"), [[d[k] for k in keys] for d in view["decisions"]])
    )
    if view["tasks"]:
        keys = ("asset", "state", "due_on", "problem")
        parts.append(ResultTable(keys, [[task[k] for k in keys] for task in view["tasks"]]))
    if reasons:
        view["reasons"] = service.read_reasons(opened, actor, view["id"])
        parts += [f"{each['event']} ({each['at'][:10]}): {each['text']}" for each in view["reasons"]]
    parts += [f"can: {n['event']}" + (f" ({n['missing']})" if n["missing"] else "") for n in view["next"]]
    return CommandResult(view, tuple(parts))


def identify(
    reference: Reference,
    desk: DeskFolder,
    person: Person,
    method: Annotated[str, typer.Option(help="How the person showed who they are, in a word or two.")],
    level: Annotated[str, typer.Option(help="low, substantial or high.")] = "substantial",
    failed: Annotated[bool, typer.Option("--failed", help="The attempt failed.")] = False,
    only: Annotated[list[str] | None, typer.Option("--only", help="Id of an identifier that was shown; all.")] = None,
    document: Annotated[Path | None, typer.Option(help="What was shown; only a keyed digest of it is kept.")] = None,
    reason_file: ReasonFile = None,
) -> CommandResult:
    """Note an attempt of the person to show who they are."""
    opened = open_desk(desk)
    from expunge.desk import service
    from expunge.desk.identity import MAX_DOCUMENT

    raw = None
    if document is not None:
        if not document.is_file():
            raise InputError(str(document), "there is no such file")
        with document.open("rb") as stream:
            raw = stream.read(MAX_DOCUMENT + 1)
    with opened.session(acting(opened, person, ["clerk"])) as s:
        request_id = service.find_request(s, reference)
        verified = service.record_identity(
            s,
            request_id,
            success=not failed,
            method=method,
            level=level,
            identifiers=only,
            document=raw,
            reason=read_reason(reason_file),
        )
    return CommandResult({"id": request_id, "verified": verified}, (f"verified: {'yes' if verified else 'no'}",))


def search(reference: Reference, desk: DeskFolder, person: Person) -> CommandResult:
    """Begin scoping, if that is still to do, and search all assets for the person."""
    opened = open_desk(desk)
    from expunge.desk import service
    from expunge.desk.facts import request_row

    actor = acting(opened, person, ["clerk"])
    with opened.session(actor) as s:
        request_id = service.find_request(s, reference)
        if request_row(s, request_id)["state"] in ("received", "identity_pending"):
            service.act(s, request_id, "begin_scoping")
    matches = service.search(opened, actor, request_id)
    table = ResultTable(("asset", "objects"), list(matches.items()))
    return CommandResult({"id": request_id, "found": matches}, (table, "confirm or reject each: request matches"))


def matches(
    reference: Reference,
    desk: DeskFolder,
    person: Person,
    confirm: Annotated[bool, typer.Option("--confirm", help="Confirm the named matches.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Reject the named matches.")] = False,
    match: Annotated[list[str] | None, typer.Option("--match", help="Id of a match; repeatable.")] = None,
    all_: All = False,
) -> CommandResult:
    """List the matches of a request; with --confirm or --reject, settle them."""
    opened = open_desk(desk)
    from expunge.desk import service

    if confirm and reject:
        raise InputError("--confirm", "stands beside --reject", "leave one of them out")
    if (confirm or reject) != bool(match or all_):
        raise InputError("--match", "and --confirm or --reject belong together", "name matches, or give --all")
    actor = acting(opened, person, ["clerk"] if confirm or reject else service.PEOPLE)
    if confirm or reject:
        with opened.session(actor) as s:
            rows = service.matches(s, service.find_request(s, reference))
            open_ids = [m["id"] for m in rows if m["state"] in ("proposed", "ambiguous")]
            known = {m["id"] for m in rows}
            if strange := set(match or ()) - known:
                raise InputError("--match", f"{sorted(strange)[0]} is none of this request", "see request matches")
            service.settle(s, list(match or open_ids), confirm=confirm)
    with opened.reading(actor) as s:
        rows = service.matches(s, service.find_request(s, reference))
    columns = ("id", "asset", "how", "state")
    table = ResultTable(columns, [[row[name] for name in columns] for row in rows])
    return CommandResult({"matches": [dict(row) for row in rows]}, (table if rows else "no matches",))


def decide(
    reference: Reference,
    desk: DeskFolder,
    person: Person,
    asset: Annotated[
        list[str] | None, typer.Option("--asset", help="NAME=DECISION: erase, unlearn, suppress …")
    ] = None,
    ground: Annotated[str, typer.Option(help="Ground of what is retained, as the policy names it.")] = "",
    searched_file: Annotated[
        Path | None, typer.Option("--searched-file", help="File that says how it was searched, for not_present.")
    ] = None,
    close: Annotated[bool, typer.Option("--close", help="Close the review, once every asset has a decision.")] = False,
    reason_file: ReasonFile = None,
) -> CommandResult:
    """Decide what happens to assets; with --close, decide the request."""
    opened = open_desk(desk)
    from expunge.desk import service
    from expunge.desk.facts import request_row

    pairs = []
    for text in asset or ():
        name, sign, value = text.rpartition("=")
        if not sign:
            raise InputError("--asset", "must be NAME=DECISION", 'for example --asset "ward model=unlearn"')
        pairs.append((name, value))
    if not pairs and not close:
        raise InputError("--asset", "is missing", "name a decision, or close the review with --close")
    searched = read_input(searched_file, "--searched-file").strip() if searched_file else ""
    with opened.session(acting(opened, person, ["reviewer", "clerk"])) as s:
        request_id = service.find_request(s, reference)
        for name, value in pairs:
            given = (
                {"ground": ground} if value == "retain" else {"searched": searched} if value == "not_present" else {}
            )
            service.decide_asset(s, request_id, name, value, **given)
        if close:
            service.decide(s, request_id, read_reason(reason_file))
        state = request_row(s, request_id)["state"]
    return CommandResult({"id": request_id, "state": state, "decided": len(pairs)}, (f"state: {state}",))


def do(
    reference: Reference,
    event: Annotated[str, typer.Argument(help="freeze_scope, hold, release, cancel, revoke, give_up, close …")],
    desk: DeskFolder,
    person: Person,
    other: Annotated[str | None, typer.Option(help="Of mark_duplicate: reference of the other request.")] = None,
    reason_file: ReasonFile = None,
) -> CommandResult:
    """Do an event of the lifecycle."""
    opened = open_desk(desk)
    from expunge.desk import service
    from expunge.desk.requests import PLAIN_EVENTS
    from expunge.desk.roles import Actor
    from expunge.errors import unknown

    if event not in PLAIN_EVENTS:
        raise unknown("event", event, PLAIN_EVENTS, "request do")
    actor = acting(opened, person, ["clerk"] if event == "revoke" else roles_for(event))
    acts = Actor(actor.person, "subject") if event == "revoke" else actor  # a clerk notes the subject's word
    with opened.reading(actor) as s:
        request_id = service.find_request(s, reference)
        second = service.find_request(s, other) if other else None
    with opened.session(acts) as s:
        options = {"other": second} if second else {}
        state = service.act(s, request_id, event, reason=read_reason(reason_file), **options)
    return CommandResult({"id": request_id, "state": state}, (f"state: {state}",))


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError("--received", "is no time", "for example 2026-03-01T09:00:00+01:00") from error
