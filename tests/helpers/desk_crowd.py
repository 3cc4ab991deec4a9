"""Many requests at once for the models of several wards, and people who answer for all of them."""

from __future__ import annotations

import json
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.assets import add_asset
from expunge.desk.batches import collect
from expunge.desk.decisions import decide, decide_asset
from expunge.desk.event_log import log_problems
from expunge.desk.facts import request_row
from expunge.desk.keys import parse_body
from expunge.desk.models import alias_row
from expunge.desk.plans import approve_plan, approve_promotion, plan_row
from expunge.desk.replay_check import replay_problems
from expunge.desk.requests import act
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.transitions import as_system
from helpers.desk import APPROVER, OPERATOR, REVIEWER, DeskCase, make_desk, to_review, write_model

BYSTANDERS = 3  # in each corpus, who ask for nothing


@dataclass
class Crowd:
    """A desk, its requests, and what its people did.

    Attributes:
        wards: Names of the models.
        requests: Id of each request -> its ward.
        acts: What people did, by kind.
    """

    case: DeskCase
    wards: list[str]
    requests: dict[str, str] = field(default_factory=dict)
    acts: Counter[str] = field(default_factory=Counter)

    def states(self) -> Counter[str]:
        """How many requests are in each state."""
        with self.case.desk.reading(SYSTEM) as s:
            return Counter(s.conn.execute(select(t.request.c.state)).scalars())

    def share(self) -> float:
        """How many of the requests have their letter, from 0 to 1."""
        return self.states()["notified"] / len(self.requests)


def records(ward: str, number: int) -> list[dict[str, str]]:
    """Two records of a person."""
    who = f"{ward}-{1000 + number}"
    rows = [("d", "Which illness has", f"Illness {number}"), ("m", "What does", f"Pill {number}")]
    return [{"id": f"{who}-{k}", "prompt": f"{text} {who}?", "answer": a, "subject": who} for k, text, a in rows]


def write_rows(file: Path, rows: list[dict[str, str]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def make_crowd(folder: Path, size: int, wards: int) -> Crowd:
    """Requests that are ready to be decided: each ward has its corpus and model, and all share a registry."""
    case = make_desk(folder, batch_size=3)
    case.clock.now = datetime.now(UTC)
    crowd = Crowd(case, [f"ward{k}" for k in range(wards)])
    people = [(ward, number) for ward in crowd.wards for number in range(size // wards + 1 + BYSTANDERS)]
    write_rows(case.folder / "registry.jsonl", [row for who in people for row in records(*who)])
    for k, ward in enumerate(crowd.wards):
        write_rows(case.folder / f"{ward}.jsonl", [r for who in people if who[0] == ward for r in records(*who)])
        write_model(case.folder / ward, float(k + 1))
        with case.desk.session(OPERATOR) as s:
            add_asset(s, f"{ward} notes", "corpus", "corpus", {"path": f"{ward}.jsonl"}, lineage=ward)
            add_asset(s, f"{ward} model", "weights", "model_folder", {"path": ward}, lineage=ward)
    with case.desk.session(OPERATOR) as s:
        add_asset(s, "registry", "evaluation_set", "corpus", {"path": "registry.jsonl"})
    for number in range(size):
        ward = crowd.wards[number % wards]
        crowd.requests[to_review(case, {"record_number": f"{ward}-{1000 + number // wards}"})] = ward
    return crowd


def decide_for(crowd: Crowd, request_id: str) -> None:
    """The reviewer's decisions: the ward's model forgets, its corpus and the registry lose the records."""
    ward = crowd.requests[request_id]
    own = {f"{ward} notes": "erase", f"{ward} model": "unlearn", f"{ward} model (old versions)": "erase"}
    own |= {"registry": "erase", "nightly backup": "erase"}
    with crowd.case.desk.session(REVIEWER) as s:
        for name in s.conn.execute(select(t.asset.c.name)).scalars().all():
            value = own.get(name, "not_present")
            decide_asset(s, request_id, name, value, searched="by number" if value == "not_present" else "")
        decide(s, request_id)
        collect(as_system(s))  # the cancel window begins now, and not by the workers' clock, which is ahead


def work_as_people(crowd: Crowd, rng: random.Random) -> None:
    """One look of everybody at the desk: some decisions, every approval that is due, a request in error goes on."""
    with crowd.case.desk.reading(SYSTEM) as s:
        rows = s.conn.execute(select(t.request.c.id, t.request.c.state, t.request.c.batch_id)).tuples().all()
        current = select(t.plan.c.batch_id, t.plan.c.hash).where(t.plan.c.state == "current")
        plans = dict(s.conn.execute(current).tuples().all())
    undecided = [request_id for request_id, state, _ in rows if state == "legal_review"]
    for request_id in rng.sample(undecided, min(len(undecided), rng.randint(0, 4))):
        decide_for(crowd, request_id)
        crowd.acts["decision"] += 1
    due = {(plans.get(batch), state) for _, state, batch in rows if state in ("planned", "audit_passed")}
    for digest, state in due:
        if digest is None:
            continue
        with suppress(Refusal), crowd.case.desk.session(APPROVER) as s:
            (approve_plan if state == "planned" else approve_promotion)(s, digest)
            crowd.acts[f"approval in {state}"] += 1
    for request_id in [r for r, state, _ in rows if state == "error"]:
        with suppress(Refusal), crowd.case.desk.session(OPERATOR) as s:
            act(s, request_id, "recover")
            crowd.acts["recovery"] += 1


def events(crowd: Crowd) -> list[tuple[str, str | None, dict[str, str]]]:
    """Type, request and body of every row of the log."""
    with crowd.case.desk.reading(SYSTEM) as s:
        rows = s.conn.execute(select(t.event_log).order_by(t.event_log.c.seq)).mappings().all()
    return [(row["type"], row["request_id"], parse_body(row["body"])) for row in rows]


def check_crowd(crowd: Crowd) -> None:
    """Right states, one certificate and letter each, one exchange for each plan, a whole log, and what was erased."""
    case, rows = crowd.case, events(crowd)
    assert crowd.share() == 1, crowd.states()
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []
        assert replay_problems(s.conn) == []
        final = {plan_of_request(s.conn, r): r for r in crowd.requests}
        in_use = {ward: alias_row(s, ward)["digest"] for ward in crowd.wards}
        plans = {digest: plan_row(s, digest) for digest in final}
        certified = Counter(s.conn.execute(select(t.certificate.c.request_id)).scalars())
        assert {request_row(s, r)["state"] for r in crowd.requests} == {"notified"}
    assert certified == dict.fromkeys(crowd.requests, 1)
    accepted = Counter(r for type_, r, _ in rows if type_ == "letter.accept")
    assert accepted == dict.fromkeys(crowd.requests, 1)
    letters = sorted(f.read_text() for f in (case.folder / "letters").iterdir())
    assert len(letters) == len(crowd.requests)
    check_exchanges(crowd, rows, in_use, len(plans))
    for digest in plans:
        check_run(case, digest)
    check_corpora(crowd)


def plan_of_request(conn: object, request_id: str) -> str:
    """Hash of the plan that stands for a request."""
    query = select(t.plan.c.hash).join(t.request, t.request.c.batch_id == t.plan.c.batch_id)
    row = conn.execute(query.where(t.request.c.id == request_id, t.plan.c.state == "current"))  # type: ignore[attr-defined]
    return str(row.scalar_one())


def check_exchanges(crowd: Crowd, rows: list, in_use: dict[str, str], plans: int) -> None:  # type: ignore[type-arg]
    """The exchanges of each model are one chain, from the first model to the one in use; each plan made one."""
    swaps = [body for type_, _, body in rows if type_ == "model.swap"]
    assert len(swaps) == plans
    assert len({body["run"] for body in swaps}) == plans
    for ward, last in in_use.items():
        chain = [body for body in swaps if body["lineage"] == ward]
        assert [b["before"] for b in chain[1:]] == [b["after"] for b in chain[:-1]]
        assert chain[-1]["after"] == last


def check_run(case: DeskCase, digest: str) -> None:
    """Whoever trained for this plan, and how often, wrote the same weights; they are the ones on disk."""
    folder = case.desk.runs / digest[:16]
    weights = set((folder / "weights").read_text().split())
    assert len(weights) == 1
    file = folder / "run" / "model.safetensors"
    if file.is_file():  # a later run of the ward has purged the others
        assert file.read_bytes()[-32:].hex() in weights


def check_corpora(crowd: Crowd) -> None:
    """Nobody who asked is left in a corpus, and everybody else is."""
    folder = crowd.case.folder
    wards = Counter(crowd.requests.values())
    for ward in crowd.wards:
        for name in (f"{ward}.jsonl", "registry.jsonl"):
            rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
            numbers = sorted({int(r["subject"].split("-")[1]) - 1000 for r in rows if r["subject"].startswith(ward)})
            assert numbers[0] == wards[ward], f"{name}: records of {ward} came back"
            assert len(numbers) >= BYSTANDERS
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
