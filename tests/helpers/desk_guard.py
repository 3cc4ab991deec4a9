"""Several requests in a row at a desk with keys, and what the scoring pass says after each run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from expunge._io import write_json
from expunge.audit.request_file import REQUESTS, RequestHistory, RequestRow, RequestState
from expunge.desk.connectors.base import place
from expunge.desk.facts import latest_run
from expunge.desk.guard_audits import guard_rows
from expunge.desk.models import alias_row
from expunge.desk.plan_steps import list_purge, notify, purge_request_assets
from expunge.desk.plans import approve_plan
from expunge.desk.roles import SYSTEM
from expunge.desk.run_steps import audit, unlearn
from helpers.desk import APPROVER, DeskCase, to_planned, to_waiting, write_corpus
from helpers.desk_evidence import promote_signed, signed_desk, write_template
from helpers.desk_stand_in import shop_of, stand_in_child
from helpers.evidence import EvidenceCase, write_audit

NAMES = ("Jürgen Müller", "Björn Schäfer", "Anna Weiß", "Olga Berg", "Piet Maas", "Rosa Lind", "Emil Kern", "Ute Voss")
Child = Callable[..., Any]


def guarded_desk(folder: Path, **settings: Any) -> DeskCase:
    """A desk with two records of each of eight people."""
    case = signed_desk(folder, **settings)
    write_corpus(case.folder / "ward.jsonl", NAMES)
    return case


def in_use(case: DeskCase) -> Path:
    with case.desk.reading(SYSTEM) as s:
        return place(case.folder, alias_row(s, "ward")["path"])


def prepare_run(case: DeskCase, shares: Sequence[float]) -> EvidenceCase:
    """What the next run leaves: `shares` are those of true answers that the model gives, of each earlier request."""
    made = write_template(case, original=in_use(case), seed=200 + len(shares))
    if shares:
        rows = [_row(k, share, len(shares) + 1) for k, share in enumerate([*shares, 0.1], 1)]
        history = RequestHistory(run="0" * 64, requests=tuple(rows)).sealed()
        write_json(made.root / "audit" / REQUESTS, history.model_dump(mode="json"))
    return made


def _row(number: int, share: float, last: int) -> RequestRow:
    states = tuple(RequestState(run=k, share=1.0 if k < last else share, controls=0.1) for k in (0, last))
    return RequestRow(number=number, method="npo", records=2, questions=2, states=states)


def person(number: int) -> dict[str, str]:
    return {"name": NAMES[number], "record_number": f"PAT-{100 + number}"}


def fulfil(case: DeskCase, number: int, shares: Sequence[float] = (), purge: bool = True, **changes: Any) -> str:
    """A request from its receipt to the letter."""
    shop = shop_of(case)
    prepare_run(case, shares)
    request_id = to_waiting(case, person(number), **changes)
    digest = to_planned(case, request_id)
    promote_signed(shop, case, request_id, digest)
    if purge:
        list_purge(shop, digest)
        purge_request_assets(shop, request_id)
        notify(shop, request_id)
    return request_id


def three_requests(case: DeskCase) -> list[str]:
    """Three requests one after the other, none of which brings an earlier one back."""
    return [fulfil(case, k, [0.1] * k) for k in range(3)]


def unlearned(case: DeskCase, number: int, shares: Sequence[float]) -> str:
    """The hash of the plan of a further request, whose run is over and waits for its audit."""
    prepare_run(case, shares)
    digest = to_planned(case, to_waiting(case, person(number)))
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    unlearn(shop_of(case), digest, 1)
    return digest


def say(case: DeskCase, request_id: str, status: str) -> None:
    """What the audit of an earlier request says after the next run."""
    made = EvidenceCase(case.folder / "template")
    own = _Elsewhere(made.root, f"guard-{request_id}")
    write_audit(own, case.folder / "model", {"leakage.self": status})


class _Elsewhere(EvidenceCase):
    """An audit of the same run in another folder."""

    def __init__(self, root: Path, name: str) -> None:
        super().__init__(root)
        object.__setattr__(self, "name", name)

    @property
    def audit(self) -> Path:
        return Path(self.root / str(self.__dict__["name"]) / "audit.json")


def attacked(case: DeskCase, digest: str) -> tuple[str, list[tuple[str, str | None, str]]]:
    """The status of the guard of a run, and (reference, choice, status) of each earlier request."""
    with case.desk.reading(SYSTEM) as s:
        run = latest_run(s, digest)
        rows = [(r["reference"], r["choice"], r["status"]) for r in guard_rows(s, run)]
    assert run is not None
    return str(run["guard_status"]), rows


def audited(case: DeskCase, digest: str, run: Child = stand_in_child) -> dict[str, Any]:
    return audit(shop_of(case, run=run), digest, 1)
