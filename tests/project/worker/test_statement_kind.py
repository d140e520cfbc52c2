"""What a statement's text says of how it may be run."""

from __future__ import annotations

import pytest

from mig_kit.project.worker.statement_kind import index_dropped, index_made, kind_of


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1", "read"),
        (" -- a comment\n /* another */ (SELECT 1)", "read"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "read"),
        ("WITH a AS (DELETE FROM t RETURNING id) SELECT * FROM a", "change"),
        ("update t set a = 1", "change"),
        ("SET LOCAL x = 1", "control"),
        ("RELEASE SAVEPOINT s", "control"),
        ('ALTER TABLE "t" ADD COLUMN "a" integer; SET CONSTRAINTS "x" IMMEDIATE', "strong"),
        ("CREATE INDEX i ON t (a)", "strong"),
        ("TRUNCATE t", "strong"),
        ("DO $$ BEGIN END $$", "strong"),
        ("CREATE UNIQUE INDEX  CONCURRENTLY i ON t (a)", "concurrent"),
        ("drop index concurrently if exists i", "concurrent"),
        ("REINDEX INDEX CONCURRENTLY i", "concurrent"),
        ("REINDEX (VERBOSE, CONCURRENTLY) TABLE t", "concurrent"),
        ("ALTER TABLE p DETACH PARTITION q CONCURRENTLY", "concurrent"),
        ("REINDEX TABLE t", "strong"),
        ("REINDEX DATABASE d", "alone"),
        ("VACUUM (ANALYZE) t", "alone"),
        ("CREATE TABLE vacuumed (id int)", "strong"),
        ("CLUSTER", "alone"),
        ("CLUSTER t USING i", "strong"),
        ("", "strong"),
    ],
)
def test_the_kind_of_a_statement(sql: str, kind: str) -> None:
    assert kind_of(sql) == kind


@pytest.mark.parametrize(
    ("sql", "made"),
    [
        ('CREATE INDEX CONCURRENTLY "a" ON "t" ("x")', ('"a"', '"t"')),
        (
            'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "a ""1" ON ONLY "s"."t" USING gin (x)',
            ('"a ""1"', '"s"."t"'),
        ),
        ("CREATE INDEX CONCURRENTLY ON t (x)", (None, "t")),
        ("CREATE INDEX a ON t (x)", None),
    ],
)
def test_which_index_is_made_where(sql: str, made: tuple[str | None, str] | None) -> None:
    assert index_made(sql) == made


def test_which_index_is_dropped() -> None:
    assert index_dropped('DROP INDEX CONCURRENTLY IF EXISTS "a"') == '"a"'
    assert index_dropped("DROP INDEX CONCURRENTLY s.a") == "s.a"
    assert index_dropped("DROP INDEX a") is None
