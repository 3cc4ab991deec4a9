"""Plans: everything that decides a run, frozen under a hash that people approve. No clock and no chance is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import RowMapping, insert, select, update

from expunge.desk import tables as t
from expunge.desk.assets import asset_row, connector_of
from expunge.desk.batches import NO_MODEL, batch_row
from expunge.desk.connectors.base import Connector, place
from expunge.desk.connectors.corpus_file import CorpusFile
from expunge.desk.connectors.model_folder import folder_digest
from expunge.desk.decisions import corpora
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.executors.base import EXECUTORS
from expunge.desk.facts import latest_plan, latest_run, members, request_row
from expunge.desk.guards import EXACT_ROUTES
from expunge.desk.keys import parse_body
from expunge.desk.matching import confirmed_objects
from expunge.desk.models import alias_row, digest_of
from expunge.desk.names import new_id
from expunge.desk.plan_recipe import freeze_recipe, is_file_name
from expunge.desk.plan_wish import PlanWish, check_wish
from expunge.desk.roles import Actor, Refusal
from expunge.desk.transitions import fire_all
from expunge.errors import InputError, unknown
from expunge.evidence.canonical_json import canonical_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from expunge.audit.policy import Policy

FORMAT = "expunge-plan/1"
TAG = b"expunge/plan/1\0"


@dataclass(frozen=True)
class PlanDraft:
    """A plan before it is stored: its content, and for which batch and number it was made."""

    batch_id: str
    content: dict[str, Any] = field(repr=False)

    @property
    def hash(self) -> str:
        """SHA-256 of a domain tag and the RFC 8785 bytes of the content."""
        return plan_hash(self.content)


def plan_hash(content: dict[str, Any]) -> str:
    """The hash of a plan's content."""
    return hashlib.sha256(TAG + canonical_bytes(content)).hexdigest()


def draft_plan(desk: Desk, actor: Actor, batch_id: str, wish: PlanWish | None = None) -> PlanDraft:
    """Compute the next plan of a batch: reads models and corpora, and writes nothing.

    Raises:
        Refusal: no request waits for a plan, or nobody looks after the model.
        InputError: an unknown kind or policy, or a model or corpus that is not there.
    """
    actor.check_may("plan")
    wish = wish or PlanWish()
    with desk.reading(actor) as s:
        batch = batch_row(s, batch_id)
        requests = members(s, batch_id)
        last = latest_plan(s, batch_id)
        number = 1 if last is None else last["number"] + 1
        common = {
            "format": FORMAT,
            "requests": requests,
            "number": number,
            "regimes": sorted({request_row(s, r)["regime_digest"] for r in requests}),
        }
        if batch["lineage"] == NO_MODEL:
            return PlanDraft(batch_id, {**common, "kind": "none"})
        content = _model_part(s, batch["lineage"], requests, number, wish)
    lineage = batch["lineage"]
    content["model"] = {"lineage": lineage, "digest": digest_of(desk.folder, content.pop("path"))}
    content["corpora"] = [[asset_id, _corpus_digest(desk.folder, each)] for asset_id, each in content["corpora"]]
    return PlanDraft(batch_id, {**common, **content})


def _model_part(s: DeskSession, lineage: str, requests: Sequence[str], number: int, wish: PlanWish) -> dict[str, Any]:
    run = s.settings.run
    due = _kind(s, requests)
    kind = wish.kind or due
    if kind == "suppress" and due != "suppress":
        what = "the reviewer decided to unlearn, and a filter of outputs leaves the records in the model"
        raise Refusal("plan", what, "let the reviewer decide on suppress and disclosure")
    if kind not in t.PLAN_KINDS or kind == "none":
        raise unknown("kind of plan", kind, [k for k in t.PLAN_KINDS if k != "none"])
    EXECUTORS.get(kind).base(s, lineage)
    alias = alias_row(s, lineage)
    connectors, forget = [], {}
    for asset_id in corpora(s, lineage):
        connector = connector_of(asset_row(s, asset_id))
        connectors.append((asset_id, connector))
        objects = sorted({name for r in requests for name in confirmed_objects(s, r, asset_id)})
        if objects:
            forget[asset_id] = {"digest": s.keys.keyed_digest("\0".join(objects), "forget"), "records": len(objects)}
    if not forget:
        raise Refusal("plan", "no confirmed record of its requests is in a corpus of the model", "search again")
    policy = audit_policy(s.desk, kind)
    recipe = wish.recipe or (run.retry_recipe if number > 1 and run.retry_recipe else run.recipe)
    if wish.recipe or wish.overrides:
        check_wish(kind, wish, str(place(s.desk.folder, recipe)) if is_file_name(recipe) else recipe)
    return {
        "kind": kind,
        "path": alias["path"],
        "after_run": alias["run_id"] if (place(s.desk.folder, alias["path"]) / "run.json").is_file() else None,
        "corpora": connectors,
        "forget": forget,
        **freeze_recipe(s.desk.folder, recipe),
        "overrides": list(wish.overrides or run.overrides),
        "seed": str(run.seed + number - 1 if wish.seed is None else wish.seed),
        "policy": {"name": policy.name, "digest": policy.digest},
        "dtype": run.dtype,
        "template": run.template,
        "guard": {"worst": s.settings.guard_worst, "random": s.settings.guard_random},
    }


def _corpus_digest(root: Path, connector: Connector) -> str:
    if isinstance(connector, CorpusFile):
        return connector.digest(root, connector.load(root))
    return folder_digest(place(root, str(getattr(connector, "path", ""))))


def audit_policy(desk: Desk, kind: str) -> Policy:
    """The policy by which a plan of this kind is judged: a shipped one, or a file relative to the desk's folder."""
    from expunge.audit.policy import Policy

    run = desk.settings.run
    name = run.black_box_policy if kind == "suppress" else run.policy
    return Policy.load(place(desk.folder, name) if is_file_name(name) else name)


def _kind(s: DeskSession, requests: Sequence[str]) -> str:
    values = set(
        s.conn.execute(
            select(t.decision.c.value).where(t.decision.c.request_id.in_(requests), t.decision.c.is_final == 1)
        ).scalars()
    )
    return "suppress" if "unlearn" not in values and "suppress" in values else "unlearn"


def store_plan(s: DeskSession, draft: PlanDraft, event_id: str | None = None) -> str:
    """Store a plan as the current one of its batch, and return its hash; the same plan again changes nothing.

    Its author is who makes it, or, for a plan of the system, who looks after the model: nobody approves their own.

    Raises:
        Refusal: the batch has changed since the draft (kind `conflict`).
    """
    s.actor.check_may("plan")
    digest = draft.hash
    if s.conn.execute(select(t.plan.c.id).where(t.plan.c.hash == digest)).first():
        return digest
    last = latest_plan(s, draft.batch_id)
    number = draft.content["number"]
    if members(s, draft.batch_id) != draft.content["requests"] or number != (last["number"] + 1 if last else 1):
        raise Refusal("plan", "its batch has changed in the meantime", "plan again", kind="conflict")
    s.conn.execute(
        update(t.plan).where(t.plan.c.batch_id == draft.batch_id, t.plan.c.state == "current").values(state="void")
    )
    author = s.actor.person if s.actor.role == "operator" else _owner(s, batch_row(s, draft.batch_id)["lineage"])
    row = {
        "id": new_id(),
        "hash": digest,
        "batch_id": draft.batch_id,
        "number": number,
        "kind": draft.content["kind"],
        "content": canonical_bytes(draft.content).decode(),
        "state": "current",
        "author": author,
        "at": s.at,
    }
    s.conn.execute(insert(t.plan).values(**row))
    body = {"plan": digest, "batch": draft.batch_id, "number": number, "kind": row["kind"], "author": author}
    s.log("plan.store", body)
    return digest


def _owner(s: DeskSession, lineage: str) -> str:
    query = select(t.asset.c.owner).where(t.asset.c.lineage == lineage, t.asset.c.kind == "weights")
    return str(s.conn.execute(query.order_by(t.asset.c.id)).scalar() or s.actor.person)


def plan_row(s: DeskSession, hash_: str) -> RowMapping:
    """A plan by its hash or a beginning of 8 letters or more; `Refusal` of kind `missing`."""
    if len(hash_) < 8 or not set(hash_) <= set("0123456789abcdef"):
        raise InputError("plan", "is named by its hash", "give 8 or more of its hex digits")
    rows = s.conn.execute(select(t.plan).where(t.plan.c.hash.startswith(hash_))).mappings().all()
    if len(rows) != 1:
        raise Refusal("plan", "there is no such plan" if not rows else "names several plans", kind="missing")
    return rows[0]


def content_of(row: RowMapping) -> dict[str, Any]:
    """The content of a stored plan; `Refusal` if it is not what its hash names."""
    content = parse_body(row["content"])
    if plan_hash(content) != row["hash"]:
        raise Refusal("plan", "was changed after it was stored", "restore the database", kind="conflict")
    return content


def approve_plan(s: DeskSession, hash_: str) -> list[str]:
    """Approve a plan in full hash; returns the states of its requests."""
    content_of(plan_row(s, hash_))
    return _fire(s, hash_, "approve_plan", plan_hash=hash_)


def reject_plan(s: DeskSession, hash_: str, reason: str) -> list[str]:
    """Send a plan back; the requests wait for another one."""
    return _fire(s, hash_, "reject_plan", reason=reason)


def approve_promotion(s: DeskSession, hash_: str) -> list[str]:
    """Approve that the model that a plan made comes into use."""
    return _fire(s, hash_, "approve_promotion", plan=hash_)


def _fire(s: DeskSession, hash_: str, event: str, **options: Any) -> list[str]:
    """Do an event for the requests of the plan that was named.

    Raises:
        Refusal: another plan of its batch stands by now, or no request is left in it (kind `conflict`).
    """
    row = plan_row(s, hash_)
    if row["state"] != "current":
        raise Refusal("plan", "is not the one that stands", "look at the newest plan of its batch", kind="conflict")
    if not members(s, row["batch_id"]):
        raise Refusal("plan", "has no request any more", "nothing is left to do", kind="conflict")
    return fire_all(s, row["batch_id"], event, **options)


def plan_again(desk: Desk, actor: Actor, batch_id: str, wish: PlanWish, reason: str = "") -> str:
    """After a failed audit: a new plan, or an exact route (`retrain`, `drop`), which needs no attempt left.

    Raises:
        Refusal: the audit did not fail, or all attempts are used and the route is not exact.
    """
    draft = draft_plan(desk, actor, batch_id, wish)
    event = "escalate" if draft.content["kind"] in EXACT_ROUTES else "retry"
    with desk.session(actor) as s:
        last = latest_plan(s, batch_id)
        run = latest_run(s, last["hash"] if last else None)
        if run is None or run["audit_status"] is None:
            raise Refusal("retry", "there is no verdict yet", kind="state")
        digest = store_plan(s, draft)
        fire_all(s, batch_id, event, reason=reason, plan=digest)
    return digest
