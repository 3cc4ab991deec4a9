"""The asset map: places where data of people may be."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from expunge.desk import tables as t
from expunge.desk.assets import add_asset, asset_row, retire_asset
from expunge.desk.connectors.base import CONNECTORS
from expunge.desk.facts import open_assets
from expunge.errors import InputError
from expunge.web.errors import redirect
from expunge.web.render import render
from expunge.web.visitor import Visitor, visitor

router = APIRouter()
Visits = Annotated[Visitor, Depends(visitor)]
Text = Annotated[str, Form(max_length=400)]


@router.get("/assets")
def show_assets(request: Request, visits: Visits) -> Response:
    """Places where data of people may be, and who looks after them."""
    with visits.reading() as s:
        s.actor.check_may("read")
        rows = [{**row, "where": _where(row["settings"])} for row in open_assets(s)]
    connectors = [(name, connector.about) for name, connector in CONNECTORS]
    return render(request, "assets.html", rows=rows, connectors=connectors, kinds=t.ASSET_KINDS)


def _where(settings: str) -> str:
    """What of an asset's settings says where it is; never a URL, which can hold a password."""
    values = json.loads(settings)
    parts = [f"{key} {values[key]}" for key in ("path", "table", "days", "recipient", "lineage") if values.get(key)]
    return ", ".join(parts)


@router.post("/assets")
def put_asset(
    request: Request,
    name: Text,
    kind: Text,
    connector: Text,
    visits: Visits,
    settings: Annotated[str, Form(max_length=4000)] = "",
    lineage: Text = "",
) -> Response:
    """Put a place on the map."""
    from expunge._yaml import load_yaml

    try:
        values = load_yaml(settings, "settings") if settings.strip() else {}
    except InputError as error:
        raise InputError("settings", "are no YAML mapping", "for example  path: ward.jsonl") from error
    with visits.acting() as s:
        add_asset(s, name.strip(), kind, connector, values, lineage=lineage.strip() or None)
    return redirect(request, "/assets")


@router.post("/assets/{asset_id}/retire")
def retire(request: Request, asset_id: str, visits: Visits) -> Response:
    """Take a place off the map."""
    with visits.acting() as s:
        retire_asset(s, asset_row(s, asset_id)["id"])
    return redirect(request, "/assets")
