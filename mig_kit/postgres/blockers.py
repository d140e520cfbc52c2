"""Who keeps a backend waiting, and whom it keeps waiting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

import psycopg

from mig_kit.errors import DatabaseError
from mig_kit.postgres.connection import Connection
from mig_kit.postgres.literals import without_literals
from mig_kit.postgres.refusal import first_line

__all__ = ["Holding", "HowToEnd", "LockQueue", "Session", "end_session", "lock_queue", "sessions_on_tables"]

# pg_locks, which everyone may read, tells who waits; pg_stat_activity shows other roles' waits to few.
_EDGES = "SELECT pid, pg_blocking_pids(pid) FROM (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted) waiting"

_SESSIONS = """
    SELECT pid, coalesce(usename, ''), coalesce(application_name, ''), coalesce(host(client_addr), ''),
           coalesce(state, ''), coalesce(query, ''), backend_start, xact_start, query_start, backend_type,
           clock_timestamp()
    FROM pg_stat_activity WHERE pid = ANY(%s)
"""

_ON_TABLES = """
    SELECT l.pid, array_agg(DISTINCT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname
                                          ELSE n.nspname || '.' || c.relname END)
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid() AND c.relkind IN ('r', 'p', 'm')
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND a.application_name NOT LIKE 'mig_kit%'
    GROUP BY l.pid
"""

_PREPARED = "SELECT gid, owner, prepared FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared"


class HowToEnd(Enum):
    """How another session is made to give way."""

    CANCEL = "cancel"
    """End its statement: it gets an error and keeps its connection. One that is idle in a transaction does not hear."""

    TERMINATE = "terminate"
    """End its connection; its transaction is rolled back."""


@dataclass(frozen=True, slots=True)
class Session:
    """State who a server process works for and what it does.

    ``since``: when its transaction began, else its statement; None where this role may not see it. ``seconds``: how
    long ago that was. ``query``: its last statement with its literals masked. ``blocked_by``: the processes that it
    waits for itself. A prepared transaction has the ``pid`` 0 and its name as ``query``.
    """

    pid: int
    role: str
    application: str
    address: str
    state: str
    query: str
    since: datetime | None
    seconds: float | None
    started: datetime | None
    kind: str = "client backend"
    blocked_by: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.pid == 0:
            return f"the prepared transaction {self.query!r} of {self.role}"
        return f"process {self.pid} {self.words}" + (f": {self.query}" if self.query else "")

    @property
    def words(self) -> str:
        """Who it is and since when it does what."""
        who = ", ".join(each for each in (self.role, self.application, self.address) if each)
        if self.kind not in ("client backend", ""):
            who = self.kind
        since = f" since {self.since:%H:%M:%S} UTC ({self.seconds:.1f} s)" if self.since else ""
        return f"({who}), {self.state or 'active'}{since}"

    @property
    def key(self) -> tuple[int, datetime | None]:
        """What stands for this very session: a process number alone may be another's later."""
        return self.pid, self.started


@dataclass(frozen=True, slots=True)
class Holding:
    """Name a session and the tables it holds locks on."""

    session: Session
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LockQueue:
    """State who stands before a backend in the queue for a lock, and who behind it.

    ``blockers``: all it waits for, directly or through others, those that wait for nobody first. ``behind``: all that
    wait for it, directly or through others.
    """

    pid: int
    blockers: tuple[Session, ...] = ()
    behind: tuple[Session, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.blockers)

    @property
    def roots(self) -> tuple[Session, ...]:
        """Those at the head of the queue: they hold what is waited for, and wait for nobody themselves."""
        return tuple(each for each in self.blockers if not each.blocked_by)


def lock_queue(conn: Connection, pid: int) -> LockQueue:
    """Return who blocks a backend and whom it blocks, at this moment; read-only."""
    waits = {int(row[0]): tuple(dict.fromkeys(row[1])) for row in conn.execute(_EDGES).fetchall()}
    before = _closure(waits, pid)
    behind = {each for each in waits if each != pid and pid in _closure(waits, each)} - before
    known = _sessions(conn, {*before, *behind} - {0}, waits)
    if 0 in before:
        known[0] = _prepared(conn)
    found = sorted((known[each] for each in before if each in known), key=_head_first)
    return LockQueue(pid, tuple(found), tuple(known[each] for each in sorted(behind) if each in known))


def sessions_on_tables(conn: Connection) -> tuple[Holding, ...]:
    """Return who holds locks on tables of this database, mig_kit's own sessions left out; the longest first."""
    tables = {int(row[0]): tuple(row[1]) for row in conn.execute(_ON_TABLES).fetchall()}
    found = [Holding(session, tables[pid]) for pid, session in _sessions(conn, set(tables), {}).items()]
    return tuple(sorted(found, key=lambda each: -(each.session.seconds or 0.0)))


def end_session(conn: Connection, session: Session, how: HowToEnd) -> bool:
    """Cancel a session's statement or end its connection; False when it is gone already.

    Only the very session that was seen: its process number may be another's by now. Raises DatabaseError where this
    role may not.
    """
    if session.pid == 0:
        raise DatabaseError(
            f"The prepared transaction {session.query!r} belongs to no session that could be ended.",
            hint=f"its owner ends it: ROLLBACK PREPARED '{session.query}'",
        )
    function = "pg_cancel_backend" if how is HowToEnd.CANCEL else "pg_terminate_backend"
    statement = f"SELECT {function}(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start IS NOT DISTINCT FROM %s"
    try:
        row = conn.execute(statement.encode(), (session.pid, session.started)).fetchone()
    except psycopg.Error as error:
        raise DatabaseError(
            f"The session could not be ended: {first_line(error)}: {session}.",
            hint=f"ask a superuser or a member of pg_signal_backend: SELECT {function}({session.pid})",
        ) from error
    return bool(row and row[0])


def _closure(waits: Mapping[int, Iterable[int]], pid: int) -> set[int]:
    """Return everything that ``pid`` waits for, through others too."""
    found: set[int] = set()
    ahead = [pid]
    while ahead:
        for each in waits.get(ahead.pop(), ()):
            if each not in found and each != pid:
                found.add(each)
                ahead.append(each)
    return found


def _sessions(conn: Connection, pids: Iterable[int], waits: Mapping[int, tuple[int, ...]]) -> dict[int, Session]:
    found = {}
    for row in conn.execute(_SESSIONS, (list(pids),)).fetchall() if pids else ():
        pid, role, application, address, state, query, started, in_transaction, in_query, kind, now = row
        since = in_transaction or in_query
        found[pid] = Session(
            pid=pid,
            role=role,
            application=application,
            address=address,
            state=state,
            query=without_literals(query),
            since=since.astimezone(UTC) if since else None,
            seconds=(now - since).total_seconds() if since else None,
            started=started,
            kind=kind or "",
            blocked_by=waits.get(pid, ()),
        )
    return found


def _prepared(conn: Connection) -> Session:
    """Return the oldest prepared transaction: which of them blocks is not told."""
    row = conn.execute(_PREPARED).fetchone()
    gid, owner, when = row if row is not None else ("?", "?", None)
    return Session(0, owner, "", "", "prepared", gid, when, None, None)


def _head_first(session: Session) -> tuple[bool, float]:
    return bool(session.blocked_by), -(session.seconds or 0.0)
