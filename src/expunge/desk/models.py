"""Which model of a lineage is in use: an alias that is exchanged by compare-and-swap, and the versions before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping, insert, select, update

from expunge._io import digest as digest_value
from expunge.desk import tables as t
from expunge.desk.connectors.base import place
from expunge.desk.desk import DeskSession
from expunge.desk.roles import Refusal
from expunge.errors import InputError

NO_MODEL = digest_value({})  # of a folder in which no part of a model lies


def register_model(s: DeskSession, lineage: str, path: str) -> None:
    """The first model of a lineage."""
    if s.conn.execute(select(t.model_alias).where(t.model_alias.c.lineage == lineage)).first():
        raise Refusal("lineage", f"{lineage} has weights already", "choose another name", kind="conflict")
    digest = digest_of(s.desk.folder, path)
    s.conn.execute(insert(t.model_alias).values(lineage=lineage, path=path, digest=digest, at=s.at))
    _add_version(s, lineage, path, digest, None, None)
    s.log("model.register", {"lineage": lineage, "digest": digest})


def digest_of(root: Path, path: str) -> str:
    """Digest of weights, configuration and tokenizer of a model."""
    from expunge.models.fingerprint import model_digest

    return model_digest(str(place(root, path)))


def result_digest(root: Path, path: str) -> str:
    """As `digest_of`, of what a run left; `InputError` if it left no complete model, whatever code it ended with."""
    digest = digest_of(root, path) if place(root, path).is_dir() else NO_MODEL
    if digest == NO_MODEL:
        raise InputError(path, "holds no complete model, though its command ended with code 0", "look at its log")
    return digest


def alias_row(s: DeskSession, lineage: str) -> RowMapping:
    """The model in use."""
    row = s.conn.execute(select(t.model_alias).where(t.model_alias.c.lineage == lineage)).mappings().first()
    if row is None:
        raise Refusal("lineage", f"{lineage} has no weights on the map", "add them as an asset", kind="missing")
    return row


def swap(s: DeskSession, lineage: str, before: str, after: str, path: str, run_id: str) -> bool:
    """Exchange the model in use if it is still the one that the plan started from.

    Returns:
        True if it was exchanged now, False if `after` was in use already.

    Raises:
        Refusal: another model is in use (kind `conflict`); nothing is changed.
    """
    values = {"path": path, "digest": after, "run_id": run_id, "at": s.at}
    here = (t.model_alias.c.lineage == lineage, t.model_alias.c.digest == before)
    if s.conn.execute(update(t.model_alias).where(*here).values(**values)).rowcount == 1:
        _add_version(s, lineage, path, after, before, run_id)
        s.log("model.swap", {"lineage": lineage, "before": before, "after": after, "run": run_id})
        return True
    if alias_row(s, lineage)["digest"] == after:
        return False
    raise Refusal("promote", f"the model in use of {lineage} is not the one of the plan", "plan again", kind="conflict")


def _add_version(s: DeskSession, lineage: str, path: str, digest: str, parent: str | None, run_id: str | None) -> None:
    if s.conn.execute(select(t.model_version.c.digest).where(t.model_version.c.digest == digest)).first():
        return
    values = {"digest": digest, "lineage": lineage, "path": path, "parent": parent, "run_id": run_id, "at": s.at}
    s.conn.execute(insert(t.model_version).values(**values))


def versions(s: DeskSession, lineage: str) -> list[RowMapping]:
    """All versions of a lineage, oldest first."""
    query = select(t.model_version).where(t.model_version.c.lineage == lineage)
    return list(s.conn.execute(query.order_by(t.model_version.c.at, t.model_version.c.digest)).mappings())


def removable_versions(s: DeskSession, lineage: str) -> tuple[list[RowMapping], list[RowMapping]]:
    """(versions that can go, old versions that must stay): adapters in use stand on the models below them."""
    alias, root = alias_row(s, lineage), s.desk.folder
    paths = s.conn.execute(select(t.model_alias.c.path)).scalars().all()  # of all models: they may share a folder
    needed = {folder for path in paths for folder in (place(root, path).resolve(), *bases_below(root, path))}
    old = [v for v in versions(s, lineage) if v["digest"] != alias["digest"] and v["purged_at"] is None]
    stays = [v for v in old if place(s.desk.folder, v["path"]).resolve() in needed]
    return [v for v in old if v not in stays], stays


def folders_in_use(s: DeskSession) -> list[Path]:
    """Folders of models that no clearing may delete: those in use, what they stand on, and versions that are kept."""
    root = s.desk.folder
    aliases = s.conn.execute(select(t.model_alias.c.path)).scalars().all()
    versions_here = (
        s.conn.execute(select(t.model_version.c.path).where(t.model_version.c.purged_at.is_(None))).scalars().all()
    )
    below = [folder for path in aliases for folder in bases_below(root, path)]
    return list(dict.fromkeys([*(place(root, path).resolve() for path in (*aliases, *versions_here)), *below]))


def first_of_chain(root: Path, path: str) -> Path | None:
    """The model before the first run of a chain; None once one of its models was purged, which an audit can do without.

    Args:
        root: the desk's folder.
        path: the model that the last run made.
    """
    from expunge.models.run_file import RUN, read_run_file
    from expunge.models.source import base_of_run

    below: list[Path] = []
    folder = place(root, path).resolve()
    while (folder / RUN).is_file() and folder not in below:
        below.append(folder)
        folder = Path(base_of_run(folder, read_run_file(folder))).resolve()
    return folder if folder.exists() and folder not in below else None


def bases_below(root: Path, path: str) -> list[Path]:
    """The models on which a model stands, nearest first; empty for a whole model."""
    from expunge.models.run_file import RUN, read_run_file
    from expunge.models.source import base_of_run

    below: list[Path] = []
    folder = place(root, path).resolve()
    while (folder / RUN).is_file() and not (folder / "model").is_dir():
        about: dict[str, Any] = read_run_file(folder)
        folder = Path(base_of_run(folder, about)).resolve()
        if folder in below:
            break
        below.append(folder)
    return below
