"""Watch over a migration from a second connection: who is in its way, whom it keeps waiting, what it is at."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import datetime

import psycopg

from mig_kit.errors import MigKitError
from mig_kit.postgres import Connection, ConnectionInfo, connect
from mig_kit.postgres.blockers import HowToEnd, LockQueue, Session, end_session, lock_queue
from mig_kit.postgres.doing import what_it_does

__all__ = ["ApplyWatch"]

# Whoever is to be ended gets that long to end by itself.
_PATIENCE_S = 0.3
_DOING_EVERY_S = 1.0


class ApplyWatch:
    """Look at the migrating backend several times a second, in a thread, and say what is to be seen.

    ``say`` gets one sentence whenever it changed, and every second while the backend works, in the thread. A statement
    that runs CONCURRENTLY has no lock timeout: once it has waited longer than ``give_up_after_s``, and longer than it
    worked before, it is cancelled. Sessions are ended only with ``end_blockers``, all or those named by their keys, and
    none that waits itself; each is told to ``ended``.
    """

    def __init__(
        self,
        info: ConnectionInfo,
        say: Callable[[str], object],
        *,
        every_s: float = 0.2,
        give_up_after_s: float = 300.0,
        end_blockers: bool | frozenset[tuple[int, datetime | None]] = False,
        ended: Callable[[str], object] | None = None,
    ) -> None:
        self.reason = ""
        self._info = info
        self._say = say
        self._every = every_s
        self._limit = give_up_after_s
        self._end_blockers = end_blockers
        self._ended = ended
        self._lock = threading.Lock()
        self._met: dict[int, str] = {}
        self._stop = threading.Event()
        self._pid = 0
        self._concurrent_since = 0.0
        self._waiting_since = 0.0
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="mig_kit apply watch", daemon=True)

    def start(self, pid: int) -> None:
        """Begin to watch a backend."""
        self._pid = pid
        if not self._thread.is_alive():
            self._thread.start()

    def concurrent(self, runs: bool) -> None:
        """Note that a statement without a lock timeout begins, or has ended."""
        self._concurrent_since = time.monotonic() if runs else 0.0
        if runs:
            self.reason = ""

    def met(self) -> dict[int, str]:
        """Return who was in the way since the last call: server process → in words."""
        with self._lock:
            found, self._met = self._met, {}
        return found

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            # A watch that fails stops nothing; it looks again when it can.
            with (
                contextlib.suppress(MigKitError, psycopg.Error),
                contextlib.closing(connect(self._info, application_name="mig_kit watch")) as conn,
            ):
                self._look_until_stopped(conn)
            self._stop.wait(1.0)

    def _look_until_stopped(self, conn: Connection) -> None:
        looked = 0.0
        while not self._stop.wait(self._every):
            queue = lock_queue(conn, self._pid)
            if queue:
                self._note(queue)
                self._waiting_since = self._waiting_since or time.monotonic()
                self._tell(_in_words(queue))
                self._act(conn, queue)
            else:
                self._waiting_since = 0.0
                if time.monotonic() - looked > _DOING_EVERY_S:
                    looked = time.monotonic()
                    self._said = ""  # the time goes on, so it is told again
                    behind = f"; {_waiting(queue)}" if queue.behind else ""
                    self._tell((what_it_does(conn, self._pid) or "it runs") + behind)

    def _note(self, queue: LockQueue) -> None:
        with self._lock:
            for each in queue.blockers:
                self._met.setdefault(each.pid, str(each))

    def _tell(self, words: str) -> None:
        if words != self._said:
            self._say(words)
        self._said = words

    def _act(self, conn: Connection, queue: LockQueue) -> None:
        """End blockers where that was asked for, and a statement that has waited for too long."""
        now = time.monotonic()
        waited = now - self._waiting_since
        if self._end_blockers and waited >= _PATIENCE_S:
            for each in queue.roots:
                if each.kind == "client backend" and self._is_to_end(each):
                    self._end(conn, each)
        if not self._concurrent_since:
            return
        worked = self._waiting_since - self._concurrent_since
        if waited > max(self._limit, worked):
            self.reason = f"it has waited for {waited:.0f} s: {_in_words(queue)}."
            conn.execute("SELECT pg_cancel_backend(%s)", (self._pid,))

    def _is_to_end(self, session: Session) -> bool:
        chosen = self._end_blockers
        return chosen if isinstance(chosen, bool) else session.key in chosen

    def _end(self, conn: Connection, session: Session) -> None:
        # What is idle in a transaction does not hear a cancel.
        how = HowToEnd.CANCEL if session.state == "active" else HowToEnd.TERMINATE
        if end_session(conn, session, how) and self._ended is not None:
            self._ended(f"{how.value}: {session}")


def _in_words(queue: LockQueue) -> str:
    first = (queue.roots or queue.blockers)[0]
    more = len(queue.blockers) - 1
    others = f" and {more} more" if more else ""
    behind = f"; {_waiting(queue)}" if queue.behind else ""
    return f"waiting for a lock of {first}{others}{behind}"


def _waiting(queue: LockQueue) -> str:
    count = len(queue.behind)
    return f"{count} other session{'s' if count != 1 else ''} wait{'s' if count == 1 else ''} behind it"
