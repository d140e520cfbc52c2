"""Open a connection, or say in one sentence why there is none."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import TupleRow

from mig_kit.errors import MigKitError
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.refusal import explain

__all__ = ["Connection", "connect", "server_version"]

Connection = psycopg.Connection[TupleRow]


def connect(
    info: ConnectionInfo,
    *,
    autocommit: bool = True,
    application_name: str = "mig_kit",
    connect_timeout: int = 10,
) -> Connection:
    """Connect and return a psycopg connection; the caller closes it.

    Statements are not prepared behind the scenes, so it also works through a transaction pooler.
    ``connect_timeout`` is in seconds. Raises ServerUnreachable, WrongPassword, DatabaseNotFound, or
    DatabaseError with the server's own message for any other refusal.
    """
    failure: MigKitError
    given: dict[str, Any] = {"connect_timeout": connect_timeout, "application_name": application_name}
    try:
        return psycopg.connect(
            **{**given, **info.params()},
            autocommit=autocommit,
            prepare_threshold=None,
            row_factory=_tuple_row,
        )
    except psycopg.Error as error:
        failure = explain(info, error, connect_timeout)
    # Raised out here so that psycopg's exception, whose pgconn knows the password, is not chained to it.
    raise failure


def server_version(conn: psycopg.Connection[Any]) -> tuple[int, int]:
    """Return the server's version as ``(major, minor)``: ``(18, 6)``."""
    return divmod(conn.info.server_version, 10000)


_tuple_row = psycopg.rows.tuple_row
