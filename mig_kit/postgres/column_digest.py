"""Digest what tables hold column by column, so that a loss can be named: which column, how many values.

One 64-bit hash a value, seeded with its row's key, added up: values that change places differ. Settings are pinned as
``digest`` pins them. Tables go by their oid and columns by their number, which a rename leaves alone, and which a copy
of a database's files has as well.
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
    SELECT c.oid::bigint, n.nspname, c.relname,
           coalesce((SELECT array_agg(attnum::int ORDER BY place)
                     FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, place)
                     WHERE i.indrelid = c.oid AND i.indisprimary AND u.place <= i.indnkeyatts), '{{}}'),
           coalesce((SELECT array_agg(a.attnum::int ORDER BY a.attnum) FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND {stored}), '{{}}'),
           coalesce((SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND {stored}), '{{}}'),
           pg_relation_size(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.oid::bigint = ANY (%s)
"""


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """State how one table is digested: its columns (number → name) and key; of large ones one row in ``one_in``."""

    oid: int
    schema: str
    name: str
    columns: Mapping[int, str]
    key: tuple[int, ...]
    one_in: int = 1

    def numbers(self, names: Iterable[str]) -> tuple[int, ...]:
        """Return the numbers of columns by their names; those that are not there are left out."""
        known = {name: number for number, name in self.columns.items()}
        return tuple(known[name] for name in names if name in known)


@dataclass(frozen=True, slots=True)
class ColumnDigest:
    """State how many values of a column are not NULL, and the digest of all; of a large table, of some rows only."""

    filled: int
    digest: int


@dataclass(frozen=True, slots=True)
class TableValues:
    """State what one table held: all its rows, and its columns by their numbers, digested by ``rule``."""

    rule: ColumnRule
    rows: int
    columns: Mapping[int, ColumnDigest]


def column_rules(conn: Connection, oids: Iterable[int]) -> dict[int, ColumnRule]:
    """Decide how to digest tables; what is not there, or partitioned, has no rule. Generated columns do not count."""
    stored = "a.attgenerated = ''" if conn.info.server_version >= 120000 else "true"
    statement = sql.SQL(_RULES).format(stored=sql.SQL(stored))
    rules = {}
    for oid, schema, name, key, numbers, names, size in conn.execute(statement, (list(oids),)).fetchall():
        one_in = 1
        if key and size > _WHOLE_BYTES:
            one_in = _LEAST_SAMPLE
            while one_in * _WHOLE_BYTES < size:
                one_in *= 2
        rules[oid] = ColumnRule(oid, schema, name, dict(zip(numbers, names, strict=True)), tuple(key), one_in)
    return rules


def digest_columns(conn: Connection, rules: Iterable[ColumnRule]) -> dict[int, TableValues]:
    """Digest the tables, each in a single scan: oid → what it holds. Read-only."""
    found = {}
    with conn.transaction():
        pinned_settings(conn)
        for rule in rules:
            row = conn.execute(_statement(rule)).fetchone()
            assert row is not None
            values = {
                number: ColumnDigest(row[1 + 2 * place], int(row[2 + 2 * place] or 0))
                for place, number in enumerate(rule.columns)
            }
            found[rule.oid] = TableValues(rule, row[0], values)
    return found


def count_changed(
    one: Connection, before: ColumnRule, other: Connection, after: ColumnRule, columns: Sequence[tuple[int, int]]
) -> dict[int, int] | None:
    """Count the values that were there in ``one`` and are others in ``other``, row by row by the key.

    ``columns``: pairs of numbers, before and after; the result goes by those before. Rows that are gone do not count.
    None where the table has no key, or another one, or too many rows.
    """
    if not before.key or not columns or len(before.key) != len(after.key):
        return None
    were = _hashes(one, before, [number for number, _ in columns])
    are = _hashes(other, after, [number for _, number in columns]) if were is not None else None
    if were is None or are is None:
        return None
    changed = {number: 0 for number, _ in columns}
    for key, values in were.items():
        for (number, _), was, now in zip(columns, values, are.get(key, values), strict=True):
            changed[number] += was is not None and was != now
    return changed


def _hashes(conn: Connection, rule: ColumnRule, numbers: Sequence[int]) -> dict[str, tuple[int | None, ...]] | None:
    statement = sql.SQL("SELECT {}, {} FROM ONLY {} AS mig_kit LIMIT {}").format(
        _key(rule),
        sql.SQL(", ").join(_hash(_column(rule, number), sql.SQL("0")) for number in numbers),
        sql.Identifier(rule.schema, rule.name),
        sql.Literal(_MOST_ROWS + 1),
    )
    with conn.transaction():
        pinned_settings(conn)
        rows = conn.execute(statement).fetchall()
    return None if len(rows) > _MOST_ROWS else {row[0]: tuple(row[1:]) for row in rows}


def _statement(rule: ColumnRule) -> sql.Composed:
    seed: sql.Composable = _hash(_key(rule), sql.SQL("0")) if rule.key else sql.SQL("CAST(0 AS bigint)")
    some: sql.Composable = sql.SQL("")
    if rule.one_in > 1:
        some = sql.SQL(" FILTER (WHERE seed & {} = 0)").format(sql.Literal(rule.one_in - 1))
    parts: list[sql.Composable] = [sql.SQL("count(*)")]
    for number in rule.columns:
        parts.append(sql.SQL("count({})").format(_column(rule, number)) + some)
        parts.append(sql.SQL("sum({})").format(_hash(_column(rule, number), sql.SQL("seed"))) + some)
    # OFFSET 0 keeps the seed from being computed once more for each column.
    return sql.SQL("SELECT {} FROM (SELECT *, {} AS seed FROM ONLY {} AS mig_kit OFFSET 0) AS mig_kit").format(
        sql.SQL(", ").join(parts), seed, sql.Identifier(rule.schema, rule.name)
    )


def _hash(value: sql.Composable, seed: sql.Composable) -> sql.Composed:
    # "C" compares bytes, whatever the column's collation is. NULL stays NULL, and counts for nothing.
    return sql.SQL('hashtextextended(CAST({} AS text) COLLATE "C", {})').format(value, seed)


def _key(rule: ColumnRule) -> sql.Composable:
    if len(rule.key) == 1:
        return sql.SQL("CAST({} AS text)").format(_column(rule, rule.key[0]))
    return sql.SQL("CAST(ROW({}) AS text)").format(sql.SQL(", ").join(_column(rule, each) for each in rule.key))


def _column(rule: ColumnRule, number: int) -> sql.Identifier:
    return sql.Identifier("mig_kit", rule.columns[number])
