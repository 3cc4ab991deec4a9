"""`expunge desk account`, `token`, `tokens`: how people and programs come in. A secret is shown once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expunge.cli.desk_options import DeskFolder, Person, acting, open_desk, read_input
from expunge.cli.desk_serve import check_web_installed, load_oidc
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.desk.desk import Desk

PersonName = Annotated[str, typer.Argument(help="Name of a person of the desk.")]


def account(
    name: PersonName,
    desk: DeskFolder,
    acts: Person,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="Set this password: a file, or - for standard input.")
    ] = None,
    oidc: Annotated[
        str | None, typer.Option("--oidc", help="Bind to this subject of the provider in oidc.yaml.")
    ] = None,
    close: Annotated[bool, typer.Option("--close", help="Nobody signs in as this person any more.")] = False,
) -> CommandResult:
    """Let a person set up, or set up anew, how they sign in; prints a token once. Also after a lost phone."""
    check_web_installed()
    opened = open_desk(desk)
    from expunge.web.accounts import ENROL_HOURS, account_states, close_account, open_account

    given = [
        name for name, value in (("--close", close), ("--password-file", password_file), ("--oidc", oidc)) if value
    ]
    if len(given) > 1:
        raise InputError(given[0], f"stands beside {given[1]}", "leave one of them out")
    if oidc is not None:
        return _bind(opened, name, acts, oidc)
    actor = acting(opened, acts, ["admin"])
    with opened.session(actor) as s:
        if close:
            close_account(s, name)
            return CommandResult({"person": name, "accounts": account_states(s)}, (f"{name} can no longer sign in",))
        password = read_input(password_file, "--password-file").split("\n")[0].rstrip("\r") if password_file else None
        token = open_account(s, name, password)
    return CommandResult(
        {"person": name, "token": token, "hours": ENROL_HOURS},
        (
            f"token for {name}, valid for {ENROL_HOURS} hours and shown once:",
            token,
            "they enter it on the page /set-up",
        ),
    )


def _bind(desk: Desk, name: str, acts: str, subject: str) -> CommandResult:
    """Bind a person to a subject of the identity provider."""
    from expunge.desk.oidc_binding import bind_subject

    settings = load_oidc(desk.folder)
    if settings is None:
        raise InputError("--oidc", "the desk has no oidc.yaml", "write it as docs/guides/web-desk.md shows")
    with desk.session(acting(desk, acts, ["admin"])) as s:
        bind_subject(s, name, settings.issuer, subject)
    return CommandResult({"person": name, "issuer": settings.issuer}, (f"{name} signs in at {settings.issuer}",))


def token(
    desk: DeskFolder,
    acts: Person,
    name: Annotated[str | None, typer.Argument(help="Name of a person of the desk.")] = None,
    role: Annotated[str | None, typer.Option(help="The one role in which the program acts.")] = None,
    days: Annotated[int, typer.Option(min=1, max=400, help="Days after which it ends.")] = 90,
    revoke: Annotated[str | None, typer.Option(help="Id of a token that is to end now.")] = None,
) -> CommandResult:
    """Make a token with which a program calls the API for a person in one role; prints it once."""
    check_web_installed()
    opened = open_desk(desk)
    from expunge.web.tokens import make_token, revoke_token

    if (revoke is None) != (name is not None and role is not None):
        raise InputError("token", "needs a name and --role, or --revoke", "see expunge desk token --help")
    with opened.session(acting(opened, acts, ["admin"])) as s:
        if revoke is not None:
            revoke_token(s, revoke)
            return CommandResult({"revoked": revoke}, ("it no longer holds",))
        token_id, secret = make_token(s, str(name), str(role), days)
    return CommandResult(
        {"id": token_id, "token": secret, "days": days}, (f"token {token_id} for {name} as {role}, shown once:", secret)
    )


def token_list(desk: DeskFolder, acts: Person) -> CommandResult:
    """List tokens of programs, without the tokens themselves."""
    check_web_installed()
    opened = open_desk(desk)
    from expunge.web.tokens import tokens

    with opened.reading(acting(opened, acts, ["admin"])) as s:
        rows = [dict(row) for row in tokens(s)]
    columns = ("id", "person", "role", "ends_at", "revoked_at")
    table = ResultTable(columns, [[row[key] for key in columns] for row in rows])
    return CommandResult({"tokens": rows}, (table if rows else "no tokens",))
