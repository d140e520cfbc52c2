"""What a database holds: tables and their sizes and rows, broken indexes, recorded migrations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from mig_kit.errors import DatabaseError
from mig_kit.postgres.connection import Connection
from mig_kit.postgres.refusal import first_line
from mig_kit.progress import Progress, ProgressCallback

__all__ = [
    "AppliedMigration",
    "InvalidIndex",
    "Table",
    "applied_migrations_rows",
    "count_rows",
    "database_size",
    "extension_tables",
    "invalid_indexes",
    "tables",
]


@dataclass(frozen=True, slots=True)
class Table:
    """State one table's name and size.

    ``size_bytes``: with its indexes and TOAST; 0 for a partitioned table, whose partitions are listed
    themselves.
    ``row_estimate``: the planner's, from the last ANALYZE or VACUUM; None while there was none.
    """

    schema: str
    name: str
    size_bytes: int
    row_estimate: int | None
    partitioned: bool = False

    @property
    def label(self) -> str:
        """Name it as ``schema.name``, unquoted."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class InvalidIndex:
    """Name an index that no query uses: what a failed CREATE INDEX CONCURRENTLY leaves.

    ``ready``: writes still keep it up (and pay for it), though reads ignore it.
    """

    schema: str
    name: str
    table: str
    ready: bool


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """State one row of ``django_migrations``."""

    id: int
    app: str
    name: str
    applied: datetime


_TABLES = """
    SELECT n.nspname AS schema, c.relname AS name,
           coalesce(pg_total_relation_size(c.oid), 0) AS size_bytes,
           CASE WHEN c.reltuples < 0 OR (c.reltuples = 0 AND c.relpages = 0) THEN NULL
                ELSE c.reltuples::bigint END AS row_estimate,
           c.relkind = 'p' AS partitioned
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    ORDER BY n.nspname, c.relname
"""

_INVALID = """
    SELECT n.nspname AS schema, c.relname AS name, t.relname AS "table", i.indisready AS ready
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT i.indisvalid AND n.nspname !~ '^pg_'
    ORDER BY n.nspname, c.relname
"""


def tables(conn: Connection) -> tuple[Table, ...]:
    """List the tables of every schema but the system's, by name; no temporary and no foreign ones.

    Waits behind whoever holds an ACCESS EXCLUSIVE lock on one of them, because its size needs that table.
    """
    with conn.cursor(row_factory=class_row(Table)) as cursor:
        return tuple(cursor.execute(_TABLES).fetchall())


def count_rows(
    conn: Connection, tables: Iterable[Table] | None = None, progress: ProgressCallback | None = None
) -> dict[str, int]:
    """Count every row of the given tables, or of all: ``{"schema.name": rows}``; reads the tables whole.

    The counts are of one moment only inside a REPEATABLE READ transaction. A table's count includes what
    inherits from it, as a query of it does. Raises DatabaseError naming the table that could not be read.
    """
    chosen = list(_all_tables(conn) if tables is None else tables)
    counts: dict[str, int] = {}
    for done, table in enumerate(chosen):
        if progress:
            progress(Progress("count", f"counting the rows of {table.label}", done, len(chosen), "tables"))
        statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.schema, table.name))
        try:
            row = conn.execute(statement).fetchone()
        except psycopg.Error as error:
            raise DatabaseError(
                f"The rows of {table.label} could not be counted: {first_line(error)}.",
                hint="give the user SELECT on every table, or name the tables to count",
            ) from error
        counts[table.label] = int(row[0]) if row else 0
    return counts


def database_size(conn: Connection) -> int:
    """Return the size of the whole database on the server's disk, in bytes."""
    row = conn.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


def extension_tables(conn: Connection) -> frozenset[str]:
    """Return the tables that came with an extension, as ``schema.name``."""
    found = conn.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_depend d "
        "JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind IN ('r', 'p')"
    )
    return frozenset(row[0] for row in found)


def invalid_indexes(conn: Connection) -> tuple[InvalidIndex, ...]:
    """List the indexes that PostgreSQL marks as not valid, by schema and name."""
    with conn.cursor(row_factory=class_row(InvalidIndex)) as cursor:
        return tuple(cursor.execute(_INVALID).fetchall())


def applied_migrations_rows(conn: Connection) -> tuple[AppliedMigration, ...]:
    """Return ``django_migrations`` in the order of recording; empty when there is no such table."""
    there = conn.execute("SELECT to_regclass('django_migrations') IS NOT NULL").fetchone()
    if not there or not there[0]:
        return ()
    with conn.cursor(row_factory=class_row(AppliedMigration)) as cursor:
        return tuple(cursor.execute("SELECT id, app, name, applied FROM django_migrations ORDER BY id").fetchall())


# Under another name where a parameter is called `tables`.
_all_tables = tables
