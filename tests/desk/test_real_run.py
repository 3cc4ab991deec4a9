"""The real engine and audit behind a worker, on a tiny model."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from expunge.audit.schema import load_audit
from expunge.corpus import load_corpus
from expunge.desk.assets import add_asset
from expunge.desk.batches import collect
from expunge.desk.certificates import sign_certificate
from expunge.desk.committed_sets import LATER, commitments_of
from expunge.desk.decisions import decide, decide_asset
from expunge.desk.desk import Desk
from expunge.desk.event_log import log_problems
from expunge.desk.facts import latest_run
from expunge.desk.guard_audits import guard_rows
from expunge.desk.letters import accept_letter, pending_letters
from expunge.desk.matching import matches, search, settle
from expunge.desk.people import set_person
from expunge.desk.plans import content_of, plan_row
from expunge.desk.probes import CERTIFICATE_KEY, request_key
from expunge.desk.purging import tasks
from expunge.desk.receipts import receipts
from expunge.desk.rehearsal_text import rehearsal_lines
from expunge.desk.rehearsals import rehearsal_view
from expunge.desk.roles import SYSTEM
from expunge.desk.settings import DeskSettings, RunSettings
from expunge.desk.views import progress
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.evidence.commitment import commit, disclose
from expunge.evidence.log_checks import load_log_evidence
from expunge.evidence.verification import VerificationInputs, read_certificate, verify_file
from expunge.synthetic.hospital.hospital import Hospital
from helpers.desk import ADMIN, CLERK, OPERATOR, PEOPLE, REVIEWER, Clock, DeskCase, new_request, verify
from helpers.desk_evidence import AUDITOR, DESK_AUDITOR, LETTERS, certificate_of, desk_trust, write_keys
from helpers.desk_processes import approve, plan_of
from helpers.world import small

TARGET, OTHER = "P-0001-001", "P-0002-001"
pytestmark = [pytest.mark.process, pytest.mark.trains, pytest.mark.matrix]


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    folder = tmp_path / "desk"
    clock = Clock(datetime.now(UTC) - timedelta(days=5))
    run = RunSettings(policy="lenient.yaml", recipe="npo", overrides=("steps=4", "batch.forget=4", "batch.retain=4"))
    keys = write_keys(tmp_path / "keys")
    settings = DeskSettings(run=run, certificates=keys, letters=LETTERS, controller="St. Mary Hospital")
    desk = Desk.create(folder, settings, clock)
    world = Hospital(
        patients=4,
        per_institution=1,
        institution_facts=0,
        patient_facts=3,
        studies=1,
        study_facts=0,
        section_facts=0,
        shared_facts=0,
        world_facts=0,
        holdout_patients=0,
        controls_for=(f"patient:{TARGET}", f"patient:{OTHER}"),
        controls_per_target=4,
    ).corpus()
    world.save(folder / "records.jsonl")
    training = TrainConfig(epochs=120, batch=8, target_accuracy=0.9)
    train(world.trained, folder / "model", tiny=small(layers=2), settings=training)
    with desk.session(SYSTEM) as s:
        set_person(s, "adam", ["admin"])
    with desk.session(ADMIN) as s:
        for name, roles in PEOPLE.items():
            set_person(s, name, roles)
    with desk.session(OPERATOR) as s:
        add_asset(s, "notes", "corpus", "corpus", {"path": "records.jsonl"}, lineage="ward")
        add_asset(s, "model", "weights", "model_folder", {"path": "model"}, lineage="ward")
    return DeskCase(desk, clock)


def work(case: DeskCase) -> None:
    words = ["worker", "--desk", str(case.folder), "--name", "w1", "--until-idle", "--device", "cpu"]
    done = subprocess.run([sys.executable, "-m", "expunge", *words], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr


POLICY = """
name: lenient
version: 1
reference: controls
rules:
  leakage.self: {judge: excess, margin: 1.0, required: true}
"""


def through_review(case: DeskCase, subject: str) -> str:
    request_id = new_request(case, {"record_number": subject}, received_at=datetime.now(UTC) - timedelta(days=9))
    verify(case, request_id)
    case.event(CLERK, request_id, "begin_scoping")
    assert search(case.desk, CLERK, request_id)["notes"] > 0
    with case.desk.session(CLERK) as s:
        settle(s, [m["id"] for m in matches(s, request_id)], confirm=True)
    case.event(CLERK, request_id, "freeze_scope")
    with case.desk.session(REVIEWER) as s:
        decide_asset(s, request_id, "notes", "retain", ground="legal obligation (Art. 17(3)(b))")
        decide_asset(s, request_id, "model", "unlearn")
        decide_asset(s, request_id, "model (old versions)", "erase")
        decide(s, request_id)
    case.clock.now = datetime.now(UTC) - timedelta(days=5)
    with case.desk.session(SYSTEM) as s:
        collect(s)
    case.clock.now = datetime.now(UTC)
    work(case)
    assert case.state(request_id) == "planned"
    approve(case, request_id)
    work(case)
    return request_id


def test_two_requests_one_after_the_other(case: DeskCase) -> None:
    """The second run starts from the first, and the first request is asked again."""
    (case.folder / "lenient.yaml").write_text(POLICY, "utf-8")
    first = through_review(case, TARGET)
    digest = plan_of(case, first)["hash"]
    assert case.state(first) == "audit_passed", logs(case)
    assert progress(case.desk, digest)["step"] == 3
    case.clock.now = datetime.now(UTC)
    sign_certificate(case.desk, AUDITOR, first, DESK_AUDITOR)
    check_certificate(case, first, digest)
    approve(case, first)
    work(case)
    assert case.state(first) == "purging", logs(case)
    with case.desk.session(CLERK) as s:
        (letter,) = pending_letters(s)
        accept_letter(s, letter["id"], "posted")
    work(case)
    assert case.state(first) == "notified"
    with case.desk.reading(SYSTEM) as s:
        states = {row["asset"]: (row["state"], row["receipt"]) for row in tasks(s, first)}
    assert states["model (old versions)"][0] == "dated"  # the adapter in use stands on it
    assert not list((case.desk.runs / digest[:16]).glob("forget-*.txt"))
    with case.desk.reading(SYSTEM) as s:
        assert [row["kind"] for row in receipts(s, first)] == ["promotion", "purge", "notification"]
    second = through_review(case, OTHER)
    with case.desk.reading(SYSTEM) as s:
        run = latest_run(s, plan_of(case, second)["hash"])
        assert log_problems(s.conn) == []
    assert run is not None
    assert (case.state(second), run["guard_status"]) in (("audit_passed", "passed"), ("audit_failed", "failed")), logs(
        case
    )
    check_guard(case, first, plan_of(case, second)["hash"])
    written = b"".join(f.read_bytes() for f in case.folder.glob("*.db*"))
    for subject in (TARGET, OTHER):
        assert subject.encode() not in written


def test_a_plan_is_tried_on_somebody_else(case: DeskCase) -> None:
    (case.folder / "lenient.yaml").write_text(POLICY, "utf-8")
    run = case.desk.settings.run.model_copy(update={"rehearse": True})
    case.desk.settings.model_copy(update={"run": run}).save(case.folder)
    request_id = through_review(case, TARGET)
    digest = plan_of(case, request_id)["hash"]
    assert case.state(request_id) == "audit_passed", logs(case)
    with case.desk.reading(SYSTEM) as s:
        view = rehearsal_view(s, digest)
        assert log_problems(s.conn) == []
    assert view["state"] == "done", logs(case)
    result = view["result"]
    assert (result["stand_ins"], result["records"], result["steps"]) == (1, 9, 4)
    assert result["before"]["n"] == result["after"]["n"] == 9
    assert result["before"]["hits"] > 4  # the model was taught them
    assert result["heldout"]["n"] > 0
    assert len(rehearsal_lines(view)) == 6
    assert TARGET not in str(result)
    left = [path.name for path in (case.desk.runs / digest[:16] / "rehearsal").iterdir()]
    assert sorted(left) == ["rehearsal.json", "rehearse.log"]


def check_guard(case: DeskCase, first: str, digest: str) -> None:
    """The first request was attacked again on the model of the second run: its own records, and its own controls."""
    with case.desk.reading(SYSTEM) as s:
        run = latest_run(s, digest)
        (row,) = guard_rows(s, run)
    assert run is not None
    if run["guard_status"] == "failed":
        assert row["status"] == "not_tested"
        return
    assert (row["choice"], row["status"]) == ("worst", "passed"), logs(case)
    own, again = (
        load_audit(case.desk.runs / digest[:16] / name / "audit.json") for name in ("audit", f"guard-{first}")
    )
    assert again.split.targets == (f"patient:{TARGET}",)
    assert own.split.targets == (f"patient:{OTHER}",)
    assert again.split.controls > 0
    assert again.training_digest == own.training_digest
    assert again.models["unlearned"].digest == own.models["unlearned"].digest
    assert not (case.desk.runs / digest[:16] / f"guard-{first}" / "requests.json").exists()


def check_certificate(case: DeskCase, request_id: str, digest: str) -> None:
    """A verifier finds nothing; each record of the person is in the committed set, and no other one is."""
    file, run = certificate_of(case, request_id), case.desk.runs / digest[:16] / "run"
    envelope, predicate = read_certificate(file)
    assert set(predicate.data.commitments) == {"forget", "retain", "holdout"}
    assert predicate.audit.attempts == 1
    with case.desk.session(SYSTEM) as s:
        key = request_key(s, request_id, CERTIFICATE_KEY)
        content = content_of(plan_row(s, digest))
    assert key is not None
    records = [
        {name: value for name, value in record.content().items() if name not in LATER}
        for record in load_corpus(case.folder / "records.jsonl").trained
        if record.subject == f"patient:{TARGET}"
    ]
    assert predicate.data.commitments["forget"] == commit(key, "forget", records)
    assert commitments_of(case.desk, content, request_id, run, key)[0] == predicate.data.commitments
    shown = [disclose(key, "forget", records, record) for record in records]
    inputs = VerificationInputs(
        model=run,
        audit=run.parent / "audit" / "audit.json",
        log=load_log_evidence(case.folder / "log"),
        disclosures=shown,
    )
    report = verify_file(file, desk_trust(policies=(predicate.audit.policy_digest,)), inputs).report
    assert [str(line) for line in report.lines if line.outcome != "valid"] == []
    assert TARGET.encode() not in envelope.payload


def logs(case: DeskCase) -> str:
    return "\n".join(f.read_text() for f in case.desk.runs.rglob("*.log"))
