"""The runbook's prerequisites, looked at one by one."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mig_kit import errors
from mig_kit.postgres import connect, database_size, find_binaries, server_version
from mig_kit.steps.backup import backup_script
from mig_kit.steps.check import Check, check_frame
from mig_kit.steps.target import Target

if TYPE_CHECKING:
    import pandas

__all__ = ["Preflight", "preflight"]

# Django 3.2 and Python 3.8 are where the worker's tests begin; PostgreSQL 15 is where the server's do.
OLDEST_SERVER = 15


class Preflight(tuple[Check, ...]):
    """The checks in order; true when none failed."""

    __slots__ = ()

    def __repr__(self) -> str:
        failed = [each.name for each in self if each.state == "failed"]
        return f"<Preflight: {'failed: ' + ', '.join(failed) if failed else 'ready'}>"

    def __bool__(self) -> bool:
        return self.ok

    @property
    def ok(self) -> bool:
        """No check failed."""
        return not any(each.state == "failed" for each in self)

    def to_frame(self) -> pandas.DataFrame:
        """Return one row a check: check, state, detail, next step."""
        return check_frame(self)


def preflight(target: Target) -> Preflight:
    """Check interpreter, settings, credentials, server, rights, pg_dump, disk and migrations. Read-only.

    Each check stands alone: one that cannot be made is "failed" or "skipped" with its reason, and the rest go on.
    """
    checks = [_interpreter(target), _settings(target), _env(target)]
    checks += _database(target)
    checks += [_guarded("pg_dump fits the server", lambda: _pg_dump(target)), _disk(target), _script(target)]
    checks.append(_guarded("migrations form a graph", lambda: _graph(target)))
    return Preflight(checks)


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except errors.MigKitError as exc:
        return Check(name, "failed", exc.message, exc.hint)


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
    path = target.project.env_file
    if path is None:
        return Check("credentials in .env", "skipped", "there is no .env; the settings have them from elsewhere")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Check(
            "credentials in .env",
            "warning",
            f"{path} can be read by others (mode {mode:o})",
            f"chmod 600 {path}",
        )
    return Check("credentials in .env", "ok", f"{path}, {len(target.project.environ)} variables, private")


def _database(target: Target) -> Iterator[Check]:
    if target.info is None:
        yield Check(
            "PostgreSQL is reachable",
            "skipped",
            f"the database {target.database!r} is {target.vendor}",
            "review, generate, preview, status and history work; backup and verify's row counts need PostgreSQL",
        )
        return
    try:
        connection = connect(target.info)
    except errors.DatabaseError as exc:
        yield Check("PostgreSQL is reachable", "failed", exc.message, exc.hint)
        return
    with connection:
        version = server_version(connection)
        shown = ".".join(map(str, version))
        if version[0] < OLDEST_SERVER:
            yield Check(
                "PostgreSQL is reachable",
                "warning",
                f"PostgreSQL {shown} at {target.info.address}: older than is tested",
            )
        else:
            yield Check("PostgreSQL is reachable", "ok", f"PostgreSQL {shown} at {target.info.address}")
        yield _primary(connection)
        yield _rights(connection, target)


def _primary(connection: Any) -> Check:
    row = connection.execute("SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')").fetchone()
    if row[0]:
        return Check("the server takes writes", "failed", "it is a standby", "name the primary with database=…")
    if row[1] == "on":
        return Check("the server takes writes", "failed", "default_transaction_read_only is on", "use another role")
    return Check("the server takes writes", "ok", "it is a primary")


def _rights(connection: Any, target: Target) -> Check:
    """The role that migrates must own the tables it alters, and may create in the schema."""
    row = connection.execute(
        """
        SELECT has_schema_privilege(current_schema(), 'CREATE'),
               (SELECT array_agg(c.relname::text ORDER BY 1) FROM pg_class c
                 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
                   AND NOT pg_has_role(c.relowner, 'USAGE'))
        """
    ).fetchone()
    may_create, foreign = row
    user = target.info.user if target.info else "?"
    if not may_create:
        return Check(
            "the role may migrate",
            "failed",
            f"{user!r} may not create in the schema",
            f"GRANT CREATE ON SCHEMA … TO {user}",
        )
    if foreign:
        return Check(
            "the role may migrate",
            "warning",
            f"{user!r} does not own {len(foreign)} tables: {', '.join(foreign[:4])}",
            "an ALTER TABLE of those will be refused: use the owner's role",
        )
    return Check("the role may migrate", "ok", f"{user!r} may create, and owns every table")


def _pg_dump(target: Target) -> Check:
    name = "pg_dump fits the server"
    if target.info is None:
        return Check(name, "skipped", f"the database is {target.vendor}")
    with target.connect("preflight") as connection:
        major = server_version(connection)[0]
    binaries = find_binaries(major, needs=("pg_dump",))
    return Check(name, "ok", f"pg_dump {binaries.version_text} ({binaries.source}), {binaries.bin_dir}")


def _disk(target: Target) -> Check:
    name = "disk for a backup"
    folder = target.backups_folder
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        return Check(name, "failed", f"{folder} is not writable", "make it writable for you")
    if target.info is None:
        return Check(name, "skipped", f"the database is {target.vendor}")
    try:
        with target.connect("preflight") as connection:
            size = database_size(connection)
    except errors.DatabaseError:
        return Check(name, "skipped", "the database's size cannot be asked")
    shown = f"{free / 1e9:.1f} GB free in {folder}, the database has {size / 1e6:,.0f} MB"
    if free < size:
        return Check(name, "warning", shown, "a compressed dump is smaller, but free some disk first")
    return Check(name, "ok", shown)


def _script(target: Target) -> Check:
    try:
        path = backup_script(target)
    except errors.BackupError:
        return Check("the project's backup script", "skipped", "none: rb.backup() uses pg_dump itself")
    return Check("the project's backup script", "ok", f"{path}: rb.backup(script=True) runs it")


def _graph(target: Target) -> Check:
    name = "migrations form a graph"
    graph = target.ask("graph")
    if graph["conflicts"]:
        text = "; ".join(f"{app}: {', '.join(names)}" for app, names in graph["conflicts"].items())
        return Check(name, "failed", f"several leaf nodes: {text}", "merge them: manage.py makemigrations --merge")
    if graph["inconsistent"]:
        return Check(name, "failed", graph["inconsistent"], "compare rb.history() with the files")
    pending = sum(not each["applied"] for each in graph["nodes"])
    return Check(name, "ok", f"{len(graph['nodes'])} migrations, {pending} not applied")
