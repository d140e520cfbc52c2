"""What a session writes down of the database it changes, so that a later one can tell what became of it."""

from __future__ import annotations

import hashlib
from typing import Any

import psycopg

from mig_kit import errors
from mig_kit.postgres import Connection
from mig_kit.postgres.identity import identify
from mig_kit.steps.schema_mark import mark_schema

__all__ = ["anchor", "database_facts", "schema_digest"]


def database_facts(conn: Connection) -> dict[str, Any]:
    """Return which database this is and since when its server runs, as an apply announces it."""
    identity = identify(conn)
    row = conn.execute("SELECT pg_postmaster_start_time()::text").fetchone()
    started = row[0] if row else ""
    return {"system": identity.system, "oid": identity.oid, "database": identity.name, "server_started": started}


def anchor(conn: Connection, xid: str) -> bool:
    """Make sure that no other transaction will ever bear this number, also after a crash of the server.

    A number that never reached the disk is given out again. So something with a later number is flushed there, before
    the transaction does anything: a message in the write-ahead log, which nobody has to read. False where this role may
    not.
    """
    try:
        with conn.transaction():
            conn.execute("SET LOCAL synchronous_commit = local")
            conn.execute("SELECT pg_logical_emit_message(true, 'mig_kit', %s)", (f"announced {xid}",))
    except psycopg.Error:
        return False
    return True


def schema_digest(conn: Connection) -> str:
    """Return one hash of the whole schema, '' where it cannot be read within some seconds."""
    try:
        marks = mark_schema(conn)
    except (psycopg.Error, errors.MigKitError):
        return ""
    return hashlib.sha256(repr(sorted(marks.items())).encode()).hexdigest()[:16]
