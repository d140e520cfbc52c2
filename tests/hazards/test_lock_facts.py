"""What statements take and do, measured on PostgreSQL 15 and 18, against the record of it and the classification.

``tests/data/postgres_lock_facts.json`` holds what was once measured, with tables of 200,000 rows; here a few hundred
do. ``more_lock_facts.json`` has further statements, of which nothing is recorded.

A whole-table scan is seen in the server's own counters (``pg_stat_xact_…`` and what parallel workers have reported): a
sequential scan was begun, and as many pages were read as the table has. DDL is counted there as queries are.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlparse

from mig_kit.hazards.catalog import Catalog, load_catalog
from mig_kit.hazards.locks import LockMode, strongest
from mig_kit.hazards.statement import StatementFacts, classify_one
from mig_kit.postgres import Connection, ConnectionInfo, Server, connect
from mig_kit.postgres.observe import Watch, backend_pid, locks_of
from tests.servers import fresh_database

DATA = Path(__file__).parent.parent / "data"
RECORD = json.loads((DATA / "postgres_lock_facts.json").read_text())
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
    "rename_index": ({"lock": ["z:ShareUpdateExclusive"]}, "it goes by the name that the statement knows it by"),
    "enum_add_value_used": (
        {"err": 'unsafe use of new value "b" of enum type en'},
        "17 and 18 allow it only when the type itself is as new as the value",
    ),
}

# The classification says "unknown" here.
UNKNOWN = {
    "insert_select": "how much a query reads depends on its plan",
    "refresh": "how much a query reads depends on its plan",
    "refresh_concurrently": "how much a query reads depends on its plan",
}

# It claims work that does not happen here, and why it may.
CAUTIOUS = {
    "add_default_own_function": "the function is declared volatile; that its body is a constant, the planner finds out",
}

# It does not foresee these errors.
NOT_FORESEEN = {
    "pending_trigger": "statements before it in the transaction make it fail",
    "enum_add_value_used": "a statement before it in the transaction makes it fail",
    "validate_nn_pg18": "before 18, the constraint that is validated cannot be made",
}


@dataclass(frozen=True)
class Fact:
    name: str
    statement: str
    setup: tuple[str, ...] = ()
    recorded: dict[int, dict[str, Any]] = field(default_factory=dict)


def facts_of(given: dict[str, Any]) -> list[Fact]:
    found = []
    for each in given["facts"]:
        recorded = {int(major): facts for major, facts in each.get("on", {}).items()}
        if "on_15_to_18" in each:
            recorded = dict.fromkeys((15, 18), each["on_15_to_18"])
        found.append(Fact(each["name"], each["statement"], tuple(sqlparse.split(each["setup"])), recorded))
    return found


RECORDED = facts_of(RECORD)
FACTS = RECORDED + facts_of(json.loads((DATA / "more_lock_facts.json").read_text()))


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

    def __init__(self, conn: Connection, info: ConnectionInfo) -> None:
        self.conn = conn
        self.info = info
        self.major = conn.info.server_version // 10000
        self._measured: dict[str, Measured] = {}

    def measure(self, fact: Fact) -> Measured:
        if fact.name not in self._measured:
            self._measured[fact.name] = self._measure(fact)
        return self._measured[fact.name]

    def lay_out(self, fact: Fact) -> Catalog:
        """Make the tables anew and prepare what the fact needs; returns what the catalog says then."""
        conn = self.conn
        conn.execute("DROP SCHEMA IF EXISTS f CASCADE; CREATE SCHEMA f; SET search_path = f, public; RESET timezone")
        for statement in RECORD["tables"]:
            conn.execute(statement.replace("200000", str(ROWS)))
        for statement in fact.setup:
            conn.execute(statement.encode())
        names = conn.execute("SELECT relname FROM pg_class WHERE relnamespace = 'f'::regnamespace").fetchall()
        return load_catalog(conn, [row[0] for row in names])

    def _measure(self, fact: Fact) -> Measured:
        conn = self.conn
        inside = fact.setup[-1:] if fact.name in SAME_TRANSACTION else ()
        before = Catalog()
        try:
            before = self.lay_out(replace(fact, setup=fact.setup[: len(fact.setup) - len(inside)]))
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
    info = fresh_database(server, "facts")
    with connect(info) as conn:
        yield Bench(conn, info)
    server.drop_database("facts")


@pytest.mark.parametrize("fact", RECORDED, ids=lambda fact: fact.name)
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
        if name in measured.created or (claimed is not None and claimed.level >= mode.level):
            continue
        # Nobody comes to an index but through its table.
        index = measured.before.index(name)
        if index is None or facts.lock_on(index[0].label) is not LockMode.ACCESS_EXCLUSIVE:
            missing.append(f"{name}: {mode}, not {claimed}")
    return missing + sorted(measured.work - {str(work) for work in facts.work})


def seen_from_outside(measured: Measured) -> Measured:
    """Put a partitioned table's name for its partitions': without a catalog nobody can know them."""
    tops = {below: table.label for table in measured.before.tables.values() for below in table.partitions}
    locks = frozenset((tops.get(name, name), mode) for name, mode in measured.locks)
    parts = (work.partition(":") for work in measured.work)
    return replace(measured, locks=locks, work=frozenset(f"{kind}:{tops.get(on, on)}" for kind, _, on in parts))


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_the_classification_claims_no_less_than_happens(bench: Bench, fact: Fact) -> None:
    measured = bench.measure(fact)
    facts = classify_one(fact.statement, measured.before)
    assert facts.known is (fact.name not in UNKNOWN), facts.unsure
    if facts.known:
        assert too_little(measured, facts) == []


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_without_a_catalog_it_claims_no_less_or_says_what_it_lacks(bench: Bench, fact: Fact) -> None:
    measured = seen_from_outside(bench.measure(fact))
    facts = classify_one(fact.statement.replace(" f.", " "))
    assert too_little(measured, facts) == [] or facts.unsure


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_with_a_catalog_it_raises_no_false_alarm(bench: Bench, fact: Fact) -> None:
    measured = bench.measure(fact)
    facts = classify_one(fact.statement, measured.before)
    if measured.error is not None or not facts.known:
        return
    assert facts.fails is None
    if fact.name not in CAUTIOUS:
        assert {str(work) for work in facts.work} == measured.work
    for lock in facts.locks:
        if measured.before.table(lock.relation):
            modes = [mode for name, mode in measured.locks if name == lock.relation]
            assert facts.lock_on(lock.relation) is strongest(modes), lock.relation


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_foresees_what_fails(bench: Bench, fact: Fact) -> None:
    measured = bench.measure(fact)
    facts = classify_one(fact.statement, measured.before)
    if fact.name not in NOT_FORESEEN:
        assert (facts.fails is None) is (measured.error is None), (facts.fails, measured.error)


CONCURRENT = [
    ("CREATE INDEX CONCURRENTLY z2 ON t (i)", "index build:t"),
    ("DROP INDEX CONCURRENTLY IF EXISTS z", None),
    ("REINDEX INDEX CONCURRENTLY z", "index build:t"),
    ("REINDEX (CONCURRENTLY) TABLE t", "index build:t"),
]


@pytest.mark.parametrize(("statement", "work"), CONCURRENT, ids=[statement for statement, _ in CONCURRENT])
def test_claims_what_is_locked_outside_a_transaction(bench: Bench, statement: str, work: str | None) -> None:
    """It waits for a transaction that has written to the table; what it holds then is seen from a second session."""
    bench.lay_out(Fact("", statement, ("CREATE INDEX z ON t (n)",)))
    facts = classify_one(statement, load_catalog(bench.conn, ["t"]))
    with connect(bench.info) as runner, connect(bench.info) as writer, connect(bench.info) as onlooker:
        for conn in (runner, writer, onlooker):
            conn.execute("SET search_path = f, public")
        pid = backend_pid(runner)
        writer.execute("BEGIN")
        writer.execute("UPDATE t SET p = 2 WHERE i = 1")
        thread = threading.Thread(target=runner.execute, args=(statement.encode(),))
        thread.start()
        wanted = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
        deadline = time.monotonic() + 10
        while onlooker.execute(wanted, (pid,)).fetchone() != (True,) and time.monotonic() < deadline:
            time.sleep(0.01)
        held = locks_of(onlooker, pid)
        writer.execute("ROLLBACK")
        thread.join(20)
    assert not facts.transactional
    assert facts.lock_on("t") is LockMode.SHARE_UPDATE_EXCLUSIVE
    assert {lock.mode for lock in held if lock.relation == "t"} == {"ShareUpdateExclusiveLock"}
    assert work is None or work in {str(each) for each in facts.work}
