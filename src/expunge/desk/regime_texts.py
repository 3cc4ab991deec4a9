"""The rules under which requests were opened, kept by their digest: a file that is changed or removed changes none."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Column, Connection, RowMapping, String, Table, Text, insert, select

from expunge._io import digest as digest_of
from expunge._validation import validate
from expunge.desk.log_tables import AT, DIGEST, META
from expunge.desk.regime import KIND, Regime, load_regime, regime_names
from expunge.desk.roles import Refusal
from expunge.errors import InputError

regime_text = Table(
    "regime_text",
    META,
    Column("digest", DIGEST, primary_key=True),
    Column("key", String(60), nullable=False),
    Column("content", Text, nullable=False),
    Column("at", AT, nullable=False),
)
SHOWN = 5  # references that a line names


class LostRules(Refusal):
    """The rules of a request are neither kept nor in their file."""

    def __init__(self, key: str, digest: str) -> None:
        what = f"is not the one under which a request was opened (SHA-256 {digest[:16]}…)"
        super().__init__(f"policy {key}", what, "restore its file as it was", kind="conflict")
        self.key, self.digest = key, digest

    def __reduce__(self) -> tuple[type[LostRules], tuple[str, str]]:  # type: ignore[override]
        return type(self), (self.key, self.digest)


def keep_rules(conn: Connection, rules: Regime, at: str) -> None:
    """Keep rules under their digest, unless they are."""
    if conn.execute(select(regime_text.c.digest).where(regime_text.c.digest == rules.digest)).first() is None:
        content = json.dumps(rules.model_dump(mode="json"), ensure_ascii=False, sort_keys=True)
        conn.execute(insert(regime_text).values(digest=rules.digest, key=rules.key, content=content, at=at))


def rules_of(conn: Connection, folder: Path, key: str, digest: str) -> Regime:
    """The rules under which a request was opened.

    Args:
        conn: a transaction.
        folder: the desk's own policies, for requests of a version that kept no rules.
        key: `name@version`.
        digest: of the rules.

    Raises:
        LostRules: they are not kept, or were changed in the database, and the file is another or gone.
    """
    content = conn.execute(select(regime_text.c.content).where(regime_text.c.digest == digest)).scalar()
    rules = _read(content, digest) if content is not None else None
    if rules is None and (rules := _in_file(key, digest, folder)) is None:
        raise LostRules(key, digest)
    return rules


@lru_cache(maxsize=64)
def _read(content: str, digest: str) -> Regime | None:
    """Rules from their text; None for one that was changed."""
    try:
        raw = json.loads(content)
        return validate(Regime, raw, KIND) if digest_of(raw) == digest else None
    except (ValueError, InputError):
        return None


def is_whole(row: RowMapping) -> bool:
    """Whether a kept text is that of its digest and key."""
    rules = _read(row["content"], row["digest"])
    return rules is not None and rules.key == row["key"]


def _in_file(key: str, digest: str, folder: Path) -> Regime | None:
    try:
        rules = load_regime(key, folder)
    except InputError:
        return None
    return rules if rules.digest == digest else None


def keep_open_rules(conn: Connection, folder: Path, at: str) -> list[str]:
    """Keep the rules of requests of a version that kept none; returns a line for each set of rules that is lost."""
    lines = []
    for key, digest in _used(conn, without_text=True):
        if (rules := _in_file(key, digest, folder)) is not None:
            keep_rules(conn, rules, at)
        else:
            lines.append(f"{LostRules(key, digest)}; until then these requests wait: {_named(conn, key, digest)}")
    return lines


def rule_problems(conn: Connection, folder: Path) -> list[str]:
    """Where the rules of open requests are lost, or stand otherwise in their file."""
    lines = []
    for key, digest in _used(conn):
        try:
            rules = rules_of(conn, folder, key, digest)
        except LostRules as error:
            lines.append(f"{error}; these requests wait: {_named(conn, key, digest)}")
            continue
        if key not in regime_names(folder):
            continue  # the file is gone, and the rules are kept
        try:
            changed = load_regime(key, folder) != rules
        except InputError as error:
            lines.append(str(error))
            continue
        if changed:
            what = f"policy {key}: its file was changed, and these requests keep the rules of before"
            lines.append(f"{what}: {_named(conn, key, digest)}; undo it, and save the change as the next version")
    return lines


def _used(conn: Connection, *, without_text: bool = False) -> list[tuple[str, str]]:
    """(key, digest) of the rules of requests whose record period is not over."""
    from expunge.desk.tables import request

    query = select(request.c.regime, request.c.regime_digest).where(request.c.records_ended_at.is_(None)).distinct()
    if without_text:
        query = query.where(request.c.regime_digest.not_in(select(regime_text.c.digest)))
    return [(row[0], row[1]) for row in conn.execute(query.order_by(request.c.regime, request.c.regime_digest))]


def _named(conn: Connection, key: str, digest: str) -> str:
    """References of the requests of these rules, the first few."""
    from expunge.desk.tables import request

    here = (request.c.regime == key, request.c.regime_digest == digest, request.c.records_ended_at.is_(None))
    names = list(conn.execute(select(request.c.reference).where(*here).order_by(request.c.reference)).scalars())
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
