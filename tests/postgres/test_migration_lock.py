"""The lock on migrating a database: on the embedded PostgreSQL 18, held, refused, lost."""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from psycopg import sql

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, Server, connect
from mig_kit.postgres.lock_holder import find_holder
from mig_kit.postgres.migration_lock import RUNNER_CLASS, MigrationLock
from mig_kit.secret import Secret
from tests.proxy import Proxy, proxied
from tests.servers import fresh_database


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for a condition and return how long that took, in seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def test_a_second_session_is_told_who_holds_it_since_when_and_from_where(database: ConnectionInfo) -> None:
    with MigrationLock.acquire(database, "apply") as lock:
        assert lock.held
        with closing(connect(database)) as conn:
            wait_until(lambda: bool((found := find_holder(conn, RUNNER_CLASS, lock.key)) and found.process), 5)
        with pytest.raises(errors.GateClosed) as caught:
            MigrationLock.acquire(database)
        assert caught.value.gate == "nobody else migrating"
        said = f"{getpass.getuser()}@{socket.gethostname()} process {os.getpid()} (apply) since 20"
        assert caught.value.message.startswith(f"Another session migrates this database: {said}")
        assert caught.value.message.endswith(
            f" UTC, from 127.0.0.1, as the role 'postgres', server process {lock.backend_pid}."
        )
        assert f"SELECT pg_terminate_backend({lock.backend_pid})" in caught.value.hint
        assert lock.held
    assert not lock.held


def test_it_is_free_at_once_when_it_was_given_back(database: ConnectionInfo) -> None:
    """Closing the connection freed it a moment later: an apply right after another was refused now and then."""
    for _ in range(20):
        with MigrationLock.acquire(database):
            pass


def test_another_database_is_not_locked(database: ConnectionInfo, server: Server) -> None:
    other = fresh_database(server, "lock_other")
    with MigrationLock.acquire(database), MigrationLock.acquire(other) as lock:
        assert lock.held
    server.drop_database("lock_other")


@pytest.fixture
def nobody(database: ConnectionInfo, server: Server) -> Iterator[ConnectionInfo]:
    """A role that may see no other role's activity."""
    with connect(server.info) as conn:
        conn.execute("DROP ROLE IF EXISTS lock_nobody")
        conn.execute("CREATE ROLE lock_nobody LOGIN PASSWORD 'nobody-s'")
    yield ConnectionInfo(database.host, database.port, database.dbname, "lock_nobody", Secret("nobody-s"))
    with connect(server.info) as conn:
        conn.execute("DROP ROLE lock_nobody")


def test_a_role_that_may_see_nothing_is_still_told_a_name(database: ConnectionInfo, nobody: ConnectionInfo) -> None:
    with MigrationLock.acquire(database, "rollback"), pytest.raises(errors.GateClosed) as caught:
        MigrationLock.acquire(nobody)
    assert f"mig_kit rollback {os.getpid()} {getpass.getuser()}@" in caught.value.message


def test_twenty_at_once_and_one_gets_it(database: ConnectionInfo) -> None:
    got: list[MigrationLock] = []
    refused: list[errors.GateClosed] = []
    gate = threading.Barrier(20)

    def run() -> None:
        gate.wait()
        try:
            got.append(MigrationLock.acquire(database))
        except errors.GateClosed as exc:
            refused.append(exc)

    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 19)
    got[0].release()


def test_an_ended_backend_is_noticed_within_two_seconds(database: ConnectionInfo) -> None:
    told: list[str] = []
    with MigrationLock.acquire(database, on_lost=told.append) as lock:
        with closing(connect(database)) as conn:
            conn.execute("SELECT pg_terminate_backend(%s)", [lock.backend_pid])
        assert wait_until(lambda: not lock.held, 2) < 2
        wait_until(lambda: bool(told), 1)
        assert "terminating connection due to administrator command" in told[0]
        assert repr(lock).startswith("<MigrationLock lost: ")
    with MigrationLock.acquire(database) as again:
        assert again.held


@pytest.fixture
def proxy(database: ConnectionInfo) -> Iterator[Proxy]:
    """A wire that a test can cut."""
    with proxied(database) as made:
        yield made


def test_a_cut_connection_is_noticed_within_two_seconds(proxy: Proxy) -> None:
    told: list[str] = []
    with MigrationLock.acquire(proxy.info, on_lost=told.append) as lock:
        proxy.cut()
        assert wait_until(lambda: bool(told), 2) < 2
        assert not lock.held
        assert "server closed the connection unexpectedly" in told[0]


def test_a_server_that_falls_silent_is_noticed_within_two_seconds(proxy: Proxy) -> None:
    """A connection whose other end is unplugged gives no error for hours: only the heartbeat tells."""
    told: list[str] = []
    with MigrationLock.acquire(proxy.info, on_lost=told.append) as lock:
        proxy.freeze()
        assert wait_until(lambda: bool(told), 2.2) < 2.2
        assert told == ["the server has not answered for 1.5 s"]
        assert not lock.held


def test_it_stays_held_while_nothing_happens(database: ConnectionInfo) -> None:
    with connect(database) as conn:
        conn.execute(
            sql.SQL("ALTER DATABASE {} SET idle_session_timeout = 1500").format(sql.Identifier(database.dbname))
        )
    with MigrationLock.acquire(database) as lock:
        time.sleep(3)
        assert lock.held


def test_the_worker_of_a_session_that_died_is_waited_for_and_then_named(database: ConnectionInfo) -> None:
    with MigrationLock.acquire(database) as lock:
        fence = lock.fence
    with closing(connect(database, application_name="a worker")) as worker:
        worker.execute("SELECT pg_advisory_lock(%s, %s)", fence)
        with pytest.raises(errors.GateClosed) as caught:
            MigrationLock.acquire(database, worker_wait_s=0.3)
        assert caught.value.message.startswith(
            "The session that migrated this database is gone, but its connection still works there: a worker since "
        )
        threading.Timer(0.5, worker.close).start()
        with MigrationLock.acquire(database) as again:
            assert again.held
