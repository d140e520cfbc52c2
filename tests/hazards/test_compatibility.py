"""What the running release sees after a migration, on the embedded PostgreSQL 18 and a 15 where there is one.

Each finding is proved: the statements that Django writes for the old models (``old_models.py``) run before the
migration, and after it fail as the finding says, or do not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql

from mig_kit.hazards.assessment import VerdictKind
from mig_kit.hazards.compatibility import judge_compatibility
from mig_kit.hazards.finding import Severity
from mig_kit.hazards.old_release import OldRelease, takes_all
from mig_kit.hazards.registry import FINDINGS
from mig_kit.postgres import Connection, Server, connect
from mig_kit.postgres.schema import Schema, SchemaChange, read_schema, schema_changes
from tests.hazards.old_models import make_old_release
from tests.servers import fresh_database

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Case:
    """A migration, the finding it must give, and an old statement that fails then with ``error``, or goes on."""

    id: str
    migration: str
    statement: str
    error: str = ""
    severity: Severity = Severity.ERROR
    relation: str | None = "shop_shoe"

    def __str__(self) -> str:
        return f"{self.id}-{self.migration[:50]}-{self.statement}"


WARNING = Severity.WARNING

CASES = [
    Case("MK301", "ALTER TABLE shop_shoe DROP size", "select", 'column shop_shoe.size does not exist'),
    Case("MK301", "ALTER TABLE shop_shoe DROP size", "insert", 'column "size" of relation "shop_shoe" does not exist'),
    Case("MK302", "ALTER TABLE shop_shoe RENAME size TO length", "select", "column shop_shoe.size does not exist"),
    Case("MK302", "ALTER TABLE shop_shoe RENAME size TO length", "insert", 'column "size" of relation "shop_shoe"'),
    Case("MK303", "DROP TABLE shop_tag CASCADE", "select a tag", 'relation "shop_tag" does not exist',
         relation="shop_tag"),
    Case("MK304", "ALTER TABLE shop_tag RENAME TO shop_word", "select a tag", 'relation "shop_tag" does not exist',
         relation="shop_tag"),
    Case("MK305", "DROP TABLE shop_shoe_tags", "read the tags", 'relation "shop_shoe_tags" does not exist',
         relation="shop_shoe_tags"),
    Case("MK306", "ALTER TABLE shop_shoe ADD color text NOT NULL DEFAULT 'red';"
         "ALTER TABLE shop_shoe ALTER color DROP DEFAULT",
         "insert", 'null value in column "color" of relation "shop_shoe" violates not-null constraint'),
    Case("MK307", "ALTER TABLE shop_shoe ALTER stock DROP DEFAULT", "insert",
         'null value in column "stock" of relation "shop_shoe" violates not-null constraint'),
    Case("MK307", "ALTER TABLE shop_brand ALTER id DROP IDENTITY", "insert a brand",
         'null value in column "id" of relation "shop_brand" violates not-null constraint', relation="shop_brand"),
    Case("MK307", "ALTER TABLE shop_shoe ALTER twice SET NOT NULL, ALTER twice DROP EXPRESSION",
         "insert", 'null value in column "twice" of relation "shop_shoe" violates not-null constraint'),
    Case("MK308", "ALTER TABLE shop_shoe ALTER note DROP DEFAULT", "insert", severity=WARNING),
    Case("MK309", "ALTER TABLE shop_shoe ALTER size SET NOT NULL", "insert without size",
         'null value in column "size" of relation "shop_shoe" violates not-null constraint'),
    Case("MK309", "ALTER TABLE shop_shoe ALTER size SET NOT NULL", "update to null", 'null value in column "size"'),
    Case("MK309", "ALTER TABLE shop_shoe ADD CONSTRAINT filled CHECK (size IS NOT NULL) NOT VALID",
         "insert without size", 'new row for relation "shop_shoe" violates check constraint "filled"'),
    Case("MK310", "ALTER TABLE shop_shoe ALTER size TYPE bigint", "prepared", "cached plan must not change result type",
         WARNING),
    Case("MK310", "ALTER TABLE shop_shoe ALTER size TYPE bigint", "insert", severity=WARNING),
    Case("MK311", "ALTER TABLE shop_shoe ALTER note TYPE varchar(10)", "insert a long note",
         "value too long for type character varying(10)"),
    Case("MK311", "DROP VIEW shop_seen; ALTER TABLE shop_shoe ALTER name TYPE integer USING 0", "insert",
         "invalid input syntax for type integer"),
    Case("MK312", "ALTER TABLE shop_shoe ADD CONSTRAINT small CHECK (size < 60) NOT VALID", "insert", severity=WARNING),
    Case("MK312", "ALTER TABLE shop_shoe ADD CONSTRAINT long CHECK (size > 40) NOT VALID", "insert",
         'violates check constraint "long"', WARNING),
    Case("MK312", "ALTER TABLE shop_shoe ADD CONSTRAINT once UNIQUE (name)", "insert a second boot",
         'duplicate key value violates unique constraint "once"', WARNING),
    Case("MK312", "CREATE UNIQUE INDEX once ON shop_shoe (name) WHERE stock > 0", "insert a second boot",
         'duplicate key value violates unique constraint "once"', WARNING),
    Case("MK312", "CREATE TABLE sizes (id int PRIMARY KEY); INSERT INTO sizes VALUES (41);"
         "ALTER TABLE shop_shoe ADD CONSTRAINT known FOREIGN KEY (size) REFERENCES sizes", "insert",
         'violates foreign key constraint "known"', WARNING),
    Case("MK313", "DROP VIEW shop_seen", "read the view", 'relation "shop_seen" does not exist', relation="shop_seen"),
    Case("MK313", "ALTER VIEW shop_seen RENAME TO shop_looked", "read the view", 'relation "shop_seen" does not exist',
         relation="shop_seen"),
    Case("MK314", "DROP VIEW shop_seen; CREATE VIEW shop_seen AS SELECT id AS shoe FROM shop_shoe", "read the view",
         "column shop_seen.name does not exist", relation="shop_seen"),
    Case("MK314", "CREATE OR REPLACE VIEW shop_seen AS SELECT id AS shoe, name FROM shop_shoe WHERE size > 40",
         "read the view", severity=WARNING, relation="shop_seen"),
    Case("MK314", "ALTER TABLE shop_tag RENAME TO shop_word; CREATE VIEW shop_tag AS SELECT id, word FROM shop_word",
         "select a tag", severity=WARNING, relation="shop_tag"),
    Case("MK314", "ALTER TABLE shop_tag RENAME TO shop_word; CREATE VIEW shop_tag AS SELECT id FROM shop_word",
         "select a tag", "column shop_tag.word does not exist", relation="shop_tag"),
    Case("MK315", "DROP FUNCTION slug(text)", "call the function", "function slug(character varying) does not exist",
         WARNING, None),
    Case("MK316", "ALTER TABLE shop_shoe DROP size, ADD size int GENERATED ALWAYS AS (1) STORED", "insert",
         'cannot insert a non-DEFAULT value into column "size"'),
    Case("MK316", "ALTER TABLE shop_brand ALTER id SET GENERATED ALWAYS", "insert a brand with its key",
         'cannot insert a non-DEFAULT value into column "id"', WARNING, "shop_brand"),
    Case("MK317", "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END';"
         "CREATE TRIGGER refuse BEFORE INSERT ON shop_brand FOR EACH ROW EXECUTE FUNCTION no()", "insert a brand", "no",
         WARNING, "shop_brand"),
    Case("MK318", "ALTER TABLE shop_brand DROP CONSTRAINT shop_brand_name_key", "upsert a brand",
         "there is no unique or exclusion constraint matching the ON CONFLICT specification", WARNING, "shop_brand"),
]  # fmt: skip

HARMLESS = [
    "ALTER TABLE shop_shoe ADD color text",
    "ALTER TABLE shop_shoe ADD color text NOT NULL DEFAULT 'red'",
    "ALTER TABLE shop_shoe ADD n int NOT NULL DEFAULT 1 CHECK (n >= 0)",
    "ALTER TABLE shop_shoe ADD made_id bigint REFERENCES shop_brand; CREATE INDEX ON shop_shoe (made_id)",
    "ALTER TABLE shop_shoe ADD code text UNIQUE",
    "ALTER TABLE shop_shoe ALTER note SET DEFAULT 'old', ALTER size SET DEFAULT 40, ALTER brand_id SET DEFAULT 1",
    "ALTER TABLE shop_shoe ALTER name DROP NOT NULL",
    "ALTER TABLE shop_shoe DROP note; ALTER TABLE shop_shoe ADD note varchar(20) DEFAULT 'new'",
    "CREATE INDEX ON shop_shoe (name)",
    "DO $$ BEGIN EXECUTE (SELECT 'DROP INDEX ' || indexname FROM pg_indexes WHERE indexname ~ 'd_name.*like$'); END $$",
    "ALTER TABLE shop_brand DROP CONSTRAINT shop_brand_name_key; CREATE UNIQUE INDEX once ON shop_brand (name)",
    "ALTER TABLE shop_shoe RENAME CONSTRAINT shop_shoe_pkey TO shoe_key",
    "ALTER TABLE shop_shoe RENAME size TO was; ALTER TABLE shop_shoe ADD size int",
    "CREATE TABLE shop_sole (id int PRIMARY KEY, n int NOT NULL); ALTER TABLE shop_sole RENAME n TO m",
    "CREATE VIEW shop_more AS SELECT 1",
    "COMMENT ON TABLE shop_shoe IS 'shoes'; COMMENT ON COLUMN shop_shoe.size IS 'in French'",
    "CREATE TYPE mood AS ENUM ('sad')",
]


class Release:
    """The old release's database, copied for each test, and its statements."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = f"old_release_{next(_numbers)}"
        info = fresh_database(server, self.name)
        made = make_old_release(info)
        self.statements = {
            **made,
            "prepared": "EXECUTE old",
            "select a tag": 'SELECT "shop_tag"."id", "shop_tag"."word" FROM "shop_tag" LIMIT 21',
            "insert a second boot": made["insert"].replace("Slipper", "Boot"),
        }
        self.prepare = f"PREPARE old AS {made['select']}"

    def copy(self) -> str:
        name = f"{self.name}_copy"
        self.server.drop_database(name)
        with closing(connect(self.server.info)) as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(self.name))
            )
        return name


@pytest.fixture(scope="module", params=["server18", "server15"])
def release(request: pytest.FixtureRequest) -> Iterator[Release]:
    made = Release(request.getfixturevalue(request.param))
    yield made
    made.server.drop_database(f"{made.name}_copy")
    made.server.drop_database(made.name)


@pytest.fixture
def conn(release: Release) -> Iterator[Connection]:
    with closing(connect(release.server.info.with_dbname(release.copy()))) as conn:
        yield conn


def migrate(conn: Connection, statements: str) -> tuple[Schema, tuple[SchemaChange, ...]]:
    before = read_schema(conn)
    conn.execute(statements.encode())
    return before, schema_changes(before, read_schema(conn))


def judge(changes: Any, existed: Any, **more: Any) -> Any:
    return judge_compatibility("shop", "0002_change", changes, existed, evidence="measured", **more)


def run(conn: Connection, statement: str) -> str:
    """Run an old statement, take it back, and return the error, '' for none."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(statement.encode())
    except psycopg.Error as error:
        return str(error.diag.message_primary)
    return ""


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_old_statement_does_what_the_finding_says(release: Release, conn: Connection, case: Case) -> None:
    statement = release.statements[case.statement]
    conn.execute(release.prepare.encode())
    assert run(conn, statement) == ""
    before, changes = migrate(conn, case.migration)
    verdict, findings = judge(changes, before.labels)
    (finding,) = [each for each in findings if each.id == case.id and each.relation == case.relation]
    error = run(conn, statement)
    assert case.error in error
    assert bool(error) is bool(case.error)
    assert finding.severity is case.severity
    assert verdict.kind is (VerdictKind.UNSAFE if case.severity is Severity.ERROR else VerdictKind.SAFE)
    assert (finding.app, finding.migration, finding.evidence) == ("shop", "0002_change", "measured")
    assert finding.hint


@pytest.mark.parametrize("case", [each for each in CASES if each.error], ids=str)
def test_the_message_quotes_what_the_server_says(conn: Connection, case: Case) -> None:
    before, changes = migrate(conn, case.migration)
    _verdict, findings = judge(changes, before.labels)
    (finding,) = [each for each in findings if each.id == case.id and each.relation == case.relation]
    quoted = {
        "MK311": "with such a value fails",
        "MK314": "fails with column",
        "MK315": "fails with … does not exist",
        "MK317": "acts on the INSERTs",
    }
    said = {"MK301": "does not exist", "MK302": "does not exist", "MK306": "violates not-null constraint"}
    said |= {"MK307": "violates not-null constraint", "MK309": "violates", "MK312": "violates"}
    expected = quoted.get(case.id) or said.get(case.id) or case.error
    assert expected in finding.message


@pytest.mark.parametrize("migration", HARMLESS)
def test_what_the_old_release_does_not_notice_is_no_finding(release: Release, conn: Connection, migration: str) -> None:
    before, changes = migrate(conn, migration)
    verdict, findings = judge(changes, before.labels)
    assert findings == ()
    assert str(verdict) == "safe (measured)"
    for statement in release.statements.values():
        assert statement == "EXECUTE old" or run(conn, statement) == "", statement


def test_every_kind_of_finding_is_documented_and_proved() -> None:
    documented = {each for each in FINDINGS if each.startswith("MK3")}
    assert {each.id for each in CASES} == documented


def test_says_the_whole_of_it(conn: Connection) -> None:
    statements = "TRUNCATE shop_shoe CASCADE; ALTER TABLE shop_shoe ADD color text NOT NULL, DROP note"
    before, changes = migrate(conn, statements)
    verdict, findings = judge(changes, before.labels, operation="Add field color to shoe")
    assert str(verdict) == (
        "unsafe: column color of shop_shoe is NOT NULL and has no default in the database; and 1 more (measured)"
    )
    assert [each.operation for each in findings] == ["Add field color to shoe"] * 2
    assert findings[0].message == (
        "Column color of shop_shoe is NOT NULL and has no default in the database: each INSERT of the running release "
        'leaves it out and fails with null value in column "color" violates not-null constraint.'
    )
    assert findings[0].hint == (
        "give it a db_default (Django 5.0 and later), which stays in the database; or add it with null=True, deploy "
        "code that fills it, and set NOT NULL in the next release"
    )


def test_what_could_not_be_looked_at_is_unknown_unless_something_surely_fails(conn: Connection) -> None:
    before, changes = migrate(conn, "ALTER TABLE shop_shoe ADD color text")
    assert judge(changes, before.labels, unknown=["RunPython load()"])[0].kind is VerdictKind.UNKNOWN
    before, changes = migrate(conn, "ALTER TABLE shop_shoe DROP color, DROP note")
    assert judge(changes, before.labels, unknown=["RunPython load()"])[0].kind is VerdictKind.UNSAFE


def test_a_table_that_the_plan_made_is_used_by_nobody(conn: Connection) -> None:
    before = read_schema(conn)
    conn.execute("CREATE TABLE shop_sole (id int, n int)")
    _between, changes = migrate(conn, "ALTER TABLE shop_sole RENAME n TO m; DROP TABLE shop_sole")
    assert judge(changes, before.labels)[1] == ()


def plan(conn: Connection, *migrations: str) -> list[list[str]]:
    """Run a plan and return each migration's findings, as ids."""
    old = OldRelease(read_schema(conn).labels)
    found = []
    for each in migrations:
        _before, changes = migrate(conn, each)
        found.append([finding.id for finding in judge(changes, old)[1]])
        old = old.after(changes)
    return found


def test_a_column_that_the_plan_added_is_named_by_nobody(conn: Connection) -> None:
    add = "ALTER TABLE shop_shoe ADD color text DEFAULT 'red'"
    assert plan(conn, add, "ALTER TABLE shop_shoe ALTER color SET NOT NULL") == [[], []]
    assert plan(conn, "ALTER TABLE shop_shoe RENAME color TO colour") == [["MK302"]]
    assert plan(
        conn,
        "ALTER TABLE shop_shoe ADD hue text",
        "ALTER TABLE shop_shoe RENAME hue TO tint",
        "ALTER TABLE shop_shoe ALTER tint TYPE varchar(3)",
        "ALTER TABLE shop_shoe ADD CONSTRAINT known CHECK (tint <> 'x')",
        "ALTER TABLE shop_shoe DROP tint",
    ) == [[], [], [], [], []]


def test_a_column_that_the_plan_added_must_still_be_left_out_with_success(release: Release, conn: Connection) -> None:
    add = "ALTER TABLE shop_shoe ADD color text DEFAULT 'red'"
    fill = "UPDATE shop_shoe SET color = 'red'"
    assert plan(conn, add, fill, "ALTER TABLE shop_shoe ALTER color SET NOT NULL") == [[], [], []]
    assert run(conn, release.statements["insert"]) == ""
    assert plan(conn, "ALTER TABLE shop_shoe ALTER color DROP DEFAULT") == [["MK307"]]
    assert "not-null" in run(conn, release.statements["insert"])


def test_a_nullable_column_that_gets_not_null_without_a_default_stops_inserts(
    release: Release, conn: Connection
) -> None:
    add = "ALTER TABLE shop_shoe ADD color text; UPDATE shop_shoe SET color = 'red'"
    assert plan(conn, add, "ALTER TABLE shop_shoe ALTER color SET NOT NULL") == [[], ["MK306"]]
    assert "not-null" in run(conn, release.statements["insert"])


def test_what_is_renamed_away_is_told_once(conn: Connection) -> None:
    assert plan(
        conn,
        "ALTER TABLE shop_shoe RENAME size TO length",
        "ALTER TABLE shop_shoe DROP length",
        "ALTER TABLE shop_tag RENAME TO shop_word",
        "DROP TABLE shop_word CASCADE",
    ) == [["MK302"], [], ["MK304"], []]


def test_a_copy_that_takes_a_columns_place_is_judged_as_that_column(release: Release, conn: Connection) -> None:
    add = "ALTER TABLE shop_shoe ADD copy bigint; UPDATE shop_shoe SET copy = size"
    swap = "ALTER TABLE shop_shoe RENAME size TO was; ALTER TABLE shop_shoe RENAME copy TO size"
    assert plan(conn, add, swap, "ALTER TABLE shop_shoe DROP was") == [[], ["MK310"], []]
    assert run(conn, release.statements["insert"]) == ""
    assert run(conn, release.statements["select"]) == ""


def test_a_copy_that_takes_a_tables_place_is_judged_as_that_table(release: Release, conn: Connection) -> None:
    swap = (
        "CREATE TABLE copy (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, word varchar(20) NOT NULL);"
        "ALTER TABLE shop_tag RENAME TO shop_was; ALTER TABLE copy RENAME TO shop_tag"
    )
    before, changes = migrate(conn, swap)
    assert judge(changes, before.labels)[1] == ()
    assert run(conn, release.statements["select a tag"]) == ""
    before, changes = migrate(
        conn,
        "ALTER TABLE shop_tag RENAME TO shop_was_2; CREATE TABLE shop_tag (id int, word varchar(3), n int NOT NULL)",
    )
    assert {each.id for each in judge(changes, before.labels)[1]} == {"MK306", "MK308", "MK310", "MK311", "MK318"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("integer", "bigint", True),
        ("bigint", "integer", False),
        ("smallint", "numeric(5,0)", True),
        ("integer", "numeric(10,2)", False),
        ("integer", "numeric", True),
        ("character varying(10)", "character varying(20)", True),
        ("character varying(10)", "text", True),
        ("text", "character varying(20)", False),
        ("character varying(20)", "character varying(10)", False),
        ("numeric(8,2)", "numeric(10,2)", True),
        ("numeric(8,2)", "numeric(10,4)", True),
        ("numeric(8,2)", "numeric(8,4)", False),
        ("numeric", "numeric(8,4)", False),
        ("text", "integer", False),
        ("date", "timestamp with time zone", False),
        ("timestamp(3) with time zone", "timestamp with time zone", True),
        ("json", "jsonb", True),
        ("integer", "integer[]", False),
        ("mood", "mood", True),
        ("mood", "text", False),
    ],
)
def test_knows_which_types_take_all_values(old: str, new: str, expected: bool) -> None:
    assert takes_all(old, new) is expected
