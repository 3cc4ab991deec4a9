"""A web desk behind a real port, and a headless browser in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyotp
import pytest

from expunge.desk.desk import Desk
from expunge.web.app import make_app
from expunge.web.settings import WebSettings

AXE = Path(__file__).resolve().parents[1] / "web" / "browser" / "axe.min.js"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
GRAVE = ("serious", "critical")


def chromium() -> str:
    """The browser of this machine; a test without one is skipped."""
    pytest.importorskip("playwright.sync_api")
    found = os.environ.get("EXPUNGE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("there is no chromium; name it with EXPUNGE_CHROMIUM")
    return found


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """A browser."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as library:
        browser = library.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def served(desk: Desk, **more: Any) -> Iterator[str]:
    """The pages of a desk at a free port, with further settings; yields their address."""
    import uvicorn

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = WebSettings(port=port, requests_per_minute=100_000, sign_ins_per_minute=10_000, **more)
    config = uvicorn.Config(make_app(desk, settings), host="127.0.0.1", port=port, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < until, "the server did not start"
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


@dataclass
class BrowserVisit:
    """One person in a browser of their own.

    Attributes:
        complaints: Errors of the console, and requests to elsewhere.
    """

    page: Any
    base: str
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, browser: Any, base: str, **options: Any) -> BrowserVisit:
        page = browser.new_context(**options).new_page()
        page.set_default_timeout(60_000)
        visit = cls(page, base)
        page.on("console", lambda m: visit.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(f"{base}/") else visit.complaints.append(r.url))
        return visit

    def sign_in(self, person: str, password: str, secret: str, now: Any = None) -> BrowserVisit:
        """Sign in with a code that has not been used."""
        totp = pyotp.TOTP(secret)
        self.go("/sign-in")
        self.page.fill("#person", person)
        self.page.fill("#password", password)
        self.page.fill("#code", totp.at(now) if now else totp.now())
        self.click("Sign in")
        assert self.page.url == f"{self.base}/", self.page.inner_text("main")
        return self

    def go(self, path: str) -> int:
        return int(self.page.goto(self.base + path).status)

    def click(self, name: str, role: str = "button") -> None:
        """Click the first button or link of a name, and wait until the page is there."""
        with self.page.expect_navigation():
            self.page.get_by_role(role, name=name, exact=True).first.click()

    def role(self, name: str) -> None:
        """Act in another role."""
        self.page.select_option("#role", name)
        self.click("Change role")

    def faults(self) -> list[str]:
        """Grave faults of accessibility on the page as it is."""
        self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['id']}: {json.dumps([node['html'][:160] for node in each['nodes'][:3]])}"
            for each in found["violations"]
            if each["impact"] in GRAVE
        ]

    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
