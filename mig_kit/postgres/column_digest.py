"""Digest what tables hold column by column, so that a loss can be named: which column, how many values.

As ``digest`` does it: one 64-bit hash a value, together with its row's key, added up; settings are pinned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from mig_kit.postgres.connection import Connection
from mig_kit.postgres.digest import pinned_settings

__all__ = ["ColumnDigest", "ColumnRule", "TableValues", "column_rules", "count_changed", "digest_columns"]

_WHOLE_BYTES = 64 << 20
_LEAST_SAMPLE = 16
# Above so many rows a value is not looked up any more: some were changed, is said then.
_MOST_ROWS = 500_000

_RULES = """
    SELECT n.nspname, c.relname,
           coalesce((SELECT array_agg(k.attname::text ORDER BY place)
                     FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, place)
                     JOIN pg_attribute k ON k.attnum = u.attnum
                     WHERE i.indrelid = c.oid AND i.indisprimary AND k.attrelid = c.oid AND u.place <= i.indnkeyatts),
                    '{{}}'),
           coalesce((SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND {stored}), '{{}}'),
           pg_relation_size(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname || '.' || c.relname = ANY (%s)
"""


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """State how one table is digested: its key and columns; of large ones the rows of one class in ``one_in``."""

    schema: str
    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    one_in: int = 1

    @property
    def table(self) -> str:
        """Name the table as ``schema.name``, unquoted."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class ColumnDigest:
    """State how many values of a column are not NULL, and the digest of all."""

    filled: int
    digest: int


@dataclass(frozen=True, slots=True)
class TableValues:
    """State what one table held: all its rows, and its columns, digested by ``rule``."""

    rule: ColumnRule
    rows: int
    columns: Mapping[str, ColumnDigest]


def column_rules(conn: Connection, tables: Iterable[str]) -> tuple[ColumnRule, ...]:
    """Decide how to digest tables (``schema.table``); what is not there, or is partitioned, has no rule."""
    stored = "a.attgenerated = ''" if conn.info.server_version >= 120000 else "true"
    statement = sql.SQL(_RULES).format(stored=sql.SQL(stored))
    rules = []
    for schema, name, key, columns, size in conn.execute(statement, (list(tables),)).fetchall():
        one_in = 1
        if key and size > _WHOLE_BYTES:
            one_in = _LEAST_SAMPLE
            while one_in * _WHOLE_BYTES < size:
                one_in *= 2
        rules.append(ColumnRule(schema, name, tuple(key), tuple(columns), one_in))
    return tuple(rules)


def digest_columns(conn: Connection, rules: Iterable[ColumnRule]) -> dict[str, TableValues]:
    """Digest the tables, each in a single scan: ``schema.table`` → what it holds. Read-only."""
    found = {}
    with conn.transaction():
        pinned_settings(conn)
        for rule in rules:
            row = conn.execute(_statement(rule)).fetchone()
            assert row is not None
            values = {
                column: ColumnDigest(row[1 + 2 * place], int(row[2 + 2 * place] or 0))
                for place, column in enumerate(rule.columns)
            }
            found[rule.table] = TableValues(rule, row[0], values)
    return found


def count_changed(
    one: Connection, other: Connection, rule: ColumnRule, columns: Sequence[str], now: tuple[str, str] | None = None
) -> dict[str, int] | None:
    """Count the values that were there in ``one`` and are others in ``other``, row by row by the key.

    ``now``: schema and name of the table in ``other``. Rows that are gone do not count. None where the table has no
    key or too many rows.
    """
    if not rule.key or not columns:
        return None
    before = _hashes(one, (rule.schema, rule.name), rule.key, columns)
    after = _hashes(other, now or (rule.schema, rule.name), rule.key, columns)
    if before is None or after is None:
        return None
    changed = dict.fromkeys(columns, 0)
    for key, values in before.items():
        for column, was, now_is in zip(columns, values, after.get(key, values), strict=True):
            changed[column] += was is not None and was != now_is
    return changed


def _hashes(
    conn: Connection, table: tuple[str, str], key: Sequence[str], columns: Sequence[str]
) -> dict[str, tuple[int | None, ...]] | None:
    statement = sql.SQL("SELECT CAST(ROW({}) AS text), {} FROM ONLY {} AS mig_kit LIMIT {}").format(
        _named(key),
        sql.SQL(", ").join(
            sql.SQL('CASE WHEN {0} IS NOT NULL THEN hashtextextended(CAST({0} AS text) COLLATE "C", 0) END').format(
                sql.Identifier("mig_kit", each)
            )
            for each in columns
        ),
        sql.Identifier(*table),
        sql.Literal(_MOST_ROWS + 1),
    )
    with conn.transaction():
        pinned_settings(conn)
        rows = conn.execute(statement).fetchall()
    return None if len(rows) > _MOST_ROWS else {row[0]: tuple(row[1:]) for row in rows}


def _statement(rule: ColumnRule) -> sql.Composed:
    some: sql.Composable = sql.SQL("")
    if rule.one_in > 1:
        some = sql.SQL(" FILTER (WHERE {} & {} = 0)").format(_hash(rule.key), sql.Literal(rule.one_in - 1))
    parts: list[sql.Composable] = [sql.SQL("count(*)")]
    for column in rule.columns:
        # The key makes values that change places differ.
        parts.append(sql.SQL("count({})").format(sql.Identifier("mig_kit", column)) + some)
        parts.append(sql.SQL("sum({})").format(_hash((*rule.key, column))) + some)
    return sql.SQL("SELECT {} FROM ONLY {} AS mig_kit").format(
        sql.SQL(", ").join(parts), sql.Identifier(rule.schema, rule.name)
    )


def _hash(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL('hashtextextended(CAST(ROW({}) AS text) COLLATE "C", 0)').format(_named(columns))


def _named(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier("mig_kit", each) for each in columns)
