"""Finding a person over the asset map, and the confirmation of each match by a person."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import RowMapping, delete, insert, select, update

from expunge.desk import tables as t
from expunge.desk.assets import asset_row, connector_of
from expunge.desk.connectors.base import FoundObject, PersonIdentifier
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.facts import open_assets, request_row
from expunge.desk.identity import verified_identifiers
from expunge.desk.names import new_id
from expunge.desk.roles import Actor, Refusal
from expunge.errors import InputError

MAX_MATCHES = 20_000


def search(desk: Desk, actor: Actor, request_id: str) -> dict[str, int]:
    """Search all assets for the verified identifiers of a request, and propose what was found.

    The search reads outside a transaction. A second search keeps what was confirmed or rejected.

    Returns:
        Asset name -> objects found; assets that hold no single objects are left out.

    Raises:
        Refusal: the identity is not verified, or the request is not in scoping.
        InputError: an asset cannot be read.
    """
    actor.check_may("search")
    with desk.reading(actor) as s:
        _check_scoping(s, request_id)
        person = [PersonIdentifier(kind, value) for _, kind, value in verified_identifiers(s, request_id)]
        assets = open_assets(s)
    if not person:
        raise Refusal("search", "no identifier is verified", "record the identity with its identifiers")
    objects: dict[str, list[FoundObject]] = {}
    for row in assets:
        connector = connector_of(row)
        if connector.searches:
            objects[row["id"]] = connector.find(desk.folder, person)
            if len(objects[row["id"]]) > MAX_MATCHES:
                raise InputError(f"asset {row['name']}", "names the person too often", "verify a longer identifier")
    with desk.session(actor) as s:
        _check_scoping(s, request_id)
        for asset_id, hits in objects.items():
            _store(s, request_id, asset_id, hits)
        counts = {row["name"]: len(objects[row["id"]]) for row in assets if row["id"] in objects}
        by_id = {asset_id: len(hits) for asset_id, hits in objects.items()}
        s.log("request.search", {"identifiers": len(person), "found": by_id}, request_id)
    return counts


def _store(s: DeskSession, request_id: str, asset_id: str, hits: Sequence[FoundObject]) -> None:
    where = (t.match.c.request_id == request_id, t.match.c.asset_id == asset_id)
    known = dict(s.conn.execute(select(t.match.c.object_digest, t.match.c.state).where(*where)).tuples().all())
    digests = {object_digest(s, hit.object_id): hit for hit in hits}
    gone = [d for d, state in known.items() if d not in digests and state in ("proposed", "ambiguous")]
    for digest in gone:
        s.conn.execute(delete(t.match).where(*where, t.match.c.object_digest == digest))
    for digest, hit in digests.items():
        if digest not in known:
            _insert(s, request_id, asset_id, hit, "proposed" if hit.certain else "ambiguous")


def _insert(s: DeskSession, request_id: str, asset_id: str, hit: FoundObject, state: str) -> str:
    row_id = new_id()
    s.conn.execute(
        insert(t.match).values(
            id=row_id,
            request_id=request_id,
            asset_id=asset_id,
            object_digest=object_digest(s, hit.object_id),
            ciphertext=s.keys.encrypt(hit.object_id, ("match", "ciphertext", row_id)),
            key_id=s.keys.current,
            how=hit.how,
            state=state,
            at=s.at,
        )
    )
    return row_id


def object_digest(s: DeskSession, object_id: str) -> str:
    """Keyed digest of the name of an object: an id can be a name."""
    return s.keys.keyed_digest(object_id, "object")


def add_match(s: DeskSession, request_id: str, asset: str, object_id: str) -> str:
    """An object that a person knows to be of the subject, though no search found it; it is confirmed at once."""
    s.actor.check_may("match")
    _check_scoping(s, request_id)
    row = asset_row(s, asset)
    connector_of(row).show(s.desk.folder, object_id)  # it must be there
    match_id = _insert(s, request_id, row["id"], FoundObject(object_id, "by hand"), "proposed")
    settle(s, [match_id], confirm=True)
    return match_id


def settle(s: DeskSession, match_ids: Sequence[str], *, confirm: bool) -> None:
    """Confirm or reject matches; until the scope is frozen this can be changed."""
    s.actor.check_may("match")
    for match_id in match_ids:
        row = match_row(s, match_id)
        _check_scoping(s, row["request_id"])
        state = "confirmed" if confirm else "rejected"
        values = {"state": state, "person": s.actor.person, "at": s.at}
        s.conn.execute(update(t.match).where(t.match.c.id == match_id).values(**values))
        s.log("match.settle", {"match": match_id, "state": state}, row["request_id"])


def matches(s: DeskSession, request_id: str) -> list[RowMapping]:
    """All matches of a request, without what they name."""
    s.actor.check_may("read")
    columns = [c for c in t.match.c if c.name not in ("ciphertext", "object_digest", "key_id")]
    query = select(*columns, t.asset.c.name.label("asset")).join(t.asset, t.asset.c.id == t.match.c.asset_id)
    return list(s.conn.execute(query.where(t.match.c.request_id == request_id).order_by(t.match.c.id)).mappings())


def match_row(s: DeskSession, match_id: str) -> RowMapping:
    """A match; `Refusal` of kind `missing`."""
    row = s.conn.execute(select(t.match).where(t.match.c.id == match_id)).mappings().first()
    if row is None:
        raise Refusal("match", "there is no such match", kind="missing")
    return row


def reveal(desk: Desk, actor: Actor, match_id: str, reason: str) -> str:
    """The content of a matched object. The log row is committed before the text is read."""
    actor.check_may("reveal")
    if not reason.strip():
        raise Refusal("reveal", "a reason is missing", "say what you need the text for")
    with desk.session(actor) as s:
        row = match_row(s, match_id)
        digest = s.keep_reason(reason, "reveal", row["request_id"])
        s.log("match.reveal", {"match": match_id, "reason": digest}, row["request_id"])
    with desk.reading(actor) as s:
        return connector_of(asset_row(s, row["asset_id"])).show(desk.folder, object_of(s, row))


def object_of(s: DeskSession, row: RowMapping) -> str:
    """The name of a matched object."""
    if row["ciphertext"] is None:
        raise Refusal("match", "was purged", kind="missing")
    return s.keys.decrypt(row["ciphertext"], ("match", "ciphertext", row["id"]), row["key_id"])


def confirmed_objects(s: DeskSession, request_id: str, asset_id: str) -> list[str]:
    """Names of the confirmed objects of a request in an asset, sorted."""
    query = select(t.match).where(
        t.match.c.request_id == request_id, t.match.c.asset_id == asset_id, t.match.c.state == "confirmed"
    )
    return sorted(object_of(s, row) for row in s.conn.execute(query).mappings() if row["ciphertext"] is not None)


def _check_scoping(s: DeskSession, request_id: str) -> None:
    row = request_row(s, request_id)
    if row["identity_verified_at"] is None:
        raise Refusal("search", "the identity is not verified", "record the identity first")
    if row["state"] != "scoping":
        raise Refusal("search", f"not possible in the state {row['state']}", "the scope is frozen", kind="state")
