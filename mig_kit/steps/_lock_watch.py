"""Watch the locks of a statement that runs outside of any transaction, from a second connection while it runs."""

from __future__ import annotations

import contextlib
import threading
import time

import psycopg

from mig_kit.hazards.locks import LockMode
from mig_kit.postgres import Connection, ConnectionInfo, connect
from mig_kit.postgres.observe import locks_of

__all__ = ["LockWatch"]

_PAUSE_S = 0.001


class LockWatch:
    """Poll what one backend holds, as often as it can be asked, from ``start`` to ``stop``."""

    def __init__(self, info: ConnectionInfo) -> None:
        self._info = info
        self._conn: Connection | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._seen: dict[tuple[str, LockMode], list[float]] = {}

    def start(self, pid: int) -> None:
        """Begin with a backend; returns once it was asked for the first time."""
        self.stop()
        if self._conn is None:
            self._conn = connect(self._info, application_name="mig_kit lock watch")
        self._seen, began = {}, time.perf_counter()
        ready, self._stopped = threading.Event(), threading.Event()
        args = (self._conn, pid, began, ready, self._stopped)
        self._thread = threading.Thread(target=self._poll, args=args, name="mig_kit-lock-watch", daemon=True)
        self._thread.start()
        ready.wait(5.0)

    def stop(self) -> list[tuple[str, LockMode, float, float]]:
        """End, and return each lock that was seen held: relation, mode, since the start and for how long, in ms."""
        if self._thread is None:
            return []
        self._stopped.set()
        self._thread.join()
        self._thread = None
        return [
            (name, mode, first, last - first) for (name, mode), (first, last) in sorted(self._seen.items(), key=str)
        ]

    def close(self) -> None:
        """End, and close the connection."""
        self.stop()
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _poll(self, conn: Connection, pid: int, began: float, ready: threading.Event, stopped: threading.Event) -> None:
        with contextlib.suppress(psycopg.Error):  # what was seen until then counts
            while not stopped.is_set():
                now = (time.perf_counter() - began) * 1000
                for lock in locks_of(conn, pid):
                    # A relation that the statement makes has no name yet, only its number.
                    if lock.granted and not lock.relation.isdigit():
                        self._seen.setdefault((lock.relation, LockMode.parse(lock.mode)), [now, now])[1] = now
                ready.set()
                stopped.wait(_PAUSE_S)
        ready.set()
