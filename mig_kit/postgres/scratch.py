"""A scratch server and the databases on it: made, copied, dropped, and swept when their owner is gone."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from psycopg import sql

from mig_kit.errors import BackupError, BinariesNotFound, DatabaseError, MigKitError
from mig_kit.postgres.archive import Archive
from mig_kit.postgres.binaries import find_binaries
from mig_kit.postgres.connection import Connection, connect, server_version
from mig_kit.postgres.identity import DatabaseIdentity, identify
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.owner import OwnerLock, owner_token
from mig_kit.postgres.refusal import first_line
from mig_kit.postgres.scratch_database import copy_database, create_like, drop_database, new_name, sweep_databases
from mig_kit.postgres.scratch_home import make_server, sweep_servers
from mig_kit.postgres.server import Server
from mig_kit.postgres.tool_process import interrupted_later

__all__ = ["Scratch", "scratch_server", "sweep"]

_numbers = itertools.count(1)
_warm: dict[object, Scratch] = {}
_warm_lock = threading.RLock()


class Scratch:
    """Databases of one's own on a scratch server: a private one, or one that the user named.

    ``private``: this process made the server, alone knows its password, and removes it at its end. On a named server
    only databases whose names begin with ``mig_kit_scratch_`` are ever made, copied to or dropped.
    """

    def __init__(self, info: ConnectionInfo, server: Server | None = None, lock: OwnerLock | None = None) -> None:
        self.info = info
        self._server, self._lock = server, lock
        self._pid = os.getpid()
        self._made: dict[str, ConnectionInfo] = {}
        self._kept: dict[str, tuple[ConnectionInfo, Any]] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        with contextlib.closing(connect(info)) as conn:
            self.server_version = server_version(conn)
            self.system = identify(conn).system

    def __repr__(self) -> str:
        kind = "private" if self.private else "named"
        return f"<Scratch PostgreSQL {'.'.join(map(str, self.server_version))}, {kind}, {len(self._made)} databases>"

    @property
    def private(self) -> bool:
        """Tell whether the server is this process's own."""
        return self._server is not None

    @property
    def alive(self) -> bool:
        """Tell whether it still serves this process; a forked child has to have its own."""
        return self._pid == os.getpid() and (self._server is None or self._server.running)

    @property
    def words(self) -> str:
        """Say which server it is, for a record."""
        version = ".".join(map(str, self.server_version))
        if self._server is None:
            return f"PostgreSQL {version} at {self.info.address}"
        return f"a scratch server of PostgreSQL {version} ({self._server.binaries.source} programs)"

    @property
    def free_bytes(self) -> int | None:
        """Return the free space where the databases lie; None for a named server, where nobody can tell."""
        return None if self._server is None else shutil.disk_usage(self._server.cluster).free

    def create(self, like: Archive | None = None) -> ConnectionInfo:
        """Make an empty database, with the encoding and locale of the dumped one where the server has that locale.

        Else one that knows the same letters and sorts by code point, and ``notes_on`` says so. Raises DatabaseError.
        """
        said: list[str] = []
        info = self._make(lambda conn, name: said.append(create_like(conn, name, like)))
        self._notes[info.dbname] = tuple(filter(None, said))
        return info

    def notes_on(self, info: ConnectionInfo) -> tuple[str, ...]:
        """Return what is not as it was asked for in a database that was made here, a sentence each."""
        return self._notes.get(info.dbname, ())

    def copy(self, template: ConnectionInfo) -> ConnectionInfo:
        """Make a copy of a database of this scratch server; nobody may be connected to it meanwhile."""
        return self._make(lambda conn, name: copy_database(conn, name, template.dbname))

    def keep(self, key: str, info: ConnectionInfo, about: Any = None) -> None:
        """Keep a database as a template under ``key`` for as long as this process lives; nobody can connect to it.

        One that was kept under that key before is dropped.
        """
        self._need_own(info)
        before = self._kept.get(key)
        name = sql.Identifier(info.dbname)
        with self._connected() as conn:
            conn.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (info.dbname,))
        self._kept[key] = (info, about)
        if before is not None and before[0] != info:
            self.drop(before[0])

    def kept(self, key: str) -> tuple[ConnectionInfo, Any] | None:
        """Return the template that was kept under ``key`` and what was said about it, or None."""
        return self._kept.get(key)

    def is_kept(self, info: ConnectionInfo) -> bool:
        """Tell whether a database was kept as a template."""
        return any(each[0].dbname == info.dbname for each in self._kept.values())

    @property
    def kept_keys(self) -> tuple[str, ...]:
        """The keys of the templates that are kept."""
        return tuple(self._kept)

    def drop(self, info: ConnectionInfo) -> None:
        """Drop a database that was made here, ending the connections to it; nothing happens when it is gone."""
        self._need_own(info)
        with self._connected() as conn:
            drop_database(conn, info.dbname)
        self._made.pop(info.dbname, None)
        self._kept = {key: each for key, each in self._kept.items() if each[0].dbname != info.dbname}

    @contextlib.contextmanager
    def database(self, template: ConnectionInfo | None = None, like: Archive | None = None) -> Iterator[ConnectionInfo]:
        """Give a database, empty or a copy, while the block lasts."""
        info = self.copy(template) if template else self.create(like)
        try:
            yield info
        finally:
            with interrupted_later():
                self.drop(info)

    def close(self) -> None:
        """Drop what was made here; stop and remove the server when it is private. Does nothing in a forked child."""
        if os.getpid() != self._pid:
            return
        with _warm_lock:
            for key in [key for key, each in _warm.items() if each is self]:
                del _warm[key]
        if self._server is not None:
            self._server.remove()
        else:
            with contextlib.suppress(MigKitError, psycopg.Error), self._connected() as conn:
                for name in list(self._made):
                    drop_database(conn, name)
        self._made.clear()
        self._kept.clear()
        if self._lock is not None:
            self._lock.release()

    def _make(self, make: Callable[[Connection, str], None]) -> ConnectionInfo:
        name = new_name(next(_numbers))
        info = self._made[name] = self.info.with_dbname(name)  # before it is there: an interrupt may come any time
        try:
            with self._connected() as conn:
                make(conn, name)
        except BaseException as error:
            with interrupted_later(), contextlib.suppress(MigKitError, psycopg.Error):
                self.drop(info)
            if isinstance(error, psycopg.Error):
                raise DatabaseError(
                    f"No scratch database could be made on {self.words}: {first_line(error)}.",
                    hint="free space for its data"
                    if self.private
                    else f"let {self.info.user} make databases: CREATEDB",
                ) from error
            raise
        return info

    def _need_own(self, info: ConnectionInfo) -> None:
        if info.dbname not in self._made:
            raise DatabaseError(
                f"The database {info.dbname!r} was not made by this scratch server.", hint="drop it by other means"
            )

    def _connected(self) -> contextlib.closing[Connection]:
        return contextlib.closing(connect(self.info))


def scratch_server(
    major: int,
    *,
    at_least: int | None = None,
    named: ConnectionInfo | None = None,
    source: DatabaseIdentity | None = None,
) -> Scratch:
    """Return the scratch server of this process, made at the first call and kept warm until the process ends.

    It has programs of exactly ``major`` where the machine has them, else the embedded ones or newer, of ``at_least``
    (default: ``major``). ``named``: a server of the user's instead; refused when it is the one that ``source`` is on.
    What processes that died have left is swept first. Raises BackupError when no programs fit, DatabaseError.
    """
    key = (named.address, named.user) if named else (major, at_least)
    with _warm_lock:
        there = _warm.get(key)
        if there is None or not there.alive:
            sweep(named)
            there = Scratch(named) if named else _private(major, at_least)
            _warm[key] = there
            atexit.register(there.close)
    if source is not None and there.system and there.system == source.system:
        raise BackupError(
            f"The server at {there.info.address} is the one that the database {source.name!r} is on.",
            hint="name another server as the scratch server, or none",
        )
    return there


def sweep(named: ConnectionInfo | None = None) -> tuple[str, ...]:
    """Remove what processes that are gone have left: private servers, and on ``named`` databases; say which."""
    swept = sweep_servers()
    if named is not None:
        with contextlib.closing(connect(named)) as conn:
            swept += sweep_databases(conn)
    return tuple(swept)


def _private(major: int, at_least: int | None) -> Scratch:
    try:
        binaries = find_binaries(major, at_least=at_least, needs=("initdb", "postgres", "pg_restore"))
    except BinariesNotFound as error:
        raise BackupError(
            f"There is no scratch server to restore into: {error.message}",
            hint=f"{error.hint}; or name a server to restore into",
        ) from error
    server, lock = make_server(f"{owner_token()}_{next(_numbers)}", binaries)
    try:
        return Scratch(server.info, server, lock)
    except BaseException:
        server.remove()
        lock.release()
        raise
