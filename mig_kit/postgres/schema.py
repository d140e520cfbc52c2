"""The schema of a database in one round trip, to be compared with another one: ``schema_changes``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from mig_kit.postgres._schema_sql import queries
from mig_kit.postgres.connection import Connection
from mig_kit.postgres.schema_change import ChangeKind, SchemaChange
from mig_kit.postgres.schema_compare import schema_changes
from mig_kit.postgres.schema_parts import (
    Column,
    Constraint,
    Index,
    NamedObject,
    Relation,
    Schema,
    Sequence,
    Trigger,
)

__all__ = [
    "ChangeKind",
    "Column",
    "Constraint",
    "Index",
    "NamedObject",
    "Relation",
    "Schema",
    "SchemaChange",
    "Sequence",
    "Trigger",
    "read_schema",
    "schema_changes",
]

_NOT_VALID = " NOT VALID"


def read_schema(conn: Connection) -> Schema:
    """Return what the user's schemas hold. Read-only; one round trip, in a pipeline.

    Inside a transaction it tells what that transaction sees; outside of one, what another session changes meanwhile
    may be seen in part. Waits behind an ACCESS EXCLUSIVE lock on a view, or on a table with a default.
    """
    with conn.pipeline():
        cursors = [conn.execute(query.encode()) for query in queries(conn.info.server_version)]
        origin, schemas, extensions, *found = (cursor.fetchall() for cursor in cursors)
    relations, columns, constraints, indexes, triggers, sequences, types, functions = found
    not_validated = {(row[0], row[6]) for row in constraints if row[3] == "n"}
    of_columns: dict[int, dict[str, Column]] = defaultdict(dict)
    for row in columns:
        of_columns[row[0]][row[2]] = Column._make(row[1:])
    for table, number in not_validated:
        columns_of = of_columns[table]
        columns_of.update({k: v._replace(not_null_valid=False) for k, v in columns_of.items() if v.number == number})
    named = [row[:6] for row in constraints if row[3] != "n"]
    of_constraints = _by_table(Constraint, ((*row[:4], row[4].removesuffix(_NOT_VALID), row[5]) for row in named))
    of_relations = of_columns, of_constraints, _by_table(Index, indexes), _by_table(Trigger, triggers)
    labels = {row[0]: row[2] for row in relations}
    return Schema(
        relations={row[2]: Relation(*row, *(parts.get(row[0], {}) for parts in of_relations)) for row in relations},
        sequences={row[1]: Sequence._make((*row, _owner(row[3], row[4], labels, of_columns))) for row in sequences},
        types={row[1]: NamedObject(*row) for row in types},
        functions={row[1]: NamedObject(*row) for row in functions},
        schemas=frozenset(row[0] for row in schemas),
        extensions=frozenset(row[0] for row in extensions),
        origin=origin[0][0],
        major=conn.info.server_version // 10000,
    )


def _by_table(kind: Any, rows: Iterable[tuple[Any, ...]]) -> dict[int, dict[str, Any]]:
    """Sort parts by their table's oid, with which each row begins."""
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for table, oid, name, *rest in rows:
        found[table][name] = kind(oid, name, *rest)
    return found


def _owner(
    table: int | None, number: int | None, labels: dict[int, str], columns: dict[int, dict[str, Column]]
) -> str | None:
    if table not in labels:
        return None
    return next((f"{labels[table]}.{name}" for name, each in columns[table].items() if each.number == number), None)
