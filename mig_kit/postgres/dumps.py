"""Dump a database, and say what it held at the very moment the dump shows."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from mig_kit.errors import BackupError, BinariesNotFound
from mig_kit.postgres.binaries import Binaries, find_binaries
from mig_kit.postgres.catalog import AppliedMigration, Table
from mig_kit.postgres.connection import Connection, connect, server_version
from mig_kit.postgres.credentials import tool_connection
from mig_kit.postgres.digest import Digest
from mig_kit.postgres.dump_process import DumpWords, compression_of, dump_command
from mig_kit.postgres.dump_snapshot import Digester, begin_snapshot
from mig_kit.postgres.identity import DatabaseIdentity
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.refusal import first_line
from mig_kit.postgres.tool_process import ToolProcess, interrupted_later
from mig_kit.progress import Progress, ProgressCallback

__all__ = ["DumpResult", "dump"]

_TICK_S = 0.5
_LITTLE_SPACE = 1 << 20
_SSL_MODES = ("require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class DumpResult:
    """State what was dumped, and what the database held in the dump's own snapshot.

    ``rows`` and ``sizes`` (bytes, with indexes and TOAST) go by ``schema.name``; ``digests`` are of the same snapshot.
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
    identity: DatabaseIdentity
    encoding: str
    warnings: tuple[str, ...] = ()
    digests: tuple[Digest, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    migrations: tuple[AppliedMigration, ...] = ()
    extensions: tuple[str, ...] = ()


def dump(
    info: ConnectionInfo,
    target_dir: Path,
    *,
    jobs: int = 2,
    progress: ProgressCallback | None = None,
    tables: Sequence[Table] | None = None,
    binaries: Binaries | None = None,
) -> DumpResult:
    """Dump the database, or only ``tables``, to ``target_dir`` in directory format, and digest its rows meanwhile.

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
    moment = begin_snapshot(conn, tables)
    with tool_connection(info) as (conninfo, environment):
        command = dump_command(binaries, conninfo, target, snapshot=moment.snapshot, jobs=jobs, tables=tables)
        digester, words = Digester(conn, moment.tables), DumpWords()
        process: ToolProcess | None = None
        try:
            with interrupted_later():
                process = ToolProcess(command, environment, words.line)
            digester.start()
            _watch(process, words, digester, target, moment.tables, progress)
            if process.returncode() != 0:
                raise _failed(words.failure(process), target)
            digester.check()
        finally:
            with interrupted_later():
                if process is not None:
                    process.end()
                digester.end()
    files = sorted(path for path in target.rglob("*") if path.is_file())
    return DumpResult(
        path=target,
        snapshot=moment.snapshot,
        started=started,
        finished=datetime.now(UTC),
        duration_s=time.monotonic() - clock,
        server_version=version,
        pg_dump_version=binaries.version,
        compression=compression_of(binaries),
        rows=digester.rows,
        size_bytes=sum(path.stat().st_size for path in files),
        files=tuple(str(path.relative_to(target)) for path in files),
        identity=moment.identity,
        encoding=moment.encoding,
        warnings=tuple(words.warnings),
        digests=digester.digests,
        sizes={each.label: each.size_bytes for each in moment.tables},
        migrations=moment.migrations,
        extensions=moment.extensions,
    )


def _watch(
    process: ToolProcess,
    words: DumpWords,
    digester: Digester,
    target: Path,
    tables: Sequence[Table],
    progress: ProgressCallback,
) -> None:
    """Report until both are through, or one has failed: the other's work is then in vain."""
    total, told, next_size = sum(not table.partitioned for table in tables), 0, 0.0
    while True:
        ended = process.ended
        digester.check()
        if ended and process.returncode() != 0:
            return
        for table in words.tables[told:]:
            told += 1
            progress(Progress("backup", f"dumping {table}", told, max(total, told), "tables"))
        if ended and not digester.is_alive():
            break
        if ended and digester.now is not None:
            progress(Progress("backup", str(digester.now)))
        elif not ended and time.monotonic() > next_size:
            next_size = time.monotonic() + _TICK_S
            progress(Progress("backup", "written to disk", _size(target), None, "bytes"))
        if ended:
            digester.join(_TICK_S)
        else:
            process.wait(_TICK_S)
    progress(Progress("backup", "written to disk", _size(target), None, "bytes"))


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
        with interrupted_later():
            shutil.rmtree(target, ignore_errors=True)
        raise


def _size(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    return 0


def _ignore(_: Progress) -> None:
    return None
