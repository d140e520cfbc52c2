"""The worker's own server process: what it runs can be cancelled, and its end waited for."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import psycopg

from mig_kit import errors
from mig_kit.postgres import Connection
from mig_kit.steps.target import Target

__all__ = ["WorkerBackend"]

# The very backend that was seen: its number may be another's by now.
_IT = "SELECT {}(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start IS NOT DISTINCT FROM %s"


class WorkerBackend:
    """Name the server process that migrates, seen through ``conn``; everything here makes a connection of its own."""

    def __init__(self, target: Target, pid: int, conn: Connection) -> None:
        self._target = target
        self._pid = pid
        row = conn.execute("SELECT backend_start FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
        self._started: Any = row[0] if row else None

    def cancel(self) -> None:
        """Cancel what it still runs: psycopg2 does not see a signal before the statement ends."""
        with contextlib.suppress(errors.DatabaseError, psycopg.Error):
            self._do("pg_cancel_backend")

    def outlive(self, seconds: float = 5.0) -> None:
        """Wait until it has ended, and end it: only then does the database say how things stand."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(errors.DatabaseError, psycopg.Error):
            while self._do("pg_terminate_backend") and time.monotonic() < deadline:
                time.sleep(0.1)

    def _do(self, function: str) -> bool:
        """Do something to it; False when it is gone."""
        with contextlib.closing(self._target.connect("apply")) as conn:
            return conn.execute(_IT.format(function).encode(), (self._pid, self._started)).fetchone() is not None
