"""Which tables there are, how an unqualified statement names them, and which refer to which."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mig_kit.postgres.connection import Connection

__all__ = ["References", "read_references"]

_TABLES = """
    SELECT n.nspname || '.' || c.relname,
           CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END,
           c.relkind = 'p'
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    ORDER BY 1
"""
_PAIRS = """
    SELECT n.nspname || '.' || c.relname, m.nspname || '.' || d.relname
    FROM {link}
    JOIN pg_class c ON c.oid = one JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class d ON d.oid = other JOIN pg_namespace m ON m.oid = d.relnamespace
    ORDER BY 1, 2
"""
_KEYS = _PAIRS.format(link="(SELECT conrelid AS one, confrelid AS other FROM pg_constraint WHERE contype = 'f') k")
_BELOW = _PAIRS.format(link="(SELECT inhparent AS one, inhrelid AS other FROM pg_inherits) i")


@dataclass(frozen=True, slots=True)
class References:
    """State the tables, all as ``schema.table``: their labels, the foreign keys, and what is below what.

    ``labels``: label (as the search path finds it) → table. ``partitioned``: those that hold no rows of their own.
    ``keys``: (table, the one it refers to). ``below``: table → its partitions and what inherits from it, all levels.
    """

    labels: Mapping[str, str]
    partitioned: frozenset[str]
    keys: tuple[tuple[str, str], ...]
    below: Mapping[str, frozenset[str]]

    @property
    def tables(self) -> frozenset[str]:
        """Every table that holds rows."""
        return frozenset(self.labels.values()) - self.partitioned

    def with_rows(self, names: Collection[str]) -> frozenset[str]:
        """Return the tables of those labels or names, for a partitioned one what holds its rows."""
        found = {self.labels.get(name, name) for name in names}
        return frozenset(self._spread(found)) & self.tables

    def neighbours(self, tables: Collection[str]) -> frozenset[str]:
        """Return what those tables refer to, and what refers to them, one step far."""
        return self.parents(tables) | self._other_end(tables, 1, 0)

    def parents(self, tables: Collection[str]) -> frozenset[str]:
        """Return what those tables refer to, one step far."""
        return self._other_end(tables, 0, 1)

    def _other_end(self, tables: Collection[str], here: int, there: int) -> frozenset[str]:
        # A key may be a partitioned table's: then it is its partitions' as well.
        found = {key[there] for key in self.keys if ({key[here]} | set(self.below.get(key[here], ()))) & set(tables)}
        return (frozenset(self._spread(found)) & self.tables) - frozenset(tables)

    def _spread(self, tables: Collection[str]) -> set[str]:
        return set(tables).union(*(self.below.get(each, frozenset()) for each in tables))


def read_references(conn: Connection) -> References:
    """Read it from the catalog. Read-only."""
    listed = conn.execute(_TABLES).fetchall()
    children: dict[str, set[str]] = {}
    for parent, child in conn.execute(_BELOW.encode()).fetchall():
        children.setdefault(parent, set()).add(child)

    def below(table: str) -> frozenset[str]:
        found: set[str] = set()
        for child in children.get(table, ()):
            found |= {child} | below(child)
        return frozenset(found)

    return References(
        labels={label: table for table, label, _ in listed},
        partitioned=frozenset(table for table, _, partitioned in listed if partitioned),
        keys=tuple((row[0], row[1]) for row in conn.execute(_KEYS.encode()).fetchall()),
        below={table: below(table) for table in children},
    )
