"""Pages in a headless browser: accessibility, phone width, keyboard, no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from expunge.desk.leases import acquire
from expunge.desk.plans import approve_plan
from expunge.desk.roles import SYSTEM
from expunge.desk.runs import start_run, work_name
from helpers.desk import APPROVER
from helpers.web import PASSWORD, SECRETS
from helpers.web_browser import BrowserVisit, chromium, launched, served
from helpers.web_pages import PagesCase, pages_case

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.matrix]
PEOPLE = ("carla", "rita", "olga", "anna", "aude", "adam")
MODES = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (360, "light")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PagesCase:
    chromium()
    made = pages_case(tmp_path_factory.mktemp("browser") / "desk")
    digest = made.plans["planned"]
    with made.case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    with made.case.desk.session(SYSTEM) as s:
        start_run(s, digest, 1)
        acquire(s, work_name(digest), "w1")
    folder = made.case.desk.runs / digest[:16] / "run"
    folder.mkdir(parents=True)
    lines = [
        f'{{"step": {k}, "forget": {3 - k * 0.1}, "retain": 0.1, "seconds": 0.5, "memory": 1000000}}' for k in range(9)
    ]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    return made


@pytest.fixture(scope="module")
def base(made: PagesCase) -> Iterator[str]:
    with served(made.case.desk) as base:
        yield base


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


def signed_in(made: PagesCase, browser: Any, base: str, person: str, **options: Any) -> BrowserVisit:
    made.case.clock.move(seconds=31)
    visit = BrowserVisit.open(browser, base, **options)
    return visit.sign_in(person, PASSWORD, SECRETS[person], made.case.desk.clock())


@pytest.mark.parametrize("person", PEOPLE)
def test_no_page_has_grave_faults(made: PagesCase, browser: Any, base: str, person: str) -> None:
    """For every role, in light, dark and at 360 px; nothing comes from elsewhere, nothing breaks the policy."""
    visit = signed_in(made, browser, base, person)
    mine = ["/requests/new", f"/matches/{made.match('scoping')}/reveal"] if person == "carla" else []
    for width, scheme in MODES.values() if person == "carla" else [MODES["phone"]]:
        visit.page.set_viewport_size({"width": width, "height": 900})
        visit.page.emulate_media(color_scheme=scheme)
        for path in [*made.paths(), *mine, *(["/people"] if person == "adam" else [])]:
            if path.endswith("/progress"):
                continue
            assert visit.go(path) == 200, path
            for details in visit.page.locator("details").all():
                details.evaluate("each => each.open = true")
            assert visit.faults() == [], (path, width, scheme)
            assert visit.overflow() <= 0, (path, width)
    assert visit.complaints == []


def test_pages_before_the_sign_in(browser: Any, base: str) -> None:
    visit = BrowserVisit.open(browser, base, viewport={"width": 360, "height": 740})
    for path in ("/sign-in", "/set-up", "/gate"):
        assert visit.go(path) == 200
        assert visit.faults() == []
        assert visit.overflow() <= 0
    assert visit.go("/nothing") == 404
    assert visit.faults() == []


def test_the_keyboard_leads_to_the_content(made: PagesCase, browser: Any, base: str) -> None:
    visit = signed_in(made, browser, base, "carla")
    page = visit.page
    visit.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
    page.focus("#reference")
    page.keyboard.type(made.reference("scoping"))
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url.endswith(made.reference("scoping"))


def test_a_search_leaves_no_name_behind_and_back_works(made: PagesCase, browser: Any, base: str) -> None:
    """Without script: neither the address nor the history holds what was typed, and no form is sent twice."""
    visit = signed_in(made, browser, base, "carla", java_script_enabled=False)
    page, seen = visit.page, []
    page.on("request", lambda request: seen.append(request.url))
    visit.go("/")
    for typed, shown in (("Anna Weiss", "No request was found"), (made.reference("scoping")[:6], "1 request")):
        page.fill("#reference", typed)
        with page.expect_navigation():
            page.click("form[role=search] button")
        assert shown in page.inner_text("main")
    page.go_back()
    assert "No request was found" in page.inner_text("main")
    page.go_back()
    assert "No request was found" not in page.inner_text("main")
    page.go_forward()
    assert "No request was found" in page.inner_text("main")
    assert seen
    assert [url for url in seen if "anna" in url.lower() or "weiss" in url.lower()] == []


def test_a_running_run_is_loaded_again_by_itself(made: PagesCase, browser: Any, base: str) -> None:
    visit = signed_in(made, browser, base, "olga")
    digest = made.plans["planned"]
    visit.go(f"/runs/{digest}")
    assert "Step 9" in visit.page.inner_text("#progress")
    with visit.page.expect_response(lambda r: r.url.endswith("/progress"), timeout=20_000):
        pass
    events = made.case.desk.runs / digest[:16] / "run" / "events.jsonl"
    with events.open("a") as stream:
        stream.write('{"step": 9, "forget": 2, "retain": 0.1, "seconds": 0.5, "memory": 1000000}\n')
    visit.page.get_by_text("Step 10", exact=True).wait_for(timeout=20_000)
    assert visit.page.locator("svg path").count() > 0
    assert visit.complaints == []


def test_without_script_a_person_works(made: PagesCase, browser: Any, base: str) -> None:
    visit = signed_in(made, browser, base, "dora", java_script_enabled=False)
    page = visit.page
    visit.role("clerk")
    visit.go(f"/requests/{made.reference('pending')}")
    page.check("input[value='not shown']")
    page.fill("#identity-reason", "The copy is not legible.")
    visit.click("Note the attempt")
    assert "1 of 3 attempts were made" in page.inner_text("main")
    visit.role("reviewer")
    visit.go(f"/runs/{made.plans['planned']}")
    visit.click("load the page again", role="link")
    assert "Step" in page.inner_text("#progress")


def test_the_certificate_prints_without_what_is_for_the_screen(made: PagesCase, browser: Any, base: str) -> None:
    visit = signed_in(made, browser, base, "aude")
    visit.go(f"/certificates/{made.reference('released')}?verify=yes")
    visit.page.emulate_media(media="print")
    assert not visit.page.is_visible("header.top")
    assert not visit.page.is_visible(".actions")
    assert visit.page.is_visible("footer")
    assert "This is technical evidence" in visit.page.inner_text("footer")
