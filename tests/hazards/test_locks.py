"""The lock modes, compared with what the embedded PostgreSQL 18 itself does."""

from __future__ import annotations

import psycopg
import pytest

from mig_kit.hazards.locks import Blocks, LockMode, blocks, conflicts, strongest
from mig_kit.postgres import ConnectionInfo, connect


def test_modes_conflict_as_the_server_says(database: ConnectionInfo) -> None:
    with connect(database, autocommit=False) as one, connect(database, autocommit=False) as other:
        one.execute("CREATE TABLE t ()")
        one.commit()
        refused = set()
        for held in LockMode:
            one.execute(f"LOCK TABLE t IN {held} MODE".encode())
            for wanted in LockMode:
                try:
                    other.execute(f"LOCK TABLE t IN {wanted} MODE NOWAIT".encode())
                except psycopg.errors.LockNotAvailable:
                    refused.add((held, wanted))
                other.rollback()
            one.rollback()
    assert refused == {(one, other) for one in LockMode for other in LockMode if conflicts(one, other)}


def test_names_are_those_of_pg_locks(database: ConnectionInfo) -> None:
    with connect(database, autocommit=False) as conn:
        conn.execute("CREATE TABLE t ()")
        conn.commit()
        for mode in LockMode:
            conn.execute(f"LOCK TABLE t IN {mode} MODE".encode())
            held = conn.execute("SELECT mode FROM pg_locks WHERE relation = 't'::regclass").fetchall()
            assert held == [(mode.pg_name,)]
            assert LockMode.parse(mode.pg_name) is mode
            conn.rollback()


@pytest.mark.parametrize("mode", LockMode, ids=str)
def test_says_what_waits_as_reads_and_writes_do(database: ConnectionInfo, mode: LockMode) -> None:
    with connect(database, autocommit=False) as one, connect(database) as other:
        other.execute("CREATE TABLE t (n int)")
        other.execute("SET lock_timeout = '20ms'")
        one.execute(f"LOCK TABLE t IN {mode} MODE".encode())
        waits = set()
        for what, statement in (("reads", "SELECT FROM t"), ("writes", "INSERT INTO t VALUES (1)")):
            try:
                other.execute(statement)
            except psycopg.errors.LockNotAvailable:
                waits.add(what)
    assert blocks(mode).value == (" and ".join(sorted(waits)) or "nothing")


def test_the_most_blocking_of_several_modes_counts() -> None:
    assert blocks(LockMode.SHARE, LockMode.ACCESS_EXCLUSIVE) is Blocks.READS_AND_WRITES
    assert blocks(LockMode.ROW_SHARE, LockMode.SHARE) is Blocks.WRITES
    assert blocks() is Blocks.NOTHING


def test_the_strongest_mode_is_the_one_of_the_highest_level() -> None:
    assert strongest([LockMode.SHARE, LockMode.ROW_SHARE]) is LockMode.SHARE
    assert strongest([]) is None


@pytest.mark.parametrize("text", ["access exclusive", "AccessExclusive", "AccessExclusiveLock", "ACCESS_EXCLUSIVE"])
def test_reads_a_mode_in_any_writing(text: str) -> None:
    assert LockMode.parse(text) is LockMode.ACCESS_EXCLUSIVE


def test_refuses_what_is_no_mode() -> None:
    with pytest.raises(ValueError, match="'SIReadLock' is not a table lock mode"):
        LockMode.parse("SIReadLock")
