"""A PostgreSQL server of one's own, for the demo, the tests and rehearsals."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from psycopg import sql

from mig_kit.errors import BinariesNotFound, DatabaseError
from mig_kit.postgres import postmaster
from mig_kit.postgres.account import Account, can_reach, common_folder, reachable, server_account
from mig_kit.postgres.binaries import Binaries, binaries_in, find_binaries
from mig_kit.postgres.connection import connect
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.secret import Secret

__all__ = ["Server"]

_NEEDS = ("initdb", "postgres")
_SIDE_FILE = "mig_kit.json"
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",  # a socket's directory would be open to every account of the machine
    "password_encryption": "'scram-sha-256'",
    "logging_collector": "off",
    "lc_messages": "'C'",
    "timezone": "'UTC'",
}


@dataclass
class _Side:
    """What the side file keeps from one process to the next."""

    cluster: str
    bin_dir: str  # the original, not a copy that was made of it
    superuser: str
    password: Secret
    port: int

    def write(self, path: Path) -> None:
        given = {**self.__dict__, "password": self.password.reveal()}
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(given, file, indent=2)
        Path(name).replace(path)

    @classmethod
    def read(cls, path: Path) -> _Side:
        given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**given, "password": Secret(given["password"])})


class Server:
    """Run a server on 127.0.0.1 with a password of its own, its data below ``data_dir``.

    ``data_dir`` holds the side file (port and password, mode 0600) and the cluster. Run by root, the cluster
    belongs to the account the server runs as, and lies in /var/tmp where that account cannot reach
    ``data_dir``; ``cluster`` says where. As a context manager it starts, and stops what it started, at the
    interpreter's exit at the latest. Started with ``start()`` it keeps running, and another process can
    ``open()`` it.
    """

    def __init__(self, data_dir: Path, side: _Side, binaries: Binaries, account: Account) -> None:
        self.data_dir = data_dir
        self.binaries = binaries
        self.cluster = Path(side.cluster)
        self._side = side
        self._account = account
        self._stops_at_exit = False

    @classmethod
    def create(
        cls,
        data_dir: Path,
        *,
        binaries: Binaries | None = None,
        superuser: str = "postgres",
        durable: bool = True,
    ) -> Server:
        """Make a new cluster, not yet started; ``data_dir`` must not exist or be empty.

        ``durable=False`` turns off fsync: faster, and lost when the machine goes down. Leaves nothing behind
        on failure. Raises DatabaseError with what initdb said.
        """
        data_dir = data_dir.absolute()
        if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
            hint = "choose an empty directory"
            if (data_dir / _SIDE_FILE).exists():
                hint = "open the server that is there: Server.open(data_dir)"
            raise DatabaseError(f"The data directory {data_dir} is not empty.", hint=hint)
        account = server_account()
        original = binaries or find_binaries(needs=_NEEDS)
        binaries = reachable(original, account)
        made: list[Path] = []
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            made.append(data_dir)
            if account.switch:
                data_dir.chmod(0o711)
            home = data_dir
            if not can_reach(account, data_dir):
                made.append(home := common_folder())
            password = Secret(secrets.token_urlsafe(24))
            side = _Side(str(home / "cluster"), str(original.bin_dir), superuser, password, port=0)
            _initdb(binaries, account, side, durable)
            side.write(data_dir / _SIDE_FILE)
        except BaseException as error:
            for path in made:
                shutil.rmtree(path, ignore_errors=True)
            if isinstance(error, OSError):
                raise DatabaseError(
                    f"No cluster could be made in {data_dir}: {error.strerror or error}.",
                    hint="choose a directory that can be written and has 100 MB free",
                ) from error
            raise
        return cls(data_dir, side, binaries, account)

    @classmethod
    def open(cls, data_dir: Path) -> Server:
        """Take up a server that ``create`` made, running or not, from this or another process.

        Raises DatabaseError when there is none, BinariesNotFound when its major version is no longer
        installed.
        """
        data_dir = data_dir.absolute()
        try:
            side = _Side.read(data_dir / _SIDE_FILE)
            major = int((Path(side.cluster) / "PG_VERSION").read_text().strip())
        except (OSError, ValueError, TypeError, KeyError) as error:
            why = error.strerror or error if isinstance(error, OSError) else f"its {_SIDE_FILE} is damaged"
            raise DatabaseError(
                f"There is no server of mig_kit's to open in {data_dir}: {why}.",
                hint="make one with Server.create(data_dir) in an empty directory",
            ) from error
        account = server_account()
        return cls(data_dir, side, reachable(_binaries_for(major, Path(side.bin_dir)), account), account)

    @property
    def info(self) -> ConnectionInfo:
        """Return how the superuser connects to ``postgres``; the port is 0 before the first start."""
        return ConnectionInfo("127.0.0.1", self._side.port, "postgres", self._side.superuser, self._side.password)

    @property
    def running(self) -> bool:
        """Tell whether the server runs, whoever started it."""
        return postmaster.running(self.cluster) is not None

    @property
    def log(self) -> Path:
        """Return the path of the server's log."""
        return postmaster.log_path(self.cluster)

    def start(self) -> Server:
        """Start the server and wait until it answers; nothing happens when it runs already.

        It takes the port it had before when that is still free, else another. Raises DatabaseError with the
        tail of the server's log when it does not come up.
        """
        with self._locked():
            there = postmaster.running(self.cluster)
            self._keep_port(there.port if there else self._start_on_a_free_port())
        return self

    def stop(self) -> None:
        """Stop the server, ending its connections; nothing happens when it does not run."""
        self._forget_exit()
        with self._locked():
            postmaster.stop(self.cluster)

    def remove(self) -> None:
        """Stop the server and delete its data, wherever they lie, and ``data_dir``."""
        self.stop()
        home = self.cluster.parent
        for path in {self.data_dir, home}:
            shutil.rmtree(path, ignore_errors=True)

    def create_database(self, name: str, owner: str | None = None) -> ConnectionInfo:
        """Create an empty database and return how the superuser connects to it."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if owner is not None:
            statement += sql.SQL(" OWNER {}").format(sql.Identifier(owner))
        with connect(self.info) as conn:
            conn.execute(statement)
        return self.info.with_dbname(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it is there, ending the connections to it."""
        with connect(self.info) as conn:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def __enter__(self) -> Server:
        if not self.running:
            self._stops_at_exit = True
            atexit.register(self._stop_at_exit, os.getpid())
        try:
            return self.start()
        except BaseException:
            self._forget_exit()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stops_at_exit:
            self.stop()

    def __repr__(self) -> str:
        state = f"port {self._side.port}" if self.running else "stopped"
        return f"<Server PostgreSQL {self.binaries.version_text} in {self.data_dir}, {state}>"

    def _stop_at_exit(self, pid: int) -> None:
        if os.getpid() == pid:  # not in a forked child
            self.stop()

    def _forget_exit(self) -> None:
        self._stops_at_exit = False
        atexit.unregister(self._stop_at_exit)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if not self.data_dir.is_dir():  # deleted behind our back: a server whose data are gone ends by itself
            yield
            return
        with (self.data_dir / ".lock").open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _keep_port(self, port: int) -> None:
        if port != self._side.port:
            self._side = replace(self._side, port=port)
            self._side.write(self.data_dir / _SIDE_FILE)

    def _start_on_a_free_port(self) -> int:
        port, tries = self._side.port, 5
        while True:
            if not port or not postmaster.is_free(port):
                port = postmaster.free_port()
            try:
                postmaster.start(self.binaries.tool("postgres"), self.cluster, port, self._account)
                return port
            except DatabaseError:
                # Somebody may have taken the port between the look and the start.
                tries -= 1
                if not tries or postmaster.is_free(port):
                    raise


def _binaries_for(major: int, bin_dir: Path) -> Binaries:
    known = binaries_in(bin_dir, needs=_NEEDS)
    found = known if known and known.version[0] == major else find_binaries(major, needs=_NEEDS)
    if found.version[0] != major:
        raise BinariesNotFound(
            f"The server's data are of PostgreSQL {major}, and only {found.version_text} is here.",
            hint=f"install PostgreSQL {major}, or make a new server",
        )
    return found


def _initdb(binaries: Binaries, account: Account, side: _Side, durable: bool) -> None:
    cluster = Path(side.cluster)
    cluster.mkdir(mode=0o700)
    account.take(cluster)
    # A file, for a pipe of root's cannot be opened by the account that initdb runs as.
    descriptor, password_file = tempfile.mkstemp(dir=cluster.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(side.password.reveal() + "\n")
        account.take(Path(password_file))
        command = [str(binaries.tool("initdb")), "--pgdata", side.cluster, "--username", side.superuser]
        command += ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C"]
        if binaries.version[0] >= 17:  # knows letters beyond ASCII, and is the same on every machine
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        run = subprocess.run(
            command + ([] if durable else ["--no-sync"]),
            cwd="/",
            env=postmaster.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            start_new_session=True,
            check=False,
            **account.popen_arguments(),
        )
    finally:
        Path(password_file).unlink()
    if run.returncode:
        said = "\n".join((run.stdout + run.stderr).strip().splitlines()[-10:])
        raise DatabaseError(
            f"initdb could not make a cluster in {cluster}:\n{said}",
            hint="choose another directory, or free some space",
        )
    settings = {**_SETTINGS, **({} if durable else _NOT_DURABLE)}
    with (cluster / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"{name} = {value}\n" for name, value in settings.items())
