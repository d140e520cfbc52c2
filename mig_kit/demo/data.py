"""The demo's rows: made inside the server, always the same ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.resources import files
from importlib.resources.abc import Traversable

from psycopg import sql

from mig_kit.postgres import ConnectionInfo, connect
from mig_kit.progress import Progress, ProgressCallback

__all__ = ["seed"]

# Rows at scale 1. Large where a lock or a scan should be felt, small where a person reads the list.
_ROWS = {
    "projects": 2_000,
    "testimonials": 4_000,
    "posts": 5_000,
    "comments": 200_000,
    "messages": 300_000,
    "subscribers": 20_000,
}


def seed(admin: ConnectionInfo, *, scale: float = 1.0, progress: ProgressCallback | None = None) -> dict[str, int]:
    """Fill the empty tables of a migrated demo and return the number of rows of each.

    ``admin`` is a superuser's connection to the demo's database. ``scale`` multiplies the number of rows (at
    least 10 of each kind). The tables are vacuumed and analyzed as well, so that no autovacuum starts in the
    middle of a session. On failure, some tables are filled and others empty.
    """
    amounts = {name: max(10, round(rows * scale)) for name, rows in _ROWS.items()}
    words, *tables = sorted((files("mig_kit.demo") / "seed").iterdir(), key=lambda file: file.name)
    rows: dict[str, int] = {}
    # Two at a time, the large ones first: they are numbered last.
    with ThreadPoolExecutor(2) as pool:
        filling = {pool.submit(_fill, admin, words, file, amounts): _table(file) for file in reversed(tables)}
        try:
            _tell(progress, "Filling the tables", 0, len(tables))
            for future in as_completed(filling):
                rows[filling[future]] = future.result()
                _tell(progress, f"Filled {filling[future]}", len(rows), len(tables))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {table: rows[table] for table in map(_table, tables)}


def _fill(admin: ConnectionInfo, words: Traversable, file: Traversable, amounts: dict[str, int]) -> int:
    table = sql.Identifier(_table(file))
    with connect(admin) as connection:
        # A PGOPTIONS of the user's may point elsewhere.
        connection.execute("SET search_path = public")
        # Foreign keys hold by the way the rows are made; checking each would double the time.
        connection.execute("SET session_replication_role = replica")
        connection.execute(words.read_bytes())
        count = connection.execute(file.read_bytes(), amounts).rowcount
        # The ids were given, so the sequence has not moved.
        connection.execute(
            sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), max(id)) FROM {}").format(
                sql.Literal(_table(file)), table
            )
        )
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(table))
    return count


def _table(file: Traversable) -> str:
    """Return the table that a file of ``seed/`` fills: its name without the number."""
    return file.name.removesuffix(".sql").split("_", 1)[1]


def _tell(progress: ProgressCallback | None, message: str, done: int, total: int) -> None:
    if progress is not None:
        progress(Progress("demo", message, done, total, "tables"))
