"""Ask a server one thing and wait for no longer than that, whatever became of the connection."""

from __future__ import annotations

import select
import time

import psycopg
from psycopg import pq

from mig_kit.postgres.connection import Connection

__all__ = ["NoAnswer", "answer_within"]


class NoAnswer(Exception):
    """The server said nothing in time; the connection is of no use any more."""


def answer_within(conn: Connection, statement: str, seconds: float) -> tuple[str | None, ...]:
    """Return the first row of what a statement gives, as text; NoAnswer when none came within ``seconds``.

    psycopg's own ``execute`` waits for ever where a cut connection keeps silent. Raises psycopg.OperationalError with
    what the server or libpq said.
    """
    raw = conn.pgconn
    deadline = time.monotonic() + seconds
    row: tuple[str | None, ...] = ()
    raw.send_query(statement.encode())
    while True:
        unsent = raw.flush()
        left = max(0.0, deadline - time.monotonic())
        poll = select.poll()  # not select(): a kernel may have more than a thousand files open
        poll.register(raw.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
        poll.poll(left * 1000)
        raw.consume_input()
        while not raw.is_busy():
            result = raw.get_result()
            if result is None:
                return row
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                raise psycopg.OperationalError(result.get_error_message().strip())
            if result.ntuples:
                values = (result.get_value(0, column) for column in range(result.nfields))
                row = tuple(None if value is None else value.decode() for value in values)
        # Only now: a process that was busy elsewhere may find the answer long there.
        if not left:
            raise NoAnswer
