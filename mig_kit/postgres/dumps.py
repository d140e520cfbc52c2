"""Dump a database, and count its rows at the very moment the dump shows."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from mig_kit.errors import BackupError, BinariesNotFound, DatabaseError
from mig_kit.postgres.binaries import Binaries, find_binaries
from mig_kit.postgres.catalog import Table, count_rows
from mig_kit.postgres.catalog import tables as all_tables
from mig_kit.postgres.connection import Connection, connect, server_version
from mig_kit.postgres.credentials import tool_connection
from mig_kit.postgres.dump_process import DumpProcess, compression_of, dump_command
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.refusal import first_line
from mig_kit.progress import Progress, ProgressCallback

__all__ = ["DumpResult", "dump"]

_TICK_S = 0.5
_LITTLE_SPACE = 1 << 20
# The snapshot has to outlive whatever limits the role or the database sets. And a count must not be silently
# smaller than the table: pg_dump reads with row_security off as well.
_BEGIN = """
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL row_security = off;
    SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN
        ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""
_SSL_MODES = ("require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class DumpResult:
    """State what was dumped; ``rows`` are counts of the dump's own snapshot, by ``schema.name``.

    ``started`` and ``finished`` are UTC, ``files`` names relative to ``path``, ``warnings`` what pg_dump
    warned of.
    """

    path: Path
    snapshot: str
    started: datetime
    finished: datetime
    duration_s: float
    server_version: tuple[int, int]
    pg_dump_version: tuple[int, int]
    compression: str
    rows: Mapping[str, int]
    size_bytes: int
    files: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def dump(
    info: ConnectionInfo,
    target_dir: Path,
    *,
    jobs: int = 2,
    progress: ProgressCallback | None = None,
    tables: Sequence[Table] | None = None,
    binaries: Binaries | None = None,
) -> DumpResult:
    """Dump the database, or only ``tables``, to ``target_dir`` in directory format, and count its rows.

    ``target_dir`` must not exist or be empty; it is made with mode 0700. On any failure, Ctrl-C included,
    pg_dump is ended and ``target_dir`` removed before the error is raised. ``progress`` is called in the
    caller's thread. Raises BackupError, or connect's errors.
    """
    target_dir = target_dir.absolute()
    if target_dir.exists() and (not target_dir.is_dir() or any(target_dir.iterdir())):
        raise BackupError(f"The directory {target_dir} is not empty.", hint="name one that does not exist yet")
    with contextlib.closing(connect(info)) as conn:
        version = server_version(conn)
        chosen = _fitting(binaries, version, _needs_ssl(conn, info))
        with _removed_on_failure(target_dir):
            try:
                target_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                return _dump(info, conn, chosen, version, target_dir, jobs, progress or _ignore, tables)
            except OSError as error:
                raise BackupError(
                    f"No backup could be written to {target_dir}: {error.strerror or error}.",
                    hint=f"check the permissions and the free space of {target_dir.parent}",
                ) from error
            except psycopg.Error as error:
                raise BackupError(
                    f"The snapshot of {info.safe} was lost: {first_line(error)}.",
                    hint="see the server's log, and run the backup again",
                ) from error


def _dump(
    info: ConnectionInfo,
    conn: Connection,
    binaries: Binaries,
    version: tuple[int, int],
    target: Path,
    jobs: int,
    progress: ProgressCallback,
    tables: Sequence[Table] | None,
) -> DumpResult:
    started, clock = datetime.now(UTC), time.monotonic()
    # Said before it is done, for it waits where somebody holds a table in ACCESS EXCLUSIVE mode.
    progress(Progress("backup", "taking a snapshot and listing the tables"))
    snapshot = _export_snapshot(conn)
    counted = list(all_tables(conn) if tables is None else tables)
    changed = threading.Event()
    with tool_connection(info) as (conninfo, environment):
        command = dump_command(binaries, conninfo, target, snapshot=snapshot, jobs=jobs, tables=tables)
        counter = _Counter(conn, counted, changed)
        process: DumpProcess | None = None
        try:
            with _interrupted_later():
                process = DumpProcess(command, environment, changed)
            counter.start()
            _watch(process, counter, changed, target, counted, progress)
            if process.returncode() != 0:
                raise _failed(process.failure(), target)
            counter.check()
        finally:
            with _interrupted_later():
                if process is not None:
                    process.end()
                counter.end()
    files = sorted(path for path in target.rglob("*") if path.is_file())
    return DumpResult(
        path=target,
        snapshot=snapshot,
        started=started,
        finished=datetime.now(UTC),
        duration_s=time.monotonic() - clock,
        server_version=version,
        pg_dump_version=binaries.version,
        compression=compression_of(binaries),
        rows=counter.rows,
        size_bytes=sum(path.stat().st_size for path in files),
        files=tuple(str(path.relative_to(target)) for path in files),
        warnings=tuple(process.warnings),
    )


class _Counter(threading.Thread):
    """Count the rows in the session that exported the snapshot, while pg_dump runs."""

    def __init__(self, conn: Connection, tables: Sequence[Table], changed: threading.Event) -> None:
        super().__init__(name="mig_kit-count", daemon=True)
        self.rows: dict[str, int] = {}
        self.error: Exception | None = None
        self.now = ""
        self._conn, self._tables, self._changed = conn, tables, changed

    def run(self) -> None:
        try:
            self.rows = count_rows(self._conn, self._tables, self._say)
        except Exception as error:
            self.error = error
        self._changed.set()

    def check(self) -> None:
        """Raise what stopped the counting: a backup whose rows could not be counted is none."""
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
            self.join(10)

    def _say(self, progress: Progress) -> None:
        self.now = progress.message


def _watch(
    process: DumpProcess,
    counter: _Counter,
    changed: threading.Event,
    target: Path,
    tables: Sequence[Table],
    progress: ProgressCallback,
) -> None:
    """Report until both are through, or one has failed: the other's work is then in vain."""
    total, told, next_size = sum(not table.partitioned for table in tables), 0, 0.0
    while not (process.ended and not counter.is_alive()):
        counter.check()
        if process.ended and process.returncode() != 0:
            return
        for table in process.tables[told:]:
            told += 1
            progress(Progress("backup", f"dumping {table}", told, max(total, told), "tables"))
        if process.ended:
            progress(Progress("backup", counter.now))
        elif time.monotonic() > next_size:
            next_size = time.monotonic() + _TICK_S
            progress(Progress("backup", "written to disk", _size(target), None, "bytes"))
        changed.wait(_TICK_S)
        changed.clear()
    for table in process.tables[told:]:
        told += 1
        progress(Progress("backup", f"dumping {table}", told, max(total, told), "tables"))
    progress(Progress("backup", "written to disk", _size(target), None, "bytes"))


def _export_snapshot(conn: Connection) -> str:
    # One message, so that an idle_in_transaction_session_timeout has no moment to strike before it is lifted.
    conn.execute(_BEGIN)
    row = conn.execute("SELECT pg_export_snapshot()").fetchone()
    assert row is not None
    return str(row[0])


def _needs_ssl(conn: Connection, info: ConnectionInfo) -> bool:
    """Tell whether pg_dump must encrypt: told to, or lest data cross a network in the clear."""
    demanded = info.options.get("sslmode", os.environ.get("PGSSLMODE", "")) in _SSL_MODES
    return demanded or (bool(conn.pgconn.ssl_in_use) and not info.is_local)


def _fitting(binaries: Binaries | None, version: tuple[int, int], ssl: bool) -> Binaries:
    major, server = version[0], ".".join(map(str, version))
    hint = f"install postgresql-client-{major}, or name its directory in MIG_KIT_PG_BIN"
    if binaries is None:
        try:
            return find_binaries(major, ssl=ssl)
        except BinariesNotFound as error:
            raise BackupError(
                f"The server is PostgreSQL {server}, and no pg_dump fits it: {error.message}", hint=error.hint
            ) from error
    if binaries.version[0] < major:
        raise BackupError(
            f"pg_dump {binaries.version_text} cannot dump a server of PostgreSQL {server}, which is newer.",
            hint=hint,
        )
    if ssl and not binaries.supports_ssl:
        raise BackupError(f"The pg_dump in {binaries.bin_dir} cannot encrypt its connection.", hint=hint)
    return binaries


def _failed(why: str, target: Path) -> BackupError:
    full = "No space left" in why or "quota" in why.lower() or "File too large" in why
    with contextlib.suppress(OSError):
        full = full or shutil.disk_usage(target).free < _LITTLE_SPACE
    full_hint = f"free space for {target.parent}, or choose another place"
    hint = full_hint if full else "see the server's log as well"
    return BackupError(f"pg_dump failed, and no backup was kept: {why}.", hint=f"{hint}; then run the backup again")


@contextlib.contextmanager
def _removed_on_failure(target: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with _interrupted_later():
            shutil.rmtree(target, ignore_errors=True)
        raise


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Put Ctrl-C off until the block is through: no pg_dump is left running, no half of a backup."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _size(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    return 0


def _ignore(_: Progress) -> None:
    return None
