"""One runner a database: an advisory lock on a connection of its own, watched by a heartbeat."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from types import TracebackType

import psycopg
from psycopg import pq

from mig_kit.errors import DatabaseError, GateClosed
from mig_kit.postgres.answer import NoAnswer, answer_within
from mig_kit.postgres.connection import Connection, connect
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.lock_holder import LockHolder, application_name, find_holder, payload, this_process
from mig_kit.postgres.refusal import first_line

__all__ = ["GATE", "RUNNER_CLASS", "WORKER_CLASS", "MigrationLock", "current_holder", "refuse_while_migrating"]

GATE = "nobody else migrating"

RUNNER_CLASS = 0x6D69676B
"""The first key of the lock that a session holds: "migk". The second stands for the database."""

WORKER_CLASS = RUNNER_CLASS + 1
"""The first key of the lock that the migrating connection itself holds, so that a dead session's worker is noticed."""

# A heartbeat every half second that has to be answered within another one and a half: a lost lock is known in two.
HEARTBEAT_S = 0.5
SILENCE_S = 1.5

# An oid has no sign and an advisory lock's key has one.
_KEY = "SELECT (oid::bigint - CASE WHEN oid::bigint > 2147483647 THEN 4294967296 ELSE 0 END)::int FROM pg_database "
_KEY += "WHERE datname = current_database()"


class MigrationLock:
    """Hold the right to migrate one database, on a connection that does nothing else, until ``release``.

    ``acquire`` makes one. When the lock is lost (the backend was ended, the connection cut, the server silent),
    ``held`` turns False within two seconds and ``on_lost`` is called once, in the heartbeat's thread, with the
    reason. While somebody holds the lock, others are told who it is: the holder's name is in its application_name,
    which everyone may read, and more in the comment of its query.
    """

    def __init__(
        self, conn: Connection, key: int, purpose: str, on_lost: Callable[[str], object] | None = None
    ) -> None:
        self.key = key
        self.lost = ""
        self._conn = conn
        self._pid = conn.info.backend_pid
        self._on_lost = on_lost
        self._last_words = ""
        conn.add_notice_handler(self._hear)
        self._beat = f"SELECT 1 {payload(this_process(purpose))}"
        self._reader, self._writer = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="mig_kit lock heartbeat", daemon=True)
        self._thread.start()

    @classmethod
    def acquire(
        cls,
        info: ConnectionInfo,
        purpose: str = "apply",
        *,
        on_lost: Callable[[str], object] | None = None,
        worker_wait_s: float = 5.0,
    ) -> MigrationLock:
        """Take the lock, or raise ``GateClosed`` that says who holds it, since when and from where.

        ``purpose``: one word that others get to read. ``worker_wait_s``: how long to wait for the worker of a session
        that died to end. Never waits for a session that lives.
        """
        conn = connect(info, application_name=application_name(purpose))
        try:
            row = conn.execute(_KEY).fetchone()
            assert row is not None
            key = int(row[0])
            _take(conn, key)
            _wait_for_worker(conn, key, worker_wait_s)
            return cls(conn, key, purpose, on_lost)
        except psycopg.Error as error:
            conn.close()
            raise DatabaseError(
                f"The lock on migrating {info.safe} could not be taken: {first_line(error)}.",
                hint="run the step again",
            ) from error
        except BaseException:
            conn.close()
            raise

    @property
    def held(self) -> bool:
        """Tell whether the lock is held, as far as the last heartbeat knows."""
        return not self.lost and not self._conn.closed

    @property
    def fence(self) -> tuple[int, int]:
        """The two keys of the advisory lock that the migrating connection has to hold itself."""
        return WORKER_CLASS, self.key

    @property
    def backend_pid(self) -> int:
        """The server process that holds the lock."""
        return self._pid

    def release(self) -> None:
        """Give the lock back; nothing happens when it is gone already."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            with contextlib.suppress(OSError):
                os.write(self._writer, b"x")
            self._thread.join()
        with contextlib.suppress(psycopg.Error, NoAnswer):
            if self.held:  # closing alone frees it a moment later, and the next step would be refused
                answer_within(self._conn, f"SELECT pg_advisory_unlock({RUNNER_CLASS}, {self.key})", SILENCE_S)
            self._conn.close()
        for end in (self._reader, self._writer):
            with contextlib.suppress(OSError):
                os.close(end)
        self._reader = self._writer = -1

    def __enter__(self) -> MigrationLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<MigrationLock {'held' if self.held else 'lost: ' + self.lost}, server process {self._pid}>"

    # The heartbeat's thread has the connection for itself from here on.

    def _watch(self) -> None:
        reason = ""
        try:
            while not reason:
                answer_within(self._conn, self._beat, SILENCE_S)
                ready = self._wait()
                if self._reader in ready:
                    return
                reason = self._gone() if ready else ""
        except NoAnswer:
            reason = f"the server has not answered for {SILENCE_S:g} s"
        except (psycopg.Error, OSError, ValueError) as error:
            reason = first_line(error) if isinstance(error, psycopg.Error) else str(error)
        self.lost = self._last_words or reason.partition("\n")[0] or "the connection ended"
        if self._on_lost is not None:
            self._on_lost(self.lost)

    def _wait(self) -> list[int]:
        """Wait until the next heartbeat is due; return what there is to read before that: the end, or news."""
        poll = select.poll()
        for descriptor in (self._reader, self._conn.pgconn.socket):
            poll.register(descriptor, select.POLLIN)
        return [descriptor for descriptor, _ in poll.poll(HEARTBEAT_S * 1000)]

    def _gone(self) -> str:
        """Read what came unasked: a reason when it was the end, nothing when it was only news."""
        raw = self._conn.pgconn
        raw.consume_input()
        raw.is_busy()  # makes libpq look at what it read
        return "" if raw.status == pq.ConnStatus.OK else raw.get_error_message().strip()

    def _hear(self, words: psycopg.errors.Diagnostic) -> None:
        """Keep why the server ends an idle connection: libpq takes that for a notice."""
        if words.severity_nonlocalized in ("FATAL", "PANIC"):
            self._last_words = words.message_primary or ""


def current_holder(conn: Connection) -> LockHolder | None:
    """Tell who migrates the database of this connection, or is left over from a session that did; takes no lock."""
    row = conn.execute(_KEY).fetchone()
    assert row is not None
    return find_holder(conn, RUNNER_CLASS, row[0]) or find_holder(conn, WORKER_CLASS, row[0])


def refuse_while_migrating(conn: Connection, worker_wait_s: float = 5.0) -> None:
    """Raise ``GateClosed`` that says who migrates the database of this connection, when somebody does; takes no lock.

    The worker of a session that died is waited for.
    """
    row = conn.execute(_KEY).fetchone()
    assert row is not None
    holder = find_holder(conn, RUNNER_CLASS, row[0])
    if holder is not None:
        raise _refused(holder)
    _wait_for_worker(conn, row[0], worker_wait_s)


def _take(conn: Connection, key: int) -> None:
    # The holder may have left between the try and the look.
    for _ in range(3):
        row = conn.execute("SELECT pg_try_advisory_lock(%s, %s)", (RUNNER_CLASS, key)).fetchone()
        if row is not None and row[0]:
            return
        holder = find_holder(conn, RUNNER_CLASS, key)
        if holder is not None:
            raise _refused(holder)
    raise GateClosed(
        "Other sessions keep taking the lock on migrating this database.", gate=GATE, hint="run the step again"
    )


def _wait_for_worker(conn: Connection, key: int, wait_s: float) -> None:
    """Wait until the worker of a session that died has ended: it may still be rolling back."""
    deadline = time.monotonic() + wait_s
    while (holder := find_holder(conn, WORKER_CLASS, key)) is not None:
        if time.monotonic() > deadline:
            raise GateClosed(
                f"The session that migrated this database is gone, but its connection still works there: {holder}.",
                gate=GATE,
                hint=f"wait until it has ended; if it hangs: SELECT pg_terminate_backend({holder.pid})",
            )
        time.sleep(0.1)


def _refused(holder: LockHolder) -> GateClosed:
    return GateClosed(
        f"Another session migrates this database: {holder}.",
        gate=GATE,
        hint="wait until it has ended; if its process is gone for good, "
        f"a superuser can free the lock: SELECT pg_terminate_backend({holder.pid})",
    )
