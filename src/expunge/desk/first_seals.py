"""Digests of the rows of a database whose log holds none yet, because an earlier version of expunge wrote it."""

from __future__ import annotations

from sqlalchemy import Connection, select

from expunge.desk.event_log import append, read_head
from expunge.desk.log_tables import META, applied, event_log
from expunge.desk.names import moment
from expunge.desk.roles import SYSTEM
from expunge.desk.row_seals import FIELD, FIRST_TYPE, STEPS, is_sealed, row_digest, row_key, seal_text, sealed_columns

MANY = 1000  # rows that one row of the log tells of


def seal_all(conn: Connection) -> None:
    """Add rows to the log with the digests of all rows, and with all event ids, as they are now.

    They bear the time of the row before them: a migration has no clock. Nothing happens to an empty log, and to one
    that holds digests: whoever puts the number of the schema back has no row sealed that came from nowhere.
    """
    head = read_head(conn)
    if not head.seq or conn.execute(select(event_log.c.seq).where(event_log.c.body.contains(f'"{FIELD}":'))).first():
        return
    now = moment(conn.execute(select(event_log.c.at).where(event_log.c.seq == head.seq)).scalar_one())
    for table in META.sorted_tables:
        if not is_sealed(table.name):
            continue
        rows = conn.execute(select(*(table.c[name] for name in sealed_columns(table)))).mappings()
        for part in rows.partitions(MANY):
            seals = {row_key(table, row): seal_text(None, row_digest(table, row)) for row in part}
            append(conn, now, SYSTEM, FIRST_TYPE, {FIELD: {table.name: seals}})
    for few in conn.execute(select(applied.c.event_id, applied.c.seq)).tuples().partitions(MANY):
        append(conn, now, SYSTEM, FIRST_TYPE, {FIELD: {}, STEPS: dict(few)})
