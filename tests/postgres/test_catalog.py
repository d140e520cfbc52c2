"""What a database holds, on the embedded PostgreSQL 18 and a 15 where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from mig_kit.errors import DatabaseError
from mig_kit.postgres import (
    Connection,
    Server,
    applied_migrations_rows,
    connect,
    count_rows,
    database_size,
    invalid_indexes,
    tables,
)
from mig_kit.progress import Progress
from mig_kit.secret import Secret
from tests.servers import fresh_database

TABLES = """
    CREATE TABLE plain (id int PRIMARY KEY);
    INSERT INTO plain SELECT generate_series(1, 1000);
    CREATE TABLE "Ünïcode ""quoted"" name" (id int);
    CREATE SCHEMA "other.schema";
    CREATE TABLE "other.schema".t AS SELECT generate_series(1, 7) AS id;
    CREATE TABLE parted (id int) PARTITION BY RANGE (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
    INSERT INTO parted SELECT generate_series(0, 4);
    CREATE TEMP TABLE passing (id int);
    CREATE VIEW seen AS SELECT 1 AS one;
    ANALYZE plain;
"""


@pytest.fixture(params=["server18", "server15"])
def conn(request: pytest.FixtureRequest) -> Iterator[Connection]:
    server: Server = request.getfixturevalue(request.param)
    with connect(fresh_database(server, "catalog")) as conn:
        yield conn
    server.drop_database("catalog")


def test_lists_tables_of_every_schema_and_kind(conn: Connection) -> None:
    conn.execute(TABLES)
    found = {table.label: table for table in tables(conn)}
    assert list(found) == [
        "other.schema.t",
        "public.parted",
        "public.parted_1",
        "public.plain",
        'public.Ünïcode "quoted" name',
    ]
    assert found["public.plain"].row_estimate == 1000
    assert found["public.parted_1"].row_estimate is None
    assert found["public.plain"].size_bytes > found["public.parted"].size_bytes == 0
    assert [table.name for table in found.values() if table.partitioned] == ["parted"]


def test_counts_each_table_and_says_how_far_it_is(conn: Connection) -> None:
    conn.execute(TABLES)
    said: list[Progress] = []
    assert count_rows(conn, progress=said.append) == {
        "other.schema.t": 7,
        'public.Ünïcode "quoted" name': 0,
        "public.parted": 5,
        "public.parted_1": 5,
        "public.plain": 1000,
    }
    assert str(said[-1]) == 'counting the rows of public.Ünïcode "quoted" name (4 of 5 tables)'
    chosen = [table for table in tables(conn) if table.name == "plain"]
    assert count_rows(conn, chosen) == {"public.plain": 1000}


def test_names_the_table_that_cannot_be_read(server: Server) -> None:
    info = fresh_database(server, "catalog")
    with connect(info) as conn:
        conn.execute("CREATE ROLE reader LOGIN PASSWORD 'r'; CREATE TABLE closed (id int)")
        try:
            with (
                connect(replace(info, user="reader", password=Secret("r"))) as other,
                pytest.raises(DatabaseError) as caught,
            ):
                count_rows(other)
        finally:
            conn.execute("DROP ROLE reader")
    server.drop_database("catalog")
    assert caught.value.message == (
        "The rows of public.closed could not be counted: permission denied for table closed."
    )


def test_finds_the_index_that_a_failed_concurrent_build_leaves(conn: Connection) -> None:
    conn.execute("CREATE TABLE doubled AS SELECT 1 AS id FROM generate_series(1, 2)")
    assert invalid_indexes(conn) == ()
    with pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON doubled (id)")
    (found,) = invalid_indexes(conn)
    assert (found.schema, found.name, found.table) == ("public", "broken", "doubled")


def test_tells_the_databases_size_in_bytes(conn: Connection) -> None:
    before = database_size(conn)
    assert before > 1_000_000
    conn.execute("CREATE TABLE filler AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 2000)")
    assert database_size(conn) > before + 2_000_000


def test_reads_the_recorded_migrations_in_order(conn: Connection) -> None:
    assert applied_migrations_rows(conn) == ()
    conn.execute(
        """
        CREATE TABLE django_migrations (
            id bigint PRIMARY KEY, app varchar(255), name varchar(255), applied timestamptz);
        INSERT INTO django_migrations VALUES
            (2, 'blog', '0001_initial', '2026-01-02 03:04Z'), (1, 'auth', '0001_initial', '2026-01-01Z');
        """
    )
    assert [(row.id, row.app, row.name) for row in applied_migrations_rows(conn)] == [
        (1, "auth", "0001_initial"),
        (2, "blog", "0001_initial"),
    ]
