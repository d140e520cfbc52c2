"""What statements take away, under the names that the database has now; no database is needed."""

from __future__ import annotations

import pytest

from mig_kit.hazards.taken import Taken, TakenKind, Taking, defaults_of


def taken(*statements: str) -> list[tuple[str, str, str]]:
    """What a plan of these statements takes away: kind, table, column."""
    taking = Taking()
    return [(each.kind.name, each.table, each.column) for text in statements for each in taking.take(text)]


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ('DROP TABLE "a" CASCADE;', [("TABLE", "a", "")]),
        ('DROP TABLE IF EXISTS a, "s"."B"', [("TABLE", "a", ""), ("TABLE", "s.B", "")]),
        ('ALTER TABLE "a" DROP COLUMN "x" CASCADE', [("COLUMN", "a", "x")]),
        ("ALTER TABLE a DROP x, DROP COLUMN IF EXISTS y", [("COLUMN", "a", "x"), ("COLUMN", "a", "y")]),
        ('ALTER TABLE "a" ALTER COLUMN "x" TYPE integer USING "x"::integer', [("CONVERTED", "a", "x")]),
        ("TRUNCATE TABLE a, b", [("EMPTIED", "a", ""), ("EMPTIED", "b", "")]),
        ("TRUNCATE a CASCADE", [("EMPTIED", "a", ""), ("UNREAD", "", "")]),
        ("DELETE FROM a", [("EMPTIED", "a", "")]),
        ("DELETE FROM a WHERE id > 3", [("ROWS", "a", "")]),
        ("UPDATE a SET x = 1 WHERE x IS NULL; SET CONSTRAINTS ALL IMMEDIATE", [("ROWS", "a", "")]),
        ("DROP EXTENSION IF EXISTS hstore", []),
        ("DROP EXTENSION citext CASCADE", [("UNREAD", "", "")]),
        ("DROP SCHEMA s CASCADE", [("UNREAD", "", "")]),
        ("SELECT 1", []),
        ("SELECT purge(30)", [("UNREAD", "", "")]),
        ("CALL tidy()", [("UNREAD", "", "")]),
        ("DO $$ BEGIN DELETE FROM a; END $$", [("UNREAD", "", "")]),
        ('DROP INDEX IF EXISTS "i"', []),
        ('ALTER TABLE "a" DROP CONSTRAINT "c"', []),
        ('ALTER TABLE "a" ALTER COLUMN "x" SET NOT NULL', []),
        ('ALTER TABLE "a" ADD COLUMN "x" int NULL', []),
    ],
)
def test_names_what_a_statement_takes_away(sql: str, found: list[tuple[str, str, str]]) -> None:
    assert taken(sql) == found


def test_follows_names_back_to_what_the_database_has_now() -> None:
    assert taken(
        'ALTER TABLE "remark" RENAME TO "note"',
        'ALTER TABLE "post" RENAME COLUMN "tagline" TO "subtitle"',
        'ALTER TABLE "post" DROP COLUMN "subtitle"',
        'ALTER TABLE "note" DROP COLUMN "text"',
        'DROP TABLE "note"',
    ) == [("COLUMN", "post", "tagline"), ("COLUMN", "remark", "text"), ("TABLE", "remark", "")]


def test_a_column_keeps_its_old_name_when_its_table_gets_another() -> None:
    assert taken(
        "ALTER TABLE a RENAME COLUMN now TO before", "ALTER TABLE a RENAME TO b", "ALTER TABLE b DROP COLUMN before"
    ) == [("COLUMN", "a", "now")]


def test_what_the_plan_itself_makes_is_no_loss() -> None:
    assert taken("CREATE TABLE a (id int)", "DROP TABLE a") == []
    assert taken("ALTER TABLE a ADD COLUMN x int", "ALTER TABLE a DROP COLUMN x") == []
    assert taken("ALTER TABLE a DROP COLUMN x", "ALTER TABLE a ADD COLUMN x int", "ALTER TABLE a DROP COLUMN x") == [
        ("COLUMN", "a", "x")
    ]


def test_tells_how_a_column_is_converted() -> None:
    def how(sql: str) -> Taken:
        [found] = Taking().take(sql)
        assert found.kind is TakenKind.CONVERTED
        return found

    assert how('ALTER TABLE a ALTER COLUMN "x" TYPE varchar(9)').using == ""
    cast = how('ALTER TABLE a ALTER COLUMN "x" TYPE numeric(10, 2) USING "x"::numeric(10, 2)')
    assert (cast.using, cast.new_type) == ("a cast", "numeric(10, 2)")
    assert how("ALTER TABLE a ALTER COLUMN x TYPE text USING upper(x)").using == "an expression"


def test_what_cannot_be_read_is_not_known() -> None:
    assert taken("INSERT INTO a VALUES ('it\\'s')") == [("UNREAD", "", "")]


@pytest.mark.parametrize(
    ("definition", "default"),
    [
        ("integer DEFAULT 0 NOT NULL", "0"),
        ("integer DEFAULT -3 NOT NULL", "-3"),
        ("varchar(20) DEFAULT 'a''b' NOT NULL", "'a''b'"),
        ("boolean DEFAULT true NOT NULL", "true"),
        ("numeric(4, 2) NULL", "NULL"),
        ("timestamptz DEFAULT now() NOT NULL", None),
        ("text DEFAULT 'a' || 'b'", None),
        ("int GENERATED ALWAYS AS (id * 2) STORED", None),
    ],
)
def test_tells_what_an_added_column_gave_the_rows_that_were_there(definition: str, default: str | None) -> None:
    found = defaults_of([f'ALTER TABLE "a" ADD COLUMN "x" {definition}; SELECT 1'])
    assert found == ({("a", "x"): default} if default is not None else {})
