"""A user's own query, which may look and not touch."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from mig_kit.errors import QueryError
from mig_kit.postgres.connection import Connection, connect
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.refusal import first_line

__all__ = ["QueryRows", "read_only_query"]

# The statements that give rows. Others are refused before they are sent: COPY … TO PROGRAM, NOTIFY, SET and
# the like are not writes in PostgreSQL's eyes, so READ ONLY alone would let them through.
_READS = ("EXPLAIN", "SELECT", "SHOW", "TABLE", "VALUES", "WITH")


@dataclass(frozen=True, slots=True)
class QueryRows:
    """Hold what a query gave: columns, their types as PostgreSQL writes them, the rows, the time it took."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    duration_ms: float

    def __repr__(self) -> str:
        return f"<QueryRows {len(self.rows)} rows × {len(self.columns)} columns in {self.duration_ms:.0f} ms>"


def read_only_query(
    conn_info: ConnectionInfo,
    sql: str,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    timeout_s: float = 30,
) -> QueryRows:
    """Run one statement in a READ ONLY transaction that is rolled back, on a connection of its own.

    The server itself refuses every write, also from inside a function, and more than one statement. What a
    function does outside of transactions (ending other sessions, a dblink) it does not hold back: that is for
    the user's privileges. Placeholders are psycopg's (``%s``, ``%(name)s``), read only when ``params`` is
    given. All rows are fetched into memory. Raises QueryError with the place in the SQL, also after
    ``timeout_s`` seconds.
    """
    _check(sql, timeout_s)
    # closing, not `with conn`: that would commit at the end; a closed connection's transaction is rolled
    # back.
    with contextlib.closing(connect(conn_info)) as conn:
        cursor = conn.cursor()
        try:
            return _run(conn, cursor, sql, params, timeout_s)
        except psycopg.errors.QueryCanceled as error:
            raise QueryError(
                f"The query was ended, its limit being {timeout_s:g} s: {_reason(error)}.",
                hint="make it cheaper (EXPLAIN shows its plan), or give it a longer timeout_s",
            ) from error
        except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.ActiveSqlTransaction) as error:
            raise QueryError(
                f"The query would write, which a verification query must not: {_reason(error)}.",
                hint="nothing was changed; leave out what writes",
            ) from error
        except (psycopg.Error, ValueError, TypeError) as error:
            place = _place(error, _sent(cursor, sql))
            raise QueryError(f"The query failed: {_reason(error)}{place}.", hint=_hint(error)) from error


def _run(
    conn: Connection,
    cursor: psycopg.Cursor[TupleRow],
    sql: str,
    params: Sequence[Any] | Mapping[str, Any] | None,
    timeout_s: float,
) -> QueryRows:
    conn.execute("BEGIN READ ONLY")
    conn.execute("SELECT set_config('statement_timeout', %s, true)", (str(max(1, round(timeout_s * 1000))),))
    started = time.perf_counter()
    # A pipeline, because there psycopg always speaks the extended protocol, in which the server refuses a
    # second statement. Otherwise it chooses the simple one where there are no parameters: "COMMIT; DROP …"
    # would be two.
    with conn.pipeline():
        rows = cursor.execute(sql.encode(), params).fetchall()
    duration_ms = (time.perf_counter() - started) * 1000
    columns, result = cursor.description or [], cursor.pgresult
    modifiers = [result.fmod(i) for i in range(len(columns))] if result else []
    types = conn.execute(
        "SELECT format_type(t, m) FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY c (t, m, n) ORDER BY n",
        ([column.type_code for column in columns], modifiers),
    ).fetchall()
    return QueryRows(tuple(column.name for column in columns), tuple(row[0] for row in types), rows, duration_ms)


def _sent(cursor: psycopg.Cursor[TupleRow], sql: str) -> str:
    """Return the statement as the server got it, with $1 for a parameter: positions count in that one."""
    query = getattr(cursor, "_query", None)
    return query.query.decode() if query else sql


def _check(sql: str, timeout_s: float) -> None:
    if timeout_s <= 0:
        raise QueryError(f"A query cannot be given {timeout_s:g} s.", hint="choose a timeout_s above 0")
    if "\0" in sql:
        raise QueryError("The query holds a NUL character.", hint="remove it")
    first = _first_word(sql)
    if first not in _READS:
        what = f"begins with {first}" if first else "is empty"
        raise QueryError(
            f"The query {what}; a verification query reads: {', '.join(_READS)}.",
            hint="nothing was run; write it as a SELECT",
        )


def _first_word(sql: str) -> str:
    """Return the first keyword, in capitals, after white space, comments (they nest) and parentheses."""
    at, depth = 0, 0
    while at < len(sql):
        if sql.startswith("/*", at):
            depth, at = depth + 1, at + 2
        elif depth:
            depth, at = (depth - 1, at + 2) if sql.startswith("*/", at) else (depth, at + 1)
        elif sql.startswith("--", at):
            end = re.search(r"[\r\n]", sql[at:])
            at = at + end.end() if end else len(sql)
        elif sql[at] in " \t\r\n\f\v(":
            at += 1
        else:
            break
    word = re.match(r"\w+|.?", sql[at:])
    return word[0].upper() if word else ""


def _reason(error: BaseException) -> str:
    return first_line(error) if isinstance(error, psycopg.Error) else str(error).partition("\n")[0].rstrip(".")


def _place(error: BaseException, sent: str) -> str:
    if not isinstance(error, psycopg.Error) or not error.diag.statement_position:
        return ""
    return f" (at {_line_and_column(sent, int(error.diag.statement_position))})"


def _line_and_column(sql: str, position: int) -> str:
    before = sql[: position - 1]
    line = before.count("\n") + 1
    column = position - (before.rfind("\n") + 1)
    around = sql[position - 1 :].splitlines()
    near = around[0][:40] if around else ""
    return f"line {line}, column {column}" + (f": {near}" if near else "")


def _hint(error: BaseException) -> str:
    given = error.diag.message_hint if isinstance(error, psycopg.Error) else None
    if given:
        return given[0].lower() + given[1:].rstrip(".")
    if isinstance(error, psycopg.errors.UndefinedTable):
        return "check the table's name; rb.status() tells whether its migration has been applied"
    if "multiple commands" in str(error):
        return "nothing was changed; send one statement at a time"
    return "nothing was changed; correct the query"
