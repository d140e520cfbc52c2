"""The database's side: connect, look, count, dump, and run a server of one's own.

Nothing here knows Django; a connection is described by :class:`ConnectionInfo`. psycopg is used throughout,
and PostgreSQL's own programs where they are the right tool.
"""

from __future__ import annotations

from mig_kit.postgres.binaries import Binaries, embedded_binaries, find_binaries
from mig_kit.postgres.catalog import (
    AppliedMigration,
    InvalidIndex,
    Table,
    applied_migrations_rows,
    count_rows,
    database_size,
    invalid_indexes,
    tables,
)
from mig_kit.postgres.connection import Connection, connect, server_version
from mig_kit.postgres.dumps import DumpResult, dump
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.query import QueryRows, read_only_query
from mig_kit.postgres.server import Server

__all__ = [
    "AppliedMigration",
    "Binaries",
    "Connection",
    "ConnectionInfo",
    "DumpResult",
    "InvalidIndex",
    "QueryRows",
    "Server",
    "Table",
    "applied_migrations_rows",
    "connect",
    "count_rows",
    "database_size",
    "dump",
    "embedded_binaries",
    "find_binaries",
    "invalid_indexes",
    "read_only_query",
    "server_version",
    "tables",
]
