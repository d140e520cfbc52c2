"""The queue for a lock, seen from outside, on the embedded PostgreSQL 18 and a 15 where there is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from mig_kit import errors
from mig_kit.postgres import Connection, ConnectionInfo, Server, connect
from mig_kit.postgres.blockers import HowToEnd, LockQueue, end_session, lock_queue
from mig_kit.postgres.doing import what_it_does
from mig_kit.postgres.observe import backend_pid
from mig_kit.secret import Secret
from tests.servers import fresh_database

Open = Callable[..., Connection]


@pytest.fixture(params=["server18", "server15"])
def place(request: pytest.FixtureRequest) -> Iterator[ConnectionInfo]:
    server: Server = request.getfixturevalue(request.param)
    info = fresh_database(server, "queue")
    with connect(info) as conn:
        conn.execute("CREATE TABLE t AS SELECT g AS id, g AS n FROM generate_series(1, 1000) g")
    yield info
    server.drop_database("queue")


@pytest.fixture
def opened(place: ConnectionInfo) -> Iterator[Open]:
    """Open connections that are closed after the test, each under a name."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(closing(connect(place, application_name=name)))


def in_background(conn: Connection, statement: str) -> threading.Thread:
    def run() -> None:
        try:
            conn.execute(statement.encode())
        except psycopg.Error:
            pass  # cancelled or ended by the test

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def until(look: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def queue_of(look: Connection, conn: Connection) -> LockQueue:
    return lock_queue(look, conn.info.backend_pid)


def test_the_whole_chain_is_told_heads_first_and_who_stands_behind(opened: Open) -> None:
    look, holder, second, waiter, reader = (opened(name) for name in ("look", "holder", "second", "waiter", "reader"))
    holder.execute("BEGIN")
    holder.execute("UPDATE t SET n = 4711 WHERE id = 1")
    second.execute("BEGIN")
    second.execute("LOCK TABLE t IN ROW SHARE MODE")
    threads = [in_background(second, "UPDATE t SET n = 12 WHERE id = 1 AND 'secret' <> ''")]
    until(lambda: queue_of(look, second))
    threads.append(in_background(waiter, "ALTER TABLE t ADD COLUMN x int"))
    until(lambda: queue_of(look, waiter))
    threads.append(in_background(reader, "SELECT count(*) FROM t"))
    until(lambda: queue_of(look, reader))

    queue = queue_of(look, waiter)
    assert [each.application for each in queue.blockers] == ["holder", "second"]
    assert [each.application for each in queue.roots] == ["holder"]
    assert [each.application for each in queue.behind] == ["reader"]
    first, other = queue.blockers
    assert (first.state, first.query) == ("idle in transaction", "UPDATE t SET n = ? WHERE id = ?")
    assert other.blocked_by == (first.pid,)
    assert other.query == "UPDATE t SET n = ? WHERE id = ? AND ? <> ?"
    assert first.since is not None
    assert datetime.now(UTC) - first.since < timedelta(minutes=1)
    assert str(first).startswith(f"process {first.pid} (postgres, holder, 127.0.0.1), idle in transaction since ")
    assert str(first).endswith(" s): UPDATE t SET n = ? WHERE id = ?")
    assert not queue_of(look, holder)
    assert {each.application for each in queue_of(look, holder).behind} == {"second", "waiter", "reader"}

    holder.execute("ROLLBACK")
    threads[0].join(10)
    second.execute("ROLLBACK")
    for thread in threads:
        thread.join(10)
    assert queue_of(look, waiter) == LockQueue(waiter.info.backend_pid)


def test_a_session_is_ended_only_as_the_one_that_was_seen(opened: Open) -> None:
    look, holder, waiter = opened("look"), opened("holder"), opened("waiter")
    holder.execute("BEGIN")
    holder.execute("SELECT count(*) FROM t")
    thread = in_background(waiter, "ALTER TABLE t ADD COLUMN x int")
    until(lambda: queue_of(look, waiter))
    (seen,) = queue_of(look, waiter).blockers
    assert seen.started is not None
    assert not end_session(look, replace(seen, started=seen.started - timedelta(seconds=1)), HowToEnd.TERMINATE)
    assert end_session(look, seen, HowToEnd.CANCEL)  # idle in a transaction: it does not hear
    assert queue_of(look, waiter)
    assert end_session(look, seen, HowToEnd.TERMINATE)
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(psycopg.OperationalError):
        holder.execute("SELECT 1")
    until(lambda: not end_session(look, seen, HowToEnd.TERMINATE))


def test_a_role_that_may_not_end_it_is_told_whom_to_ask(place: ConnectionInfo, opened: Open) -> None:
    holder, waiter, admin = opened("holder"), opened("waiter"), opened("admin")
    admin.execute("DROP ROLE IF EXISTS queue_nobody")
    admin.execute("CREATE ROLE queue_nobody LOGIN PASSWORD 'nobody-s'")
    holder.execute("BEGIN")
    holder.execute("SELECT count(*) FROM t")
    thread = in_background(waiter, "ALTER TABLE t ADD COLUMN x int")
    until(lambda: queue_of(admin, waiter))
    with closing(connect(replace(place, user="queue_nobody", password=Secret("nobody-s")))) as look:
        (seen,) = queue_of(look, waiter).blockers
        assert (seen.application, seen.since, seen.state) == ("holder", None, "")
        with pytest.raises(errors.DatabaseError) as caught:
            end_session(look, seen, HowToEnd.TERMINATE)
    assert caught.value.message.startswith("The session could not be ended: ")
    assert caught.value.message.endswith(f": {seen}.")
    assert f"SELECT pg_terminate_backend({seen.pid})" in caught.value.hint
    holder.execute("ROLLBACK")
    thread.join(10)
    admin.execute("DROP ROLE queue_nobody")


def test_an_index_build_that_waits_says_for_what(opened: Open) -> None:
    look, holder, builder = opened("look"), opened("holder"), opened("builder")
    assert what_it_does(look, backend_pid(builder)) == ""
    holder.execute("BEGIN")
    holder.execute("UPDATE t SET n = 1 WHERE id = 1")
    thread = in_background(builder, "CREATE INDEX CONCURRENTLY t_n ON t (n)")
    until(lambda: queue_of(look, builder))
    said = what_it_does(look, builder.info.backend_pid)
    assert said == "building the index t_n on t: waiting for writers before build, 0 of 1 transactions (0 %)"
    assert [each.application for each in queue_of(look, builder).blockers] == ["holder"]
    holder.execute("ROLLBACK")
    thread.join(10)


def test_a_copy_says_how_far_it_is(opened: Open) -> None:
    look, writer = opened("look"), opened("writer")
    with writer.cursor().copy("COPY t FROM STDIN") as copy:
        for number in range(100_000):
            copy.write_row((number, number))
        until(lambda: "rows" in what_it_does(look, writer.info.backend_pid))
        assert what_it_does(look, writer.info.backend_pid).startswith("copy from of t, ")
