"""Why a connection was not made.

libpq hands out the text of a refusal, in the server's language, but not its SQLSTATE. Its protocol trace does
show it (libpq 18, on Linux), so a refused connection is tried once more with the trace on. Where that is not
to be had, English text is the fallback, and a text that is not understood is passed on as it is.
"""

from __future__ import annotations

import os
import re
import select
import time
from dataclasses import dataclass

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from mig_kit.errors import DatabaseError, DatabaseNotFound, ServerUnreachable, WrongPassword
from mig_kit.postgres.info import ConnectionInfo

__all__ = ["explain", "first_line"]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """The server's answer: ``sqlstate`` is '' where nothing tells it."""

    sqlstate: str
    by_pg_hba: bool = False


def explain(info: ConnectionInfo, error: psycopg.Error, timeout: int) -> DatabaseError:
    """Return the error that says why there is no connection; may take ``timeout`` seconds once more."""
    text = _server_text(str(error))
    where = info.address
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return _unreachable(where, f"no answer within {timeout} s")
    if isinstance(error, psycopg.ProgrammingError):  # libpq did not even try
        message = f"The connection settings for {where} cannot be used: {text}."
        return DatabaseError(message, hint=_CHECK_OPTIONS)
    if error.pgconn and error.pgconn.needs_password:
        return WrongPassword(
            f"The server at {where} asks for the password of the user {info.user!r}, and none was given.",
            hint="set PASSWORD in the project's DATABASES, or in the .env file it reads",
        )
    conninfo = make_conninfo("", **{"connect_timeout": timeout, **info.params()})
    refusal = _Refusal(error.sqlstate) if error.sqlstate else _traced(conninfo, timeout) or _in_english(text)
    match refusal.sqlstate:
        case "28P01":
            return _wrong_password(info)
        case "28000" if not refusal.by_pg_hba:
            return _wrong_password(info, text)
        case "3D000":
            return DatabaseNotFound(
                f"The server at {where} has no database {info.dbname or info.user!r}.",
                hint="check NAME in the project's DATABASES, or create the database",
            )
        case "57P03":
            return _unreachable(where, text)
        case "":
            # Whether anything is there at all; "prefer", for a demand for SSL may be all that failed.
            plain = make_conninfo(conninfo, sslmode="prefer", channel_binding="prefer")
            if pq.PGconn.ping(plain.encode()) in (pq.Ping.NO_RESPONSE, pq.Ping.REJECT):
                return _unreachable(where, text)
    hint = _HINTS.get(refusal.sqlstate, _CHECK_OPTIONS)
    return DatabaseError(f"The server at {where} refused the connection: {text}.", hint=hint)


def first_line(error: psycopg.Error) -> str:
    """Return the server's message, or the first line of libpq's, to stand inside a sentence."""
    return (error.diag.message_primary or str(error).strip().partition("\n")[0]).rstrip(".")


_CHECK_OPTIONS = "check the project's DATABASES, OPTIONS among them, against what the server asks for"
_HINTS = {
    "28000": "ask for a line in the server's pg_hba.conf for this user, database and address, or set sslmode",
    "42501": "grant the user CONNECT on the database, or use another user",
    "53300": "close other connections, or raise max_connections",
}


def _unreachable(where: str, why: str) -> ServerUnreachable:
    return ServerUnreachable(
        f"No PostgreSQL server answers at {where}: {why}.",
        hint="start the server, or check HOST and PORT in the project's DATABASES",
    )


def _wrong_password(info: ConnectionInfo, text: str = "") -> WrongPassword:
    why = f": {text}" if text else " or their password"
    return WrongPassword(
        f"The server at {info.address} refuses the user {info.user!r}{why}.",
        hint="check USER and PASSWORD in the project's DATABASES, or in the .env file it reads",
    )


def _server_text(text: str) -> str:
    """Reduce libpq's text to the reason: the last attempt's, on one line, without the address."""
    last = text.strip().split("connection to server ")[-1]
    last = last.split("failed: ", 1)[-1]
    lines = [line.strip() for line in last.splitlines() if line.strip()]
    first = lines[0] if lines else "no reason given"
    return re.sub(r"^[^\W\d_]+:\s+", "", first).rstrip(".")


def _traced(conninfo: str, timeout: int) -> _Refusal | None:
    """Connect once more and read the SQLSTATE off the trace; None when there is no trace or no refusal in it.

    The trace holds what was sent, the answer to the password question too, so it only ever lives in memory.
    """
    if not hasattr(os, "memfd_create"):
        return None
    with os.fdopen(os.memfd_create("mig_kit-trace"), "w+b") as trace:
        conn = pq.PGconn.connect_start(conninfo.encode())
        try:
            conn.trace(trace.fileno())
            _poll(conn, time.monotonic() + timeout)
            conn.untrace()
        except psycopg.Error:
            return None
        finally:
            conn.finish()
        trace.seek(0)
        answers = re.findall(rb'\tErrorResponse\t.* C "(\w{5})".*? R "(\w+)"', trace.read())
    if not answers:
        return None
    sqlstate, routine = answers[-1]
    # The C function that reports what pg_hba.conf rejects; it shares its SQLSTATE with an unknown role.
    return _Refusal(sqlstate.decode(), routine == b"ClientAuthentication")


def _poll(conn: pq.abc.PGconn, deadline: float) -> None:
    while (left := deadline - time.monotonic()) > 0:
        status = conn.connect_poll()
        if status == pq.PollingStatus.READING:
            select.select([conn.socket], [], [], left)
        elif status == pq.PollingStatus.WRITING:
            select.select([], [conn.socket], [], left)
        else:
            return


_ENGLISH = {
    r"password authentication failed for user": _Refusal("28P01"),
    r"no pg_hba\.conf entry|pg_hba\.conf rejects": _Refusal("28000", by_pg_hba=True),
    r"role \".*\" (does not exist|is not permitted to log in)": _Refusal("28000"),
    r"(Peer|Ident) authentication failed": _Refusal("28000"),
    r"database \".*\" does not exist": _Refusal("3D000"),
    r"the database system is (starting up|shutting down|not yet accepting|in recovery)": _Refusal("57P03"),
}


def _in_english(text: str) -> _Refusal:
    found = (refusal for pattern, refusal in _ENGLISH.items() if re.search(pattern, text))
    return next(found, _Refusal(""))
