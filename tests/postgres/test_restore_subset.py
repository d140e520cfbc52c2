"""Tables restored without their rows, from dumps of the embedded PostgreSQL 18 and of a 15 where there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mig_kit.errors import BackupError
from mig_kit.postgres import ConnectionInfo, Server, connect, dump
from mig_kit.postgres.archive import open_archive
from mig_kit.postgres.digest import digest_tables
from mig_kit.postgres.restore import restore
from tests.servers import fresh_database

# Names that the table of contents alone cannot tell apart: it has them one after the other, unquoted.
TABLES = """
    CREATE SCHEMA "s p";
    CREATE TABLE "s p"."a b" (id int PRIMARY KEY);
    CREATE TABLE "s p".a (id int PRIMARY KEY);
    CREATE TABLE child (id int PRIMARY KEY, a int REFERENCES "s p"."a b" ON DELETE CASCADE);
    CREATE TABLE part (id int PRIMARY KEY, a int REFERENCES "s p"."a b") PARTITION BY RANGE (id);
    CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (10);
    CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (10) TO (20);
    CREATE TABLE whole (id int, p int REFERENCES part);
    CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree);
    INSERT INTO "s p"."a b" VALUES (1); INSERT INTO "s p".a VALUES (1); INSERT INTO child VALUES (1, 1);
    INSERT INTO part VALUES (1, 1), (11, 1); INSERT INTO whole VALUES (1, 1); INSERT INTO tree VALUES (1, 1);
"""
ALL = {"public.child", "public.part1", "public.part2", "public.whole", "public.tree", "s p.a", "s p.a b"}


@pytest.fixture(params=["server18", "server15"])
def both(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each server in turn."""
    server: Server = request.getfixturevalue(request.param)
    yield server
    for name in ("subset source", "subset copy"):
        server.drop_database(name)


@pytest.fixture
def dumped(both: Server, tmp_path: Path) -> Path:
    info = fresh_database(both, "subset source")
    with closing(connect(info)) as conn:
        conn.execute(TABLES.encode())
    return dump(info, tmp_path / "dump").path


def filled(info: ConnectionInfo) -> set[str]:
    with closing(connect(info)) as conn:
        return {each.table for each in digest_tables(conn) if each.rows}


def unchecked(info: ConnectionInfo) -> set[str]:
    with closing(connect(info)) as conn:
        found = conn.execute("SELECT conname FROM pg_constraint WHERE contype = 'f' AND NOT convalidated")
        return {row[0] for row in found}


@pytest.mark.parametrize(
    ("without", "empty", "keys"),
    [
        (["s p.a"], {"s p.a"}, set()),
        (["public.tree"], {"public.tree"}, set()),
        (["public.child"], {"public.child"}, set()),
        (["public.part1"], {"public.part1"}, {"whole_p_fkey"}),
        (["public.part"], {"public.part1", "public.part2"}, {"whole_p_fkey"}),
        (["s p.a b", "public.part"], {"s p.a b", "public.part1", "public.part2"}, {"child_a_fkey", "whole_p_fkey"}),
    ],
)
def test_only_their_rows_are_left_out_and_keys_to_them_hold_for_new_rows(
    both: Server, dumped: Path, without: list[str], empty: set[str], keys: set[str]
) -> None:
    info = fresh_database(both, "subset copy")
    result = restore(dumped, info, without_data=without)
    assert filled(info) == ALL - empty
    assert result.notes[0] == f"Restored without their rows: {', '.join(sorted(without))}."
    assert {re.sub(r"_?\d+$", "", name) for name in unchecked(info)} == keys
    with closing(connect(info)) as conn:
        count = conn.execute("SELECT count(DISTINCT conrelid) FROM pg_constraint WHERE contype = 'f'").fetchone()
        assert count == (6,)  # part and its two partitions, child, whole, tree


def test_a_key_of_a_partitioned_table_that_cannot_be_left_unchecked_is_said_to_be_missing(
    server15: Server, tmp_path: Path
) -> None:
    """Before 18 such a key cannot be NOT VALID."""
    info = fresh_database(server15, "subset source")
    with closing(connect(info)) as conn:
        conn.execute(TABLES.encode())
    path = dump(info, tmp_path / "dump").path
    copy = fresh_database(server15, "subset copy")
    result = restore(path, copy, without_data=["s p.a b"])
    assert result.notes[1] == "Added NOT VALID, for they lead to tables without rows: 1 foreign keys."
    assert result.notes[2].startswith("Left out, for they lead to tables without rows: 1 foreign keys (")
    assert "FK CONSTRAINT public part part_a_fkey postgres" in result.left_out
    for name in ("subset source", "subset copy"):
        server15.drop_database(name)


def test_a_table_that_is_not_in_it_is_named(dumped: Path, both: Server) -> None:
    info = fresh_database(both, "subset copy")
    with pytest.raises(BackupError) as caught:
        restore(dumped, info, without_data=["public.nothing"])
    assert str(caught.value) == ("dump has no table public.nothing.\nNext: name tables as schema.table, without quotes")


def test_plain_sql_is_restored_whole_or_not_at_all(database: ConnectionInfo, tmp_path: Path) -> None:
    path = tmp_path / "a.sql"
    path.write_text("CREATE TABLE a (id int);\n")
    assert open_archive(path).format == "plain"
    with pytest.raises(BackupError) as caught:
        restore(path, database, without_data=["public.a"])
    assert str(caught.value) == (
        "a.sql is plain SQL, of which no table's rows can be left out.\n"
        "Next: restore all of it, or make a backup by mig-kit backup"
    )


def test_what_would_publish_or_subscribe_is_not_restored_and_said_so(
    server: Server, database: ConnectionInfo, tmp_path: Path
) -> None:
    info = fresh_database(server, "subset source")
    with closing(connect(info)) as conn:
        conn.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE PUBLICATION news FOR TABLE a")
    result = restore(dump(info, tmp_path / "dump").path, database)
    assert result.notes == ("Not restored: 1 publications.",)
    with closing(connect(database)) as conn:
        assert conn.execute("SELECT count(*) FROM pg_publication").fetchone() == (0,)
    server.drop_database("subset source")
