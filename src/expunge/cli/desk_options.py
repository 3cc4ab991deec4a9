"""Options that the commands of the desk share, and how a person and a role become an actor."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge._text_file import read_text
from expunge.errors import InputError, install_hint

if TYPE_CHECKING:
    from expunge.desk.desk import Desk
    from expunge.desk.roles import Actor

DeskFolder = Annotated[Path, typer.Option("--desk", envvar="EXPUNGE_DESK", help="Folder of the desk.")]
Person = Annotated[str, typer.Option("--as", envvar="EXPUNGE_AS", help="Who acts: a person of the desk.")]
Reference = Annotated[str, typer.Argument(help="Reference of the request, E-…, as the inbox shows it.")]
ReasonFile = Annotated[
    Path | None, typer.Option("--reason-file", help="File with the reason, - for standard input; it is kept encrypted.")
]
MODULES = {"sqlalchemy": "sqlalchemy", "cryptography": "cryptography", "rfc8785": "rfc8785", "holidays": "holidays"}
MAX_INPUT = 2**20


def check_installed(*more: str) -> None:
    """`InputError` if a package of the desk is missing."""
    for module in (*MODULES, *more):
        if find_spec(module) is None:
            raise InputError("the desk", f"needs {module}, which is not installed", install_hint("desk"))


def open_desk(folder: Path) -> Desk:
    """The desk in a folder."""
    check_installed()
    from expunge.desk.desk import Desk

    return Desk.open(folder)


def acting(desk: Desk, person: str, roles: Sequence[str]) -> Actor:
    """A person in the first of these roles that they have; `Refusal` naming the roles if they have none."""
    from expunge.desk.people import actor_of, people
    from expunge.desk.roles import SYSTEM

    with desk.reading(SYSTEM) as s:
        own = people(s).get(person, [])
        return actor_of(s, person, next((role for role in roles if role in own), roles[0]))


def roles_for(event: str) -> list[str]:
    """The roles that may do an event of the lifecycle; a clerk notes what a subject does."""
    from expunge.desk.lifecycle import TABLE

    return list(dict.fromkeys(role for row in TABLE if row.event == event for role in row.roles))


def read_reason(file: Path | None) -> str:
    """The reason in a file or on standard input; empty without one."""
    return "" if file is None else read_input(file, "--reason-file").strip()


def read_input(file: Path, option: str) -> str:
    """The text of a file, or of standard input for `-`."""
    if str(file) != "-":
        return read_text(file, most=MAX_INPUT)
    if sys.stdin.isatty():
        raise InputError(option, "standard input is a terminal", "name a file, or pipe the text in")
    text = sys.stdin.read(MAX_INPUT + 1)
    if len(text) > MAX_INPUT:
        raise InputError(option, f"holds more than {MAX_INPUT:,} characters", "make it smaller")
    return text


def read_mapping(file: Path, option: str) -> dict[str, Any]:
    """The YAML or JSON mapping of a file or of standard input. Errors name its line, never its content."""
    from expunge._yaml import load_yaml

    text = read_input(file, option)
    try:
        return load_yaml(text, option)
    except InputError as error:
        raise InputError(error.where, "is no YAML mapping", "for example  name: …  on a line of its own") from error
