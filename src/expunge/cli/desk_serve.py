"""`expunge desk serve`: the web desk. By default for this machine alone."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli.desk_options import DeskFolder, check_installed, open_desk
from expunge.cli.result import CommandResult
from expunge.errors import InputError, install_hint
from expunge.web import DEFAULT_PORT

if TYPE_CHECKING:
    from expunge.web.oidc_settings import OidcSettings

WEB_MODULES = ("fastapi", "uvicorn", "jinja2", "python_multipart", "argon2", "pyotp", "segno")


def check_web_installed() -> None:
    """`InputError` if a package of the web desk is missing."""
    check_installed()
    for module in WEB_MODULES:
        if find_spec(module) is None:
            raise InputError("the web desk", f"needs {module}, which is not installed", install_hint("web"))


def load_oidc(desk: Path) -> OidcSettings | None:
    """The sign-in at an identity provider that a desk has set up in `oidc.yaml`, if any."""
    from expunge.web.oidc_settings import OidcSettings

    settings = OidcSettings.load(desk)
    if settings is not None and find_spec("authlib") is None:
        raise InputError(
            "sign-in at an identity provider", "needs authlib, which is not installed", install_hint("oidc")
        )
    return settings


def serve(
    desk: DeskFolder,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = DEFAULT_PORT,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="Host name under which people visit it; repeatable.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with a token that every visit from elsewhere shows.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Private key, PEM.")] = None,
    proxy: Annotated[
        str | None, typer.Option("--proxy", help="Origin that a reverse proxy serves: https://desk.example")
    ] = None,
    proxy_from: Annotated[
        list[str] | None, typer.Option("--proxy-from", help="Address from which the proxy connects; this machine.")
    ] = None,
    idle_minutes: Annotated[
        int, typer.Option(min=1, max=720, help="Minutes without a click after which a session ends.")
    ] = 15,
    session_hours: Annotated[int, typer.Option(min=1, max=24, help="Hours after which a session ends.")] = 10,
    requests_per_minute: Annotated[int, typer.Option(min=1, help="Requests of one session or address.")] = 600,
    sign_ins_per_minute: Annotated[int, typer.Option(min=1, help="Attempts to sign in of one address.")] = 10,
) -> CommandResult:
    """Serve the pages and the API of a desk until it is stopped."""
    check_web_installed()
    from expunge._text_file import read_text
    from expunge._validation import validate
    from expunge.web.settings import WebSettings

    oidc = load_oidc(desk)
    values: dict[str, Any] = {
        "host": host,
        "port": port,
        "names": tuple(name or ()),
        "proxy": proxy,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "idle_minutes": idle_minutes,
        "session_hours": session_hours,
        "requests_per_minute": requests_per_minute,
        "sign_ins_per_minute": sign_ins_per_minute,
        "oidc": oidc,
    }
    if proxy_from:
        values["proxy_from"] = tuple(proxy_from)
    if token_file is not None:
        lines = read_text(token_file, "give a file that holds the token", most=4096).splitlines()
        values["token"] = lines[0].strip() if lines else ""
    settings = validate(WebSettings, values, "desk serve", "see docs/guides/web-desk.md").check()
    opened = open_desk(desk)
    from expunge.web.app import make_app
    from expunge.web.server import listen, run_server

    app, at = make_app(opened, settings), listen(settings)
    for origin in sorted(settings.origins):
        typer.echo(f"the desk is at {origin}", err=True)
    if oidc is not None:
        typer.echo(f"people sign in at {oidc.issuer}{', or with a password' if oidc.passwords else ''}", err=True)
    typer.echo("Ctrl-C stops it", err=True)
    run_server(app, at)
    return CommandResult({"stopped": True}, ("stopped",))
