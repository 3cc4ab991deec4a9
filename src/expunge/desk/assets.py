"""The asset map: where data of people may be, and who looks after it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, insert, select, update

from expunge._validation import validate
from expunge.desk import tables as t
from expunge.desk.connectors.base import CONNECTORS, Connector
from expunge.desk.desk import DeskSession
from expunge.desk.names import new_id
from expunge.desk.roles import Refusal
from expunge.errors import InputError, unknown

OLD_VERSIONS = "old_versions"


def add_asset(
    s: DeskSession, name: str, kind: str, connector: str, settings: Mapping[str, Any], *, lineage: str | None = None
) -> str:
    """Put a place on the map, and return its id.

    Weights with a lineage come with a second asset, their old versions, which outlive a promotion until purged.

    Args:
        s: a session as operator or admin; that person is the operator of plans for these weights.
        name: short name without personal data.
        kind: one of `ASSET_KINDS`.
        connector: registered connector.
        settings: settings of the connector.
        lineage: name of the model that a corpus was used for, or that these weights are.

    Raises:
        InputError: an unknown kind or connector, wrong settings, or a place that is not there.
    """
    s.actor.check_may("edit assets")
    if not re.fullmatch(r"[A-Za-z0-9][\w .()/-]{0,79}", name):
        raise InputError("asset", "has no usable name", "give 1 to 80 letters, digits, spaces or - . / ( )")
    if kind not in t.ASSET_KINDS:
        raise unknown("kind of asset", kind, t.ASSET_KINDS)
    cls = CONNECTORS.get(connector)
    if kind not in cls.kinds:
        raise InputError(f"asset {name}", f"{connector} holds no {kind}", f"it holds: {', '.join(cls.kinds)}")
    if lineage is not None and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,79}", lineage):
        raise InputError("lineage", "has no usable name", "use small letters, digits and - . _")
    if kind == "weights" and lineage is None:
        raise InputError(f"asset {name}", "weights need a lineage", "name the model, for example --lineage ward")
    checked = validate(cls, dict(settings), f"asset {name}")
    checked.check(s.desk.folder)
    asset_id = _insert(s, name, kind, connector, checked, lineage)
    if kind == "weights" and lineage is not None:
        from expunge.desk.models import register_model

        register_model(s, lineage, str(settings["path"]))
        old = CONNECTORS.get(OLD_VERSIONS)(lineage=lineage)  # type: ignore[call-arg]
        _insert(s, f"{name} (old versions)"[:80], "old_weights", OLD_VERSIONS, old, lineage)
    return asset_id


def _insert(s: DeskSession, name: str, kind: str, connector: str, checked: Connector, lineage: str | None) -> str:
    if s.conn.execute(select(t.asset.c.id).where(t.asset.c.name == name)).first():
        raise Refusal(f"asset {name}", "is there already", "choose another name", kind="conflict")
    asset_id = new_id()
    values = {
        "id": asset_id,
        "name": name,
        "kind": kind,
        "connector": connector,
        "settings": json.dumps(checked.model_dump(mode="json"), sort_keys=True),
        "lineage": lineage,
        "owner": s.actor.person,
    }
    s.conn.execute(insert(t.asset).values(**values))
    s.log("asset.add", {"asset": asset_id, "kind": kind, "connector": connector})
    return asset_id


def retire_asset(s: DeskSession, asset_id: str) -> None:
    """Take a place off the map; decisions on it stay."""
    s.actor.check_may("edit assets")
    row = asset_row(s, asset_id)
    if row["retired_at"] is None:
        s.conn.execute(update(t.asset).where(t.asset.c.id == row["id"]).values(retired_at=s.at))
        s.log("asset.retire", {"asset": row["id"]})


def asset_row(s: DeskSession, asset: str) -> RowMapping:
    """An asset by id or name; `Refusal` of kind `missing`."""
    query = select(t.asset).where((t.asset.c.id == asset) | (t.asset.c.name == asset))
    row = s.conn.execute(query).mappings().first()
    if row is None:
        raise Refusal("asset", "there is no such asset", "see expunge request assets", kind="missing")
    return row


def connector_of(row: RowMapping) -> Connector:
    """The connector of an asset with its settings."""
    cls = CONNECTORS.get(row["connector"], f"asset {row['name']}")
    return validate(cls, json.loads(row["settings"]), f"asset {row['name']}")
