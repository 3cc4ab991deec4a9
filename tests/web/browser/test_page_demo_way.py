"""A patient of the demo from the letter to the certificate, clicked through by two people, on its real model."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")
pytest.importorskip("dbos")
pytest.importorskip("torch")

from expunge.cli.desk_demo import give_accounts
from expunge.desk.demo_steps import RUN
from expunge.desk.demo_world import CONTACT, CONTROLLER, QUICK, make_assets, make_keys
from expunge.desk.desk import Desk
from expunge.desk.roles import SYSTEM
from expunge.desk.settings import DeskSettings
from expunge.desk.views import find_request
from expunge.evidence.envelope import load_envelope
from helpers.web_browser import BrowserVisit, chromium, launched, served

pytestmark = [pytest.mark.process, pytest.mark.trains, pytest.mark.slow, pytest.mark.matrix]
LONGEST = 300.0  # seconds of the clicks and the worker together, on two free cores


def work(desk: Desk) -> None:
    """A worker until nothing is due."""
    words = ["worker", "--desk", str(desk.folder), "--name", "w1", "--until-idle", "--device", "cpu"]
    done = subprocess.run([sys.executable, "-m", "expunge", *words], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr


def decide(visit: BrowserVisit, name: str) -> None:
    """The review: the chart stays, the model forgets, copies go, the other ward holds nothing."""
    page = visit.page
    for row in page.locator("#decisions ~ form tbody tr").all():
        asset = row.locator("th").inner_text().splitlines()[0].strip()
        value = "not_present" if asset.startswith("clinic") else "erase"
        value = {f"{name} notes": "retain", f"{name} model": "unlearn"}.get(asset, value)
        row.locator("select").first.select_option(value)
        if value == "retain":
            row.locator("select").nth(1).select_option("legal obligation (Art. 17(3)(b))")
        if value == "not_present":
            row.locator("input").fill("by name and patient number")
    visit.click("Save, and close the review")


def test_from_received_to_the_certificate(tmp_path: Path) -> None:
    chromium()
    folder = tmp_path / "desk"
    certificates, auditor = make_keys(folder)
    desk = Desk.create(folder, DeskSettings(controller=CONTROLLER, run=RUN, certificates=certificates, letters=CONTACT))
    wards = make_assets(desk, {"ward": 1, "clinic": 1}, lambda line: None)
    person = wards["ward"][0]
    secret = give_accounts(desk)
    began, cpu = time.monotonic(), sum(os.times()[:4])
    with served(desk) as base, launched() as browser:
        dora, anna, aude = (
            BrowserVisit.open(browser, base).sign_in(name, secret["password"], secret["key"])
            for name in ("dora", "anna", "aude")
        )
        page = dora.page
        dora.role("clerk")
        dora.click("Take in a request", role="link")
        page.fill("#value_1", person.name)
        page.fill("#value_2", person.number)
        page.select_option("#policy", f"{QUICK}@1")
        dora.click("Take it in")
        reference = page.url.rpartition("/")[2]
        page.check("input[name=outcome][value=shown]")
        dora.click("Note the attempt")
        dora.click("Begin scoping")
        dora.click("Search the assets")
        for button in range(page.get_by_role("button", name="Confirm all proposed").count()):
            with page.expect_navigation():
                page.get_by_role("button", name="Confirm all proposed").first.click()
            assert button < 5
        dora.click("Freeze the scope")
        dora.role("reviewer")
        dora.go(f"/requests/{reference}")
        decide(dora, "ward")
        assert "Partially approved" in page.inner_text("main")
        work(desk)  # the window is over at once; the plan is made
        anna.go(f"/requests/{reference}")
        anna.click("Look at the plan, and decide", role="link")
        anna.click("Approve the plan")
        work(desk)  # training, audit, certificate
        anna.go(f"/requests/{reference}")
        assert "Audit passed" in anna.page.inner_text("main"), anna.page.inner_text("main")
        anna.click("audit", role="link")
        assert "required checks passed" in anna.page.inner_text("main")
        aude.go(f"/certificates/{reference}")
        with aude.page.expect_download() as download:
            aude.page.get_by_role("link", name="Download the file").click()
        file = tmp_path / "signed.json"
        file.write_bytes(load_envelope(Path(download.value.path())).signed_by(auditor).as_bytes())
        aude.page.set_input_files("#signed", str(file))
        aude.click("Take it in")
        assert "No check found anything wrong" in aude.page.inner_text("main")
        anna.go(f"/requests/{reference}")
        anna.click("Look at the audit, and decide on the promotion", role="link")
        anna.click("Approve the promotion")
        work(desk)
        with desk.reading(SYSTEM) as s:
            request_id = find_request(s, reference)
        assert request_id
        aude.go(f"/certificates/{reference}?verify=yes")
        text = aude.page.inner_text("main")
        assert "No check found anything wrong" in text
        assert "The model came into use" in text
        for visit in (dora, anna, aude):
            assert visit.complaints == []
            visit.go(f"/requests/{reference}")
            assert person.name not in visit.page.content()
    spent = sum(os.times()[:4]) - cpu  # of this process and its children: the machine may be busy with others
    print(f"{time.monotonic() - began:.0f} s, {spent:.0f} s of processor time")
    assert spent < LONGEST
