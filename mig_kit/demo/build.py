"""Make a demo, open it again, stop it."""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dotenv
from psycopg import sql

from mig_kit.demo.data import seed
from mig_kit.demo.files import OWNED, set_address, write_edited_models, write_env, write_released_project
from mig_kit.demo.home import (
    Demo,
    Marker,
    is_demo,
    locked,
    read_marker,
    refuse_foreign,
    remove_marker,
    write_marker,
)
from mig_kit.demo.interpreter import apply_migrations, check_interpreter
from mig_kit.errors import DatabaseError, UsageError
from mig_kit.postgres import ConnectionInfo, Server, connect, find_binaries
from mig_kit.progress import Progress, ProgressCallback
from mig_kit.secret import Secret

__all__ = ["create_demo", "open_demo", "stop_demo"]

_NAME = "portfolio"
_MANAGE_PY = Path("backend/manage.py")
_SERVER_DATA = Path(".mig/server")
_OLDEST_SERVER = 15
_KEYS = ("DATABASE_NAME", "DATABASE_USER", "DATABASE_PASSWORD")
_TOOLS = ("initdb", "postgres", "pg_dump", "pg_restore")


def create_demo(
    directory: Path,
    *,
    fresh: bool = False,
    python: Path | None = None,
    scale: float = 1.0,
    progress: ProgressCallback | None = None,
) -> Demo:
    """Make the portfolio backend in ``directory`` on a server of its own, and leave the server running.

    The directory may be missing, empty or a demo; anything else is refused and not touched. A demo that is
    there already is only started again, with every file as its user left it, unless ``fresh``: then the
    project's files and its database are made anew, and ``.tmp/backups``, ``.mig/runs`` and files that no demo
    writes are kept. One whose making was interrupted is always made anew.

    ``python`` runs the project that is made: it needs Django 4.2 or later and psycopg or psycopg2 (default:
    the interpreter that runs this). ``scale`` multiplies the number of rows. On failure nothing that was
    written here is left behind.

    Raises UsageError, InterpreterError, OperationFailed (a migration failed), or what the server raises.
    """
    root = Path(directory).resolve()
    refuse_foreign(root)
    interpreter = Path(python or sys.executable).absolute()
    new = not root.exists()
    with locked(root):
        try:
            marker = read_marker(root)
            if marker is not None and marker.state == "ready" and not fresh:
                return _open(root, marker, progress)
            check_interpreter(interpreter)
            return _create(root, interpreter, scale, progress)
        finally:
            if not (root / _MANAGE_PY).exists():
                remove_marker(root)
                if new and not any(root.iterdir()):
                    root.rmdir()


def open_demo(directory: Path, *, progress: ProgressCallback | None = None) -> Demo:
    """Start the server of an existing demo, unless it runs, and return the demo.

    No file changes but ``.env``, and that only when the server had to move to another port. Raises UsageError
    where there is no finished demo.
    """
    root = Path(directory).resolve()
    _existing(root)
    with locked(root):
        return _open(root, _existing(root), progress)


def stop_demo(directory: Path) -> None:
    """Stop the server of a demo, if it runs; its files and its data stay.

    Raises UsageError where there is no demo.
    """
    root = Path(directory).resolve()
    if not is_demo(root):
        raise _no_demo(root)
    with locked(root):
        _server(root).stop()


def _create(root: Path, python: Path, scale: float, progress: ProgressCallback | None) -> Demo:
    tell = _teller(progress)
    write_marker(root, Marker("creating", str(python)))
    _clear(root)
    try:
        tell("Starting a PostgreSQL server")
        binaries = find_binaries(at_least=_OLDEST_SERVER, needs=_TOOLS)
        server = Server.create(root / _SERVER_DATA, binaries=binaries)
        server.start()
        database = _create_database(server)
        tell(f"PostgreSQL {binaries.version_text} runs on {database.host}:{database.port}", True)
        write_released_project(root, python)
        write_env(root, database, binaries.tool("pg_dump"))
        tell("Applying the released migrations")
        apply_migrations(root / "backend", python)
        tell("The project is written and its released migrations are applied", True)
        rows = seed(server.info.with_dbname(_NAME), scale=scale, progress=progress)
        tell(f"{sum(rows.values()):,} rows in {len(rows)} tables", True)
        write_edited_models(root)
        marker = Marker("ready", str(python), rows)
        write_marker(root, marker)
    except BaseException:
        _clear(root)
        raise
    tell("The models are edited: their migrations are still to be made", True)
    return _demo(root, marker, database, created=True)


def _open(root: Path, marker: Marker, progress: ProgressCallback | None) -> Demo:
    env = dotenv.dotenv_values(root / ".env", interpolate=False)
    missing = [str(path) for path in (root / ".env", root / _MANAGE_PY) if not path.exists()]
    missing += [f"{key} in .env" for key in _KEYS if not env.get(key)] if not missing else []
    if missing:
        raise UsageError(f"The demo in {root} has lost {' and '.join(missing)}.", hint=_anew(root))
    server = _server(root)
    if not server.running:
        _teller(progress)("Starting the demo's PostgreSQL server")
        server.start()
    address = server.info
    set_address(root, address.host, address.port)
    _teller(progress)(f"The demo's server runs on {address.host}:{address.port}", True)
    name, user, password = (env[key] or "" for key in _KEYS)
    return _demo(root, marker, replace(address, dbname=name, user=user, password=Secret(password)), created=False)


def _demo(root: Path, marker: Marker, database: ConnectionInfo, *, created: bool) -> Demo:
    return Demo(
        root=root,
        backend=root / "backend",
        database=database,
        server_data=root / _SERVER_DATA,
        python=Path(marker.python),
        rows=marker.rows,
        created=created,
    )


def _create_database(server: Server) -> ConnectionInfo:
    """Create the project's database and the plain role that owns it; return how to connect as that role."""
    password = secrets.token_urlsafe(24)
    with connect(server.info) as connection:
        # Only the verifier is sent, so no log of statements ever holds the password.
        verifier = connection.pgconn.encrypt_password(password.encode(), _NAME.encode(), b"scram-sha-256")
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(_NAME), sql.Literal(verifier.decode()))
        )
    server.create_database(_NAME, owner=_NAME)
    return replace(server.info, dbname=_NAME, user=_NAME, password=Secret(password))


def _clear(root: Path) -> None:
    """Remove what the making of a demo writes, running or half-made, and keep everything else."""
    data = root / _SERVER_DATA
    if data.exists():
        try:
            server = Server.open(data)
            if server.running:
                # Otherwise it would write all of it to disk before it stops.
                server.drop_database(_NAME)
            server.remove()
        except DatabaseError:  # a server that was never finished
            shutil.rmtree(data)
    for path in (root / name for name in OWNED):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for folder in (root / ".tmp" / "backups", root / ".tmp"):
        try:
            folder.rmdir()
        except OSError:  # missing, or it holds backups
            pass


def _existing(root: Path) -> Marker:
    marker = read_marker(root)
    if marker is None:
        raise _no_demo(root)
    if marker.state != "ready":
        raise UsageError(f"The demo in {root} was never finished.", hint=f"mig-kit demo {root} starts over")
    return marker


def _server(root: Path) -> Server:
    try:
        return Server.open(root / _SERVER_DATA)
    except DatabaseError as error:
        raise UsageError(f"The demo in {root} has lost its server: {error.message}", hint=_anew(root)) from error


def _no_demo(root: Path) -> UsageError:
    return UsageError(f"There is no demo in {root}.", hint=f"mig-kit demo {root} makes one")


def _anew(root: Path) -> str:
    return f"mig-kit demo --fresh {root} makes it anew"


def _teller(progress: ProgressCallback | None) -> Callable[..., None]:
    def tell(message: str, lasting: bool = False) -> None:
        if progress is not None:
            progress(Progress("demo", message, lasting=lasting))

    return tell
