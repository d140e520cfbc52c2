"""A mark of the schema, relation by relation: short enough to be kept, and it tells which of them was changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from mig_kit.postgres import Connection
from mig_kit.postgres.schema import Relation, Schema, read_schema

__all__ = ["changed_since", "mark_schema"]

_REST = ""  # what belongs to no relation


def mark_schema(conn: Connection) -> dict[str, str]:
    """Return a hash of each relation, by label, and one of everything else under ``''``. Read-only, with timeouts."""
    with conn.transaction():
        conn.execute("SET TRANSACTION READ ONLY")
        conn.execute("SET LOCAL lock_timeout = '2s'")
        conn.execute("SET LOCAL statement_timeout = '30s'")
        schema = read_schema(conn)
    return {**{label: _short(_lines(each)) for label, each in schema.relations.items()}, _REST: _short(_rest(schema))}


def changed_since(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what is another one now, was added or is gone, in words, by name."""
    found = sorted(label for label in {*then, *now} if then.get(label) != now.get(label))
    return [label or "a sequence, type, function, schema or extension" for label in found]


def _lines(relation: Relation) -> list[str]:
    parts = (relation.columns, relation.constraints, relation.indexes, relation.triggers)
    own = [str(relation), str(relation.definition), relation.properties, str(relation.comment)]
    return [*own, *(f"{each} {getattr(each, 'comment', None)}" for part in parts for each in _sorted(part))]


def _rest(schema: Schema) -> list[str]:
    parts = (schema.sequences, schema.types, schema.functions)
    return [
        *(str(each) for part in parts for each in _sorted(part)),
        *sorted(schema.schemas),
        *sorted(schema.extensions),
    ]


def _sorted(parts: Mapping[str, object]) -> list[object]:
    return [parts[name] for name in sorted(parts)]


def _short(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
