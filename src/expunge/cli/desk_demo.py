"""`expunge desk demo`: a desk with synthetic patients, two small models and one request in each state."""

from __future__ import annotations

import secrets
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge._printable import pluralize
from expunge.cli.desk_serve import check_web_installed
from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError
from expunge.web import DEFAULT_PORT

if TYPE_CHECKING:
    from expunge.desk.desk import Desk

MARK = "desk-demo.json"  # says that the folder is a demo desk, and when it is whole


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Folder of the desk.")] = Path("runs/desk-demo"),
    serve: Annotated[bool, typer.Option("--serve", help="Serve its pages afterwards, until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the pages.")] = DEFAULT_PORT,
    code: Annotated[bool, typer.Option("--code", help="Only print the one-time code of this moment.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove an earlier demo in the folder first.")] = False,
) -> CommandResult:
    """Make a desk to try things on: one request in each state, people of every role, nothing real."""
    check_web_installed()
    if code:
        digits = current_code(_open(folder))
        return CommandResult({"code": digits}, (digits,))
    from expunge.web.app import make_app
    from expunge.web.server import listen, run_server
    from expunge.web.settings import WebSettings

    settings = WebSettings(port=port)
    at = listen(settings) if serve else None  # a port that is taken is told before the work, not after it
    if fresh:
        _clear(folder)
    if _is_whole(folder):
        desk, sign_in = _open(folder), None
    else:
        desk, sign_in = make_demo(folder, Progress())
    result = _result(desk, folder, port, sign_in)
    if at is None:
        return result
    result.show(sys.stderr)
    run_server(make_app(desk, settings), at)
    return CommandResult(result.data, ("stopped",))


def make_demo(folder: Path, progress: Progress) -> tuple[Desk, dict[str, str]]:
    """A new demo, and the password and key of one-time codes of all its people.

    Raises:
        InputError: the folder holds something else.
        RunFailed: no audit passed within three plans.
    """
    from expunge._io import write_json
    from expunge.desk.demo import DemoBuilder
    from expunge.desk.demo_steps import RUN
    from expunge.desk.demo_world import CONTACT, CONTROLLER, make_keys
    from expunge.desk.desk import Desk
    from expunge.desk.settings import DeskSettings

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(str(folder), "is not empty, and holds no whole demo", "--fresh, or another --folder")
    write_json(folder / MARK, {"whole": False})
    certificates, auditor = make_keys(folder)
    settings = DeskSettings(controller=CONTROLLER, run=RUN, certificates=certificates, letters=CONTACT)
    desk = Desk.create(folder, settings)
    ids = DemoBuilder(desk, progress.say, auditor).build()
    sign_in = give_accounts(desk)
    write_json(folder / MARK, {"whole": True, "states": sorted(ids)})
    return desk, sign_in


def give_accounts(desk: Desk) -> dict[str, str]:
    """Everybody gets an account with one password and one key of one-time codes, which are told once."""
    import pyotp

    from expunge.desk.demo_world import ADMIN, PEOPLE
    from expunge.web.accounts import set_account

    password, key = secrets.token_urlsafe(12), pyotp.random_base32()
    with desk.session(ADMIN) as s:
        for name in PEOPLE:
            set_account(s, name, password, key)
    return {"password": password, "key": key}


def current_code(desk: Desk) -> str:
    """The one-time code of this moment, which is the same for everybody of a demo."""
    import pyotp

    from expunge.desk.demo_world import ADMIN
    from expunge.desk.roles import SYSTEM
    from expunge.web.accounts import account_row

    with desk.reading(SYSTEM) as s:
        row = account_row(s, ADMIN.person)
        if row is None or row["ciphertext"] is None:
            raise InputError("the demo", "has no account of its admin any more", "--fresh")
        key = s.keys.decrypt(row["ciphertext"], ("account", "ciphertext", row["id"]), row["key_id"])
    return str(pyotp.TOTP(key).now())


def _open(folder: Path) -> Desk:
    from expunge.desk.desk import Desk

    if not _is_whole(folder):
        raise InputError(str(folder), "holds no whole demo", "make one: expunge desk demo")
    return Desk.open(folder)


def _is_whole(folder: Path) -> bool:
    from expunge._io import read_object

    return (folder / MARK).is_file() and read_object(folder / MARK, "--fresh").get("whole") is True


def _clear(folder: Path) -> None:
    """Remove a demo, a whole one or one that was broken off, and nothing else."""
    if not folder.exists():
        return
    if not folder.is_dir() or not ((folder / MARK).is_file() or not any(folder.iterdir())):
        raise InputError(str(folder), "holds something else than a demo", "choose another --folder")
    shutil.rmtree(folder)


def _result(desk: Desk, folder: Path, port: int, sign_in: dict[str, str] | None) -> CommandResult:
    from expunge.desk.people import people
    from expunge.desk.roles import SYSTEM
    from expunge.web.inbox_query import state_counts

    with desk.reading(SYSTEM) as s:
        counts, roles = state_counts(s), people(s)
    address = f"http://127.0.0.1:{port}"
    data: dict[str, Any] = {"desk": str(folder), "address": address, "people": roles, "states": counts}
    lines = [f"desk in {folder}: {pluralize(sum(counts.values()), 'request')} in {pluralize(len(counts), 'state')}"]
    if sign_in:
        data |= sign_in
        lines += [
            "",
            f"password of everybody, shown only now: {sign_in['password']}",
            f"key for an app of one-time codes:      {sign_in['key']}",
        ]
    serving = f"expunge desk demo --folder {folder} --serve"
    rest = [
        "",
        f"without an app, the code of this moment: expunge desk demo --folder {folder} --code",
        f"pages: {address}  ({serving})",
        f"nothing moves until a worker runs: expunge worker --desk {folder} --name demo-2",
        "This is technical evidence, not legal advice.",
    ]
    table = ResultTable(("person", "roles"), [(name, ", ".join(own)) for name, own in roles.items()])
    return CommandResult(data, (*lines, "", table, *rest))
