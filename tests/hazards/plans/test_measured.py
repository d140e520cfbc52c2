"""What the check derives against what happens: the same statements run on PostgreSQL 15 and 18, observed one by one.

Never less than happens, and no work that does not happen. And they are the statements that Django itself would write
with the database before it, which the check does not ask.
"""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any

import pytest

from mig_kit.hazards.assessment import AssessedStatement
from mig_kit.hazards.catalog import Catalog, load_catalog
from mig_kit.hazards.locks import LockMode, strongest
from mig_kit.hazards.statement import classify_one
from mig_kit.postgres import Connection, connect
from mig_kit.postgres.observe import Observation, Watch
from mig_kit.steps.check_plan import check_plan
from tests.hazards.plans.cases import CASES, Case
from tests.hazards.plans.site import CaseSite

RUN = [case for case in CASES if case.runs and "Big" in case.models]
ATOMIC = [case for case in RUN if case.atomic]
OTHERS = [case for case in RUN if not case.atomic]


def statements(site: CaseSite, case: Case) -> tuple[AssessedStatement, ...]:
    (found,) = check_plan(site.target, "shop", case.migration("Big")).migrations
    return found.statements


def measured_work(seen: Observation, made: set[str]) -> set[str]:
    work = [f"scan:{name}" for name in seen.scanned]
    work += [f"rewrite:{name}" for name in seen.rewritten]
    work += [f"index build:{table}" for _index, table in (*seen.built, *seen.rebuilt)]
    work += [f"change rows:{rows.relation}" for rows in seen.rows if rows.updated or rows.deleted]
    return {each for each in work if each.partition(":")[2] not in made}


def too_little(
    seen: Observation, claimed: list[tuple[str, LockMode]], before: Catalog, made: set[str], owners: dict[str, str]
) -> list[str]:
    """Name the locks that were taken and not claimed."""
    missing = []
    for lock in seen.locks:
        name, mode = lock.relation, LockMode.parse(lock.mode)
        known = strongest(each for relation, each in claimed if relation == name)
        if name in made or (known is not None and known.level >= mode.level):
            continue
        # Nobody comes to an index, or to a column's sequence, but through its table.
        table = owners.get(name)
        held = strongest(each for relation, each in claimed if relation == table)
        if table is None or (table not in made and (held is None or held.level < mode.level)):
            missing.append(f"{name}: {mode}, not {known}")
    return missing


def owners_of(conn: Connection) -> dict[str, str]:
    """Index or sequence → its table, under the names they have now."""
    rows = conn.execute(
        "SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text FROM pg_index i "
        "UNION ALL SELECT objid::regclass::text, refobjid::regclass::text FROM pg_depend "
        "WHERE deptype IN ('a', 'i') AND classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass"
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def compare(conn: Connection, given: tuple[AssessedStatement, ...], *, atomic: bool) -> list[str]:
    """Run the statements one by one and return every difference."""
    found: list[str] = []
    made: set[str] = set()
    owners = owners_of(conn)
    catalog = load_catalog(conn, [])
    if atomic:
        conn.execute("BEGIN")
    watch = Watch(conn)
    claimed: list[tuple[str, LockMode]] = []
    for each in given:
        if each.sql.startswith("--"):
            continue
        conn.execute(each.sql.encode())
        seen = watch.step(full=not atomic)
        made |= set(seen.created)
        if atomic:
            claimed += [(lock.relation, lock.mode) for lock in each.locks]
            found += [f"{each.sql}: {lock}" for lock in too_little(seen, claimed, catalog, made, owners)]
        for old, new in seen.renamed:
            claimed += [(new, mode) for relation, mode in claimed if relation == old]
            owners |= {name: new for name, table in owners.items() if table == old}
            owners |= {new: owners[old]} if old in owners else {}
        work, said = measured_work(seen, made), {str(work) for work in each.work}
        if each.evidence != "unknown":
            found += [f"{each.sql}: {name} happens and is not claimed" for name in sorted(work - said)]
            found += [f"{each.sql}: {name} is claimed and does not happen" for name in sorted(said - work)]
        owners |= owners_of(conn)
    if atomic:
        conn.execute("ROLLBACK")
    return found


@pytest.mark.parametrize("case", ATOMIC, ids=str)
def test_derives_what_happens_in_a_transaction(site: CaseSite, case: Case) -> None:
    with closing(connect(site.database)) as conn:
        assert compare(conn, statements(site, case), atomic=True) == []


@pytest.mark.parametrize("case", OTHERS, ids=str)
def test_derives_what_happens_outside_of_one(site: CaseSite, case: Case) -> None:
    with closing(connect(site.fresh())) as conn:
        assert compare(conn, statements(site, case), atomic=False) == []


VALUE = re.compile(r"'[^']*'::(timestamptz|uuid)")
OTHERWISE = {
    "concurrently_in_a_transaction": "Django refuses to write it down",
    "custom_asks": "its author asks the database",
    # What Django leaves out here, migrate runs (the tests above have run it).
    "rename_model": "Django looks for constraints under the new name, which the database does not know yet",
    "rename_then_index": "the same",
}


WRITTEN = [case for case in CASES if "Big" in case.models and case.name not in OTHERWISE]


def texts(found: dict[str, Any]) -> list[str]:
    """Return a migration's statements, what differs from call to call taken out."""
    deferred = [each["sql"] if isinstance(each, dict) else each for each in found["deferred"]]
    return [VALUE.sub("value", sql) for operation in found["operations"] for sql in operation["sql"]] + deferred


@pytest.mark.parametrize("case", WRITTEN, ids=str)
def test_the_statements_are_those_of_django_with_the_database(site: CaseSite, case: Case) -> None:
    name = case.migration("Big")
    replayed = site.target.ask("replay", app="shop", name=name)["migrations"][0]
    asked = site.target.ask("sql", migrations=[["shop", name]])[0]

    assert texts(replayed) == texts(asked)


@pytest.mark.parametrize(
    "statement", ["VACUUM (FULL) shop_small", "VACUUM FULL ANALYZE shop_small", "VACUUM shop_small"]
)
def test_a_vacuum_does_what_is_claimed(site: CaseSite, statement: str) -> None:
    with closing(connect(site.fresh())) as conn:
        facts = classify_one(statement, load_catalog(conn, ["shop_small"]))
        conn.execute("DELETE FROM shop_small_peers; DELETE FROM shop_small WHERE id % 2 = 0")
        watch = Watch(conn)
        conn.execute(statement.encode())
        seen = watch.step(full=True)
    rewrites = "FULL" in statement
    assert (seen.rewritten == ("shop_small",)) is rewrites
    assert ("rewrite:shop_small" in {str(work) for work in facts.work}) is rewrites
    assert facts.lock_on("shop_small") is (LockMode.ACCESS_EXCLUSIVE if rewrites else LockMode.SHARE_UPDATE_EXCLUSIVE)
    assert not facts.transactional
