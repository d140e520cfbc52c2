"""What a statement did to a database: locks, rewritten files, scans, rows, WAL and disk, seen from snapshots.

A snapshot is one SELECT without parameters that answers with one line of JSON, so whoever runs the statements can
take it by any driver, inside the same transaction, and hand the text on. Two snapshots make an :class:`Observation`.

The statistics are the server's own counters, those not yet reported included; ``SETTLE_SQL``, sent once a session
(PostgreSQL 15 and later know it), lets a snapshot see what parallel workers counted while the transaction goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mig_kit.postgres.connection import Connection

__all__ = [
    "FULL_SQL",
    "SETTLE_SQL",
    "TOUCHED_SQL",
    "HeldLock",
    "Observation",
    "RelationState",
    "RowsChanged",
    "Scan",
    "Snapshot",
    "Watch",
    "backend_pid",
    "compare",
    "locks_of",
]

_PAGE = 8192
_ACCESS_SHARE = "AccessShareLock"

# A relation that was scanned, rewritten, created or dropped is locked until the transaction ends, so the locked
# relations are all that need to be looked at after a statement. What is locked and no longer in pg_class was dropped.
_SNAPSHOT = """
    WITH held AS MATERIALIZED (
        SELECT relation, json_agg(DISTINCT mode) AS modes
        FROM pg_locks
        WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted AND mode <> 'SIReadLock'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        GROUP BY relation
    ), seen AS (
        SELECT coalesce(c.oid, held.relation)::bigint AS oid, n.nspname, c.relname,
               pg_table_is_visible(c.oid) AS visible, c.relkind, i.indrelid::bigint AS indrelid,
               pg_relation_filenode(c.oid)::bigint AS filenode,
               main.size AS main_size,
               CASE WHEN c.relkind IN ('r', 'm') THEN pg_table_size(c.oid) ELSE main.size END AS size,
               pg_stat_get_numscans(c.oid) + coalesce(pg_stat_get_xact_numscans(c.oid), 0) AS scans,
               pg_stat_get_tuples_returned(c.oid) + coalesce(pg_stat_get_xact_tuples_returned(c.oid), 0) AS rows_read,
               pg_stat_get_blocks_fetched(c.oid) + coalesce(pg_stat_get_xact_blocks_fetched(c.oid), 0) AS pages_read,
               pg_stat_get_tuples_inserted(c.oid) + coalesce(pg_stat_get_xact_tuples_inserted(c.oid), 0) AS inserted,
               pg_stat_get_tuples_updated(c.oid) + coalesce(pg_stat_get_xact_tuples_updated(c.oid), 0) AS updated,
               pg_stat_get_tuples_deleted(c.oid) + coalesce(pg_stat_get_xact_tuples_deleted(c.oid), 0) AS deleted,
               held.modes
        FROM held {join} JOIN pg_class c ON c.oid = held.relation
        LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_index i ON i.indexrelid = c.oid
        LEFT JOIN LATERAL (SELECT pg_relation_size(c.oid) AS size OFFSET 0) main ON true
        WHERE c.oid IS NULL AND held.relation >= 16384
           OR c.relkind IN ('r', 'p', 'm', 'v', 'f', 'i', 'I', 'S') AND n.nspname <> 'information_schema'
              AND (n.nspname !~ '^pg_' OR n.oid = pg_my_temp_schema())
    )
    SELECT json_build_object(
        'complete', {complete},
        'wal', (pg_current_wal_insert_lsn() - '0/0')::bigint,
        'relations', coalesce((SELECT json_agg(json_build_array(
            oid, nspname, relname, visible, relkind, indrelid, filenode, main_size, size,
            scans, rows_read, pages_read, inserted, updated, deleted, modes) ORDER BY oid) FROM seen), '[]'))::text
"""

FULL_SQL = _SNAPSHOT.format(join="FULL", complete="true")
"""Every relation of the user's, locked or not: before the first statement, and around one outside a transaction."""

TOUCHED_SQL = _SNAPSHOT.format(join="LEFT", complete="false")
"""Only the relations that this backend holds a lock on: after a statement inside a transaction. Worth a PREPARE."""

SETTLE_SQL = "SET stats_fetch_consistency = 'none'"
"""Read counters anew each time; else a transaction keeps those it read first, and misses its parallel workers'."""

_LOCKS_OF = """
    SELECT CASE WHEN c.oid IS NULL THEN l.relation::text
                WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END, l.mode, l.granted
    FROM pg_locks l
    LEFT JOIN pg_class c ON c.oid = l.relation
    LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid = %s AND l.locktype = 'relation' AND l.mode NOT IN ('AccessShareLock', 'SIReadLock')
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.relation >= 16384 AND (c.oid IS NULL OR n.nspname !~ '^pg_toast')
    ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class RelationState:
    """State what one snapshot says of a relation; the counters count since the server's statistics began.

    ``kind``: pg_class.relkind. ``table``: of an index, its table's oid. ``main_size``: bytes without TOAST and maps;
    ``size``: with them. ``modes``: the lock modes the backend holds, as pg_locks names them (``AccessExclusiveLock``).
    """

    oid: int
    schema: str
    name: str
    visible: bool
    kind: str
    table: int | None
    filenode: int | None
    main_size: int
    size: int
    scans: int
    rows_read: int
    pages_read: int
    inserted: int
    updated: int
    deleted: int
    modes: frozenset[str]

    @classmethod
    def read(cls, row: Sequence[Any]) -> RelationState:
        """Make it of a snapshot's row; a view has no file, no size and no counters."""
        return cls(*row[:7], *(number or 0 for number in row[7:15]), frozenset(row[15] or ()))  # type: ignore[call-arg]

    @property
    def label(self) -> str:
        """Name it as an unqualified statement would: without the schema where the search path finds it."""
        return self.name if self.visible else f"{self.schema}.{self.name}"

    @property
    def is_index(self) -> bool:
        """Tell whether it is an index, a partitioned one included."""
        return self.kind in "iI"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold what one snapshot's text says.

    ``wal``: bytes of WAL the server has written since it was made. ``complete``: every relation is there; else only
    those that the backend has locked. ``gone``: oids it has locked that are no longer in the catalog.
    """

    wal: int
    complete: bool
    relations: Mapping[int, RelationState]
    gone: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Read the text that ``FULL_SQL`` or ``TOUCHED_SQL`` gave."""
        given: dict[str, Any] = json.loads(text)
        rows = given["relations"]
        states = (RelationState.read(row) for row in rows if row[2] is not None)
        gone = frozenset(row[0] for row in rows if row[2] is None)
        return cls(given["wal"], given["complete"], {state.oid: state for state in states}, gone)

    def followed_by(self, later: Snapshot) -> Snapshot:
        """Return what is known after ``later``, which may have looked at the touched relations only."""
        if later.complete:
            return later
        kept = {oid: state for oid, state in self.relations.items() if oid not in later.gone}
        return Snapshot(later.wal, self.complete, {**kept, **later.relations}, later.gone)


@dataclass(frozen=True, slots=True)
class HeldLock:
    """Name a relation, the mode as pg_locks writes it, and whether it is held (``granted``) or waited for."""

    relation: str
    mode: str
    granted: bool = True


@dataclass(frozen=True, slots=True)
class Scan:
    """Tell how often a table was read from its beginning, and how far: ``whole`` says every page was.

    ``whole`` compares pages read with the table's pages; a look at the first row of a larger table is not whole.
    """

    relation: str
    scans: int
    rows_read: int
    whole: bool


@dataclass(frozen=True, slots=True)
class RowsChanged:
    """Count the rows of a table that were inserted, updated and deleted; rewriting a table does not count."""

    relation: str
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Observation:
    """State what happened between two snapshots; relations go by the label they had before, new ones by their own.

    ``locks``: modes that are new, ACCESS SHARE left out. ``rewritten``: tables and materialised views with a new
    file; ``rebuilt``: (index, table) of existing indexes with one; ``built``: (index, table) of new indexes.
    ``emptied``: a new, empty file where there was data (TRUNCATE). ``scans``: of relations that existed before.
    ``wal_bytes``: of the whole server. ``growth_bytes``: on disk once committed; ``peak_bytes``: until then, while old
    files stay beside new ones.
    """

    locks: tuple[HeldLock, ...]
    rewritten: tuple[str, ...]
    rebuilt: tuple[tuple[str, str], ...]
    built: tuple[tuple[str, str], ...]
    emptied: tuple[str, ...]
    scans: tuple[Scan, ...]
    rows: tuple[RowsChanged, ...]
    created: tuple[str, ...]
    dropped: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    wal_bytes: int
    growth_bytes: int
    peak_bytes: int

    @property
    def scanned(self) -> tuple[str, ...]:
        """Name the tables that were read whole."""
        return tuple(scan.relation for scan in self.scans if scan.whole)


def compare(before: Snapshot, after: Snapshot) -> Observation:
    """Return what happened between two snapshots of one backend; ``before`` must know every relation.

    ``before``: a full one, or a full one followed by others. A relation that came and went in between is not seen.
    """
    old, new = before.relations, after.relations
    pairs = [(old[oid], state) for oid, state in new.items() if oid in old]
    created = [state for oid, state in new.items() if oid not in old]
    dropped = [old[oid] for oid in (old.keys() - new.keys() if after.complete else old.keys() & after.gone)]
    # ALTER COLUMN TYPE drops and makes an index anew under its old name, and keeps the file where it still fits.
    same = {(state.schema, state.name): state for state in dropped if state.is_index}
    renewed = [state for state in created if state.is_index and (state.schema, state.name) in same]
    pairs += [(same.pop((state.schema, state.name)), state) for state in renewed]
    created = [state for state in created if state not in renewed]
    dropped = [state for state in dropped if not state.is_index or (state.schema, state.name) in same]
    refiled = [(was, now) for was, now in pairs if was.filenode != now.filenode and now.filenode]
    emptied = [was for was, now in refiled if was.main_size and not now.main_size and not now.is_index]
    # A sequence gets a new file at every ALTER SEQUENCE: one page.
    remade = [was for was, _now in refiled if was not in emptied and not _under(was, emptied) and was.kind != "S"]
    freed = sum(state.size for state in dropped)
    added = sum(state.size for state in created)
    return Observation(
        locks=_new_locks(old, after, dropped),
        rewritten=_labels(state for state in remade if not state.is_index),
        rebuilt=_with_tables((state for state in remade if state.is_index), old, new),
        built=_with_tables((state for state in created if state.kind == "i"), old, new),
        emptied=_labels(emptied),
        scans=_scans(pairs),
        rows=_rows(pairs, created),
        created=_labels(created),
        dropped=_labels(dropped),
        renamed=tuple(sorted((was.label, now.label) for was, now in pairs if was.label != now.label)),
        wal_bytes=after.wal - before.wal,
        growth_bytes=added - freed + sum(now.size - was.size for was, now in pairs),
        peak_bytes=added
        + sum(now.size if was.filenode != now.filenode else max(0, now.size - was.size) for was, now in pairs),
    )


class Watch:
    """Observe the statements that one connection runs, statement by statement; one round trip each.

    ``Watch(conn)`` takes the first snapshot, in the transaction that is open, if any. Locks are seen only before the
    transaction ends. After an error inside a transaction the server answers nothing until it is rolled back.
    """

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        if conn.info.server_version >= 150000:
            conn.execute(SETTLE_SQL)
        self._before = self._take(FULL_SQL)

    def step(self, *, full: bool = False) -> Observation:
        """Return what happened since the last step; ``full`` after a statement outside of a transaction."""
        after = self._take(FULL_SQL if full else TOUCHED_SQL)
        seen = compare(self._before, after)
        self._before = self._before.followed_by(after)
        return seen

    def _take(self, statement: str) -> Snapshot:
        # Planning it takes longer than running it. Prepared for the session: no pooler stands before such a server.
        row = self._conn.execute(statement.encode(), prepare=statement == TOUCHED_SQL).fetchone()
        assert row is not None
        return Snapshot.parse(row[0])


def backend_pid(conn: Connection) -> int:
    """Return the server process that serves this connection now (a pooler may change it)."""
    row = conn.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def locks_of(conn: Connection, pid: int) -> tuple[HeldLock, ...]:
    """Return the relation locks that another backend of the same database holds or waits for, ACCESS SHARE left out.

    For statements that run outside a transaction, while they run. A relation that backend has made and not yet
    committed has no name here: its oid stands for it.
    """
    return tuple(HeldLock(*row) for row in conn.execute(_LOCKS_OF, (pid,)).fetchall())


def _labels(states: Iterable[RelationState]) -> tuple[str, ...]:
    return tuple(sorted(state.label for state in states))


def _under(state: RelationState, tables: list[RelationState]) -> bool:
    return state.is_index and any(table.oid == state.table for table in tables)


def _with_tables(indexes: Iterable[RelationState], *places: Mapping[int, RelationState]) -> tuple[tuple[str, str], ...]:
    """Pair each index with its table."""
    found = []
    for index in indexes:
        tables = [place[index.table].label for place in places if index.table is not None and index.table in place]
        found.append((index.label, tables[0] if tables else str(index.table)))
    return tuple(sorted(found))


def _new_locks(old: Mapping[int, RelationState], after: Snapshot, dropped: list[RelationState]) -> tuple[HeldLock, ...]:
    found = [
        HeldLock(old.get(state.oid, state).label, mode)
        for state in after.relations.values()
        for mode in state.modes - (old[state.oid].modes if state.oid in old else frozenset())
        if mode != _ACCESS_SHARE
    ]
    # Whoever drops a relation has locked it like this, and the lock outlives the relation's name.
    found += [HeldLock(state.label, "AccessExclusiveLock") for state in dropped if state.oid in after.gone]
    return tuple(sorted(found, key=lambda lock: (lock.relation, lock.mode)))


def _scans(pairs: list[tuple[RelationState, RelationState]]) -> tuple[Scan, ...]:
    found = []
    for was, now in pairs:
        if now.is_index or now.scans <= was.scans:
            continue
        whole = (now.pages_read - was.pages_read) * _PAGE >= was.main_size > 0
        found.append(Scan(was.label, now.scans - was.scans, now.rows_read - was.rows_read, whole))
    return tuple(sorted(found, key=lambda scan: scan.relation))


def _rows(pairs: list[tuple[RelationState, RelationState]], created: list[RelationState]) -> tuple[RowsChanged, ...]:
    found = [
        RowsChanged(now.label, now.inserted - was.inserted, now.updated - was.updated, now.deleted - was.deleted)
        for was, now in pairs
        if not now.is_index
    ]
    found += [RowsChanged(now.label, now.inserted, now.updated, now.deleted) for now in created if not now.is_index]
    touched = (change for change in found if change.inserted or change.updated or change.deleted)
    return tuple(sorted(touched, key=lambda change: change.relation))
