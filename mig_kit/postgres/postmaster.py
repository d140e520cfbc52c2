"""The server process: start it, find it again, stop it.

Not pg_ctl, which passes paths through a shell and cannot tell the account it starts the server under.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from psycopg import pq

from mig_kit.errors import DatabaseError
from mig_kit.postgres.account import Account

__all__ = ["Postmaster", "environment", "free_port", "is_free", "log_path", "running", "start", "stop"]

# Kept so that a server left running on purpose does not become a warning when its Popen is collected,
# and so that one that ended is reaped instead of looking alive.
_STARTED: list[subprocess.Popen[bytes]] = []
_START_S = 60.0
_STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class Postmaster:
    """Name a running server by its process id and port."""

    pid: int
    port: int


def log_path(cluster: Path) -> Path:
    """Return where the log of this cluster's server is."""
    return cluster / "mig_kit.log"


def environment() -> dict[str, str]:
    """Return the environment for server programs: ours without what would steer or translate PostgreSQL."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on that port of 127.0.0.1 now."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def running(cluster: Path) -> Postmaster | None:
    """Return the running server of this cluster, or None; a stale postmaster.pid is not taken for one."""
    for process in _STARTED:
        process.poll()
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        there = Postmaster(int(lines[0]), int(lines[3]))
    except (OSError, ValueError, IndexError):
        return None
    return there if _exists(there.pid) and _is_ours(there, cluster) else None


def start(program: Path, cluster: Path, port: int, account: Account) -> None:
    """Start the server and wait until it takes connections.

    It gets a session of its own, so Ctrl-C in this terminal does not reach it. Raises DatabaseError with the
    tail of its log when it ends or is not ready within a minute; it does not run then.
    """
    with log_path(cluster).open("ab") as log:
        account.take(log_path(cluster))
        before = log.tell()
        process = subprocess.Popen(
            [program, "-D", cluster, "-c", f"port={port}"],
            cwd="/",
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=0o077,
            **account.popen_arguments(),
        )
    _STARTED.append(process)
    deadline = time.monotonic() + _START_S
    try:
        while not _is_ready(cluster, process.pid):
            if process.poll() is not None:
                raise _no_start(cluster, before, f"ended with {process.returncode}")
            if time.monotonic() > deadline:
                raise _no_start(cluster, before, f"was not ready after {_START_S:.0f} s")
            time.sleep(0.01)
    except BaseException:
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT)
            process.wait(_STOP_S)
        raise


def stop(cluster: Path) -> None:
    """End the server if it runs, with a "fast" shutdown, after a minute an "immediate" one."""
    there = running(cluster)
    if there is None:
        return
    for number in (signal.SIGINT, signal.SIGQUIT):
        os.kill(there.pid, number)
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            if running(cluster) is None:
                # Its last act was to remove postmaster.pid. Gone in a moment, unless its parent is another
                # process that does not reap it.
                if not _exists(there.pid):
                    return
                deadline = min(deadline, time.monotonic() + 1)
            time.sleep(0.01)
        if running(cluster) is None:
            return
    raise DatabaseError(
        f"The server of {cluster} did not stop (process {there.pid}).",
        hint=f"see its log: {log_path(cluster)}",
    )


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_ours(there: Postmaster, cluster: Path) -> bool:
    try:  # a postmaster works in its data directory
        return Path(f"/proc/{there.pid}/cwd").resolve(strict=True) == cluster.resolve()
    except OSError:  # no /proc, or not for our eyes (a container's root): ask at its port
        asked = pq.PGconn.ping(f"host=127.0.0.1 port={there.port} connect_timeout=5".encode())
        return asked in (pq.Ping.OK, pq.Ping.REJECT)


def _is_ready(cluster: Path, pid: int) -> bool:
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _no_start(cluster: Path, before: int, what: str) -> DatabaseError:
    with log_path(cluster).open("rb") as log:
        log.seek(before)
        tail = log.read().decode("utf-8", "replace").strip().splitlines()[-15:]
    said = "\n".join(tail) or "(the log is empty)"
    return DatabaseError(
        f"The server of {cluster} {what}. The end of its log:\n{said}",
        hint=f"see its whole log: {log_path(cluster)}",
    )
