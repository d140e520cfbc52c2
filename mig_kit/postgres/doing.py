"""What a backend is at, in a sentence, where PostgreSQL keeps count of it."""

from __future__ import annotations

from mig_kit.postgres.connection import Connection

__all__ = ["what_it_does"]

# What another transaction has made and not committed has no name here.
_TABLE = "coalesce((SELECT oid::regclass::text FROM pg_class WHERE oid = relid), 'a new table')"

# The view, the version it came with, and: what it is at, of what, its phase, done, total, the unit.
_VIEWS = (
    (
        120000,
        f"""SELECT CASE WHEN command LIKE 'REINDEX%%' THEN 'rebuilding' ELSE 'building' END || ' '
               || coalesce('the index ' || (SELECT oid::regclass FROM pg_class WHERE oid = index_relid), 'an index')
               || ' on ' || {_TABLE}, phase,
               CASE WHEN lockers_total > 0 AND lockers_done < lockers_total THEN lockers_done
                    WHEN blocks_total > 0 THEN blocks_done ELSE tuples_done END,
               CASE WHEN lockers_total > 0 AND lockers_done < lockers_total THEN lockers_total
                    WHEN blocks_total > 0 THEN blocks_total ELSE tuples_total END,
               CASE WHEN lockers_total > 0 AND lockers_done < lockers_total THEN 'transactions'
                    WHEN blocks_total > 0 THEN 'blocks' ELSE 'rows' END
           FROM pg_stat_progress_create_index WHERE pid = %s""",
    ),
    (
        120000,
        f"""SELECT lower(command) || ' of ' || {_TABLE}, phase, heap_blks_scanned, heap_blks_total, 'blocks'
           FROM pg_stat_progress_cluster WHERE pid = %s""",
    ),
    (
        130000,
        f"""SELECT 'analyzing ' || {_TABLE}, phase, sample_blks_scanned, sample_blks_total, 'blocks'
           FROM pg_stat_progress_analyze WHERE pid = %s""",
    ),
    (
        140000,
        f"""SELECT lower(command) || ' of ' || CASE relid WHEN 0 THEN 'a query' ELSE {_TABLE} END, '',
               CASE WHEN bytes_total > 0 THEN bytes_processed ELSE tuples_processed END, bytes_total,
               CASE WHEN bytes_total > 0 THEN 'bytes' ELSE 'rows' END
           FROM pg_stat_progress_copy WHERE pid = %s""",
    ),
    (
        100000,
        f"""SELECT 'vacuuming ' || {_TABLE}, phase, heap_blks_scanned, heap_blks_total, 'blocks'
           FROM pg_stat_progress_vacuum WHERE pid = %s""",
    ),
)


def what_it_does(conn: Connection, pid: int) -> str:
    """Say what a backend is at: an index build, CLUSTER, VACUUM, ANALYZE or COPY, its phase and how far; else ''."""
    for version, view in _VIEWS:
        if conn.info.server_version >= version and (row := conn.execute(view.encode(), (pid,)).fetchone()):
            return _sentence(*row)
    return ""


def _sentence(what: str, phase: str, done: int | None, total: int | None, unit: str) -> str:
    said = f"{what}: {phase}" if phase else what
    if total:
        return f"{said}, {done or 0:,} of {total:,} {unit} ({100 * (done or 0) // total} %)"
    return f"{said}, {done:,} {unit}" if done else said
