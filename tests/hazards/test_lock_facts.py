"""What statements take and do, measured on PostgreSQL 15 and 18, against the record of it and the classification.

``tests/data/postgres_lock_facts.json`` holds what was once measured, with tables of 200,000 rows; here a few hundred do.
A whole-table scan is seen in the server's own counters (``pg_stat_xact_…`` and what parallel workers have reported): a
sequential scan was begun, and as many pages were read as the table has. DDL is counted there as queries are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlparse

from mig_kit.hazards.catalog import Catalog, load_catalog
from mig_kit.hazards.locks import LockMode
from mig_kit.hazards.statement import StatementFacts, classify_one
from mig_kit.postgres import Connection, Server, connect
from mig_kit.postgres.observe import Watch
from tests.servers import fresh_database

RECORD = json.loads((Path(__file__).parent.parent / "data" / "postgres_lock_facts.json").read_text())
ROWS = 300

# What depends on pending trigger events, or on a value that is not yet committed, is prepared in the same transaction.
SAME_TRANSACTION = ("pending_trigger", "enum_add_value_used")

# What the record has otherwise, and why.
OTHERWISE: dict[str, tuple[dict[str, Any], str]] = {
    **dict.fromkeys(
        ("v100_v200_expr_ix", "v100_v200_partial_ix", "v100_text_expr_ix", "same_type_noop", "create_index", "uniq"),
        ({"scan": ["t"]}, "an index build reads the table: where parallel workers did, the record missed it"),
    ),
    "reindex": ({"scan": ["t"], "rewr": []}, "the same; and the index is listed as rebuilt, not as rewritten too"),
    "fk_add": ({"scan": ["par", "t"]}, "the check joins with the parent, which is read whole too"),
    "fk_validate": ({"scan": ["par", "t"]}, "the check joins with the parent, which is read whole too"),
    "enum_add_value_used": (
        {"err": 'unsafe use of new value "b" of enum type en'},
        "17 and 18 allow it only when the type itself is as new as the value",
    ),
}

# The classification says "unknown" here.
UNKNOWN: dict[str, str] = {}

# Without a catalog the classification cannot know it, and says so in `unsure`.
NEEDS_CATALOG = {
    "fk_drop": "which constraint is a foreign key, and its parent",
    "drop_fk_col": "that the column has a foreign key, and its parent",
    "drop_referencing_table": "that the table has a foreign key, and its parent",
    "fk_validate": "that the constraint is a foreign key, and its parent",
    "drop_index": "the index's table",
    "reindex": "the index's table",
}


@dataclass(frozen=True)
class Fact:
    name: str
    statement: str
    setup: tuple[str, ...] = ()
    recorded: dict[int, dict[str, Any]] = field(default_factory=dict)


def facts_of_the_record() -> list[Fact]:
    found = []
    for each in RECORD["facts"]:
        recorded = {major: each.get("on_15_to_18") or each["on"][str(major)] for major in (15, 18)}
        found.append(Fact(each["name"], each["statement"], tuple(sqlparse.split(each["setup"])), recorded))
    return found


def more(name: str, statement: str, *setup: str) -> Fact:
    return Fact(name, statement, setup)


FK = "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (p) REFERENCES par(id) DEFERRABLE INITIALLY DEFERRED"
CITEXT = "CREATE EXTENSION IF NOT EXISTS citext SCHEMA public"

# What Django writes besides, and the edges of the rules.
MORE = [
    more("add_fk_column", "ALTER TABLE t ADD COLUMN q int NULL CONSTRAINT f REFERENCES par(id) DEFERRABLE"),
    more("add_fk_column_default", "ALTER TABLE t ADD COLUMN q int DEFAULT 1 NOT NULL REFERENCES par(id)"),
    more("add_fk_to_itself", "ALTER TABLE par ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES par(id)"),
    more("add_unique_column", "ALTER TABLE t ADD COLUMN q int UNIQUE"),
    more("add_positive", 'ALTER TABLE "t" ADD COLUMN "q" integer DEFAULT 0 NOT NULL CHECK ("q" >= 0)'),
    more("add_default_cast", "ALTER TABLE t ADD COLUMN q jsonb DEFAULT '{}'::jsonb NOT NULL"),
    more("add_default_random", "ALTER TABLE t ADD COLUMN q double precision DEFAULT random()"),
    more("add_default_upper", "ALTER TABLE t ADD COLUMN q text DEFAULT upper('x' || 'y')"),
    more(
        "add_default_own_function",
        "ALTER TABLE t ADD COLUMN q int DEFAULT own()",
        "CREATE FUNCTION own() RETURNS int AS 'SELECT 1' LANGUAGE sql",
    ),
    more("add_serial", "ALTER TABLE t ADD COLUMN q serial"),
    more("add_enum", "ALTER TABLE t ADD COLUMN q mood DEFAULT 'ok'", "CREATE TYPE mood AS ENUM ('ok')"),
    more("add_stored_not_null", "ALTER TABLE t ADD COLUMN q int GENERATED ALWAYS AS (i) STORED NOT NULL"),
    more("add_two", "ALTER TABLE t ADD COLUMN q int, ADD COLUMN r int CHECK (r > 0)"),
    more("type_and_null", 'ALTER TABLE t ALTER COLUMN n TYPE bigint USING "n"::bigint, ALTER COLUMN n SET NOT NULL'),
    more("set_nn_again", "ALTER TABLE t ALTER i SET NOT NULL"),
    more(
        "set_nn_check_not_valid",
        "ALTER TABLE t ALTER n SET NOT NULL",
        "ALTER TABLE t ADD CHECK (n IS NOT NULL) NOT VALID",
    ),
    more(
        "set_nn_check_of_more", "ALTER TABLE t ALTER n SET NOT NULL", "ALTER TABLE t ADD CHECK (n IS NOT NULL OR i > 5)"
    ),
    more("type_of_fk", "ALTER TABLE t ALTER p TYPE bigint", FK),
    more(
        "type_of_fk_free",
        "ALTER TABLE c ALTER v TYPE varchar(20)",
        "CREATE TABLE k (v varchar(10) PRIMARY KEY)",
        "CREATE TABLE c AS SELECT 'a'::varchar(10) AS v FROM generate_series(1, 300)",
        "INSERT INTO k VALUES ('a')",
        "ALTER TABLE c ADD CONSTRAINT f FOREIGN KEY (v) REFERENCES k(v)",
    ),
    more("type_of_pk", "ALTER TABLE par ALTER id TYPE bigint", FK),
    more(
        "type_of_pk_free",
        "ALTER TABLE k ALTER v TYPE varchar(20)",
        "CREATE TABLE k (v varchar(10) PRIMARY KEY)",
        "CREATE TABLE c AS SELECT 'a'::varchar(10) AS v FROM generate_series(1, 300)",
        "INSERT INTO k VALUES ('a')",
        "ALTER TABLE c ADD CONSTRAINT f FOREIGN KEY (v) REFERENCES k(v)",
    ),
    more("type_with_index", "ALTER TABLE t ALTER i TYPE bigint", "CREATE INDEX ti ON t(i)", "CREATE INDEX tx ON t(x)"),
    more("type_text_index", "ALTER TABLE t ALTER v TYPE text", "CREATE INDEX tv ON t(v)"),
    more("type_citext", "ALTER TABLE t ALTER x TYPE public.citext", CITEXT, "CREATE INDEX tx ON t(x)"),
    more(
        "type_citext_text",
        "ALTER TABLE t ALTER x TYPE text",
        CITEXT,
        "ALTER TABLE t ALTER x TYPE public.citext",
        "CREATE INDEX tx ON t(x)",
    ),
    more("type_tz_index", "ALTER TABLE t ALTER ts TYPE timestamptz", "SET timezone='UTC'", "CREATE INDEX tt ON t(ts)"),
    more("type_collation_index", 'ALTER TABLE t ALTER v TYPE varchar(100) COLLATE "C"', "CREATE INDEX tv ON t(v)"),
    more("type_using", 'ALTER TABLE t ALTER v TYPE varchar(200) USING "v"::varchar(200)'),
    more("type_using_function", "ALTER TABLE t ALTER v TYPE varchar(200) USING lower(v)"),
    more(
        "type_precision_grows", "ALTER TABLE t ALTER ts TYPE timestamp(6)", "ALTER TABLE t ALTER ts TYPE timestamp(3)"
    ),
    more("type_varchar_array", "ALTER TABLE t ALTER v TYPE varchar(200)[] USING ARRAY[v]"),
    more("type_array_grows", "ALTER TABLE t ALTER g TYPE varchar(20)[]", "ALTER TABLE t ADD g varchar(10)[]"),
    more("type_char_grows", "ALTER TABLE t ALTER g TYPE char(20)", "ALTER TABLE t ADD g char(10)"),
    more("type_inet", "ALTER TABLE t ALTER g TYPE inet", "ALTER TABLE t ADD g cidr", "CREATE INDEX tg ON t(g)"),
    more("type_bits_grow", "ALTER TABLE t ALTER g TYPE varbit(20)", "ALTER TABLE t ADD g varbit(10)"),
    more("type_of_included", "ALTER TABLE t ALTER v TYPE varchar(200)", "CREATE INDEX ti ON t(i) INCLUDE (v)"),
    more("type_of_unique", "ALTER TABLE t ALTER v TYPE varchar(200)", "ALTER TABLE t ADD UNIQUE (v)"),
    more("drop_column_cascade_view", "ALTER TABLE t DROP COLUMN v CASCADE", "CREATE VIEW vw AS SELECT v FROM t"),
    more("drop_column_indexed", "ALTER TABLE t DROP COLUMN v CASCADE", "CREATE INDEX tv ON t(v)"),
    more("drop_column_referenced", "ALTER TABLE par DROP COLUMN id CASCADE", FK),
    more("drop_column_view", "ALTER TABLE t DROP COLUMN v", "CREATE VIEW vw AS SELECT v FROM t"),
    more("drop_column_serial", "ALTER TABLE t DROP COLUMN g", "ALTER TABLE t ADD g serial"),
    more("drop_pk_cascade", "ALTER TABLE par DROP CONSTRAINT par_pkey CASCADE", FK),
    more("drop_unique", "ALTER TABLE t DROP CONSTRAINT u", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (i)"),
    more("drop_check", "ALTER TABLE t DROP CONSTRAINT c", "ALTER TABLE t ADD CONSTRAINT c CHECK (i > 0)"),
    more("drop_fk_deferred", FK.replace("ADD", "DROP").split(" FOREIGN")[0], FK),
    more("drop_table_cascade", "DROP TABLE par CASCADE", FK),
    more("drop_table_referenced", "DROP TABLE par", FK),
    more(
        "drop_table_serial", "DROP TABLE t CASCADE", "ALTER TABLE t ADD g serial", "CREATE VIEW vw AS SELECT i FROM t"
    ),
    more("rename_table", "ALTER TABLE t RENAME TO t2"),
    more("rename_constraint", "ALTER TABLE par RENAME CONSTRAINT par_pkey TO k"),
    more("set_schema", "ALTER TABLE par SET SCHEMA public"),
    more("add_pk", "ALTER TABLE t ADD PRIMARY KEY (i)"),
    more("add_pk_nullable", "ALTER TABLE t ADD PRIMARY KEY (n)"),
    more(
        "pk_using_index_not_null",
        "ALTER TABLE t ADD CONSTRAINT u PRIMARY KEY USING INDEX u",
        "CREATE UNIQUE INDEX u ON t(i)",
    ),
    more("add_unique_deferrable", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (i, n) DEFERRABLE INITIALLY DEFERRED"),
    more("add_identity_to_column", "ALTER TABLE t ALTER i ADD GENERATED BY DEFAULT AS IDENTITY"),
    more(
        "drop_identity",
        "ALTER TABLE t ALTER i DROP IDENTITY IF EXISTS",
        "ALTER TABLE t ALTER i ADD GENERATED BY DEFAULT AS IDENTITY",
    ),
    more(
        "drop_expression",
        "ALTER TABLE t ALTER g DROP EXPRESSION",
        "ALTER TABLE t ADD g int GENERATED ALWAYS AS (i) STORED",
    ),
    more("set_column_options", "ALTER TABLE t ALTER i SET (n_distinct = 5)"),
    more("set_storage", "ALTER TABLE t ALTER x SET STORAGE EXTERNAL"),
    more("set_compression", "ALTER TABLE t ALTER x SET COMPRESSION pglz"),
    more(
        "alter_constraint",
        "ALTER TABLE t ALTER CONSTRAINT f DEFERRABLE INITIALLY DEFERRED",
        FK.replace("DEFERRABLE INITIALLY DEFERRED", ""),
    ),
    more("owner", "ALTER TABLE t OWNER TO CURRENT_USER"),
    more("row_security", "ALTER TABLE t ENABLE ROW LEVEL SECURITY"),
    more("disable_trigger", "ALTER TABLE t DISABLE TRIGGER USER"),
    more("replica_identity", "ALTER TABLE t REPLICA IDENTITY FULL"),
    more("cluster_on", "ALTER TABLE par CLUSTER ON par_pkey"),
    more("reset_parameters", "ALTER TABLE t RESET (fillfactor)"),
    more("autovacuum_off", "ALTER TABLE t SET (autovacuum_enabled = off, toast.autovacuum_enabled = off)"),
    more("user_catalog", "ALTER TABLE t SET (user_catalog_table = true)"),
    more(
        "create_table",
        'CREATE TABLE "n" ("id" bigint NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "v" varchar(3) NOT NULL UNIQUE)',
    ),
    more("create_table_fk", "CREATE TABLE n (id int, p int NOT NULL REFERENCES par(id) DEFERRABLE INITIALLY DEFERRED)"),
    more("create_index_partial", "CREATE UNIQUE INDEX z ON t (lower(v) varchar_pattern_ops) INCLUDE (i) WHERE n > 5"),
    more("create_index_gin", "CREATE INDEX z ON t USING gin (to_tsvector('simple', x))"),
    more("drop_index_if", "DROP INDEX IF EXISTS z", "CREATE INDEX z ON t(i)"),
    more("set_index_parameters", "ALTER INDEX z SET (fillfactor = 50)", "CREATE INDEX z ON t(i)"),
    more("reindex_table", "REINDEX TABLE t", "CREATE INDEX z ON t(i)"),
    more("comment_table", "COMMENT ON TABLE t IS 'x'"),
    more("comment_column_schema", "COMMENT ON COLUMN f.t.i IS NULL"),
    more("comment_constraint", "COMMENT ON CONSTRAINT par_pkey ON par IS 'x'"),
    more("comment_index", "COMMENT ON INDEX par_pkey IS 'x'"),
    more(
        "drop_trigger",
        "DROP TRIGGER tg ON t",
        "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS $$begin return new; end$$",
        "CREATE TRIGGER tg BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tf()",
    ),
    more("policy", "CREATE POLICY po ON t USING (true)"),
    more("truncate", "TRUNCATE t"),
    more("truncate_cascade", "TRUNCATE par CASCADE", FK),
    more("truncate_referenced", "TRUNCATE par", FK),
    more("lock_table", "LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE"),
    more("update", "UPDATE t SET n = 1 WHERE n IS NULL OR n > 5"),
    more("delete", "DELETE FROM t WHERE i > 10"),
    more("insert", "INSERT INTO par VALUES (1000)"),
    more("insert_select", "INSERT INTO par SELECT i + 1000 FROM t"),
    more("analyze", "ANALYZE t"),
    more("refresh", "REFRESH MATERIALIZED VIEW mv", "CREATE MATERIALIZED VIEW mv AS SELECT i FROM t"),
    more(
        "refresh_concurrently",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY mv",
        "CREATE MATERIALIZED VIEW mv AS SELECT i FROM t",
        "CREATE UNIQUE INDEX mi ON mv(i)",
    ),
    more("alter_sequence_type", "ALTER SEQUENCE t_g_seq AS bigint", "ALTER TABLE t ADD g serial"),
    more("drop_sequence_cascade", "DROP SEQUENCE IF EXISTS t_g_seq CASCADE", "ALTER TABLE t ADD g serial"),
    more("create_sequence", "CREATE SEQUENCE s"),
    more("create_view", "CREATE VIEW vw AS SELECT i FROM t"),
    more("replace_view", "CREATE OR REPLACE VIEW vw AS SELECT i FROM t", "CREATE VIEW vw AS SELECT i FROM t"),
    more("drop_view", "DROP VIEW vw", "CREATE VIEW vw AS SELECT i FROM t"),
    more("enum_add", "ALTER TYPE mood ADD VALUE 'bad'", "CREATE TYPE mood AS ENUM ('ok')"),
    more("set_constraints", "SET CONSTRAINTS ALL IMMEDIATE", FK),
    more(
        "partitioned_add",
        "ALTER TABLE pt ADD COLUMN q int CHECK (q > 0)",
        "CREATE TABLE pt (i int) PARTITION BY RANGE (i)",
        "CREATE TABLE p1 PARTITION OF pt FOR VALUES FROM (0) TO (1000)",
        "INSERT INTO pt SELECT generate_series(0, 500)",
    ),
    more(
        "partitioned_index",
        "CREATE INDEX pi ON pt (i)",
        "CREATE TABLE pt (i int) PARTITION BY RANGE (i)",
        "CREATE TABLE p1 PARTITION OF pt FOR VALUES FROM (0) TO (1000)",
        "INSERT INTO pt SELECT generate_series(0, 500)",
    ),
    more(
        "partitioned_type",
        "ALTER TABLE pt ALTER i TYPE bigint",
        "CREATE TABLE pt (i int, j int) PARTITION BY RANGE (j)",
        "CREATE TABLE p1 PARTITION OF pt FOR VALUES FROM (0) TO (1000)",
        "INSERT INTO pt SELECT g, g FROM generate_series(0, 500) g",
    ),
    more(
        "fk_to_partitioned",
        "ALTER TABLE t ADD FOREIGN KEY (p) REFERENCES pt(i)",
        "CREATE TABLE pt (i int PRIMARY KEY) PARTITION BY RANGE (i)",
        "CREATE TABLE p1 PARTITION OF pt FOR VALUES FROM (0) TO (1000)",
        "INSERT INTO pt SELECT generate_series(0, 500)",
    ),
]

FACTS = facts_of_the_record() + MORE


@dataclass(frozen=True)
class Measured:
    """What a statement did; ``indexes``: index → table, for those that were there before and after."""

    locks: frozenset[tuple[str, LockMode]] = frozenset()
    work: frozenset[str] = frozenset()
    scan: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    created: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()
    error: str | None = None
    before: Catalog = field(default_factory=Catalog)

    def as_recorded(self) -> dict[str, Any]:
        if self.error:
            return {"err": self.error}
        locks = sorted(f"{name}:{mode.pg_name[:-4]}" for name, mode in self.locks if name not in self.dropped)
        rewritten, rebuilt = list(self.rewritten), list(self.rebuilt)
        return {"lock": locks, "rewr": rewritten, "rebuilt_ix": rebuilt, "scan": list(self.scan)}


class Bench:
    """A database in which each fact gets a schema of its own, measured once for all tests."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.major = conn.info.server_version // 10000
        self._measured: dict[str, Measured] = {}

    def measure(self, fact: Fact) -> Measured:
        if fact.name not in self._measured:
            self._measured[fact.name] = self._measure(fact)
        return self._measured[fact.name]

    def _measure(self, fact: Fact) -> Measured:
        conn = self.conn
        conn.execute("DROP SCHEMA IF EXISTS f CASCADE; CREATE SCHEMA f; SET search_path = f, public; RESET timezone")
        for statement in RECORD["tables"]:
            conn.execute(statement.replace("200000", str(ROWS)))
        setup = list(fact.setup)
        inside = [setup.pop()] if fact.name in SAME_TRANSACTION else []
        before = Catalog()
        try:
            for statement in setup:
                conn.execute(statement.encode())
            names = conn.execute("SELECT relname FROM pg_class WHERE relnamespace = 'f'::regnamespace").fetchall()
            before = load_catalog(conn, [row[0] for row in names])
            conn.execute("BEGIN")
            for statement in inside:
                conn.execute(statement.encode())
            watch = Watch(conn)
            conn.execute(fact.statement.encode())
            seen = watch.step()
        except psycopg.Error as error:
            return Measured(error=error.diag.message_primary, before=before)
        finally:
            conn.execute("ROLLBACK")
        built = {table for _index, table in (*seen.built, *seen.rebuilt) if table not in seen.created}
        return Measured(
            locks=frozenset((lock.relation, LockMode.parse(lock.mode)) for lock in seen.locks),
            work=frozenset(
                [f"scan:{name}" for name in seen.scanned]
                + [f"rewrite:{name}" for name in seen.rewritten]
                + [f"index build:{name}" for name in built]
                + [f"change rows:{rows.relation}" for rows in seen.rows if rows.updated or rows.deleted]
            ),
            scan=seen.scanned,
            rewritten=seen.rewritten,
            rebuilt=tuple(index for index, _table in seen.rebuilt),
            created=frozenset(seen.created),
            dropped=frozenset(seen.dropped),
            before=before,
        )


@pytest.fixture(scope="module", params=[15, 18], ids=["pg15", "pg18"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    server: Server = request.getfixturevalue(f"server{request.param}")
    with connect(fresh_database(server, "facts")) as conn:
        yield Bench(conn)
    server.drop_database("facts")


@pytest.mark.parametrize("fact", facts_of_the_record(), ids=lambda fact: fact.name)
def test_the_server_does_what_the_record_says(bench: Bench, fact: Fact) -> None:
    expected = fact.recorded[bench.major]
    if fact.name in OTHERWISE:
        given = OTHERWISE[fact.name][0]
        expected = given if "err" in given else {**expected, **given}
    assert bench.measure(fact).as_recorded() == expected


def too_little(measured: Measured, facts: StatementFacts) -> list[str]:
    """Name what the classification left out of what was measured."""
    missing = []
    for name, mode in sorted(measured.locks, key=str):
        claimed = facts.lock_on(name)
        if claimed is not None and claimed.level >= mode.level:
            continue
        # Nobody comes to an index but through its table.
        index = measured.before.index(name)
        if index is not None and facts.lock_on(index[0].label) is LockMode.ACCESS_EXCLUSIVE:
            continue
        if name not in measured.created and name not in facts.creates:
            missing.append(f"{name}: {mode}, not {claimed}")
    return missing + sorted(measured.work - {str(work) for work in facts.work})


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_the_classification_claims_no_less_than_happens(bench: Bench, fact: Fact) -> None:
    measured = bench.measure(fact)
    facts = classify_one(fact.statement, measured.before)
    if fact.name in UNKNOWN:
        assert not facts.known
    else:
        assert facts.known, facts.unsure
        assert too_little(measured, facts) == []


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_without_a_catalog_it_claims_no_less_or_says_what_it_lacks(bench: Bench, fact: Fact) -> None:
    measured = bench.measure(fact)
    facts = classify_one(fact.statement)
    if too_little(measured, facts):
        assert fact.name in NEEDS_CATALOG
        assert facts.unsure


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_with_a_catalog_it_raises_no_false_alarm(bench: Bench, fact: Fact) -> None:
    measured = bench.measure(fact)
    facts = classify_one(fact.statement, measured.before)
    if measured.error is None and facts.known:
        claimed = {str(work) for work in facts.work}
        assert facts.fails is None
        assert claimed == measured.work
        there = {lock.relation for lock in facts.locks if measured.before.table(lock.relation)}
        strongest = {name: max(m.level for n, m in measured.locks if n == name) for name, _mode in measured.locks}
        over = {name for name in there if facts.lock_on(name).level > strongest.get(name, 0)}  # type: ignore[union-attr]
        assert over == set()
