"""What a run is given: the file of record ids to forget, and the records.

Of what earlier requests had forgotten, only the records of the runs in its chain are among them: such a run knows them
again and keeps them forgotten. Any other run would learn them anew as records to retain.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, select

from expunge._io import write_atomic
from expunge.desk import tables as t
from expunge.desk.assets import asset_row, connector_of
from expunge.desk.connectors.base import place
from expunge.desk.connectors.corpus_file import CorpusFile
from expunge.desk.desk import DeskSession
from expunge.desk.executors.base import EXECUTORS, RunInput
from expunge.desk.lifecycle import BEFORE_PROMOTION
from expunge.desk.matching import confirmed_objects
from expunge.desk.merged_input import Row, place_record, place_row, write_merged
from expunge.desk.probes import read_probes
from expunge.desk.roles import Refusal
from expunge.desk.run_chain import earlier_requests
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.corpus import Corpus

# matches of requests that were promoted, and had the model forget; and of requests that may yet
FORGOTTEN = (t.match.c.state == "confirmed", t.request.c.promoted_at.is_not(None))
ASKED = (t.match.c.state != "rejected", t.request.c.state.in_((*BEFORE_PROMOTION, "on_hold", "error")))


def prepare_input(s: DeskSession, content: dict[str, Any], folder: Path, *, is_rehearsal: bool = False) -> RunInput:
    """Write the input of a plan's run, or of its rehearsal; the same plan gives the same files.

    For a rehearsal, the people of other open requests are excluded, too: what is audited later is no practice.

    Raises:
        Refusal: the confirmed records are not those of the plan (kind `conflict`).
        InputError: a corpus cannot be read, or is not the one of the plan.
    """
    connectors, corpora = {}, {}
    for asset_id, digest in content["corpora"]:
        connector = connector_of(asset_row(s, asset_id))
        if not isinstance(connector, CorpusFile):
            raise InputError("corpus", "is not read by the connector `corpus`", "add it with that connector")
        connectors[asset_id], corpora[asset_id] = connector, connector.load(s.desk.folder)
        if connector.digest(s.desk.folder, corpora[asset_id]) != digest:
            raise Refusal("run", "a corpus has changed since the plan", "plan again", kind="conflict")
    starts_anew = EXECUTORS.get(content["kind"]).needs_base
    chain = set() if starts_anew else {each.request_id for each in earlier_requests(s, content)}
    forget = {asset_id: _forget(s, content, asset_id) for asset_id in corpora}
    earlier = {asset_id: _owners(s, asset_id, corpus, FORGOTTEN) for asset_id, corpus in corpora.items()}
    probes = {asset_id: read_probes(s, asset_id, chain) for asset_id in corpora}
    gone = {
        asset_id: {name for name, owners in names.items() if owners.isdisjoint(chain)} - set(forget[asset_id])
        for asset_id, names in earlier.items()
    }
    several = len(corpora) > 1
    name = content["requests"][0]  # whole: requests of one minute share their first letters

    def ids(groups: Mapping[str, Collection[str]], label: str) -> str:
        lines = [record_name(asset_id, each, several) for asset_id, group in groups.items() for each in group]
        file = f"{label}-{name}-{content['number']}.txt"
        write_atomic(folder / file, "".join(f"{line}\n" for line in sorted(set(lines))), private=True)
        return f"ids:@{file}"

    excluded = {asset_id: {*forget[asset_id], *earlier[asset_id]} for asset_id in forget}
    for asset_id, corpus in corpora.items() if is_rehearsal else ():
        excluded[asset_id] |= _owners(s, asset_id, corpus, ASKED).keys()
    if several or any(probes.values()) or any(gone.values()):
        data = _merged(corpora, probes, gone, folder)
    else:
        data = _data_options(s.desk.folder, next(iter(connectors.values())), folder)
    requests = content["requests"] if len(content["requests"]) > 1 else ()
    own = {r: {asset_id: confirmed_objects(s, r, asset_id) for asset_id in corpora} for r in requests}
    parts = {r: ids(groups, f"part-{r}") for r, groups in own.items()}
    left_out = {asset_id: names - gone[asset_id] for asset_id, names in excluded.items()}
    return RunInput(data, ids(forget, "forget"), ids(left_out, "exclude"), parts)


def _forget(s: DeskSession, content: dict[str, Any], asset_id: str) -> list[str]:
    names = sorted({name for r in content["requests"] for name in confirmed_objects(s, r, asset_id)})
    planned = content["forget"].get(asset_id)
    if (planned and planned["digest"]) != (s.keys.keyed_digest("\0".join(names), "forget") if names else None):
        raise Refusal("run", "the confirmed records are not those of the plan", "plan again", kind="conflict")
    return names


def _owners(
    s: DeskSession, asset_id: str, corpus: Corpus, which: tuple[ColumnElement[bool], ...]
) -> dict[str, set[str]]:
    """Records still in a corpus -> the requests that named them, of those which fulfil a condition."""
    query = select(t.match.c.object_digest, t.request.c.id).join(t.request, t.request.c.id == t.match.c.request_id)
    owners: dict[str, set[str]] = {}
    for digest, request_id in s.conn.execute(query.where(t.match.c.asset_id == asset_id, *which)).tuples():
        owners.setdefault(digest, set()).add(request_id)
    named: dict[str, set[str]] = {}
    for record in corpus if owners else ():
        digests = (s.keys.keyed_digest(record.id, "object", key) for key in s.keys.keys)
        if requests := set().union(*(owners.get(digest, ()) for digest in digests)):
            named[record.id] = requests
    return named


def record_name(asset_id: str, record_id: str, several: bool) -> str:
    """Id of a record in the input of a run: where several corpora are joined, with the corpus before it."""
    return f"{asset_id[-6:]}.{record_id}" if several else record_id


def _data_options(root: Path, connector: CorpusFile, folder: Path) -> tuple[str, ...]:
    options = ["--data", relative(place(root, connector.path), folder)]
    if connector.loader:
        options += ["--loader", connector.loader]
    if connector.map:
        options += ["--map", relative(place(root, connector.map), folder)]
    return tuple(options)


def _merged(
    corpora: Mapping[str, Corpus], probes: Mapping[str, list[Row]], gone: Mapping[str, set[str]], folder: Path
) -> tuple[str, ...]:
    """One file of all corpora and probes, without what is gone."""
    merged = []
    for asset_id, corpus in corpora.items():
        rows = [place_record(record, folder) for record in corpus if record.id not in gone[asset_id]]
        here = {row["id"] for row in rows}
        rows += [place_row(row, folder) for row in probes[asset_id] if row["id"] not in here]
        merged += [{**row, "id": record_name(asset_id, row["id"], len(corpora) > 1)} for row in rows]
    return write_merged(folder, merged)


def relative(path: Path, folder: Path) -> str:
    """A path as seen from a folder."""
    return os.path.relpath(path.resolve(), folder.resolve())
