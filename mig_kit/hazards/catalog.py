"""What the database says about the tables that a migration touches: two round trips, however many they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import rows

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
    and partitions. ``row_estimate``: the planner's, None before the first ANALYZE. ``referenced_by``: foreign keys of
    other tables to this one. ``partitions``: labels of the tables below it, inheriting ones included.
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


# The tables named, those of the indexes named, what has a foreign key to or from them, and what is below all those.
_RELATIONS = """
    WITH RECURSIVE wanted AS (
        SELECT c.oid, c.relkind, i.indrelid
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
        WHERE n.nspname || '.' || c.relname = ANY (%(names)s)
           OR c.relname = ANY (%(names)s) AND pg_table_is_visible(c.oid)
    ), named AS (
        SELECT coalesce(indrelid, oid) AS oid FROM wanted WHERE relkind <> 'S'
        UNION
        SELECT d.refobjid FROM wanted w JOIN pg_depend d ON d.objid = w.oid AND d.classid = 'pg_class'::regclass
        WHERE w.relkind = 'S' AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    ), near AS (
        SELECT oid FROM named
        UNION SELECT f.confrelid FROM pg_constraint f JOIN named ON named.oid = f.conrelid WHERE f.contype = 'f'
        UNION SELECT f.conrelid FROM pg_constraint f JOIN named ON named.oid = f.confrelid WHERE f.contype = 'f'
    ), below AS (
        SELECT oid, oid AS top FROM near
        UNION SELECT h.inhrelid, below.top FROM pg_inherits h JOIN below ON below.oid = h.inhparent
    ), sizes AS (
        SELECT top, sum(pg_total_relation_size(oid))::bigint AS size_bytes, array_agg(oid) AS oids
        FROM below GROUP BY top
    )
    SELECT c.oid::bigint, n.nspname AS schema, c.relname AS name,
           CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END AS label,
           c.relkind AS kind, coalesce(s.size_bytes, 0) AS size_bytes, array_remove(s.oids, c.oid)::bigint[] AS below,
           CASE WHEN c.relkind = 'p' THEN (SELECT sum(greatest(p.reltuples, 0))::bigint FROM pg_class p
                                           WHERE p.oid = ANY (s.oids) AND p.reltuples >= 0)
                WHEN c.reltuples < 0 OR (c.reltuples = 0 AND c.relpages = 0) THEN NULL
                ELSE c.reltuples::bigint END AS row_estimate
    FROM (SELECT DISTINCT oid FROM below) b
    JOIN pg_class c ON c.oid = b.oid JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN sizes s ON s.top = c.oid
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f')
    ORDER BY c.oid
"""

_COLUMNS = """
    SELECT a.attrelid::bigint AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
           a.attnotnull AS not_null, pg_get_expr(d.adbin, d.adrelid) AS default,
           CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' ELSE '' END AS generated,
           a.attidentity <> '' AS identity, CASE WHEN a.attcollation <> t.typcollation THEN l.collname END AS collation
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum
"""

# pg_depend knows the columns inside expressions and predicates, which indkey does not.
_INDEXES = """
    SELECT i.indrelid::bigint AS table, c.relname AS name, i.indisunique AS unique, i.indisprimary AS primary,
           i.indexprs IS NOT NULL AS expression, i.indpred IS NOT NULL AS partial,
           i.indisvalid AND i.indisready AS valid, k.conname AS constraint,
           pg_relation_size(c.oid) AS size_bytes, pg_get_indexdef(c.oid) AS definition,
           ARRAY(SELECT attname::text FROM pg_attribute
                 WHERE attrelid = i.indrelid AND attnum > 0 AND NOT attisdropped AND (attnum = ANY (i.indkey)
                       OR attnum IN (SELECT refobjsubid FROM pg_depend
                                     WHERE classid = 'pg_class'::regclass AND objid = c.oid
                                       AND refclassid = 'pg_class'::regclass AND refobjid = i.indrelid)
                       OR attnum IN (SELECT unnest(conkey) FROM pg_constraint WHERE oid = k.oid))
                 ORDER BY attnum) AS columns,
           ARRAY(SELECT a.attname::text
                 FROM unnest(i.indkey::int[]) WITH ORDINALITY x (n, at) JOIN pg_attribute a
                   ON a.attrelid = i.indrelid AND a.attnum = x.n
                 WHERE x.at <= i.indnkeyatts ORDER BY x.at) AS keys
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
    WHERE i.indrelid = ANY (%(oids)s::oid[])
    ORDER BY c.relname
"""

_CONSTRAINTS = """
    SELECT k.conrelid::bigint AS table, k.confrelid::bigint AS parent, k.conname AS name, k.contype AS kind,
           CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE cn.nspname || '.' || c.relname END AS table_label,
           CASE WHEN pg_table_is_visible(p.oid) THEN p.relname ELSE pn.nspname || '.' || p.relname END AS parent_label,
           k.convalidated AS valid, pg_get_constraintdef(k.oid) AS definition,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY x (n, at) JOIN pg_attribute a
                   ON a.attrelid = k.conrelid AND a.attnum = x.n ORDER BY x.at) AS columns,
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY x (n, at) JOIN pg_attribute a
                   ON a.attrelid = k.confrelid AND a.attnum = x.n ORDER BY x.at) AS parent_columns
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
    LEFT JOIN pg_class p ON p.oid = k.confrelid LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE k.contype IN ('c', 'n', 'f')
      AND (k.conrelid = ANY (%(oids)s::oid[]) OR k.confrelid = ANY (%(oids)s::oid[]))
    ORDER BY k.conname
"""

# A view's rule, a generated column's expression, a trigger and a policy depend on columns; a sequence belongs to one.
_DEPENDENTS = """
    SELECT d.refobjid::bigint AS table, CASE d.classid WHEN 'pg_rewrite'::regclass THEN 'view'
               WHEN 'pg_attrdef'::regclass THEN 'generated column' WHEN 'pg_trigger'::regclass THEN 'trigger'
               WHEN 'pg_policy'::regclass THEN 'policy' ELSE 'sequence' END AS kind,
           coalesce(CASE WHEN pg_table_is_visible(v.oid) THEN v.relname ELSE vn.nspname || '.' || v.relname END,
                    g.attname, t.tgname, p.polname) AS name,
           array_agg(DISTINCT a.attname::text) AS columns
    FROM pg_depend d
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid AND r.ev_class <> d.refobjid
    LEFT JOIN pg_class s ON d.classid = 'pg_class'::regclass AND s.oid = d.objid AND s.relkind = 'S'
    LEFT JOIN pg_class v ON v.oid = coalesce(r.ev_class, s.oid)
    LEFT JOIN pg_namespace vn ON vn.oid = v.relnamespace
    LEFT JOIN pg_attrdef e ON d.classid = 'pg_attrdef'::regclass AND e.oid = d.objid
    LEFT JOIN pg_attribute g ON g.attrelid = e.adrelid AND g.attnum = e.adnum AND g.attgenerated <> ''
              AND g.attnum <> d.refobjsubid
    LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid AND NOT t.tgisinternal
    LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(oids)s::oid[]) AND d.refobjsubid > 0
      AND coalesce(v.oid, g.attrelid, t.oid, p.oid) IS NOT NULL
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

_TYPES = """
    SELECT t.typname AS name, t.typtype = 'd' AS domain, bool_or(
               t.typnotnull OR EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = t.oid)) AS constrained
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('b', 'd', 'e', 'r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
      AND t.typelem = 0
    GROUP BY 1, 2
"""

# Of several functions of one name, one that is volatile counts.
_FUNCTIONS = "SELECT proname AS name, bool_or(provolatile = 'v') AS volatile FROM pg_proc GROUP BY 1"

_SESSION = "SELECT current_setting('timezone') AS timezone"

_IS_NOT_NULL = re.compile(r'CHECK \(\((?:"((?:[^"]|"")+)"|([a-z_][a-z0-9_$]*)) IS NOT NULL\)\)(?: NOT VALID)?')


def load_catalog(conn: Connection, names: Iterable[str]) -> Catalog:
    """Return what the database says of the tables named, their foreign-key neighbours and their partitions.

    ``names``: tables, indexes or sequences, ``name`` (as the search path finds it) or ``schema.name``, unquoted; an
    index or sequence stands for its table, and what does not exist is left out. Read-only; two round trips. Waits
    behind an ACCESS EXCLUSIVE lock on one of the tables, whose size needs it: set lock_timeout where that must not be.
    """
    cursor = conn.cursor(row_factory=rows.dict_row)
    relations = cursor.execute(_RELATIONS, {"names": sorted(set(names))}).fetchall()
    oids = {"oids": [each["oid"] for each in relations]}
    cursors = []
    with conn.pipeline():
        for query in (_COLUMNS, _INDEXES, _CONSTRAINTS, _DEPENDENTS, _TYPES, _FUNCTIONS, _SESSION):
            cursors.append(conn.cursor(row_factory=rows.dict_row))
            cursors[-1].execute(query, oids if "%(oids)s" in query else None)
        columns, indexes, constraints, dependents, types, functions, session = (each.fetchall() for each in cursors)
    labels = {each["oid"]: each["label"] for each in relations}
    tables = {
        each["label"]: TableInfo(
            label=each["label"],
            schema=each["schema"],
            name=each["name"],
            kind=each["kind"],
            size_bytes=each["size_bytes"],
            row_estimate=each["row_estimate"],
            columns={row["name"]: Column(**row) for row in _of(each, columns)},
            indexes=tuple(Index(**_tuples(row)) for row in _of(each, indexes)),
            checks=tuple(_check(row) for row in _of(each, constraints) if row["kind"] == "c"),
            not_nulls=tuple(
                NotNull(row["name"], row["columns"][0], row["valid"])
                for row in _of(each, constraints)
                if row["kind"] == "n"
            ),
            foreign_keys=_foreign_keys(_of(each, constraints)),
            referenced_by=_foreign_keys(row for row in constraints if row["parent"] == each["oid"]),
            dependents=tuple(Dependent(**_tuples(row)) for row in _of(each, dependents)),
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


def _of(table: Mapping[str, Any], given: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a table's own rows, without the column that says so."""
    own = (row for row in given if row["table"] == table["oid"])
    return [{key: value for key, value in row.items() if key != "table"} for row in own]


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


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
