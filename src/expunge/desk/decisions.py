"""What happens to each asset: proposed by anybody who works on the request, decided by the reviewer."""

from __future__ import annotations

from sqlalchemy import RowMapping, delete, insert, select

from expunge.desk import tables as t
from expunge.desk.assets import asset_row, connector_of
from expunge.desk.desk import DeskSession
from expunge.desk.facts import count, facts_of, open_assets, request_row
from expunge.desk.roles import Refusal
from expunge.desk.transitions import fire
from expunge.errors import InputError, unknown

ON_MODELS = ("weights", "adapter")
MAX_SEARCHED = 200


def decide_asset(
    s: DeskSession, request_id: str, asset: str, value: str, *, ground: str = "", searched: str = ""
) -> None:
    """Say what happens to an asset. A reviewer decides; a clerk's word is a proposal until a reviewer repeats it.

    Args:
        s: a session as reviewer or clerk.
        request_id: a request in legal review.
        asset: id or name.
        value: `erase`, `unlearn`, `suppress`, `retain` or `not_present`.
        ground: of `retain`, one of the grounds of the request's policy.
        searched: of `not_present`, how it was searched; kept encrypted among the reasons.

    Raises:
        Refusal: a decision that contradicts what was found, or a wrong state or role.
    """
    s.actor.check_may("propose decision")
    row, place = request_row(s, request_id), asset_row(s, asset)
    if row["state"] != "legal_review":
        raise Refusal("decision", f"not possible in the state {row['state']}", kind="state")
    if value not in t.DECISIONS:
        raise unknown("decision", value, t.DECISIONS)
    if value == "retain":
        grounds = s.rules_of(row).refusal_grounds
        if ground not in grounds:
            raise unknown("ground", ground, grounds, "retain")
    elif ground:
        raise InputError("ground", f"has no meaning for {value}", "leave it out")
    if len(searched) > MAX_SEARCHED:
        raise InputError("searched", f"is longer than {MAX_SEARCHED} characters")
    if problem := _contradiction(s, request_id, place, value, searched):
        raise Refusal(f"asset {place['name']}", problem)
    digest = s.keep_reason(searched, f"searched {place['name']}"[:40], request_id) if searched.strip() else None
    here = (t.decision.c.request_id == request_id, t.decision.c.asset_id == place["id"])
    s.conn.execute(delete(t.decision).where(*here))
    s.conn.execute(
        insert(t.decision).values(
            request_id=request_id,
            asset_id=place["id"],
            value=value,
            ground=ground or None,
            searched=digest,
            person=s.actor.person,
            at=s.at,
            is_final=int(s.actor.role == "reviewer"),
        )
    )
    body = {"asset": place["id"], "value": value, "ground": ground, "final": s.actor.role == "reviewer"}
    if digest:
        body["searched"] = digest
    s.log("decision.set", body, request_id)


def _contradiction(s: DeskSession, request_id: str, place: RowMapping, value: str, searched: str) -> str:
    here = (t.match.c.request_id == request_id, t.match.c.asset_id == place["id"], t.match.c.state == "confirmed")
    confirmed = count(s, t.match, *here)
    if value == "not_present":
        if confirmed:
            return f"{confirmed} match(es) are confirmed, so it is present"
        return "" if searched.strip() else "say how it was searched"
    if value in ("unlearn", "suppress"):
        if place["kind"] not in ON_MODELS:
            return f"only {' and '.join(ON_MODELS)} can be decided so"
        return "" if _in_corpora(s, request_id, place["lineage"]) else "no corpus of this model holds the person"
    if value == "erase" and place["kind"] == "weights":
        return "weights in use are not erased; unlearn them, or retire the asset"
    if value == "erase" and connector_of(place).searches and not confirmed:
        return "nothing is confirmed in it; decide not_present"
    return ""


def _in_corpora(s: DeskSession, request_id: str, lineage: str | None) -> int:
    query = (
        t.match.c.request_id == request_id,
        t.match.c.state == "confirmed",
        t.match.c.asset_id.in_(corpora(s, lineage)),
    )
    return count(s, t.match, *query)


def corpora(s: DeskSession, lineage: str | None) -> list[str]:
    """Ids of the corpora that a model was trained on."""
    return [a["id"] for a in open_assets(s) if a["kind"] == "corpus" and a["lineage"] == lineage]


def decide(s: DeskSession, request_id: str, reason: str = "") -> str:
    """Close the legal review: granted, granted in part, or denied, as the decisions on the assets say.

    Raises:
        Refusal: an asset has no decision; a denial, or a grant without a right to erasure, has no reason; or models
            of two lineages are to unlearn.
    """
    row = request_row(s, request_id)
    if not s.rules_of(row).erasure_right and facts_of(s, request_id).granted and not reason.strip():
        raise Refusal("decide", f"{row['regime']} knows no right to erasure", "say why it is granted all the same")
    if len(lineages := model_lineages(s, request_id)) > 1:
        what = f"the models {', '.join(lineages)} are to unlearn"
        raise Refusal("decide", what, "grant one, and open a second request for the other")
    return fire(s, request_id, "decide", reason=reason)


def model_lineages(s: DeskSession, request_id: str) -> list[str]:
    """Lineages of the models that are to unlearn or to be filtered, sorted."""
    query = (
        select(t.asset.c.lineage)
        .join(t.decision, t.decision.c.asset_id == t.asset.c.id)
        .where(t.decision.c.request_id == request_id, t.decision.c.value.in_(("unlearn", "suppress")))
    )
    return sorted({str(name) for name in s.conn.execute(query).scalars()})


def decisions(s: DeskSession, request_id: str) -> list[RowMapping]:
    """Each asset of the map with its decision, if there is one."""
    s.actor.check_may("read")
    join = (t.decision.c.asset_id == t.asset.c.id) & (t.decision.c.request_id == request_id)
    query = select(t.asset.c.id, t.asset.c.name, t.asset.c.kind, t.asset.c.connector, t.decision).outerjoin(
        t.decision, join
    )
    return list(s.conn.execute(query.where(t.asset.c.retired_at.is_(None)).order_by(t.asset.c.name)).mappings())
