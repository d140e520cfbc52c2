"""Digests: the embedded PostgreSQL 18, and a 15 where there is one, which have to agree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from mig_kit.errors import DatabaseError
from mig_kit.postgres import ConnectionInfo, Server, connect, count_rows, tables
from mig_kit.postgres.digest import (
    Digest,
    DigestRule,
    differences,
    digest_rules,
    digest_tables,
    rows_with_children,
)
from mig_kit.progress import Progress
from tests.servers import fresh_database

# Every kind of value whose text depends on a setting, or could.
KINDS = """
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE kinds (
        id bigint PRIMARY KEY, a timestamptz, b interval, c double precision, d real, e bytea, f numeric, g money,
        h date, i jsonb, j text[], k uuid, l inet, m boolean, n mood, o regclass, p tsvector, r time, s int4range
    );
    INSERT INTO kinds SELECT n,
        '2024-02-29 12:00+02'::timestamptz + n * interval '1 hour', n * interval '25 hours 3 min',
        n / 3.0, n / 7.0, decode(lpad(to_hex(n), 8, '0'), 'hex'), n / 7::numeric,
        n::numeric::money, date '2024-01-01' + n,
        jsonb_build_object('n', n), ARRAY['a', 'ü"', NULL],
        ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid,
        '10.0.0.0'::inet + n, n % 2 = 0, 'happy', 'pg_class', to_tsvector('simple', 'a b ' || n),
        time '00:00' + n * interval '1 s', int4range(n, n + 2)
    FROM generate_series(1, 200) n;
    INSERT INTO kinds (id) VALUES (0);
"""
NUMBERS = "CREATE TABLE numbers AS SELECT n AS id, 'row ' || n AS name FROM generate_series(1, {rows}) n;"


def digests(info: ConnectionInfo, rules: tuple[DigestRule, ...] | None = None) -> dict[str, Digest]:
    with connect(info) as conn:
        return {each.table: each for each in digest_tables(conn, rules)}


def run(info: ConnectionInfo, *statements: str) -> None:
    with connect(info) as conn:
        for statement in statements:
            conn.execute(statement.encode())


@pytest.fixture
def other(server: Server) -> Iterator[ConnectionInfo]:
    """A second empty database."""
    yield fresh_database(server, "digest other")
    server.drop_database("digest other")


def test_two_majors_agree_on_every_kind_of_value(database: ConnectionInfo, server15: Server) -> None:
    old = fresh_database(server15, "digest")
    for info in (database, old):
        run(info, KINDS)
    one, two = digests(database), digests(old)
    assert one == two
    assert one["public.kinds"].rows == 201
    server15.drop_database("digest")


def test_settings_of_the_session_and_of_the_database_do_not_matter(database: ConnectionInfo) -> None:
    run(database, KINDS)
    before = digests(database)
    for setting in (
        "DateStyle TO 'German'",
        "IntervalStyle TO 'iso_8601'",
        "TimeZone TO 'Asia/Tokyo'",
        "extra_float_digits TO -10",
        "bytea_output TO 'escape'",
        "search_path TO nowhere",
    ):
        run(database, f'ALTER DATABASE "{database.dbname}" SET {setting}')
    assert digests(database) == before


def test_leaves_the_sessions_settings_as_they_were(database: ConnectionInfo) -> None:
    with connect(database) as conn:
        conn.execute("SET TimeZone TO 'Asia/Tokyo'")
        digest_tables(conn)
        assert conn.execute("SHOW TimeZone").fetchone() == ("Asia/Tokyo",)
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_neither_the_order_of_rows_nor_a_dropped_column_matters(
    database: ConnectionInfo, other: ConnectionInfo
) -> None:
    run(database, NUMBERS.format(rows=500))
    run(
        other,
        "CREATE TABLE numbers (gone int, id int, name text)",
        "INSERT INTO numbers SELECT 1, n, 'row ' || n FROM generate_series(500, 1, -1) n",
        "ALTER TABLE numbers DROP COLUMN gone",
    )
    assert digests(database) == digests(other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE numbers SET name = 'Row 7' WHERE id = 7", "has as many rows, and not the same in them (every row)"),
        ("UPDATE numbers SET name = NULL WHERE id = 501", "has as many rows, and not the same in them (every row)"),
        (
            "UPDATE numbers SET name = 'row ' || CASE id WHEN 1 THEN 2 ELSE 1 END WHERE id IN (1, 2)",
            "has as many rows, and not the same in them (every row)",
        ),
        ("DELETE FROM numbers WHERE id = 7", "is short of 1 row (500 of 501)"),
        ("DELETE FROM numbers WHERE id > 7", "is short of 494 rows (7 of 501)"),
        ("INSERT INTO numbers VALUES (7, 'row 7')", "has 1 row too many (502 for 501)"),
        ("DROP TABLE numbers", "is not there"),
    ],
)
def test_tells_what_differs(database: ConnectionInfo, change: str, said: str) -> None:
    run(database, NUMBERS.format(rows=500), "INSERT INTO numbers VALUES (501, '')")
    before = digests(database)
    run(database, change)
    assert differences(before.values(), digests(database).values()) == (f"public.numbers {said}",)


def test_a_table_that_came_is_told(database: ConnectionInfo) -> None:
    before = digests(database)
    run(database, "CREATE TABLE new (id int)")
    assert differences(before.values(), digests(database).values()) == ("public.new was not there before",)


def test_two_values_do_not_pass_for_one(database: ConnectionInfo, other: ConnectionInfo) -> None:
    run(database, "CREATE TABLE t (a text, b text); INSERT INTO t VALUES ('a,b', NULL), ('x', '')")
    run(other, "CREATE TABLE t (a text, b text); INSERT INTO t VALUES ('a', 'b'), ('x', NULL)")
    assert digests(database)["public.t"].digest != digests(other)["public.t"].digest


def sampled(info: ConnectionInfo) -> tuple[DigestRule, ...]:
    with connect(info) as conn:
        return digest_rules(conn, whole_bytes=100_000)


def test_a_large_table_is_sampled_and_says_so(database: ConnectionInfo) -> None:
    run(
        database,
        NUMBERS.format(rows=20_000),
        "ALTER TABLE numbers ADD PRIMARY KEY (id)",
        "CREATE TABLE few (id serial PRIMARY KEY); INSERT INTO few DEFAULT VALUES",
        "CREATE TABLE keyless AS SELECT generate_series(1, 20000) AS id",
    )
    found = digests(database, sampled(database))
    large = found["public.numbers"]
    assert (large.rows, large.sampled) == (20_000, True)
    assert large.rule == "the key of every row, and 1 row in 16 by the hash of id"
    assert (found["public.few"].sampled, found["public.few"].rule) == (False, "every row")
    assert (found["public.keyless"].sampled, found["public.keyless"].rows) == (False, 20_000)


def test_a_sample_finds_a_changed_key_always_and_a_changed_value_one_time_in_sixteen(
    database: ConnectionInfo,
) -> None:
    run(database, NUMBERS.format(rows=20_000), "ALTER TABLE numbers ADD PRIMARY KEY (id)")
    rules = sampled(database)
    before = digests(database, rules)["public.numbers"].digest
    run(database, "UPDATE numbers SET id = 20001 WHERE id = 7")
    changed = digests(database, rules)["public.numbers"].digest
    assert changed != before
    run(database, "UPDATE numbers SET id = 7 WHERE id = 20001")
    assert digests(database, rules)["public.numbers"].digest == before
    found = 0
    with connect(database) as conn:
        for number in range(1, 65):
            conn.execute("UPDATE numbers SET name = 'other' WHERE id = %s", (number,))
            now = digest_tables(conn, rules)[0].digest
            found += now != before
            before = now
    assert 1 <= found <= 12


def test_the_same_rows_are_sampled_in_a_copy_that_lies_otherwise(
    database: ConnectionInfo, other: ConnectionInfo
) -> None:
    run(database, NUMBERS.format(rows=20_000), "ALTER TABLE numbers ADD PRIMARY KEY (id, name)")
    run(
        other,
        "CREATE TABLE numbers (id int, name text, PRIMARY KEY (id, name))",
        "INSERT INTO numbers SELECT n, 'row ' || n FROM generate_series(20000, 1, -1) n",
    )
    rules = sampled(database)
    assert rules[0].key == ("id", "name")
    assert digests(database, rules) == digests(other, rules)


def test_many_tables_below_the_limit_share_a_budget(database: ConnectionInfo) -> None:
    for number in range(6):
        run(
            database,
            f"CREATE TABLE t{number} (id int PRIMARY KEY, x text); "
            f"INSERT INTO t{number} SELECT n, repeat('x', 80) FROM generate_series(1, 2000) n",
        )
    with connect(database) as conn:
        size = max(each.size_bytes for each in tables(conn))
        rules = digest_rules(conn, whole_bytes=size * 3)
    assert [rule.one_in for rule in rules].count(1) == 3
    assert {rule.one_in for rule in rules} == {1, 16}


def test_partitions_and_what_inherits_count_once(database: ConnectionInfo) -> None:
    run(
        database,
        """
        CREATE TABLE parts (id int) PARTITION BY RANGE (id);
        CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
        CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (100);
        INSERT INTO parts SELECT generate_series(1, 50);
        CREATE TABLE base (id int); CREATE TABLE special (more int) INHERITS (base);
        INSERT INTO base VALUES (1), (2); INSERT INTO special VALUES (3, 3);
        """,
    )
    with connect(database) as conn:
        found = digest_tables(conn)
        assert {each.table: each.rows for each in found} == {
            "public.base": 2,
            "public.parts_high": 41,
            "public.parts_low": 9,
            "public.special": 1,
        }
        assert rows_with_children(conn, found) == count_rows(conn)


def test_awkward_names_and_a_table_without_columns(database: ConnectionInfo) -> None:
    run(
        database,
        'CREATE SCHEMA "o.ther"; CREATE TABLE "o.ther"."a ""b"" %s {}" ("c %s {}" int PRIMARY KEY, mig_kit text)',
        """INSERT INTO "o.ther"."a ""b"" %s {}" VALUES (1, 'x')""",
        "CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES",
    )
    found = digests(database)
    assert {table: each.rows for table, each in found.items()} == {'o.ther.a "b" %s {}': 1, "public.bare": 1}


def test_goes_through_json_and_back(database: ConnectionInfo) -> None:
    run(database, NUMBERS.format(rows=10))
    for digest in digests(database).values():
        assert Digest.from_json(digest.as_json()) == digest


def test_reports_each_table(database: ConnectionInfo) -> None:
    run(database, NUMBERS.format(rows=10))
    told: list[Progress] = []
    with connect(database) as conn:
        digest_tables(conn, progress=told.append)
    assert told == [Progress("digest", "digesting public.numbers", 0, 1, "tables")]


def test_names_the_table_that_may_not_be_read(database: ConnectionInfo) -> None:
    with connect(database) as conn:
        conn.execute("CREATE TABLE closed (id int); CREATE ROLE digest_reader; SET ROLE digest_reader")
        with pytest.raises(DatabaseError) as caught:
            digest_tables(conn)
        conn.execute("RESET ROLE; DROP ROLE digest_reader")
    assert (
        caught.value.message == "The rows of public.closed could not be digested: permission denied for table closed."
    )


def test_a_restored_copy_has_the_same_digests(
    server: Server, database: ConnectionInfo, other: ConnectionInfo, tmp_path: Path
) -> None:
    run(
        database,
        KINDS,
        "CREATE TABLE g (a int, b int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO g SELECT generate_series(1, 9)",
    )
    programs, environment = server.binaries, {"PGPASSWORD": server.info.password.reveal()}
    where = ["-h127.0.0.1", f"-p{database.port}", "-Upostgres"]
    dump = [programs.tool("pg_dump"), *where, "-Fc", f"--file={tmp_path / 'd'}", database.dbname]
    subprocess.run(dump, env=environment, check=True)
    restore = [programs.tool("pg_restore"), *where, "-d", other.dbname, tmp_path / "d"]
    subprocess.run(restore, env=environment, check=True)
    assert digests(database) == digests(other)
