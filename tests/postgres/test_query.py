"""read_only_query, on the embedded PostgreSQL 18; every trick is tried against a table that must stay."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from mig_kit.errors import QueryError
from mig_kit.postgres import ConnectionInfo, connect, read_only_query


@pytest.fixture
def precious(database: ConnectionInfo) -> Iterator[ConnectionInfo]:
    """A table with three rows, and functions that write; the rows are counted again at the end."""
    with connect(database) as conn:
        conn.execute(
            """
            CREATE TABLE precious (id int, name varchar(20), price numeric(8, 2));
            INSERT INTO precious VALUES (1, 'one', 1.50), (2, 'two', 2.50), (3, 'thr%ee', NULL);
            CREATE SEQUENCE numbers;
            CREATE FUNCTION wipe() RETURNS int LANGUAGE plpgsql VOLATILE AS
                $$ BEGIN DELETE FROM precious; RETURN 1; END $$;
            CREATE FUNCTION wipe_anyway() RETURNS int LANGUAGE plpgsql VOLATILE AS
                $$ BEGIN PERFORM set_config('transaction_read_only', 'off', false);
                   DELETE FROM precious; RETURN 1; END $$;
            CREATE PROCEDURE wipe_for_good(INOUT n int) LANGUAGE plpgsql AS
                $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; DELETE FROM precious; END $$;
            """
        )
    yield database
    with connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM precious").fetchone() == (3,)
        assert conn.execute("SELECT is_called FROM numbers").fetchone() == (False,)
        assert conn.execute("SELECT count(*) FROM pg_class WHERE relname = 'made'").fetchone() == (0,)


def test_gives_columns_types_and_rows(precious: ConnectionInfo) -> None:
    result = read_only_query(precious, "SELECT id, name, price, ARRAY[id] AS ids FROM precious ORDER BY id")
    assert result.columns == ("id", "name", "price", "ids")
    assert result.types == ("integer", "character varying(20)", "numeric(8,2)", "integer[]")
    assert result.rows[0] == (1, "one", Decimal("1.50"), [1])
    assert len(result.rows) == 3
    assert 0 < result.duration_ms < 5000


def test_gives_columns_though_there_are_no_rows(precious: ConnectionInfo) -> None:
    result = read_only_query(precious, "SELECT id FROM precious WHERE false")
    assert (result.columns, result.types, result.rows) == (("id",), ("integer",), [])


@pytest.mark.parametrize(
    ("sql", "params", "expected"),
    [
        ("SELECT name FROM precious WHERE id = %s", [2], "two"),
        ("SELECT name FROM precious WHERE id = %(id)s", {"id": 2}, "two"),
        ("SELECT name FROM precious WHERE name LIKE '%%r%%' AND id > %s", [0], "thr%ee"),
        ("SELECT name FROM precious WHERE name LIKE '%r%'", None, "thr%ee"),
        ("-- a remark\n/* and /* nested */ another */ (SELECT 'x')", None, "x"),
        ("WITH a AS (SELECT 1 AS n) SELECT n FROM a;", None, 1),
        ("SHOW transaction_read_only", None, "on"),
        ("VALUES (7)", None, 7),
    ],
)
def test_takes_parameters_and_every_reading_statement(
    precious: ConnectionInfo, sql: str, params: Any, expected: object
) -> None:
    assert read_only_query(precious, sql, params).rows == [(expected,)]


@pytest.mark.parametrize("params", [None, [], [1]])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; COMMIT; DROP TABLE precious",
        "SELECT 1; ROLLBACK; DELETE FROM precious",
        "SELECT 1; END; BEGIN READ WRITE; DELETE FROM precious; COMMIT",
        "SELECT 1 -- ;\n; COMMIT; TRUNCATE precious",
    ],
)
def test_refuses_a_second_statement(precious: ConnectionInfo, sql: str, params: Any) -> None:
    """Without parameters psycopg speaks the simple protocol, which would run them all."""
    sent = sql.replace("SELECT 1", "SELECT %s", 1) if params else sql
    with pytest.raises(QueryError, match="cannot insert multiple commands into a prepared stat") as caught:
        read_only_query(precious, sent, params)
    assert caught.value.hint == "nothing was changed; send one statement at a time"


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT; DROP TABLE precious",
        "COMMIT",
        "DELETE FROM precious RETURNING id",
        "/* SELECT */ DROP TABLE precious",
        "/* /* */ SELECT */ TRUNCATE precious",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "DO $$ BEGIN DELETE FROM precious; END $$",
        "CALL wipe_for_good(1)",
        "COPY (SELECT 1) TO PROGRAM 'touch /tmp/mig_kit-was-here'",
        "COPY precious TO STDOUT",
        "NOTIFY somebody",
        "LOCK TABLE precious",
        "; DELETE FROM precious",
        "",
        "-- nothing",
    ],
)
def test_refuses_what_does_not_begin_as_a_read(precious: ConnectionInfo, sql: str) -> None:
    with pytest.raises(QueryError, match=r"The query (begins with|is empty)") as caught:
        read_only_query(precious, sql)
    assert caught.value.hint == "nothing was run; write it as a SELECT"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT wipe()",
        "SELECT wipe_anyway()",
        "SELECT nextval('numbers')",
        "SELECT setval('numbers', 7)",
        "WITH gone AS (DELETE FROM precious RETURNING id) SELECT * FROM gone",
        "SELECT 1 AS id INTO made",
        "EXPLAIN ANALYZE DELETE FROM precious",
        "SELECT * FROM precious FOR UPDATE",
        "SELECT set_config('transaction_read_only', 'off', false), wipe()",
    ],
)
def test_refuses_a_write_in_whatever_clothes(precious: ConnectionInfo, sql: str) -> None:
    with pytest.raises(QueryError, match="The query would write"):
        read_only_query(precious, sql)


def test_sends_no_notification(precious: ConnectionInfo) -> None:
    with connect(precious) as listener:
        listener.execute("LISTEN somebody")
        read_only_query(precious, "SELECT pg_notify('somebody', 'psst')")
        assert list(listener.notifies(timeout=0.3)) == []


def test_ends_a_query_that_takes_too_long(precious: ConnectionInfo) -> None:
    started = time.monotonic()
    with pytest.raises(QueryError, match=r"its limit being 0\.2 s") as caught:
        read_only_query(precious, "SELECT pg_sleep(30)", timeout_s=0.2)
    assert time.monotonic() - started < 10
    assert caught.value.hint == "make it cheaper (EXPLAIN shows its plan), or give it a longer timeout_s"


def test_a_function_cannot_take_its_own_timeout_away(precious: ConnectionInfo) -> None:
    started = time.monotonic()
    with pytest.raises(QueryError, match="its limit being"):
        read_only_query(precious, "SELECT set_config('statement_timeout', '0', false), pg_sleep(30)", timeout_s=0.2)
    assert time.monotonic() - started < 10


def test_does_not_wait_for_a_lock_longer_than_its_time(precious: ConnectionInfo) -> None:
    with connect(precious, autocommit=False) as holder:
        holder.execute("LOCK TABLE precious IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(QueryError, match="its limit being"):
            read_only_query(precious, "SELECT * FROM precious", timeout_s=0.3)


@pytest.mark.parametrize(
    ("sql", "params", "message"),
    [
        (
            "SELECT id,\n       nmae FROM precious",
            None,
            'The query failed: column "nmae" does not exist (at line 2, column 8: nmae FROM precious).',
        ),
        (
            "SELECT id FROM precious WHERE id = %(the_id)s AND nmae = 1",
            {"the_id": 1},
            'The query failed: column "nmae" does not exist (at line 1, column 43: nmae = 1).',
        ),
        (
            "SELECT * FROM nowhere",
            None,
            'The query failed: relation "nowhere" does not exist (at line 1, column 15: nowhere).',
        ),
        ("SELECT 1 / 0", None, "The query failed: division by zero."),
        ("SELECT 'infinity'::date", None, "The query failed: date too large (after year 10K): 'infinity'."),
    ],
)
def test_says_where_in_the_sql_it_failed(precious: ConnectionInfo, sql: str, params: Any, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        read_only_query(precious, sql, params)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("sql", "params", "message"),
    [
        ("SELECT %s", [], "the query has 1 placeholders but 0 parameters were passed"),
        ("SELECT %(a)s", {"b": 1}, "query parameter missing: a"),
        ("SELECT '\0'", None, "The query holds a NUL character."),
        ("SELECT '\ud800'", None, "surrogates not allowed"),
        ("SELECT %s", [object()], "cannot adapt type 'object'"),
    ],
)
def test_bad_input_is_one_clear_error(precious: ConnectionInfo, sql: str, params: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        read_only_query(precious, sql, params)


def test_refuses_a_timeout_that_means_for_ever(precious: ConnectionInfo) -> None:
    with pytest.raises(QueryError, match="A query cannot be given 0 s"):
        read_only_query(precious, "SELECT 1", timeout_s=0)


def test_repeats_no_row_in_its_repr(precious: ConnectionInfo) -> None:
    assert "two" not in repr(read_only_query(precious, "SELECT name FROM precious"))
