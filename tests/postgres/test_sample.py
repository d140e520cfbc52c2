"""Samples of dumped tables, loaded beside tables that are there in full, on the embedded PostgreSQL 18."""

from __future__ import annotations

from pathlib import Path

import pytest

from mig_kit.errors import BackupError
from mig_kit.postgres import ConnectionInfo, Server, connect, dump
from mig_kit.postgres.archive import Archive, open_archive
from mig_kit.postgres.references import read_references
from mig_kit.postgres.restore import restore
from mig_kit.postgres.sample import load_samples
from tests.servers import fresh_database

TABLES = """
    CREATE TABLE place (id int PRIMARY KEY, name text);
    CREATE TABLE maker (id int PRIMARY KEY, place int NOT NULL REFERENCES place, boss int REFERENCES maker);
    CREATE SCHEMA other;
    CREATE TABLE other."the items" (id int PRIMARY KEY, maker int NOT NULL REFERENCES maker, "full name" text,
                                    twice int GENERATED ALWAYS AS (id * 2) STORED);
    CREATE TABLE part (id int, at int) PARTITION BY RANGE (at);
    CREATE TABLE part_one PARTITION OF part FOR VALUES FROM (0) TO (10);
    CREATE TABLE note (item int REFERENCES other."the items");
    INSERT INTO place SELECT g, 'p' || g FROM generate_series(1, 10) g;
    INSERT INTO maker SELECT g, 1 + g % 10, nullif(g - 1, 0) FROM generate_series(1, 100) g;
    INSERT INTO other."the items" SELECT g, 1 + g % 100, E'one\\ttwo\\n' || g FROM generate_series(1, 1000) g;
    INSERT INTO part SELECT g, g FROM generate_series(0, 9) g;
    CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''it fired''; END';
    CREATE TRIGGER no BEFORE INSERT ON other."the items" FOR EACH ROW EXECUTE FUNCTION no();
"""
ITEMS = ("other", "the items")


@pytest.fixture
def archive(database: ConnectionInfo, tmp_path: Path) -> Archive:
    """A dump of all of it."""
    with connect(database) as conn:
        conn.execute(TABLES)
    return open_archive(dump(database, tmp_path / "dump").path)


@pytest.fixture
def copy(server: Server, archive: Archive) -> ConnectionInfo:
    """A restored copy in which the places alone have rows."""
    copy = fresh_database(server, "sampled")
    restore(archive, copy, without_data={"public.maker", "other.the items", "public.part", "public.note"})
    return copy


def test_loads_every_so_manieth_row_the_same_ones_each_time(archive: Archive, copy: ConnectionInfo) -> None:
    rows = load_samples(archive, copy, {("public", "maker"): 1, ITEMS: 10})
    assert rows == {"public.maker": 100, "other.the items": 100}
    with connect(copy) as conn:
        found = conn.execute('SELECT id, "full name", twice FROM other."the items" ORDER BY id LIMIT 2').fetchall()
    assert found == [(1, "one\ttwo\n1", 2), (11, "one\ttwo\n11", 22)]


def test_takes_out_what_refers_to_rows_that_are_not_there(archive: Archive, copy: ConnectionInfo) -> None:
    """Of makers each third, whose bosses are others; so none but the first stays, and the items that it made."""
    rows = load_samples(archive, copy, {("public", "maker"): 3, ITEMS: 1})
    assert rows == {"public.maker": 1, "other.the items": 10}
    with connect(copy) as conn:
        conn.execute("ALTER TABLE maker ADD FOREIGN KEY (boss) REFERENCES maker")  # holds for what is left
        conn.execute('ALTER TABLE other."the items" ADD FOREIGN KEY (maker) REFERENCES maker')


def test_partitions_are_loaded_by_themselves(archive: Archive, copy: ConnectionInfo) -> None:
    assert load_samples(archive, copy, {("public", "part_one"): 5}) == {"public.part_one": 2}


def test_plain_sql_has_no_samples(copy: ConnectionInfo, tmp_path: Path) -> None:
    script = tmp_path / "dump.sql"
    script.write_text("--\n-- PostgreSQL database dump\n--\n")
    with pytest.raises(BackupError) as caught:
        load_samples(open_archive(script), copy, {("public", "maker"): 1})
    assert caught.value.message == "dump.sql is plain SQL, of which no sample can be taken."


def test_references_are_told_both_ways_and_across_partitions(archive: Archive, database: ConnectionInfo) -> None:
    with connect(database) as conn:
        found = read_references(conn)
    assert found.tables == {"public.place", "public.maker", "other.the items", "public.part_one", "public.note"}
    assert found.with_rows(["part", "other.the items"]) == {"public.part_one", "other.the items"}
    assert found.neighbours(["other.the items"]) == {"public.maker", "public.note"}
    assert found.parents(["other.the items"]) == {"public.maker"}
    assert found.neighbours(["public.maker"]) == {"public.place", "other.the items"}
