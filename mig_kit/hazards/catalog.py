"""What the database says about the tables that a migration touches: two round trips, however many they are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import rows

from mig_kit.hazards import _catalog_sql as _sql
from mig_kit.postgres import Connection

__all__ = ["Catalog", "Check", "Column", "Dependent", "ForeignKey", "Index", "NotNull", "TableInfo", "load_catalog"]


@dataclass(frozen=True, slots=True)
class Column:
    """State a column; ``type`` as PostgreSQL writes it, ``generated``: '', 'stored' or 'virtual'."""

    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    generated: str = ""
    identity: bool = False
    collation: str | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """State an index. ``columns``: every one it reads (keys, included, in an expression or the predicate).

    ``keys``: the plain key columns. ``constraint``: the constraint it serves, if any. ``valid``: False for what a
    failed CREATE INDEX CONCURRENTLY leaves.
    """

    name: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    unique: bool = False
    primary: bool = False
    expression: bool = False
    partial: bool = False
    valid: bool = True
    constraint: str | None = None
    size_bytes: int = 0
    definition: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """State a CHECK. ``proves_not_null``: the one column that it is about when it says ``column IS NOT NULL``."""

    name: str
    columns: tuple[str, ...]
    valid: bool = True
    proves_not_null: str | None = None
    definition: str = ""


@dataclass(frozen=True, slots=True)
class NotNull:
    """State a NOT NULL constraint; the catalog has them by name since PostgreSQL 18."""

    name: str
    column: str
    valid: bool = True


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """State a foreign key of ``table`` (its columns) to ``parent`` (its columns)."""

    name: str
    table: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Dependent:
    """Name what else uses columns of a table: ``kind`` is view, generated column, trigger, policy or sequence.

    A sequence depends in the other direction: it belongs to the column, and goes with it.
    """

    kind: str
    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableInfo:
    """State what is known of a table; None where it is not known, which is never taken for "there is none".

    ``label``: the name, with the schema where the search path does not find it. ``size_bytes``: with indexes, TOAST
    and partitions. ``row_estimate``: the planner's, None before the first ANALYZE, 0 only for a file without a page.
    ``referenced_by``: foreign keys of other tables to this one. ``partitions``: labels of the tables below it,
    inheriting ones included.
    """

    label: str
    schema: str = ""
    name: str = ""
    kind: str = "r"
    size_bytes: int | None = None
    row_estimate: int | None = None
    columns: Mapping[str, Column] | None = None
    indexes: tuple[Index, ...] | None = None
    checks: tuple[Check, ...] | None = None
    not_nulls: tuple[NotNull, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] | None = None
    referenced_by: tuple[ForeignKey, ...] | None = None
    dependents: tuple[Dependent, ...] | None = None
    partitions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalog:
    """Hold what is known of tables, and of the whole database.

    ``evidence``: ``catalog`` when a database said so, ``rule`` when it was worked out from the project's state.
    ``major``: the server's major version. ``domains``: name → whether a CHECK or NOT NULL constrains it.
    ``base_types``: the names of types that are no domains. ``volatile``: function → whether it may give another value
    for each row. ``timezone``: the session's.
    """

    tables: Mapping[str, TableInfo] = field(default_factory=dict)
    major: int | None = None
    domains: Mapping[str, bool] | None = None
    base_types: frozenset[str] = frozenset()
    volatile: Mapping[str, bool] = field(default_factory=dict)
    timezone: str | None = None
    evidence: str = "catalog"

    def table(self, name: str) -> TableInfo | None:
        """Return the table of that name, ``name`` or ``schema.name``."""
        found = self.tables.get(name)
        if found is None and "." in name:
            found = next((t for t in self.tables.values() if f"{t.schema}.{t.name}" == name), None)
        return found

    def index(self, name: str) -> tuple[TableInfo, Index] | None:
        """Return an index, ``name`` or ``schema.name``, with its table."""
        for table in self.tables.values():
            for index in table.indexes or ():
                if name in (index.name, f"{table.schema}.{index.name}"):
                    return table, index
        return None


_IS_NOT_NULL = re.compile(r'CHECK \(\((?:"((?:[^"]|"")+)"|([a-z_][a-z0-9_$]*)) IS NOT NULL\)\)(?: NOT VALID)?')


def load_catalog(conn: Connection, names: Iterable[str]) -> Catalog:
    """Return what the database says of the tables named, their foreign-key neighbours and their partitions.

    ``names``: tables, indexes or sequences, ``name`` (as the search path finds it) or ``schema.name``, unquoted; an
    index or sequence stands for its table, and what does not exist is left out. Read-only; two round trips. Waits
    behind an ACCESS EXCLUSIVE lock on one of the tables, whose size needs it: set lock_timeout where that must not be.
    """
    cursor = conn.cursor(row_factory=rows.dict_row)
    relations = cursor.execute(_sql.RELATIONS, {"names": sorted(set(names))}).fetchall()
    oids = {"oids": [each["oid"] for each in relations]}
    cursors = []
    with conn.pipeline():
        for query in (
            _sql.COLUMNS,
            _sql.INDEXES,
            _sql.CONSTRAINTS,
            _sql.DEPENDENTS,
            _sql.TYPES,
            _sql.FUNCTIONS,
            _sql.SESSION,
        ):
            cursors.append(conn.cursor(row_factory=rows.dict_row))
            cursors[-1].execute(query, oids if "%(oids)s" in query else None)
        columns, indexes, constraints, dependents, types, functions, session = (each.fetchall() for each in cursors)
    labels = {each["oid"]: each["label"] for each in relations}
    of = {
        "columns": _grouped(columns),
        "indexes": _grouped(indexes),
        "constraints": _grouped(constraints),
        "incoming": _grouped(constraints, "parent"),
        "dependents": _grouped(dependents),
    }
    tables = {
        each["label"]: TableInfo(
            label=each["label"],
            schema=each["schema"],
            name=each["name"],
            kind=each["kind"],
            size_bytes=each["size_bytes"],
            row_estimate=each["row_estimate"],
            columns={row["name"]: Column(**_own(row)) for row in of["columns"][each["oid"]]},
            indexes=tuple(Index(**_own(row)) for row in of["indexes"][each["oid"]]),
            checks=tuple(_check(row) for row in of["constraints"][each["oid"]] if row["kind"] == "c"),
            not_nulls=tuple(
                NotNull(row["name"], row["columns"][0], row["valid"])
                for row in of["constraints"][each["oid"]]
                if row["kind"] == "n"
            ),
            foreign_keys=_foreign_keys(of["constraints"][each["oid"]]),
            referenced_by=_foreign_keys(of["incoming"][each["oid"]]),
            dependents=tuple(Dependent(**_own(row)) for row in of["dependents"][each["oid"]]),
            partitions=tuple(sorted(labels[oid] for oid in each["below"] or () if oid in labels)),
        )
        for each in relations
    }
    return Catalog(
        tables=tables,
        major=conn.info.server_version // 10000,
        domains={row["name"]: row["constrained"] for row in types if row["domain"]},
        base_types=frozenset(row["name"] for row in types if not row["domain"]),
        volatile={row["name"]: row["volatile"] for row in functions},
        timezone=session[0]["timezone"],
    )


def _grouped(given: Iterable[dict[str, Any]], key: str = "table") -> defaultdict[int, list[dict[str, Any]]]:
    """Sort rows by the table they are about."""
    groups: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in given:
        groups[row[key]].append(row)
    return groups


def _own(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row says of its table's part, lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items() if key != "table"}


def _check(row: Mapping[str, Any]) -> Check:
    match = _IS_NOT_NULL.fullmatch(row["definition"])
    proves = (match[2] or match[1].replace('""', '"')) if match else None
    return Check(row["name"], tuple(row["columns"]), row["valid"], proves, row["definition"])


def _foreign_keys(given: Iterable[Mapping[str, Any]]) -> tuple[ForeignKey, ...]:
    return tuple(
        ForeignKey(
            row["name"],
            row["table_label"],
            tuple(row["columns"]),
            row["parent_label"],
            tuple(row["parent_columns"]),
            row["valid"],
        )
        for row in given
        if row["kind"] == "f"
    )
