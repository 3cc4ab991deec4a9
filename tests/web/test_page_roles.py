"""Every page for every role: it answers, hides texts, says what it must, and says nothing that it must not."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from expunge.evidence.certificate_schema import DISCLAIMER
from expunge.evidence.wording import forbidden_words
from expunge.web.app import make_app
from helpers.web import WebVisit
from helpers.web_pages import CANARIES, FAST, PagesCase, pages_case

ROLES = {
    "carla": "clerk",
    "rita": "reviewer",
    "olga": "operator",
    "anna": "approver",
    "aude": "auditor",
    "vera": "viewer",
    "adam": "admin",
}
EVERYBODY = {"/people": ("admin",), "/requests/new": ("clerk",)}  # pages that only these roles see


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PagesCase:
    return pages_case(tmp_path_factory.mktemp("pages") / "desk")


@pytest.fixture(scope="module")
def visits(made: PagesCase) -> dict[str, WebVisit]:
    app = make_app(made.case.desk, FAST)
    return {person: WebVisit(made.case, app).sign_in(person) for person in ROLES}


class PageText(HTMLParser):
    """The words of a page, and how often each element stands in it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize("person", ROLES)
def test_every_page_answers_and_hides_texts(made: PagesCase, visits: dict[str, WebVisit], person: str) -> None:
    for path in made.paths():
        answer = visits[person].get(path)
        assert answer.status_code == 200, path
        page = PageText(answer.text)
        assert [word for word in CANARIES if word in answer.text] == [], path
        assert forbidden_words(page.text, "en") == [], path
        if not path.endswith("/progress"):
            assert page.text.endswith(DISCLAIMER), path
            assert f"{person} as {ROLES[person]}" in page.text.replace("  ", " "), path


@pytest.mark.parametrize("person", ROLES)
def test_pages_of_some_roles_alone(visits: dict[str, WebVisit], made: PagesCase, person: str) -> None:
    for path, roles in EVERYBODY.items():
        assert visits[person].get(path).status_code == (200 if ROLES[person] in roles else 403), path
    reveal = visits[person].get(f"/matches/{made.match('scoping')}/reveal").status_code
    assert reveal == (200 if ROLES[person] in ("auditor", "clerk", "reviewer") else 403)


def test_pages_hold_no_script_and_no_style_of_their_own(made: PagesCase, visits: dict[str, WebVisit]) -> None:
    """The content security policy would refuse them; so does this test, with the place."""
    for person in ("dora", "adam", "carla"):
        visit = visits.get(person) or WebVisit(made.case, make_app(made.case.desk, FAST)).sign_in(person)
        for path in [*made.paths(), "/sign-in", "/set-up", "/people", "/requests/new"]:
            for tag, attributes in PageText(visit.get(path).text).tags:
                assert tag != "style", path
                assert tag != "script" or attributes.get("src") == "/static/htmx.min.js", path
                wrong = {name for name in attributes if name == "style" or name.startswith(("on", "hx-on"))}
                assert wrong == set(), (path, tag)
                for name in ("href", "src", "action", "hx-get"):
                    assert re.match(r"^(/|#|$)", attributes.get(name) or ""), (path, tag, attributes[name])


def test_every_form_carries_the_token_and_every_field_a_label(made: PagesCase, visits: dict[str, WebVisit]) -> None:
    for person in ROLES:
        for path in made.paths():
            page = PageText(visits[person].get(path).text)
            labels = {attributes.get("for") for tag, attributes in page.tags if tag == "label"}
            posts = sum(tag == "form" and attributes.get("method") == "post" for tag, attributes in page.tags)
            tokens = sum(attributes.get("name") == "csrf" for tag, attributes in page.tags if tag == "input")
            assert tokens == posts, path
            ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
            assert len(ids) == len(set(ids)), path
            for tag, attributes in page.tags:
                if tag in ("select", "textarea") or (
                    tag == "input" and attributes.get("type") in (None, "text", "file")
                ):
                    assert attributes.get("id") in labels or attributes.get("aria-label"), (path, attributes)


def test_tables_have_captions_and_headers(made: PagesCase, visits: dict[str, WebVisit]) -> None:
    for path in made.paths():
        page = PageText(visits["rita"].get(path).text)
        counts = [sum(tag == name for tag, _ in page.tags) for name in ("table", "caption", "thead")]
        assert len(set(counts)) == 1, path
        assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th"), path


def test_single_person_mode_stands_on_every_page(tmp_path: Path) -> None:
    made = pages_case(tmp_path / "desk", single_person=True)
    visit = WebVisit(made.case, make_app(made.case.desk, FAST))
    assert "Single-person mode" in visit.get("/sign-in").text
    visit.sign_in("carla")
    for path in made.paths():
        assert path.endswith("/progress") or "Single-person mode" in visit.get(path).text, path


def test_actions_are_those_of_the_role(made: PagesCase, visits: dict[str, WebVisit]) -> None:
    def page(person: str, stage: str) -> str:
        return visits[person].get(f"/requests/{made.reference(stage)}").text

    assert "Freeze the scope" in page("carla", "scoping")
    assert "Freeze the scope" not in page("vera", "scoping")
    assert "close the review" in page("rita", "review")
    assert "close the review" not in page("carla", "review")
    assert "Save as proposals" in page("carla", "review")
    plan = f"/plans/{made.plans['planned']}"
    assert "Approve the plan" in visits["anna"].get(plan).text
    assert "Approve the plan" not in visits["olga"].get(plan).text
    assert "It was posted" in page("carla", "released")
    assert "It was posted" not in page("rita", "released")
