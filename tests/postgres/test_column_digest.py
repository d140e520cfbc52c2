"""Digests column by column, on PostgreSQL 18 and 15: what makes them differ, and how many values did."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mig_kit.postgres import Connection, Server, connect
from mig_kit.postgres.column_digest import ColumnRule, TableValues, column_rules, count_changed, digest_columns
from tests.servers import fresh_database

TABLE = """
    CREATE TABLE t (id int PRIMARY KEY, name text, size int, "Some Day" date,
                    twice int GENERATED ALWAYS AS (id * 2) STORED);
    INSERT INTO t SELECT g, 'n' || g, nullif(g % 10, 0), '2026-01-01' FROM generate_series(1, 100) g;
    CREATE TABLE bare (n int);
    INSERT INTO bare VALUES (1), (2);
"""


@pytest.fixture(params=["server18", "server15"])
def conn(request: pytest.FixtureRequest) -> Iterator[Connection]:
    server: Server = request.getfixturevalue(request.param)
    with connect(fresh_database(server, "columns")) as conn:
        conn.execute(TABLE)
        yield conn
    server.drop_database("columns")


def oid(conn: Connection, table: str) -> int:
    row = conn.execute("SELECT %s::regclass::oid::bigint", (table,)).fetchone()
    assert row is not None
    return int(row[0])


def rule(conn: Connection, table: str = "t") -> ColumnRule:
    return column_rules(conn, [oid(conn, table)])[oid(conn, table)]


def values(conn: Connection, table: str = "t") -> TableValues:
    (found,) = digest_columns(conn, [rule(conn, table)]).values()
    return found


def changed(before: TableValues, after: TableValues) -> set[str]:
    return {before.rule.columns[n] for n, digest in before.columns.items() if after.columns[n] != digest}


def test_counts_rows_and_what_is_filled(conn: Connection) -> None:
    found = values(conn)
    assert found.rows == 100
    filled = {found.rule.columns[n]: digest.filled for n, digest in found.columns.items()}
    assert filled == {"id": 100, "name": 100, "size": 90, "Some Day": 100}  # generated columns do not count


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        ("UPDATE t SET name = name", set()),
        ("UPDATE t SET size = 1 WHERE id = 1", set()),  # it was 1
        ("UPDATE t SET size = 2 WHERE id = 1", {"size"}),
        ("UPDATE t SET size = NULL WHERE id = 1", {"size"}),
        ("UPDATE t SET name = '' WHERE id = 1", {"name"}),
        ('UPDATE t SET "Some Day" = "Some Day" + 1 WHERE id = 1', {"Some Day"}),
        # The same values in other places.
        ("UPDATE t SET name = CASE id WHEN 1 THEN 'n2' ELSE 'n1' END WHERE id < 3", {"name"}),
        ("ALTER TABLE t ALTER size TYPE bigint, ALTER id TYPE bigint", set()),
        ("ALTER TABLE t RENAME name TO title", set()),
    ],
)
def test_tells_which_columns_changed(conn: Connection, statement: str, columns: set[str]) -> None:
    before = values(conn)
    conn.execute("ALTER TABLE t DROP twice")
    conn.execute(statement.encode())
    assert changed(before, values(conn)) == columns


def test_tells_how_many_values_changed(conn: Connection, server18: Server, server15: Server) -> None:
    server = server18 if conn.info.server_version >= 180000 else server15
    with connect(fresh_database(server, "columns_before")) as before:
        before.execute(TABLE)
        conn.execute(
            "UPDATE t SET size = 0 WHERE id <= 20; DELETE FROM t WHERE id > 90; ALTER TABLE t RENAME size TO n"
        )
        was, now = rule(before), rule(conn)
        size = was.numbers(["size"])[0]
        name = was.numbers(["name"])[0]
        found = count_changed(before, was, conn, now, [(size, size), (name, name)])
    server.drop_database("columns_before")
    assert found == {size: 18, name: 0}  # two of the twenty were NULL, and were no values


def test_without_a_key_nobody_counts(conn: Connection) -> None:
    bare = rule(conn, "bare")
    assert bare.key == ()
    assert count_changed(conn, bare, conn, bare, [(1, 1)]) is None
    before = values(conn, "bare")
    conn.execute("UPDATE bare SET n = 3 WHERE n = 2")
    assert changed(before, values(conn, "bare")) == {"n"}


def test_a_share_of_the_rows_is_the_same_rows_each_time(conn: Connection) -> None:
    part = ColumnRule(**{**{name: getattr(rule(conn), name) for name in ColumnRule.__slots__}, "one_in": 4})
    (before,) = digest_columns(conn, [part]).values()
    assert before.rows == 100
    assert 5 < before.columns[1].filled < 60
    conn.execute("UPDATE t SET name = name || '' WHERE id % 2 = 0")
    (after,) = digest_columns(conn, [part]).values()
    assert changed(before, after) == set()
