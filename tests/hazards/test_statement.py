"""How a statement is read; what it really takes and does is measured in ``test_lock_facts.py``. No database."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mig_kit.hazards.catalog import Catalog, Check, Column, ForeignKey, Index, TableInfo
from mig_kit.hazards.locks import Blocks, LockMode
from mig_kit.hazards.statement import RelationLock, StatementFacts, classify, classify_one


def work(facts: StatementFacts) -> list[str]:
    return [str(each) for each in facts.work]


def table(**given: object) -> TableInfo:
    everything: dict[str, object] = {
        "columns": {},
        "indexes": (),
        "checks": (),
        "foreign_keys": (),
        "referenced_by": (),
        "dependents": (),
    }
    return TableInfo(label="t", schema="public", name="t", **{**everything, **given})  # type: ignore[arg-type]


def catalog(**given: object) -> Catalog:
    return Catalog(tables={"t": table(**given)}, major=18, domains={})


def test_states_what_a_statement_is_about() -> None:
    facts = classify_one('ALTER TABLE "shop_order" ADD COLUMN "total" integer NULL CHECK ("total" >= 0)')
    assert facts.kind == "add column"
    assert (facts.relation, facts.columns) == ("shop_order", ("total",))
    assert facts.locks == (RelationLock("shop_order", LockMode.ACCESS_EXCLUSIVE),)
    assert facts.blocks("shop_order") is Blocks.READS_AND_WRITES
    assert work(facts) == ["scan:shop_order"]
    assert facts.reasons == ("the CHECK on the new column total is tried on every row",)
    assert (facts.evidence, facts.transactional) == ("rule", True)


def test_reads_several_statements_in_one_text() -> None:
    sql = 'SET CONSTRAINTS "a;b" IMMEDIATE; -- ; not here\nALTER TABLE "t" DROP CONSTRAINT "a;b";'
    assert [facts.kind for facts in classify(sql)] == ["setting", "drop constraint"]
    assert classify_one(sql).unsure == ("these are 2 statements, not one",)
    assert classify(" ; -- nothing\n") == ()


def test_joins_the_actions_of_one_alter_table() -> None:
    facts = classify_one("ALTER TABLE t ADD COLUMN a numeric(10, 2), ALTER b SET STATISTICS 5, ALTER c SET NOT NULL")
    assert facts.kind == "add column, set statistics, set not null"
    assert facts.columns == ("a", "b", "c")
    assert facts.lock_on("t") is LockMode.ACCESS_EXCLUSIVE
    assert work(facts) == ["scan:t"]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("t", "t"),
        ("T", "t"),
        ('"T"', "T"),
        ("s.t", "s.t"),
        ('"odd ""name"""', 'odd "name"'),
        ('"S"."a.b"', "S.a.b"),
        ("ONLY t", "t"),
        ("IF EXISTS t *", "t"),
        ("/* here */ t", "t"),
    ],
)
def test_reads_a_tables_name_as_postgresql_does(name: str, read: str) -> None:
    assert classify_one(f"ALTER TABLE {name} ADD COLUMN c int").relation == read


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ begin drop table t; end $$",
        "CALL something()",
        "VACUUM FULL",
        "CLUSTER",
        "COPY t FROM '/tmp/x'",
        "CREATE TABLE n AS SELECT * FROM t",
        "CREATE TABLE n (LIKE t)",
        "CREATE TABLE n PARTITION OF t FOR VALUES IN (1)",
        "SELECT create_distributed_table('t', 'id')",
        "SELECT * INTO n FROM t",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "INSERT INTO t SELECT * FROM u",
        "UPDATE t SET n = (SELECT max(n) FROM u)",
        "DROP TYPE mood CASCADE",
        "ALTER TABLE t ATTACH PARTITION u DEFAULT",
        "ALTER TABLE t INHERIT u",
        "ALTER TABLE t ADD COLUMN a int SOMETHING NEW",
        "ALTER TABLE t ADD COLUMN a strange",
        "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u (b) NOT VALID AND MORE",
        "ALTER TABLE t ALTER COLUMN c SET WHATEVER",
        "ALTER TABLE ALL IN TABLESPACE x SET TABLESPACE y",
        "ALTER TABLE a.b.c ADD COLUMN d int",
        "REINDEX DATABASE d",
        "EXPLAIN ANALYZE DELETE FROM t",
        "something else entirely",
        "COMMIT",
    ],
)
def test_what_is_not_recognised_is_unknown(sql: str) -> None:
    facts = classify_one(sql)
    assert not facts.known
    assert facts.evidence == "unknown"
    assert facts.unsure


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        (r"ALTER TABLE t ALTER c SET DEFAULT 'a\'; DROP TABLE u; --'", "a backslash stands before a quote"),
        ("ALTER TABLE t ADD CHECK (a # b > 0)", "it holds a '#'"),
        ("SELECT '" + "x" * 100_000 + "'", "it is longer than 100 kB"),
    ],
)
def test_a_text_that_can_be_read_in_two_ways_is_unknown(sql: str, why: str) -> None:
    (facts,) = classify(sql)
    assert not facts.known
    assert why in facts.unsure[0]


def test_a_part_that_is_not_recognised_keeps_what_is() -> None:
    facts = classify_one("ALTER TABLE t ADD COLUMN a int CHECK (a > 0), FLY AWAY")
    assert not facts.known
    assert facts.lock_on("t") is LockMode.ACCESS_EXCLUSIVE
    assert work(facts) == ["scan:t"]
    assert facts.unsure == ("this part of ALTER TABLE was not recognised: FLY AWAY",)


@pytest.mark.parametrize(
    ("default", "rewrites"),
    [
        ("0", False),
        ("-1.5", False),
        ("''", False),
        ("'{}'::jsonb", False),
        ("(ARRAY[]::text[])::text[]", False),
        ("'now'::timestamp with time zone", False),
        ("(STATEMENT_TIMESTAMP())", False),
        ("CURRENT_TIMESTAMP(3)", False),
        ("COALESCE(NULL, (1)::numeric(4, 2))", False),
        ("random()", True),
        ("lower(gen_random_uuid()::text)", True),
        ('"own"()', True),
        ("nextval('s')", True),
    ],
)
def test_a_default_that_may_differ_by_row_rewrites_the_table(default: str, rewrites: bool) -> None:
    facts = classify_one(f"ALTER TABLE t ADD COLUMN c text DEFAULT {default} NOT NULL")
    assert facts.known
    assert ("rewrite:t" in work(facts)) is rewrites


def test_asks_the_catalog_whether_a_function_is_volatile() -> None:
    known = Catalog(tables={"t": table()}, volatile={"own": False, "lower": True})
    assert work(classify_one("ALTER TABLE t ADD COLUMN c text DEFAULT own()", known)) == []
    assert "rewrite:t" in work(classify_one("ALTER TABLE t ADD COLUMN c text DEFAULT lower('X')", known))


@pytest.mark.parametrize(
    ("old", "new", "rewrites"),
    [
        ("character varying(100)", "varchar(200)", False),
        ("character varying(100)", "varchar(50)", True),
        ("character varying(100)", "varchar", False),
        ("character varying", "varchar(200)", True),
        ("character varying(100)", "text", False),
        ("text", "varchar(100)", True),
        ("integer", "int4", False),
        ("integer", "bigint", True),
        ("numeric(10,2)", "numeric(12, 2)", False),
        ("numeric(10,2)", "numeric(12, 4)", True),
        ("numeric(10,2)", "numeric(8, 2)", True),
        ("numeric", "numeric(8, 2)", True),
        ("timestamp(3) with time zone", "timestamp with time zone", False),
        ("timestamp with time zone", "timestamp(3) with time zone", True),
        ("timestamp without time zone", "timestamptz", True),
        ("character(3)", "char(5)", True),
        ("integer[]", "integer[]", False),
    ],
)
def test_knows_which_change_of_type_leaves_the_rows_alone(old: str, new: str, rewrites: bool) -> None:
    known = catalog(columns={"c": Column("c", old)})
    facts = classify_one(f"ALTER TABLE t ALTER COLUMN c TYPE {new} USING c::{new}", known)
    assert facts.evidence == "catalog"
    assert ("rewrite:t" in work(facts)) is rewrites


def test_a_change_from_a_type_that_is_not_known_counts_as_a_rewrite() -> None:
    facts = classify_one("ALTER TABLE t ALTER c TYPE varchar(200)")
    assert work(facts) == ["index build:t", "rewrite:t", "scan:t"]
    assert facts.reasons[0] == "the type of c changes: what the type is now is not known"


def test_says_what_it_would_ask_a_catalog_about_a_free_change() -> None:
    partly = Catalog(tables={"t": TableInfo("t", columns={"c": Column("c", "varchar(5)")})}, evidence="rule")
    facts = classify_one("ALTER TABLE t ALTER c TYPE varchar(200)", partly)
    assert (facts.work, facts.evidence) == ((), "rule")
    assert len(facts.unsure) == 2


def test_an_expression_index_and_a_check_make_a_free_change_work() -> None:
    known = catalog(
        columns={"c": Column("c", "character varying(5)")},
        indexes=(Index("t_c", ("c",), ("c",)), Index("t_lower", ("c",), (), expression=True)),
        checks=(Check("t_c_check", ("c",)),),
    )
    facts = classify_one("ALTER TABLE t ALTER c TYPE varchar(9)", known)
    assert work(facts) == ["index build:t", "scan:t"]
    assert "the index t_lower has an expression and is rebuilt" in facts.reasons
    assert "the CHECK t_c_check is tried on every row again" in facts.reasons


def test_a_valid_check_saves_the_scan_of_set_not_null() -> None:
    proof = catalog(checks=(Check("c_given", ("c",), proves_not_null="c"),))
    facts = classify_one("ALTER TABLE t ALTER c SET NOT NULL", proof)
    assert (facts.work, facts.reasons) == ((), ("the CHECK c_given proves that no c is NULL",))
    unproven = catalog(checks=(Check("c_given", ("c",), valid=False, proves_not_null="c"),))
    assert work(classify_one("ALTER TABLE t ALTER c SET NOT NULL", unproven)) == ["scan:t"]


def test_the_parent_of_a_foreign_key_is_locked_too() -> None:
    added = classify_one('ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (p) REFERENCES "par" ("id") DEFERRABLE')
    assert added.blocks("par") is Blocks.WRITES
    known = catalog(foreign_keys=(ForeignKey("f", "t", ("p",), "par", ("id",)),))
    for sql in ("ALTER TABLE t DROP CONSTRAINT f", "ALTER TABLE t DROP COLUMN p CASCADE", "DROP TABLE t CASCADE"):
        assert classify_one(sql, known).blocks("par") is Blocks.READS_AND_WRITES
        assert "parent" in classify_one(sql).unsure[0]


def test_what_a_version_does_not_know_fails() -> None:
    sql = "ALTER TABLE t ADD CONSTRAINT nn NOT NULL c NOT VALID"
    assert classify_one(sql, Catalog(major=17)).fails == "NOT NULL as a table constraint is known since PostgreSQL 18"
    assert classify_one(sql, Catalog(major=18)).fails is None
    assert classify_one(sql).fails is None


def test_concurrent_statements_stand_outside_a_transaction() -> None:
    for sql in ("CREATE INDEX CONCURRENTLY i ON t (a)", "REINDEX (VERBOSE, CONCURRENTLY) TABLE t"):
        facts = classify_one(sql)
        assert not facts.transactional
        assert facts.blocks("t") is Blocks.NOTHING


def test_an_index_stands_for_its_table() -> None:
    known = catalog(indexes=(Index("i", ("a",), ("a",)),))
    assert classify_one("DROP INDEX IF EXISTS i", known).blocks("t") is Blocks.READS_AND_WRITES
    unknown = classify_one("DROP INDEX IF EXISTS i")
    assert unknown.relation == "i"
    assert unknown.unsure == ("the table of the index i is locked ACCESS EXCLUSIVE too",)


def test_what_is_below_a_partitioned_table_is_locked_and_worked_on() -> None:
    known = Catalog(tables={"t": table(kind="p", partitions=("t_1", "t_2"))})
    facts = classify_one("ALTER TABLE t ADD CHECK (a > 0)", known)
    assert {lock.relation for lock in facts.locks} == {"t", "t_1", "t_2"}
    assert work(facts) == ["scan:t_1", "scan:t_2"]


def test_rows_that_bulk_create_writes_are_no_query() -> None:
    facts = classify_one('INSERT INTO "t" ("a") SELECT * FROM UNNEST(($1)::int[]) RETURNING "t"."id"')
    assert facts.known
    assert facts.work == ()


_WORDS = """ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT ( ) , ; ' " $$ -- /* */ CHECK REFERENCES u TYPE varchar SET
    DROP CONSTRAINT CREATE INDEX CONCURRENTLY ON USING UNIQUE PRIMARY KEY VALIDATE RENAME TO . :: GENERATED AS 1 UPDATE
    FROM DELETE INSERT INTO SELECT REINDEX COMMENT IS FOREIGN LIKE"""
_PIECES = st.sampled_from(_WORDS.split())


@given(st.lists(_PIECES, max_size=15).map(" ".join) | st.text(max_size=50))
@example("ALTER TABLE t ADD")
@example("CREATE TABLE t (a int REFERENCES")
def test_any_text_is_classified_and_a_known_one_locks_what_it_alters(sql: str) -> None:
    for facts in classify(sql):
        if facts.known and facts.sql.upper().startswith("ALTER TABLE"):
            assert facts.locks
