"""Readers and writers on one table while something happens to it, and how long they had to wait for locks."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from mig_kit.postgres import ConnectionInfo, connect

__all__ = ["Traffic", "long_transaction", "traffic"]

WORKERS = 8
_WAITED = re.compile(r"\[(\d+)\].*acquired \w+ on relation \d+ of database \d+ after ([\d.]+) ms")


@dataclass
class Traffic:
    """What the readers and writers saw: ``client_ms`` by their own clocks, a busy machine's delays included.

    ``lock_waits_ms``: by the server's log, which names each wait for a lock that was granted in the end: that is what
    somebody else's lock costs them, and nothing else.
    """

    client_ms: list[float] = field(default_factory=list)
    lock_waits_ms: list[float] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)
    queries: int = 0

    @property
    def longest_ms(self) -> float:
        """The longest that one of them waited for a lock."""
        return max(self.lock_waits_ms, default=0.0)


@contextmanager
def traffic(info: ConnectionInfo, admin: ConnectionInfo, table: str, log: Path) -> Iterator[Traffic]:
    """Let four read and four write a table, each its own rows, while the context lasts.

    ``admin``: a superuser's connection, so that the server writes each wait for a lock to its ``log``.
    """
    found = Traffic()
    stop = threading.Event()
    with closing(connect(admin)) as conn:
        for setting in ("log_lock_waits = on", "deadlock_timeout = '5ms'"):
            conn.execute(f'ALTER DATABASE "{info.dbname}" SET {setting}'.encode())
    began = log.stat().st_size
    ready = threading.Barrier(WORKERS + 1)
    threads = [
        threading.Thread(target=_work, args=(info, table, number, found, stop, ready)) for number in range(WORKERS)
    ]
    for thread in threads:
        thread.start()
    ready.wait(30)
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        with log.open("rb") as file:
            file.seek(began)
            for line in file.read().decode("utf-8", "replace").splitlines():
                match = _WAITED.search(line)
                if match and int(match[1]) in found.pids:
                    found.lock_waits_ms.append(float(match[2]))


def _work(
    info: ConnectionInfo, table: str, number: int, found: Traffic, stop: threading.Event, ready: threading.Barrier
) -> None:
    name = sql.Identifier(table)
    read = sql.SQL("SELECT * FROM {} WHERE id BETWEEN %s AND %s + 5").format(name)
    write = sql.SQL("UPDATE {} SET id = id WHERE id = %s").format(name)
    with closing(connect(info, application_name=f"traffic {number}")) as conn:
        found.pids.add(conn.info.backend_pid)
        ready.wait(30)
        while not stop.is_set():
            began = time.perf_counter()
            if number % 2:
                conn.execute(write, (number + 1,))
            else:
                conn.execute(read, (number * 10, number * 10))
            found.client_ms.append((time.perf_counter() - began) * 1000)
            found.queries += 1
            time.sleep(0.005)


@contextmanager
def long_transaction(info: ConnectionInfo, table: str, seconds: float) -> Iterator[None]:
    """Leave a transaction open that has read a table, for some seconds from now on."""
    with closing(connect(info, application_name="a long report")) as conn:
        conn.execute("BEGIN")
        conn.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table)))

        def end() -> None:
            with suppress(psycopg.Error):
                conn.close()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            yield
            timer.join()
        finally:
            timer.cancel()
