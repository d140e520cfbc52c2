"""The runbook's prerequisites, looked at one by one."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mig_kit import errors
from mig_kit.postgres import Connection, ConnectionInfo, connect, database_size, find_binaries, server_version
from mig_kit.steps._backup_script import backup_script
from mig_kit.steps._verify_checks import graph_trouble
from mig_kit.steps.check import Check, check_frame, failed_checks, guarded
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["Preflight", "preflight"]

OLDEST_SERVER = 15  # where the tests begin

SERVER = "PostgreSQL is reachable"
WRITES = "the server takes writes"
RIGHTS = "the role may migrate"
PG_DUMP = "pg_dump fits the server"
DISK = "disk for a backup"
GRAPH = "migrations form a graph"


class Preflight(tuple[Check, ...]):
    """The checks in order; true when none failed."""

    __slots__ = ()

    def __repr__(self) -> str:
        failed = failed_checks(self)
        return f"<Preflight: {'failed: ' + ', '.join(failed) if failed else 'ready'}>"

    def __bool__(self) -> bool:
        return self.ok

    @property
    def ok(self) -> bool:
        """No check failed."""
        return not failed_checks(self)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a check: check, state, detail, next step."""
        return check_frame(self)


def preflight(target: Target) -> Preflight:
    """Check interpreter, settings, credentials, server, rights, pg_dump, disk and migrations. Read-only.

    Each check stands alone: one that cannot be made is "failed" or "skipped" with its reason, and the rest go on.
    """
    return Preflight(
        [
            _interpreter(target),
            _settings(target),
            _env(target),
            *_database(target),
            _script(target),
            guarded(GRAPH, lambda: _graph(target)),
        ]
    )


def _interpreter(target: Target) -> Check:
    return Check(
        "the project's interpreter",
        "ok",
        f"Python {target.python} with Django {target.django}: {target.description['executable']}",
    )


def _settings(target: Target) -> Check:
    debug = target.description["debug"]
    if debug and target.stage == "production":
        return Check(
            "settings",
            "warning",
            f"{target.project.settings}, with DEBUG on",
            "are these the production settings?",
        )
    return Check("settings", "ok", f"{target.project.settings}, stage {target.stage} ({target.stage_reason})")


def _env(target: Target) -> Check:
    name, path = "credentials in .env", target.project.env_file
    if path is None or not path.exists():
        return Check(name, "skipped", "there is no .env; the settings have them from elsewhere")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        detail = f"{path} can be read by others (mode {mode:o})"
        return Check(name, "warning", detail, f"chmod 600 {shlex.quote(str(path))}")
    return Check(name, "ok", f"{path}, private")


def _database(target: Target) -> Iterator[Check]:
    """Make the checks that ask the server, all over one connection."""
    if target.info is None:
        hint = "review, generate, preview, status and history work; backup and verify's row counts need PostgreSQL"
        yield Check(SERVER, "skipped", f"the database {target.database!r} is {target.vendor}", hint)
        return
    try:
        connection = connect(target.info)
    except errors.DatabaseError as exc:
        yield Check(SERVER, "failed", exc.message, exc.hint)
        for name in (WRITES, RIGHTS, PG_DUMP, DISK):
            yield Check(name, "skipped", "the server cannot be asked", "mend the connection first")
        return
    with contextlib.closing(connection):
        info = target.info
        for name, check in (
            (SERVER, lambda: _server(connection, info)),
            (WRITES, lambda: _writes(connection)),
            (RIGHTS, lambda: _rights(connection, info)),
            (PG_DUMP, lambda: _pg_dump(connection, info)),
            (DISK, lambda: _disk(connection, target.backups_folder)),
        ):
            yield guarded(name, check)


def _server(connection: Connection, info: ConnectionInfo) -> Check:
    version = server_version(connection)
    shown = f"PostgreSQL {'.'.join(map(str, version))} at {info.address}, database {info.dbname!r}"
    if version[0] < OLDEST_SERVER:
        return Check(SERVER, "warning", f"{shown}: older than is tested", f"PostgreSQL {OLDEST_SERVER} or later")
    return Check(SERVER, "ok", shown)


def _writes(connection: Connection) -> Check:
    row = connection.execute("SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')").fetchone()
    standby, read_only = row or (None, None)
    if standby:
        return Check(WRITES, "failed", "it is a standby", "name the primary with database=… / --database")
    if read_only == "on":
        hint = "use another role, or ALTER ROLE … RESET default_transaction_read_only"
        return Check(WRITES, "failed", "default_transaction_read_only is on", hint)
    return Check(WRITES, "ok", "it is a primary")


def _rights(connection: Connection, info: ConnectionInfo) -> Check:
    """The role that migrates must own the tables it alters, and may create in the schema."""
    row = connection.execute(
        """
        SELECT quote_ident(current_user), quote_ident(n.nspname), has_schema_privilege(n.oid, 'CREATE'),
               (SELECT array_agg(c.relname::text ORDER BY 1) FROM pg_class c
                 WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p') AND NOT pg_has_role(c.relowner, 'USAGE'))
        FROM pg_namespace n WHERE n.nspname = current_schema()
        """
    ).fetchone()
    if row is None:
        return Check(RIGHTS, "failed", f"{info.user!r} has no schema to create in", "check the role's search_path")
    role, schema, may_create, foreign = row
    if not may_create:
        grant = f"GRANT CREATE ON SCHEMA {schema} TO {role}"
        return Check(RIGHTS, "failed", f"{role} may not create in the schema {schema}", grant)
    if foreign:
        shown = ", ".join(foreign[:4]) + (", …" if len(foreign) > 4 else "")
        detail = f"{role} does not own {len(foreign)} of the tables: {shown}"
        return Check(RIGHTS, "warning", detail, "an ALTER TABLE of those will be refused: use the owner's role")
    return Check(RIGHTS, "ok", f"{role} may create in {schema}, and owns every table there")


def _pg_dump(connection: Connection, info: ConnectionInfo) -> Check:
    binaries = find_binaries(server_version(connection)[0], needs=("pg_dump",))
    detail = f"pg_dump {binaries.version_text} ({binaries.source}), {binaries.bin_dir}"
    if connection.pgconn.ssl_in_use and not info.is_local and not binaries.supports_ssl:
        return Check(PG_DUMP, "warning", f"{detail}: it cannot encrypt", "install the PostgreSQL client packages")
    return Check(PG_DUMP, "ok", detail)


def _disk(connection: Connection, folder: Path) -> Check:
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return Check(DISK, "failed", f"{folder} is not writable", "make it writable for you")
    free, size = shutil.disk_usage(folder).free, database_size(connection)
    shown = f"{free / 1e9:.1f} GB free in {folder}, the database has {size / 1e6:,.0f} MB"
    if free < size:
        return Check(DISK, "warning", shown, "a compressed dump is smaller, but free some disk first")
    return Check(DISK, "ok", shown)


def _script(target: Target) -> Check:
    try:
        path = backup_script(target)
    except errors.BackupError:
        return Check("the project's backup script", "skipped", "none: rb.backup() uses pg_dump itself")
    return Check("the project's backup script", "ok", f"{path}: rb.backup(script=True) runs it")


def _graph(target: Target) -> Check:
    trouble, pending, count = graph_trouble(GRAPH, target)
    return trouble or Check(GRAPH, "ok", f"{count} migrations, {len(pending)} not applied")
