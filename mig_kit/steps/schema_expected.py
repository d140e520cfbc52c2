"""Compare what migrations would have made of the schema with what the database has: by structure, not by names alone.

It is what Django's ``--fake-initial`` leaves to chance: it takes a table for the right one by some names of columns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mig_kit.hazards.catalog import Catalog, Check, Column, ForeignKey, Index, TableInfo, load_catalog
from mig_kit.hazards.catalog_after import catalog_after
from mig_kit.hazards.column_types import parse_type
from mig_kit.hazards.plan import PlanMigration
from mig_kit.hazards.statement import classify
from mig_kit.steps.target import Target

__all__ = ["SchemaDifference", "differences", "not_looked_up"]

_TIMEOUTS = "SET default_transaction_read_only = on; SET lock_timeout = '2s'; SET statement_timeout = '30s'"


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """State how the database differs from what a migration makes, in one sentence."""

    migration: str
    table: str
    words: str

    def __str__(self) -> str:
        return f"{self.migration}: {self.words}"


def differences(
    target: Target, before: Catalog, migrations: Sequence[PlanMigration], *, backwards: bool = False
) -> tuple[SchemaDifference, ...]:
    """Return where the database is not as the migrations leave it; ``backwards``: as it was before them.

    ``before``: the tables as the state has them before the first of ``migrations``, which are in their order forwards.
    What they do not touch is not compared. Read-only.
    """
    touched: dict[tuple[str, str, str], str] = {}
    after = before
    for migration in migrations:
        step = after
        for statement in _statements(migration):
            after = catalog_after(after, statement)
        for part in _changed(step, after):
            touched[part] = str(migration)
    if not touched:
        return ()
    wanted = before if backwards else after
    names = {table for _kind, table, _name in touched}
    with contextlib.closing(target.connect("fake")) as connection:
        connection.execute(_TIMEOUTS)
        live = load_catalog(connection, names)
    found: list[SchemaDifference] = []
    gone: set[str] = set()
    for (kind, table, name), label in touched.items():
        for words in _compare(kind, name, wanted.table(table), live.table(table), table, gone):
            found.append(SchemaDifference(label, table, words))
    return tuple(dict.fromkeys(found))


def not_looked_up(migrations: Sequence[PlanMigration]) -> tuple[str, ...]:
    """Return what the migrations do of which the schema tells nothing, a sentence each."""
    found = []
    for migration in migrations:
        for each in migration.operations:
            if each.python is not None and not each.python.noop:
                found.append(f"{migration}: {each.describe}: what its code does to rows cannot be looked up")
            elif each.note is not None:
                found.append(f"{migration}: {each.describe}: {each.note}")
            elif any(not facts.known for text in each.statements for facts in classify(text)):
                found.append(f"{migration}: {each.describe}: what it does was not recognised, so it was not looked up")
    return tuple(found)


def _statements(migration: PlanMigration) -> Iterable[str]:
    for operation in migration.operations:
        yield from operation.statements
    for statement, _operation in migration.deferred:
        yield statement


# The parts of a table, each with its attribute in TableInfo.
_PARTS = {"column": "columns", "index": "indexes", "check": "checks", "foreign key": "foreign_keys"}


def _changed(before: Catalog, after: Catalog) -> Iterable[tuple[str, str, str]]:
    """Give what is another one after than before: (kind, table, name)."""
    for table in sorted({*before.tables, *after.tables}):
        one, other = before.tables.get(table), after.tables.get(table)
        if one is None or other is None:
            yield "table", table, ""
        for kind in _PARTS:
            then, now = _parts(one, kind), _parts(other, kind)
            for name in sorted({*then, *now}):
                if then.get(name) != now.get(name):
                    yield kind, table, name


def _parts(info: TableInfo | None, kind: str) -> Mapping[str, Any]:
    given = getattr(info, _PARTS[kind]) if info is not None else None
    if given is None:
        return {}
    return given if isinstance(given, Mapping) else {each.name: each for each in given}


def _compare(
    kind: str, name: str, wanted: TableInfo | None, live: TableInfo | None, table: str, gone: set[str]
) -> Iterable[str]:
    """Say in what one part of a table differs from what is wanted."""
    if kind == "table":
        if wanted is not None and live is None:
            gone.add(table)
            yield f"the table {table} is missing"
        elif wanted is None and live is not None:
            yield f"the table {table} is there, and should not be"
        return
    if live is None and wanted is not None and table not in gone:
        gone.add(table)
        yield f"the table {table} is missing"
    if wanted is None or live is None:
        return  # the table as a whole was told
    part, there = _parts(wanted, kind).get(name), _parts(live, kind)
    if part is None:
        if name in there and kind == "column":
            yield f"the column {table}.{name} is there, and should not be"
        elif name in there:
            yield f"the {kind} {name} of {table} is there, and should not be"
        return
    if kind == "column":
        yield from _compare_column(table, part, there.get(name))
        return
    alike = [each for each in there.values() if _ALIKE[kind](part, each)]
    if not alike:
        yield f"the {kind} {_said(part)} of {table} is missing"
    elif not any(each.valid for each in alike):
        yield f"the {kind} {alike[0].name} of {table} is not valid"


def _compare_column(table: str, wanted: Column, live: Column | None) -> Iterable[str]:
    place = f"{table}.{wanted.name}"
    if live is None:
        yield f"the column {place} is missing"
        return
    if parse_type(wanted.type) != parse_type(live.type):
        yield f"the column {place} is {live.type}, and should be {wanted.type}"
    if wanted.not_null != live.not_null:
        yield f"the column {place} {'is' if live.not_null else 'is not'} NOT NULL"
    if wanted.generated != live.generated:
        yield f"the column {place} is {live.generated or 'not'} generated, and should be {wanted.generated or 'plain'}"
    numbered = live.identity or (live.default or "").startswith("nextval(")
    if wanted.identity and not numbered:
        yield f"the column {place} does not number itself"
    if wanted.default is not None and live.default is None and not live.generated:
        yield f"the column {place} has no default in the database, and should have {wanted.default}"


def _index_alike(wanted: Index, live: Index) -> bool:
    same = (wanted.unique, wanted.partial, wanted.expression) == (live.unique, live.partial, live.expression)
    if not same or ("pattern_ops" in wanted.definition) > ("pattern_ops" in live.definition):
        return False
    if wanted.expression:
        return wanted.name == live.name or set(wanted.columns) == set(live.columns)
    return wanted.keys == live.keys


def _check_alike(wanted: Check, live: Check) -> bool:
    return wanted.name == live.name or set(wanted.columns) == set(live.columns)


def _key_alike(wanted: ForeignKey, live: ForeignKey) -> bool:
    return wanted.columns == live.columns and wanted.parent.rpartition(".")[2] == live.parent.rpartition(".")[2]


_ALIKE: Mapping[str, Callable[[Any, Any], bool]] = {
    "index": _index_alike,
    "check": _check_alike,
    "foreign key": _key_alike,
}


def _said(part: Index | Check | ForeignKey) -> str:
    columns = part.keys if isinstance(part, Index) and part.keys else part.columns
    return f"{part.name} ({', '.join(columns)})"
