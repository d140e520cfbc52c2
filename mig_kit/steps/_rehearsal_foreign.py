"""Foreign servers that a restored copy knows: they lead nowhere while migrations are rehearsed."""

from __future__ import annotations

import contextlib

from psycopg import sql

from mig_kit.postgres import ConnectionInfo, connect

__all__ = ["cut_off"]

_MAPPINGS = "SELECT srvname, coalesce(usename, '') FROM pg_user_mappings"
_SERVERS = """
    SELECT s.srvname, w.fdwname,
           ARRAY(SELECT split_part(each, '=', 1) FROM unnest(s.srvoptions) each)
    FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
"""


def cut_off(copy: ConnectionInfo) -> tuple[str, ...]:
    """Drop every user mapping of a copy, and let its PostgreSQL servers be found nowhere; say so, if there are any.

    A foreign table would else be written to where it really is, by the password that the backup holds.
    """
    with contextlib.closing(connect(copy)) as conn:
        servers = conn.execute(_SERVERS).fetchall()
        for server, user in conn.execute(_MAPPINGS).fetchall():
            who = sql.Identifier(user) if user else sql.SQL("PUBLIC")
            conn.execute(sql.SQL("DROP USER MAPPING FOR {} SERVER {}").format(who, sql.Identifier(server)))
        for server, wrapper, options in servers:
            if wrapper in ("postgres_fdw", "dblink_fdw"):
                word = sql.SQL("SET" if "host" in options else "ADD")
                statement = sql.SQL("ALTER SERVER {} OPTIONS ({} host '/withheld by the rehearsal')")
                conn.execute(statement.format(sql.Identifier(server), word))
    if not servers:
        return ()
    return (f"Foreign servers cannot be reached: {', '.join(sorted(row[0] for row in servers))}.",)
