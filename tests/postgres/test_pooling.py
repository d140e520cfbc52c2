"""Poolers told apart, by a real pgbouncer before the embedded PostgreSQL 18."""

from __future__ import annotations

import pytest

from mig_kit import errors
from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.postgres.pooling import PoolingKind, find_pooling, refuse_pooling
from tests.poolers import pgbouncer


def test_a_direct_connection_is_told_as_one(database: ConnectionInfo) -> None:
    found = refuse_pooling(database)
    assert found.kind is PoolingKind.DIRECT
    assert not found
    assert "stayed the same over two transactions" in found.evidence


def test_a_pooler_that_keeps_the_session_is_let_through(database: ConnectionInfo) -> None:
    with pgbouncer(database, "session") as pooled:
        assert refuse_pooling(pooled).kind is PoolingKind.SESSION


def test_a_transaction_pooler_is_refused_with_the_way_round(database: ConnectionInfo) -> None:
    """A pool that is quiet gives the same server process again and again: looking twice is not enough."""
    with pgbouncer(database, "transaction") as pooled:
        with connect(pooled) as conn:
            pids = {conn.execute("SELECT pg_backend_pid()").fetchone() for _ in range(5)}
        assert len(pids) == 1
        with pytest.raises(errors.GateClosed) as caught:
            refuse_pooling(pooled)
        assert caught.value.gate == "a direct connection"
        assert caught.value.message.startswith(f"127.0.0.1:{pooled.port} is a pooler in transaction mode (")
        assert caught.value.hint.startswith("add an alias to DATABASES with the HOST and PORT of PostgreSQL itself")
        with connect(pooled) as conn, connect(pooled) as other:
            other.execute("BEGIN")
            left = [each.execute("SELECT current_setting('mig_kit.pooling_probe', true)") for each in (conn, other)]
            assert {row.fetchone() for row in left} <= {("",), (None,)}


@pytest.mark.parametrize(("mode", "size"), [("transaction", 1), ("statement", 5)])
def test_a_pool_of_one_and_a_statement_pooler_are_refused_too(database: ConnectionInfo, mode: str, size: int) -> None:
    with pgbouncer(database, mode, size=size) as pooled:
        assert find_pooling(pooled).kind is PoolingKind.TRANSACTION
