"""The way of a request over forms alone, without script: taken in by one person, approved by another, certified."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from expunge.desk.batches import collect
from expunge.desk.certificates import certificate_row
from expunge.desk.facts import latest_plan, open_assets
from expunge.desk.plan_steps import list_purge, plan_batch, promote_plan, purge_request_assets
from expunge.desk.plan_steps import notify as notify_person
from expunge.desk.receipts import issue_receipts, receipts
from expunge.desk.roles import SYSTEM
from expunge.desk.run_steps import audit, certify, unlearn
from expunge.desk.views import find_request
from expunge.desk.workshop import Workshop
from expunge.evidence.envelope import load_envelope
from expunge.web.app import make_app
from helpers.desk import DeskCase
from helpers.desk_evidence import DESK_AUDITOR, certificate_of
from helpers.desk_stand_in import stand_in_child
from helpers.web import WebVisit
from helpers.web_pages import FAST, PagesCase, pages_case

LOCATION = re.compile(r"/requests/(E-[0-9A-Z-]+)")


@dataclass
class Way:
    """Two people and an auditor at a desk, and what a worker would do."""

    made: PagesCase
    app: Any

    @property
    def case(self) -> DeskCase:
        return self.made.case

    def visit(self, person: str, role: str = "") -> WebVisit:
        visit = WebVisit(self.case, self.app).sign_in(person)
        if role:
            assert visit.fill("/role", page="/", role=role).status_code == 303
        return visit

    def shop(self) -> Workshop:
        return Workshop(self.case.desk, "w1", run=stand_in_child)


@pytest.fixture
def way(tmp_path: Path) -> Way:
    made = pages_case(tmp_path / "desk", with_release=False)
    return Way(made, make_app(made.case.desk, FAST))


def send(visit: WebVisit, page: str, path: str, **fields: Any) -> None:
    answer = visit.fill(path, page=page, **fields)
    assert answer.status_code == 303, re.sub("<[^>]+>", " ", answer.text)[-400:]


def take_in(visit: WebVisit) -> str:
    """A request that is through its scoping; returns its reference."""
    answer = visit.fill(
        "/requests",
        page="/requests/new",
        kind_1="record_number",
        value_1="PAT-101",
        kind_2="name",
        value_2="Björn Schäfer",
        policy="gdpr@1",
        received_on=visit.case.clock.now.date().isoformat(),
        language="de",
    )
    reference = LOCATION.search(answer.headers["location"])
    assert reference
    page = f"/requests/{reference[1]}"
    send(visit, page, f"{page}/identity", outcome="not shown", method="letter", reason="The copy is not legible.")
    send(visit, page, f"{page}/identity", outcome="shown", method="in person")
    send(visit, page, f"{page}/acknowledge")
    send(visit, page, f"{page}/event", event="begin_scoping")
    send(visit, page, f"{page}/search")
    send(visit, page, f"{page}/matches", asset="notes", choice="confirm")
    send(visit, page, f"{page}/event", event="freeze_scope")
    return reference[1]


def decide(way: Way, visit: WebVisit, reference: str) -> None:
    with way.case.desk.reading(SYSTEM) as s:
        assets = {row["name"]: row["id"] for row in open_assets(s)}
    values = {
        f"value-{assets['notes']}": "retain",
        f"ground-{assets['notes']}": "legal obligation (Art. 17(3)(b))",
        f"value-{assets['ward model']}": "unlearn",
        f"value-{assets['ward model (old versions)']}": "erase",
        f"value-{assets['nightly backup']}": "erase",
    }
    page = f"/requests/{reference}"
    send(visit, page, f"{page}/decisions", close="1", **values)


def plan_of(way: Way, request_id: str) -> str:
    """What a worker does between decision and approval; returns the hash of the plan."""
    for hours in (0, 73):
        way.case.clock.move(hours=hours)
        with way.case.desk.session(SYSTEM) as s:
            collect(s)
    with way.case.desk.reading(SYSTEM) as s:
        from expunge.desk.facts import request_row

        batch = request_row(s, request_id)["batch_id"]
    plan_batch(way.shop(), batch)
    with way.case.desk.reading(SYSTEM) as s:
        plan = latest_plan(s, batch)
    assert plan is not None
    return str(plan["hash"])


def test_from_received_to_the_certificate_and_the_letter(way: Way) -> None:
    dora = way.visit("dora", "clerk")
    reference = take_in(dora)
    send(dora, "/", "/role", role="reviewer")
    decide(way, dora, reference)
    with way.case.desk.reading(SYSTEM) as s:
        request_id = find_request(s, reference)
    digest = plan_of(way, request_id)
    anna = way.visit("anna")
    send(anna, f"/plans/{digest}", f"/plans/{digest}/approve", shown=digest)
    for step in (unlearn, audit, certify):
        step(way.shop(), digest, 1)
    assert way.case.state(request_id) == "audit_passed"
    page = f"/certificates/{reference}"
    refused = anna.fill(f"/plans/{digest}/promote", page=f"/plans/{digest}", shown=digest)
    assert refused.status_code == 409  # the auditor has not signed
    assert "auditor" in anna.get(page).text
    signed = load_envelope(certificate_of(way.case, request_id)).signed_by(DESK_AUDITOR).as_bytes()
    aude = way.visit("aude")
    token = aude.form_token(page)
    answer = aude.post(f"{page}/signed", data={"csrf": token}, files={"signed": ("certificate.json", signed)})
    assert answer.status_code == 303
    verified = aude.get(f"{page}?verify=yes").text
    assert "No check found anything wrong" in verified
    assert "signed by operator and auditor" in verified
    assert aude.get(f"{page}/file").content == certificate_of(way.case, request_id).read_bytes()
    check_changed_files(aude, certificate_of(way.case, request_id), reference, digest)
    send(anna, f"/plans/{digest}", f"/plans/{digest}/promote", shown=digest)
    assert promote_plan(way.shop(), digest) == {"promoted": True}
    list_purge(way.shop(), digest)
    purge_request_assets(way.shop(), request_id)
    notify_person(way.shop(), request_id)
    carla = way.visit("carla")
    letters = carla.get("/letters").text
    letter = re.search(rf"/requests/{reference}/letters/([0-9a-f-]+)", letters)
    assert letter
    assert "attachment" in carla.get(f"/letters/{letter[1]}").headers["content-disposition"]
    send(carla, "/letters", letter[0])
    assert notify_person(way.shop(), request_id) == {"notified": True}
    assert way.case.state(request_id) == "notified"
    with way.case.desk.reading(SYSTEM) as s:
        assert certificate_row(s, request_id) is not None
    assert "Verified on" in carla.get(f"/requests/{reference}").text


def check_changed_files(visit: WebVisit, certificate: Path, reference: str, digest: str) -> None:
    """A file that was changed on the disk is not shown as evidence."""
    audit_file = certificate.parent.parent / "audit" / "audit.json"
    page = f"/certificates/{reference}"
    for file, pages in ((certificate, (page, f"{page}/file")), (audit_file, (f"/audits/{digest}",))):
        raw = file.read_bytes()
        for path in pages:
            assert visit.get(path).status_code == 200, path
        middle = raw[len(raw) // 4 : len(raw) // 4 + 1]
        file.write_bytes(raw[: len(raw) // 4] + (b"A" if middle != b"A" else b"B") + raw[len(raw) // 4 + 1 :])
        for path in pages:
            answer = visit.get(path)
            assert answer.status_code == 409, path
            assert "is not the one that was registered" in answer.text
        file.write_bytes(raw)


def test_a_receipt_that_was_changed_is_not_shown(tmp_path: Path) -> None:
    made = pages_case(tmp_path / "desk")
    way = Way(made, make_app(made.case.desk, FAST))
    case, visit = way.case, way.visit("aude")
    issue_receipts(case.desk)
    page = f"/certificates/{way.made.reference('released')}/receipts"
    with case.desk.reading(SYSTEM) as s:
        rows = receipts(s, way.made.ids["released"])
    assert {row["kind"] for row in rows} == {"promotion", "purge"}
    for row in rows:
        file = case.desk.runs / row["path"]
        raw = file.read_bytes()
        answer = visit.get(f"{page}/{row['kind']}")
        assert (answer.status_code, answer.content) == (200, raw)
        file.write_bytes(raw.replace(b"a", b"b", 1))
        answer = visit.get(f"{page}/{row['kind']}")
        assert answer.status_code == 409
        assert "is not the one that was registered" in answer.text
        file.unlink()
        assert visit.get(f"{page}/{row['kind']}").status_code == 404
        file.write_bytes(raw)
    assert visit.get(f"{page}/notification").status_code == 404
    (case.desk.runs / rows[0]["path"]).parent.parent.joinpath("audit/audit.json").unlink()
    text = visit.get(page.replace("/receipts", "?verify=yes")).text
    assert "audit/audit.json" in text
    assert str(tmp_path) not in text


def test_whoever_worked_on_it_approves_nothing(way: Way) -> None:
    """The page shows the form to every approver; the desk refuses the one who had a part in it."""
    from expunge.desk.people import set_person
    from helpers.desk import ADMIN

    with way.case.desk.session(ADMIN) as s:
        set_person(s, "rita", ["reviewer", "approver"])
    digest = way.made.plans["planned"]  # rita decided its assets
    rita = way.visit("rita", "approver")
    answer = rita.fill(f"/plans/{digest}/approve", page=f"/plans/{digest}", shown=digest)
    assert answer.status_code == 409
    assert "also planned, ran, decided or identified" in answer.text
    anna = way.visit("anna")
    other = "f" * 64
    answer = anna.fill(f"/plans/{digest}/approve", page=f"/plans/{digest}", shown=other)
    assert answer.status_code == 409
    assert way.case.state(way.made.ids["planned"]) == "planned"
    send(anna, f"/plans/{digest}", f"/plans/{digest}/reject", reason="The recipe does not fit.")
    assert way.case.state(way.made.ids["planned"]) == "waiting"


def test_wrong_forms_are_one_line_and_change_nothing(way: Way) -> None:
    carla, rita = way.visit("carla"), way.visit("rita")
    page = f"/requests/{way.made.reference('scoping')}"
    for path, fields, status in (
        ("/matches", {"choice": "confirm"}, 400),  # none marked
        ("/matches", {"choice": "perhaps", "asset": "notes"}, 400),
        ("/event", {"event": "explode"}, 400),
        ("/event", {"event": "close"}, 409),
        ("/event", {"event": "freeze_scope"}, 409),
        ("/event", {"event": "hold"}, 409),  # no reason
        ("/event", {"event": "mark_duplicate", "other": "E-1"}, 400),
        ("/identity", {"outcome": "perhaps", "method": "letter"}, 400),
        ("/identity", {"outcome": "shown", "method": "magic"}, 400),
        ("/identifiers", {"kind": "soul", "value": "x"}, 400),
        ("/extend", {"reason": "x"}, 403),
        ("/decisions", {}, 303),  # nothing was chosen
    ):
        answer = carla.fill(f"{page}{path}", page=page, **fields)
        assert answer.status_code == status, (path, fields, answer.text[-300:])
    assert way.case.state(way.made.ids["scoping"]) == "scoping"
    for path in (
        "/requests/E-1",
        "/requests/E-7K3M-9QV2-4",
        "/plans/zz",
        f"/plans/{'0' * 64}",
        "/runs/12345678",
        "/nope",
    ):
        assert rita.get(path).status_code in (400, 404), path
    for head in ("²:" + "0" * 64, "9:" + "0" * 63, "nine"):
        assert rita.fill("/log/check", page="/log", head=head).status_code == 400, head
    for before in ("-1", str(10**31), "²"):
        assert rita.get(f"/log?before={before}").status_code == 400, before
    big = carla.post(
        "/requests", data={"csrf": carla.form_token("/requests/new"), "kind_1": "name", "value_1": "x" * 9000}
    )
    assert big.status_code == 400


def test_reasons_are_read_after_a_click_and_noted(way: Way) -> None:
    from helpers.web_pages import REASON

    carla = way.visit("carla")
    page = f"/requests/{way.made.reference('held')}"
    assert REASON not in carla.get(page).text
    answer = carla.fill(f"{page}/reasons", page=page)
    assert REASON in answer.text
    assert "Reasons read" in carla.get(page).text
    vera = way.visit("vera")
    assert vera.fill(f"{page}/reasons", page="/").status_code == 403


def test_an_approver_who_was_made_meanwhile_is_told_on_the_page(way: Way) -> None:
    from expunge.desk.people import set_person
    from expunge.web.accounts import set_account
    from helpers.desk import ADMIN
    from helpers.web import PASSWORD, SECRETS

    page = f"/plans/{way.made.plans['planned']}"
    assert "note warn" not in way.visit("anna").get(page).text
    SECRETS["zoe"] = SECRETS["anna"]
    with way.case.desk.session(ADMIN) as s:
        set_person(s, "zoe", ["approver"])
        set_account(s, "zoe", PASSWORD, SECRETS["zoe"])
    text = way.visit("zoe").get(page).text
    assert "zoe got the role approver from adam after the plan was made. The desk knows names" in text
