"""The moment that a dump is of: a snapshot that is exported, described and digested while pg_dump reads it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from mig_kit.errors import BackupError, DatabaseError
from mig_kit.postgres.catalog import AppliedMigration, Table, applied_migrations_rows
from mig_kit.postgres.catalog import tables as all_tables
from mig_kit.postgres.connection import Connection
from mig_kit.postgres.digest import Digest, digest_rules, digest_tables, rows_with_children
from mig_kit.postgres.identity import DatabaseIdentity, identify
from mig_kit.progress import Progress

__all__ = ["Digester", "Moment", "begin_snapshot"]

# The snapshot has to outlive whatever limits the role or the database sets. And a count must not be silently
# smaller than the table: pg_dump reads with row_security off as well.
_BEGIN = """
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL row_security = off;
    SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN
        ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""
_END_S = 10.0


@dataclass(frozen=True, slots=True)
class Moment:
    """State what a database was at the moment of its snapshot.

    ``tables`` with their sizes, ``migrations`` in the order of recording, ``extensions`` by name.
    """

    snapshot: str
    identity: DatabaseIdentity
    encoding: str
    extensions: tuple[str, ...]
    migrations: tuple[AppliedMigration, ...]
    tables: tuple[Table, ...]


def begin_snapshot(conn: Connection, tables: Sequence[Table] | None) -> Moment:
    """Export a snapshot and describe the database in it; the connection stays in that transaction.

    Waits where somebody holds a table in ACCESS EXCLUSIVE mode.
    """
    # One message, so that an idle_in_transaction_session_timeout has no moment to strike before it is lifted.
    conn.execute(_BEGIN)
    row = conn.execute(
        "SELECT pg_export_snapshot(), pg_encoding_to_char(encoding), "
        "array(SELECT extname::text FROM pg_extension ORDER BY extname) "
        "FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    migrations = applied_migrations_rows(conn) if tables is None else ()
    chosen = tuple(all_tables(conn) if tables is None else tables)
    return Moment(str(row[0]), identify(conn), str(row[1]), tuple(row[2]), migrations, chosen)


class Digester(threading.Thread):
    """Count and digest the rows in the session that exported the snapshot, while pg_dump runs."""

    def __init__(self, conn: Connection, tables: Sequence[Table]) -> None:
        super().__init__(name="mig_kit-digest", daemon=True)
        self.digests: tuple[Digest, ...] = ()
        self.rows: dict[str, int] = {}
        self.error: Exception | None = None
        self.now: Progress | None = None
        self._conn, self._tables = conn, tables

    def run(self) -> None:
        """Digest all of them; what goes wrong is kept in ``error``."""
        try:
            self.digests = digest_tables(self._conn, digest_rules(self._conn, self._tables), self._say)
            self.rows = rows_with_children(self._conn, self.digests)
        except Exception as error:
            self.error = error

    def check(self) -> None:
        """Raise what stopped it: a backup whose rows could not be read is none."""
        if isinstance(self.error, DatabaseError):
            raise BackupError(f"No backup was kept: {self.error.message}", hint=self.error.hint) from self.error
        if self.error is not None:
            raise self.error

    def end(self) -> None:
        """Cancel what still runs; returns when the thread is done with the connection."""
        if self.is_alive():
            with contextlib.suppress(psycopg.Error):
                self._conn.cancel_safe(timeout=5)
        if self.ident is not None:
            self.join(_END_S)

    def _say(self, progress: Progress) -> None:
        self.now = progress
