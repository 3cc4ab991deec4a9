"""`expunge desk serve`, `account`, `token`, `webhook`: refusals in a line, secrets shown once, none as an argument."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

from expunge.cli import desk_serve
from expunge.web.accounts import finish_enrolment
from expunge.web.server import listen
from expunge.web.settings import WebSettings
from helpers.cli import Cli
from helpers.desk import CLERK, DeskCase, make_desk
from helpers.web import ApiClient


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeskCase:
    from datetime import UTC, datetime

    case = make_desk(tmp_path / "desk")
    case.clock.now = datetime.now(UTC)  # that of the commands
    monkeypatch.setenv("EXPUNGE_DESK", str(case.folder))
    monkeypatch.setenv("EXPUNGE_AS", "adam")
    return case


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "can be reached from elsewhere, and there is no token"),
        (["--host", "0.0.0.0", "--token-file", "token"], "without encryption"),
        (["--host", "10.0.0.1", "--proxy", "https://d.example"], "there is no token"),
        (["--token-file", "short"], "fewer than 32 characters"),
        (["--proxy", "http://d.example"], "https://desk.example"),
        (["--tls-cert", "token"], "belong together"),
        (["--token-file", "nothing"], "nothing"),
        (["--port", "0"], "--port"),
        (["--name", "A B"], "host names"),
    ],
)
def test_serve_refuses_in_a_line(
    case: DeskCase, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("x" * 40 + "\n")
    (tmp_path / "short").write_text("x\n")
    result = cli("desk", "serve", *words)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_without_the_extra_it_says_what_to_install(case: DeskCase, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    find = desk_serve.find_spec
    monkeypatch.setattr(desk_serve, "find_spec", lambda name: None if name == "fastapi" else find(name))
    result = cli("desk", "serve")
    assert result.code == 2
    assert "needs fastapi" in result.err
    assert "pip install fastapi uvicorn" in result.err


def test_an_account_token_is_printed_once(case: DeskCase, cli: Cli) -> None:
    result = cli("desk", "account", "carla", "--json")
    assert result.code == 0, result.err
    token = result.json["token"]
    from expunge.web.accounts import begin_enrolment

    secret = begin_enrolment(case.desk, "carla", token, "a new one of words")
    import pyotp

    finish_enrolment(case.desk, "carla", token, pyotp.TOTP(secret).at(case.clock.now))
    assert cli("desk", "account", "nobody").code == 2
    assert cli("desk", "account", "rita", "--as", "carla").code == 2
    closed = cli("desk", "account", "carla", "--close", "--json")
    assert closed.json["accounts"]["carla"] == "none"


def test_a_password_comes_from_a_file_alone(case: DeskCase, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("set by an admin\n")
    assert cli("desk", "account", "carla", "--password-file", tmp_path / "password").code == 0
    (tmp_path / "weak").write_text("short\n")
    weak = cli("desk", "account", "carla", "--password-file", tmp_path / "weak")
    assert weak.code == 2
    assert "short" not in weak.err
    assert cli("desk", "account", "carla", "--password", "x").code == 2


def test_a_program_gets_a_token_and_loses_it(case: DeskCase, cli: Cli) -> None:
    made = cli("desk", "token", "carla", "--role", "clerk", "--json").json
    client = ApiClient(case).client
    headers = {"authorization": f"Bearer {made['token']}"}
    assert client.get("/api/v1/me", headers=headers).json()["role"] == "clerk"
    listed = cli("desk", "tokens", "--json")
    assert made["token"] not in listed.out
    assert listed.json["tokens"][0]["id"] == made["id"]
    assert cli("desk", "token", "--revoke", made["id"]).code == 0
    assert client.get("/api/v1/me", headers=headers).status_code == 401
    for words in (
        ["carla"],
        ["carla", "--role", "approver"],
        ["--revoke", "x"],
        [],
        ["carla", "--role", "clerk", "--days", "401"],
    ):
        assert cli("desk", "token", *words).code == 2, words


def test_another_desk_is_added_changed_and_ended(case: DeskCase, cli: Cli, tmp_path: Path) -> None:
    made = cli("desk", "webhook", "other", "--url", "https://other.example/hook", "--json").json
    assert made["secret"].startswith("whsec_")
    assert cli("desk", "webhook", "other").code == 2
    changed = cli("desk", "webhook", "other", "--new-key", "--json").json
    assert changed["secret"] != made["secret"]
    (tmp_path / "secret").write_text(made["secret"])
    assert (
        cli("desk", "webhook", "other", "--new-key", "--secret-file", tmp_path / "secret", "--json").json["secret"]
        == made["secret"]
    )
    listed = cli("desk", "webhooks", "--json")
    assert listed.json["webhooks"] == [
        {"name": "other", "url": "https://other.example/hook", "face": "drp", "ended_at": None, "waiting": 0}
    ]
    assert cli("desk", "webhook", "other", "--end").code == 0
    for words in (["x", "--url", "http://x.example"], ["x", "--face", "drpp"], ["other", "--new-key"], ["X"]):
        assert cli("desk", "webhook", *words).code == 2, words
    assert cli("desk", "webhook", "x", "--as", CLERK.person).code == 2


def test_a_port_that_is_taken_is_one_line(case: DeskCase, cli: Cli, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for words in (["serve"], ["demo", "--serve", "--folder", tmp_path / "demo"]):
            result = cli("desk", *words, "--port", port)
            assert result.code == 2
            assert f"cannot listen at 127.0.0.1:{port}" in result.err
            assert "choose another --port" in result.err
    assert not (tmp_path / "demo").exists()


@pytest.mark.process
def test_serve_answers_and_stops(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk")
    case.desk.close()
    port = 18_765 + os.getpid() % 10_000
    words = [sys.executable, "-m", "expunge", "desk", "serve", "--desk", str(case.folder), "--port", str(port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                    connection.request("GET", "/sign-in?q=Zyxwena")
                    break
                except ConnectionRefusedError:
                    assert process.poll() is None, process.communicate()
                    assert time.monotonic() < until
                    time.sleep(0.2)
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.headers["Server"] is None
            assert b"Sign in" in answer.read()
            connection.request("GET", "/sign-in", headers={"Host": "evil.example"})
            assert connection.getresponse().status == 403
            connection.close()
        finally:
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM), (out, err)
    assert f"the desk is at http://127.0.0.1:{port}" in err
    assert "GET /sign-in 200" in err
    assert "Zyxwena" not in err
    assert "Traceback" not in err


def test_a_connection_sends_at_once() -> None:
    """Else the body of each page waits 40 ms until the reader has confirmed its head."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with listen(WebSettings(port=port)) as at, socket.create_connection(("127.0.0.1", port)):
        connection, _ = at.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
