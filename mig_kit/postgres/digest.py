"""Digest what tables hold, so that a restored copy can be compared with its source.

A digest adds up one 64-bit hash a row (``hashtextextended`` of the row's text), so the order of the rows does not
matter. Every setting that changes how a value is written is pinned, columns go by name, and dropped ones are not there:
source and copy agree across PostgreSQL 11 and later, and across machines of one byte order. Both databases must have
the same encoding, for the text is hashed as it is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg import sql

from mig_kit.errors import DatabaseError
from mig_kit.postgres.catalog import Table
from mig_kit.postgres.catalog import tables as all_tables
from mig_kit.postgres.connection import Connection
from mig_kit.postgres.refusal import first_line
from mig_kit.progress import Progress, ProgressCallback

__all__ = [
    "Digest",
    "DigestRule",
    "differences",
    "digest_rules",
    "digest_tables",
    "pinned_settings",
    "rows_with_children",
]

# A table up to this size is read whole, as long as all such tables together stay below the budget: the same again and
# a thirty-second of the database. Hashing whole rows costs some ten times what counting them does.
_WHOLE_BYTES = 64 << 20
_BUDGET_SHARE = 32
_LEAST_SAMPLE = 16
_SETTINGS = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "jit": "off",
    "lc_monetary": "C",
    "quote_all_identifiers": "off",
    "row_security": "off",  # an error rather than fewer rows
    "search_path": "pg_catalog",
    "statement_timeout": "0",
}


@dataclass(frozen=True, slots=True)
class DigestRule:
    """State how one table is digested.

    ``one_in`` 1: every row with all ``columns``. Above: the key of every row, and all columns of those rows whose
    key's hash falls in one of ``one_in`` classes: the same rows in the source and in a copy.
    """

    schema: str
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()
    one_in: int = 1

    @property
    def label(self) -> str:
        """Name the table as ``schema.name``, unquoted."""
        return f"{self.schema}.{self.name}"

    def __str__(self) -> str:
        if self.one_in == 1:
            return "every row"
        return f"the key of every row, and 1 row in {self.one_in} by the hash of {', '.join(self.key)}"


@dataclass(frozen=True, slots=True)
class Digest:
    """State what one table held: its own rows, without those of tables that inherit from it, and their digest.

    ``digest``: 32 hex digits; ``sampled`` and ``rule`` tell what it covers; ``how`` is the rule to take it again by.
    """

    table: str
    rows: int
    digest: str
    sampled: bool
    rule: str
    how: DigestRule

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, from which ``from_json`` makes it again."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Digest:
        """Make it from plain data; KeyError, TypeError or ValueError when they are none."""
        how = dict(data["how"])
        rule = DigestRule(
            str(how["schema"]), str(how["name"]), tuple(how["columns"]), tuple(how["key"]), int(how["one_in"])
        )
        return cls(rule.label, int(data["rows"]), str(data["digest"]), rule.one_in > 1, str(rule), rule)


_COLUMNS = """
    SELECT c.oid::regclass, n.nspname, c.relname,
           array_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attname IS NOT NULL),
           (SELECT array_agg(k.attname ORDER BY place)
            FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, place)
            JOIN pg_attribute k ON k.attnum = u.attnum
            WHERE i.indrelid = c.oid AND i.indisprimary AND k.attrelid = c.oid AND u.place <= i.indnkeyatts)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND {stored}
    WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    GROUP BY c.oid, n.nspname, c.relname
"""

_CHILDREN = """
    SELECT n.nspname || '.' || c.relname, m.nspname || '.' || d.relname
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhparent JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class d ON d.oid = i.inhrelid JOIN pg_namespace m ON m.oid = d.relnamespace
    WHERE c.relkind IN ('r', 'p')
"""


def digest_rules(
    conn: Connection, tables: Sequence[Table] | None = None, *, whole_bytes: int = _WHOLE_BYTES
) -> tuple[DigestRule, ...]:
    """Decide how to digest the given tables, or all; partitioned ones are left out, for their partitions are there.

    Tables of up to ``whole_bytes`` are read whole, the smallest first, up to a budget for all of them together. Those
    without a primary key are always read whole. Columns are in the table's order; generated ones count when stored.
    """
    # Virtual generated columns hold nothing that a restore could lose.
    stored = "a.attgenerated <> 'v'" if conn.info.server_version >= 120000 else "true"
    found = conn.execute(sql.SQL(_COLUMNS).format(stored=sql.SQL(stored))).fetchall()
    columns = {(schema, name): (tuple(all_of or ()), tuple(key or ())) for _, schema, name, all_of, key in found}
    chosen = [each for each in (all_tables(conn) if tables is None else tables) if not each.partitioned]
    total = sum(each.size_bytes for each in chosen)
    budget = whole_bytes + total // _BUDGET_SHARE
    left, sampled = budget, []
    for table in sorted(chosen, key=lambda each: each.size_bytes):
        if table.size_bytes <= min(left, whole_bytes):
            left -= table.size_bytes
        else:
            sampled.append(table)
    one_in = _LEAST_SAMPLE
    while one_in * max(budget, 1) < sum(each.size_bytes for each in sampled):
        one_in *= 2
    rules = []
    for table in chosen:
        names, key = columns.get((table.schema, table.name), ((), ()))
        step = one_in if table in sampled and key else 1
        rules.append(DigestRule(table.schema, table.name, names, key if step > 1 else (), step))
    return tuple(rules)


def digest_tables(
    conn: Connection,
    rules: Iterable[DigestRule] | None = None,
    progress: ProgressCallback | None = None,
    *,
    parallel: bool = False,
) -> tuple[Digest, ...]:
    """Count and digest the tables by the given rules (default: ``digest_rules`` of all), each in a single scan.

    Runs in the transaction the connection is in, else in one of its own, with the settings pinned for that long: all
    tables are of one moment only when it is REPEATABLE READ. ``parallel`` lets the server use more than one process a
    table. Raises DatabaseError naming the table that could not be read.
    """
    chosen = list(digest_rules(conn) if rules is None else rules)
    digests = []
    with conn.transaction():
        pinned_settings(conn)
        if not parallel:
            conn.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        for done, rule in enumerate(chosen):
            if progress:
                progress(Progress("digest", f"digesting {rule.label}", done, len(chosen), "tables"))
            try:
                row = conn.execute(_statement(rule)).fetchone()
            except psycopg.Error as error:
                raise DatabaseError(
                    f"The rows of {rule.label} could not be digested: {first_line(error)}.",
                    hint="give the user SELECT on every table, or name the tables",
                ) from error
            assert row is not None
            hexadecimal = f"{int(row[1] or 0) % (1 << 128):032x}"
            digests.append(Digest(rule.label, int(row[0]), hexadecimal, rule.one_in > 1, str(rule), rule))
    return tuple(digests)


def pinned_settings(conn: Connection) -> None:
    """Pin every setting that changes how a value is written, until the transaction ends."""
    conn.execute(
        "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS given (name, value)",
        (list(_SETTINGS), list(_SETTINGS.values())),
    )


def rows_with_children(conn: Connection, digests: Iterable[Digest]) -> dict[str, int]:
    """Return the rows of every digested table and of the partitioned ones above, as a query of each counts them.

    The same numbers as ``count_rows``, without reading the tables again.
    """
    own = {each.table: each.rows for each in digests}
    children: dict[str, list[str]] = {}
    for parent, child in conn.execute(_CHILDREN):
        children.setdefault(parent, []).append(child)

    def below(table: str) -> set[str]:
        # A set, for a table that inherits by two ways is read once.
        return {table}.union(*(below(each) for each in children.get(table, ())))

    counted = {label: sum(own.get(each, 0) for each in below(label)) for label in {*own, *children}}
    return dict(sorted(counted.items()))


def differences(before: Iterable[Digest], after: Iterable[Digest]) -> tuple[str, ...]:
    """Compare two sets of digests, taken by the same rules; one sentence a table that is not as it was."""
    old, new = {each.table: each for each in before}, {each.table: each for each in after}
    said = []
    for label, digest in old.items():
        other = new.get(label)
        if other is None:
            said.append(f"{label} is not there")
        elif other.rows < digest.rows:
            said.append(f"{label} is short of {_rows(digest.rows - other.rows)} ({other.rows:,} of {digest.rows:,})")
        elif other.rows > digest.rows:
            said.append(f"{label} has {_rows(other.rows - digest.rows)} too many ({other.rows:,} for {digest.rows:,})")
        elif other.how != digest.how:
            said.append(f"{label} was digested by another rule")
        elif other.digest != digest.digest:
            said.append(f"{label} has as many rows, and not the same in them ({digest.rule})")
    return (*said, *(f"{label} was not there before" for label in new if label not in old))


def _statement(rule: DigestRule) -> sql.Composed:
    # ONLY: what inherits is digested itself. "C" compares bytes, whatever the database's collation is.
    table = sql.SQL("FROM ONLY {} AS mig_kit").format(sql.Identifier(rule.schema, rule.name))
    if not rule.columns:
        return sql.SQL("SELECT count(*), 0 ") + table
    whole = _hash(rule.columns)
    if rule.one_in == 1:
        return sql.SQL("SELECT count(*), sum({}) ").format(whole) + table
    # The key's hash is computed twice, which is cheaper than the subquery that would spare it.
    sampled = sql.SQL("CASE WHEN {key} & {mask} = 0 THEN {whole} ELSE {key} END").format(
        key=_key_hash(rule.key), mask=sql.Literal(rule.one_in - 1), whole=whole
    )
    return sql.SQL("SELECT count(*), sum({}) ").format(sampled) + table


def _key_hash(columns: Sequence[str]) -> sql.Composed:
    if len(columns) > 1:
        return _hash(columns)
    # A key of one column is never NULL, and hashed without a row around it in a third of the time.
    key = sql.Identifier("mig_kit", columns[0])
    return sql.SQL('hashtextextended(CAST({} AS text) COLLATE "C", 0)').format(key)


def _hash(columns: Sequence[str]) -> sql.Composed:
    # A row, so that NULL, an empty text and a value that looks like two are told apart.
    named = sql.SQL(", ").join(sql.Identifier("mig_kit", each) for each in columns)
    return sql.SQL('hashtextextended(CAST(ROW({}) AS text) COLLATE "C", 0)').format(named)


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"
