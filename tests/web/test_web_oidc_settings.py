"""`oidc.yaml` and the commands around it: what is wrong is one line, and no secret is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("authlib")
pytest.importorskip("fastapi")

from expunge.cli import desk_serve
from expunge.desk.oidc_binding import bound_person
from expunge.desk.roles import SYSTEM
from expunge.errors import InputError
from expunge.web.oidc_provider import OidcProvider
from expunge.web.oidc_settings import OidcSettings, is_safe_url
from expunge.web.settings import WebSettings
from helpers.cli import Cli
from helpers.web import web_desk

GOOD = {"issuer": "https://login.example/realms/hospital", "client_id": "desk"}


def write(folder: Path, *, secret: str = "s3cret\n", mode: int = 0o600, **values: Any) -> Path:
    (folder / "secret").write_text(secret)
    (folder / "secret").chmod(mode)
    (folder / "oidc.yaml").write_text(json.dumps(GOOD | values))
    return folder


def test_settings_of_a_folder(tmp_path: Path) -> None:
    assert OidcSettings.load(tmp_path) is None
    settings = OidcSettings.load(write(tmp_path, client_secret_file="secret", person_claim="email", scopes=["groups"]))
    assert settings is not None
    assert settings.client_secret is not None
    assert settings.client_secret.get_secret_value() == "s3cret"
    assert settings.scope == "openid email groups"
    assert (settings.button, settings.passwords, settings.is_local) == ("login.example", True, False)
    assert "s3cret" not in repr(settings) + settings.model_dump_json() + repr(WebSettings(oidc=settings))
    public = OidcSettings.load(write(tmp_path))
    assert public is not None
    assert (public.client_secret, public.scope) == (None, "openid")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"issuer": "http://login.example"}, "https"),
        ({"issuer": "https://login.example/?x=1"}, "https"),
        ({"issuer": "https://user:pw@login.example"}, "https"),
        ({"issuer": "login.example"}, "https"),
        ({"issuer": 7}, "issuer"),
        ({"client_id": ""}, "client_id"),
        ({"client_secret": "canary-secret"}, "client_secret_file"),
        ({"client_secret_file": "nowhere"}, "could not be read"),
        ({"client_secret_file": "."}, "is a folder"),
        ({"ca_file": "nowhere.pem"}, "no such file"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"person_suffix": "@x"}, "person_claim"),
        ({"leeway_seconds": 301}, "leeway_seconds"),
        ({"isuer": "x"}, "isuer"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, values: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        OidcSettings.load(write(tmp_path, **values))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "canary-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "line"),
    [({"mode": 0o644}, "can be read by others"), ({"secret": "\n"}, "holds no secret"), ({"secret": "ä"}, "no secret")],
)
def test_a_wrong_secret_is_one_line(tmp_path: Path, options: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line):
        OidcSettings.load(write(tmp_path, client_secret_file="secret", **options))


def test_a_ca_file_without_certificates_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    settings = OidcSettings.load(write(tmp_path, ca_file="ca.pem"))
    assert settings is not None
    with pytest.raises(InputError, match="holds no certificates"):
        OidcProvider(settings)


def test_safe_addresses() -> None:
    assert is_safe_url("https://login.example:8443/a?b=c", allow_loopback=False)
    assert is_safe_url("http://127.0.0.1:80/x", allow_loopback=True)
    assert is_safe_url("http://[::1]:80/x", allow_loopback=True)
    for url in (
        "http://127.0.0.1/x",
        "http://127.0.0.1.evil.example/x",
        "https://",
        "https://a.example:99999/",
        "https://a.example:x/",
        "https://[::1",
        "https://a.example/\nb",
        "https://a.example/ b",
        "https://ä.example/",
    ):
        assert not is_safe_url(url, allow_loopback=False), url
    assert not is_safe_url("http://127.0.0.1.evil.example/x", allow_loopback=True)


def test_an_admin_binds_by_command(tmp_path: Path, cli: Cli) -> None:
    case = web_desk(tmp_path / "desk")
    words = ["desk", "account", "carla", "--desk", case.folder, "--as", "adam", "--oidc", "sub-1"]
    assert "has no oidc.yaml" in cli(*words).line
    write(case.folder)
    answer = cli(*words)
    assert (answer.code, answer.out) == (0, f"carla signs in at {GOOD['issuer']}\n")
    with case.desk.reading(SYSTEM) as s:
        assert bound_person(s, GOOD["issuer"], "sub-1") == "carla"
    for more in (["--close"], ["--password-file", "-"]):
        answer = cli(*words, *more)
        assert (answer.code, "stands beside" in answer.line) == (2, True)
    answer = cli("desk", "account", "carla", "--desk", case.folder, "--as", "carla", "--oidc", "sub-2")
    assert (answer.code, "has not the role admin" in answer.line) == (2, True)


def test_serve_tells_what_is_missing(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    case = web_desk(tmp_path / "desk")
    write(case.folder, client_secret_file="secret")
    real = desk_serve.find_spec
    monkeypatch.setattr(desk_serve, "find_spec", lambda name: None if name == "authlib" else real(name))
    answer = cli("desk", "serve", "--desk", case.folder)
    assert answer.code == 2
    assert "needs authlib, which is not installed" in answer.line
    assert "pip install authlib" in answer.line
