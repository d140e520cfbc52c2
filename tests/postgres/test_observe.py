"""What snapshots of one backend tell, on the embedded PostgreSQL 18 and a 15 where there is one."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from mig_kit.postgres import Connection, Server, connect
from mig_kit.postgres.observe import (
    FULL_SQL,
    TOUCHED_SQL,
    HeldLock,
    RowsChanged,
    Snapshot,
    Watch,
    backend_pid,
    compare,
    locks_of,
)
from tests.servers import fresh_database

TABLES = """
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE t (id int PRIMARY KEY, n int, v varchar(10), p int REFERENCES parent);
    INSERT INTO t SELECT g, g, 'v' || g FROM generate_series(1, 2000) g;
    CREATE INDEX t_lower ON t (lower(v));
    CREATE INDEX t_v ON t (v);
"""


@pytest.fixture(params=["server18", "server15"])
def conn(request: pytest.FixtureRequest) -> Iterator[Connection]:
    server: Server = request.getfixturevalue(request.param)
    with connect(fresh_database(server, "observed")) as conn:
        conn.execute(TABLES)
        yield conn
    server.drop_database("observed")


@pytest.fixture
def watch(conn: Connection) -> Watch:
    """Watch a transaction that is open."""
    conn.execute("BEGIN")
    return Watch(conn)


def test_tells_each_statements_new_locks_only(conn: Connection, watch: Watch) -> None:
    conn.execute("SELECT count(*) FROM parent")
    assert watch.step().locks == ()
    conn.execute("CREATE INDEX t_n ON t (n)")
    assert HeldLock("t", "ShareLock") in watch.step().locks
    conn.execute("ALTER TABLE t ADD COLUMN q int")
    assert watch.step().locks == (HeldLock("t", "AccessExclusiveLock"),)
    conn.execute("ALTER TABLE t ADD COLUMN r int")
    assert watch.step().locks == ()


def test_tells_a_rewrite_with_what_it_takes_on_disk(conn: Connection, watch: Watch) -> None:
    conn.execute("ALTER TABLE t ALTER n TYPE bigint")
    seen = watch.step()
    assert seen.rewritten == ("t",)
    assert seen.rebuilt == (("t_lower", "t"), ("t_pkey", "t"), ("t_v", "t"))
    assert seen.scanned == ("t",)
    assert seen.created == seen.dropped == ()
    assert seen.growth_bytes < 20_000 < 200_000 < seen.peak_bytes
    assert seen.wal_bytes > 50_000


def test_tells_an_index_that_is_rebuilt_from_one_that_is_kept(conn: Connection, watch: Watch) -> None:
    """ALTER COLUMN TYPE makes both anew under their names, and one of them gets its old file back."""
    conn.execute("ALTER TABLE t ALTER v TYPE varchar(20)")
    seen = watch.step()
    assert seen.rebuilt == (("t_lower", "t"),)
    assert (seen.rewritten, seen.built, seen.dropped) == ((), (), ())
    assert HeldLock("t_v", "AccessExclusiveLock") in seen.locks


def test_tells_a_new_index_and_its_table(conn: Connection, watch: Watch) -> None:
    conn.execute("CREATE INDEX t_n ON t (n)")
    seen = watch.step()
    assert seen.built == (("t_n", "t"),)
    assert seen.created == ("t_n",)
    assert seen.growth_bytes == seen.peak_bytes > 0


def test_names_what_is_dropped_and_locks_it(conn: Connection, watch: Watch) -> None:
    conn.execute("DROP TABLE t")
    seen = watch.step()
    assert seen.dropped == ("t", "t_lower", "t_pkey", "t_v")
    assert {"t", "parent"} <= {lock.relation for lock in seen.locks if lock.mode == "AccessExclusiveLock"}
    assert seen.growth_bytes < 0 == seen.peak_bytes


def test_goes_by_the_former_name_of_what_is_renamed(conn: Connection, watch: Watch) -> None:
    conn.execute("ALTER TABLE t RENAME TO u")
    seen = watch.step()
    assert seen.renamed == (("t", "u"),)
    assert seen.locks == (HeldLock("t", "AccessExclusiveLock"),)


def test_a_look_at_the_first_row_is_no_whole_scan(conn: Connection, watch: Watch) -> None:
    conn.execute("SELECT * FROM t LIMIT 1")
    seen = watch.step()
    assert [(scan.relation, scan.scans, scan.whole) for scan in seen.scans] == [("t", 1, False)]
    assert seen.scanned == ()
    conn.execute("SELECT count(v || n) FROM t")
    (scan,) = watch.step().scans
    assert (scan.rows_read, scan.whole) == (2000, True)


def test_counts_the_scan_that_parallel_workers_did(conn: Connection) -> None:
    """They count for themselves: in the leader's transaction alone the index build seems to read nothing."""
    conn.execute("ALTER TABLE t SET (parallel_workers = 2); SET min_parallel_table_scan_size = 0")
    conn.execute("BEGIN")
    watch = Watch(conn)
    conn.execute("CREATE INDEX t_n ON t (n)")
    (scan,) = watch.step().scans
    assert scan.scans > 1
    assert (scan.rows_read, scan.whole) == (2000, True)


def test_counts_the_rows_that_change(conn: Connection, watch: Watch) -> None:
    conn.execute("UPDATE t SET n = 0 WHERE id <= 5")
    conn.execute("DELETE FROM t WHERE id = 9")
    conn.execute("INSERT INTO parent VALUES (1), (2)")
    seen = watch.step()
    assert seen.rows == (RowsChanged("parent", 2, 0, 0), RowsChanged("t", 0, 5, 1))
    assert seen.rewritten == ()
    assert watch.step().rows == ()


def test_tells_emptying_from_rewriting(conn: Connection, watch: Watch) -> None:
    conn.execute("TRUNCATE t")
    seen = watch.step()
    assert (seen.emptied, seen.rewritten, seen.rebuilt) == (("t",), (), ())


def test_nothing_happens_when_nothing_is_run(conn: Connection, watch: Watch) -> None:
    seen = watch.step()
    assert (seen.locks, seen.scans, seen.rows, seen.created, seen.growth_bytes) == ((), (), (), (), 0)


def test_writes_the_schema_of_what_the_search_path_does_not_find(conn: Connection) -> None:
    conn.execute('CREATE SCHEMA "other place"; CREATE TABLE "other place".t (n int)')
    conn.execute("BEGIN")
    watch = Watch(conn)
    conn.execute('LOCK TABLE "other place".t')
    assert watch.step().locks == (HeldLock("other place.t", "AccessExclusiveLock"),)


def test_observes_outside_of_a_transaction_by_looking_at_everything(conn: Connection) -> None:
    watch = Watch(conn)
    conn.execute("CREATE INDEX CONCURRENTLY t_n ON t (n)")
    seen = watch.step(full=True)
    assert seen.built == (("t_n", "t"),)
    assert seen.scanned == ("t",)
    conn.execute("DROP TABLE t")
    assert "t" in watch.step(full=True).dropped


def test_snapshots_are_plain_text_that_others_may_take(conn: Connection) -> None:
    def take(statement: str) -> Snapshot:
        row = conn.execute(statement.encode()).fetchone()
        assert row is not None
        assert isinstance(row[0], str)
        return Snapshot.parse(row[0])

    conn.execute("BEGIN")
    first = take(FULL_SQL)
    conn.execute("ALTER TABLE parent ADD COLUMN n int")
    second = take(TOUCHED_SQL)
    conn.execute("ALTER TABLE t ADD COLUMN m int")
    third = take(TOUCHED_SQL)
    assert (first.complete, second.complete) == (True, False)
    assert [lock.relation for lock in compare(first, second).locks] == ["parent"]
    assert [lock.relation for lock in compare(first.followed_by(second), third).locks] == ["t"]


def test_sees_what_another_backend_holds_and_waits_for(conn: Connection, watch: Watch) -> None:
    conn.execute("LOCK TABLE parent IN SHARE MODE")
    with psycopg.connect(conn.info.dsn, password=conn.info.password, autocommit=True) as other:
        assert locks_of(other, backend_pid(conn)) == (HeldLock("parent", "ShareLock"),)
        other.execute("SET lock_timeout = '10ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("INSERT INTO parent VALUES (1)")
