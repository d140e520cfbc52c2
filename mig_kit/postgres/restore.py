"""Restore a dump into an empty database."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from mig_kit.errors import BackupError, MigKitError
from mig_kit.postgres.archive import Archive, open_archive
from mig_kit.postgres.connection import Connection, connect, server_version
from mig_kit.postgres.emptiness import Contents, contents, empty_again, first_object
from mig_kit.postgres.identity import DatabaseIdentity, identify
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.plain_sql import scan_whole
from mig_kit.postgres.restore_fit import fit, fitting_binaries
from mig_kit.postgres.restore_process import run_pg_restore, run_psql
from mig_kit.postgres.restore_subset import add_keys, subset
from mig_kit.postgres.tool_process import interrupted_later
from mig_kit.progress import Progress, ProgressCallback

__all__ = ["RestoreResult", "restore"]

_END_S = 30.0
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
        scan = scan_whole(archive, progress) if archive.format == "plain" else None
        plan = fit(conn, archive, scan, without_extensions=without_extensions, create_roles=create_roles)
        few = subset(archive, without_data)
        plan = replace(plan, left_out={**plan.left_out, **{each.number: each.text.strip() for each in few.entries}})
        before = contents(conn)
        # A name of its own, by which its sessions are found and ended when it is stopped.
        name = f"mig_kit_restore_{os.getpid()}_{next(_numbers)}"
        there = _with(info, name, settings)
        try:
            if scan is not None:
                tables = run_psql(archive, scan, there, version[0], progress)
            else:
                tables = run_pg_restore(archive, there, plan.left_out, jobs, progress)
            added, refused = add_keys(conn, few.keys)
        except BaseException:
            with interrupted_later():
                _clear(conn, info, before, name)
            raise
    notes = [*plan.notes, *_never_restored(archive)]
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


def _never_restored(archive: Archive) -> list[str]:
    """A copy that published, or that fed on the source's publications, would be more than a copy."""
    kinds = ("PUBLICATION", "SUBSCRIPTION")
    found = {kind: sum(each.text.startswith(f"{kind} - ") for each in archive.entries) for kind in kinds}
    return [f"Not restored: {count} {kind.lower()}s." for kind, count in found.items() if count]


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


def _with(info: ConnectionInfo, name: str, settings: Mapping[str, str] | None) -> ConnectionInfo:
    given = " ".join(f"-c {setting}={value}" for setting, value in (settings or {}).items())
    options = {**info.options, "application_name": name}
    if given:
        options["options"] = f"{info.options.get('options', '')} {given}".strip()
    return replace(info, options=options)


def _ignore(_: Progress) -> None:
    return None
