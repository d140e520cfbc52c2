"""Restore a dump into an empty database, or read all of it without restoring."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from mig_kit.errors import BackupError, MigKitError
from mig_kit.postgres.archive import Archive, open_archive
from mig_kit.postgres.connection import Connection, connect, server_version
from mig_kit.postgres.credentials import tool_connection
from mig_kit.postgres.emptiness import Contents, contents, empty_again, first_object
from mig_kit.postgres.identity import DatabaseIdentity, identify
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.plain_sql import SqlScan, restorable_lines, scan_sql
from mig_kit.postgres.restore_fit import Fit, fit, fitting_binaries
from mig_kit.postgres.restore_subset import add_keys, subset
from mig_kit.postgres.tool_process import ToolProcess, interrupted_later
from mig_kit.progress import Progress, ProgressCallback

__all__ = ["RestoreResult", "read_through", "restore"]

_TICK_S = 0.5
_END_S = 30.0
_OTHERWISE = "make the backup again: mig-kit backup"
_TABLE = re.compile(r'processing data for table "(.*)"')
_BUILDING = re.compile(r"launching item \d+ (?:INDEX|CONSTRAINT|FK CONSTRAINT) (.*)")
_ERROR = re.compile(r"error: (?:could not execute query: )?(?:ERROR: +)?(.*)")
_DETAIL = re.compile(r"^DETAIL:  (.*)")
_ENTRY = re.compile(r"from TOC entry \d+; \d+ \d+ (.*)")
_PSQL = re.compile(r"psql:.*?:(\d+): (?:ERROR|FATAL|error): +(.*)")

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """State what was restored; ``left_out`` names what was not, one line of the table of contents each.

    ``tables``: how many had their rows restored. ``notes``: what was done to make it fit, one sentence each.
    """

    database: str
    server_version: tuple[int, int]
    tool_version: tuple[int, int]
    duration_s: float
    tables: int
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Heard:
    """Collect what pg_restore or psql says."""

    tables: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    now: str = ""
    entry: str = ""
    last: str = ""

    def line(self, line: str) -> None:
        # Searched, not matched: the workers of pg_restore write into one another's lines.
        self.last = line or self.last
        if found := _TABLE.search(line):
            self.tables.append(found[1])
        elif found := _BUILDING.search(line):
            self.now = f"building {found[1]}"
        elif found := _ENTRY.search(line):
            self.entry = found[1].removesuffix(" (no owner)")
        elif found := _PSQL.match(line):
            self.errors.append(f"{found[2]} (line {found[1]})")
        elif found := _ERROR.search(line):
            of = f" ({self.entry})" if self.entry else ""
            self.errors.append(f"{found[1]}{of}")
        elif (found := _DETAIL.search(line)) and len(self.errors) == 1:
            self.errors[0] += f": {found[1]}"

    def failure(self, process: ToolProcess) -> str:
        # A dead worker is only the consequence; what killed it was said before.
        causes = [line for line in self.errors if "worker process" not in line]
        said = [self.last] if self.last and not process.killed else []
        return (causes or self.errors or said or [process.how_it_ended()])[0].rstrip(".")


def restore(
    dump: Path | Archive,
    info: ConnectionInfo,
    *,
    jobs: int = 2,
    source: DatabaseIdentity | None = None,
    without_extensions: bool = False,
    without_data: Collection[str] = (),
    create_roles: bool = False,
    settings: Mapping[str, str] | None = None,
    progress: ProgressCallback | None = None,
) -> RestoreResult:
    """Restore a dump into an existing, empty database, without owners and privileges, to the first error.

    Directory, custom and tar archives go through pg_restore, plain SQL (also .gz, .bz2, .xz) through psql in one
    transaction. Refuses a database that is not empty and the ``source`` itself. An extension the server does not have
    is an error that names it; ``without_extensions`` leaves out those, and all that needs them, and says so.
    Roles that policies or plain SQL name and the server lacks: made, unable to log in, with ``create_roles``; else
    their policies are left out, and plain SQL is refused. ``without_data``: tables (``schema.table``) that are made
    without their rows; foreign keys to them are added NOT VALID. ``settings`` are the sessions', for a scratch server.

    On any failure, Ctrl-C included, the database is empty again. Raises BackupError, or connect's errors.
    """
    clock, progress = time.monotonic(), progress or _ignore
    archive = dump if isinstance(dump, Archive) else open_archive(dump)
    with contextlib.closing(connect(info)) as conn:
        _refuse(conn, info, source)
        version = server_version(conn)
        archive = replace(archive, binaries=fitting_binaries(archive, version[0]))
        scan = scan_sql(archive.path, _bytes_told(progress)) if archive.format == "plain" else None
        if scan is not None and not scan.complete and archive.pg_dump_version is not None:
            raise BackupError(f"{archive.path.name} lacks pg_dump's last line: it was cut off.", hint=_OTHERWISE)
        plan = fit(conn, archive, scan, without_extensions=without_extensions, create_roles=create_roles)
        few = subset(archive, without_data)
        plan = replace(plan, left_out={**plan.left_out, **{each.number: each.text.strip() for each in few.entries}})
        before = contents(conn)
        # A name of its own, by which its sessions are found and ended when it is stopped.
        name = f"mig_kit_restore_{os.getpid()}_{next(_numbers)}"
        there = _with(info, name, settings)
        try:
            if scan is not None:
                tables = _run_psql(archive, scan, there, version[0], progress)
            else:
                tables = _run_pg_restore(archive, there, plan, jobs, progress)
            added, refused = add_keys(conn, few.keys)
        except BaseException:
            with interrupted_later():
                _clear(conn, info, before, name)
            raise
    notes = list(plan.notes)
    if without_data:
        notes.append(f"Restored without their rows: {', '.join(sorted(without_data))}.")
    if added:
        notes.append(f"Added NOT VALID, for they lead to tables without rows: {added} foreign keys.")
    if refused:
        notes.append(f"Left out, for they lead to tables without rows: {len(refused)} foreign keys ({refused[0]}).")
    return RestoreResult(
        database=info.safe,
        server_version=version,
        tool_version=archive.binaries.version,
        duration_s=time.monotonic() - clock,
        tables=tables,
        left_out=tuple(plan.left_out.values()),
        notes=tuple(notes),
    )


def read_through(dump: Path | Archive, *, progress: ProgressCallback | None = None) -> None:
    """Read all of a dump, unpacking it, without a server; raises BackupError where it cannot be read.

    Finds what is cut off, missing or damaged in a compressed file. In an uncompressed one a changed value reads as
    well as the right one: for that there are checksums.
    """
    progress = progress or _ignore
    archive = dump if isinstance(dump, Archive) else open_archive(dump)
    if archive.format == "plain":
        scan = scan_sql(archive.path, _bytes_told(progress))
        if not scan.complete and archive.pg_dump_version is not None:
            raise BackupError(f"{archive.path.name} lacks pg_dump's last line: it was cut off.", hint=_OTHERWISE)
        return
    heard = _Heard()
    command = [str(archive.binaries.tool("pg_restore")), "--verbose", f"--file={os.devnull}", str(archive.path)]
    process = ToolProcess(command, {**os.environ, "LC_ALL": "C", "LANGUAGE": "C"}, heard.line)
    _watch(process, heard, _count_tables(archive, {}), "reading", progress)
    if process.returncode() != 0 or heard.errors:
        raise BackupError(f"{archive.path.name} cannot be read: {heard.failure(process)}.", hint=_OTHERWISE)


def _refuse(conn: Connection, info: ConnectionInfo, source: DatabaseIdentity | None) -> None:
    if source is not None and identify(conn).is_same(source):
        raise BackupError(
            f"The database {info.dbname!r} at {info.address} is the one that the backup was made of.",
            hint="name another database, which is empty",
        )
    if there := first_object(conn):
        raise BackupError(
            f"The database {info.dbname!r} at {info.address} is not empty: it has the {there}.",
            hint="name an empty one: CREATE DATABASE restored TEMPLATE template0",
        )


def _run_pg_restore(archive: Archive, info: ConnectionInfo, plan: Fit, jobs: int, progress: ProgressCallback) -> int:
    heard = _Heard()
    options = ["--exit-on-error", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-subscriptions"]
    options += ["--no-publications", "--no-password", "--verbose"]
    if archive.format != "tar":
        options.append(f"--jobs={jobs}")
    with contextlib.ExitStack() as stack:
        conninfo, environment = stack.enter_context(tool_connection(info))
        if plan.left_out:
            chosen = stack.enter_context(tempfile.NamedTemporaryFile("w", prefix="mig_kit-", suffix=".list"))
            kept = (each for each in archive.entries if each.number not in plan.left_out)
            chosen.writelines(f"{each.number}; 0 0 {each.text}\n" for each in kept)
            chosen.flush()
            options.append(f"--use-list={chosen.name}")
        command = [str(archive.binaries.tool("pg_restore")), *options, f"--dbname={conninfo}", str(archive.path)]
        process: ToolProcess | None = None
        total = _count_tables(archive, plan.left_out)
        try:
            with interrupted_later():
                process = ToolProcess(command, environment, heard.line)
            _watch(process, heard, total, "restoring", progress)
            if process.returncode() != 0:
                raise _failed(archive, info, heard.failure(process))
        finally:
            with interrupted_later():
                if process is not None:
                    process.end()
    return total


def _run_psql(
    archive: Archive, scan: SqlScan, info: ConnectionInfo, server_major: int, progress: ProgressCallback
) -> int:
    heard, tables, sent, next_word = _Heard(), 0, 0, 0.0
    options = ["--no-psqlrc", "--quiet", "--single-transaction", "--no-password", "--set=ON_ERROR_STOP=1"]
    with tool_connection(info) as (conninfo, environment):
        command = [str(archive.binaries.tool("psql")), *options, f"--dbname={conninfo}", "--file=-"]
        process: ToolProcess | None = None
        try:
            with interrupted_later():
                process = ToolProcess(command, environment, heard.line, feed=True)
            with contextlib.suppress(BrokenPipeError):  # psql has said why
                for line in restorable_lines(archive.path, server_major):
                    process.input.write(line)
                    sent += len(line)
                    tables += line.startswith(b"COPY ")
                    if time.monotonic() > next_word:
                        next_word = time.monotonic() + _TICK_S
                        progress(Progress("restore", "restoring", sent, scan.size_bytes, "bytes"))
                process.input.close()
            while not process.wait(_TICK_S):
                progress(Progress("restore", "restoring", sent, scan.size_bytes, "bytes"))
            if process.returncode() != 0:
                raise _failed(archive, info, heard.failure(process))
        finally:
            with interrupted_later():
                if process is not None:
                    process.end()
    return tables


def _watch(process: ToolProcess, heard: _Heard, total: int, doing: str, progress: ProgressCallback) -> None:
    told, said = 0, ""
    try:
        while True:
            ended = process.wait(_TICK_S)
            for table in heard.tables[told:]:
                told += 1
                progress(Progress("restore", f"{doing} {table}", told, max(total, told), "tables"))
            if heard.now != said:
                said = heard.now
                progress(Progress("restore", said))
            if ended:
                return
    except BaseException:
        with interrupted_later():
            process.end()
        raise


def _count_tables(archive: Archive, left_out: Mapping[int, str]) -> int:
    return sum(each.text.startswith("TABLE DATA ") and each.number not in left_out for each in archive.entries)


def _clear(conn: Connection, info: ConnectionInfo, before: Contents, name: str) -> None:
    """End what still runs, and empty the database again; nothing is left to do when its server is gone."""
    try:
        _end_sessions(conn, name)
        empty_again(conn, before)
    except psycopg.Error:
        with contextlib.suppress(MigKitError, psycopg.Error), contextlib.closing(connect(info)) as again:
            _end_sessions(again, name)
            empty_again(again, before)


def _end_sessions(conn: Connection, name: str) -> None:
    """A session whose client is gone goes on with its statement, an index say, and would then commit."""
    deadline = time.monotonic() + _END_S
    while conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (name,)
    ).fetchall():
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _failed(archive: Archive, info: ConnectionInfo, why: str) -> BackupError:
    hint = "see the server's log as well"
    if "No space left" in why:
        hint = "free space for the server's data, or name another server"
    elif "permission denied" in why:
        hint = f"let {info.user or 'the user'} own the database it restores into, or restore as a superuser"
    return BackupError(f"{archive.path.name} could not be restored: {why}.", hint=hint)


def _with(info: ConnectionInfo, name: str, settings: Mapping[str, str] | None) -> ConnectionInfo:
    given = " ".join(f"-c {setting}={value}" for setting, value in (settings or {}).items())
    options = {**info.options, "application_name": name}
    if given:
        options["options"] = f"{info.options.get('options', '')} {given}".strip()
    return replace(info, options=options)


def _bytes_told(progress: ProgressCallback) -> Callable[[int], None]:
    return lambda size: progress(Progress("restore", "reading", size, None, "bytes"))


def _ignore(_: Progress) -> None:
    return None
