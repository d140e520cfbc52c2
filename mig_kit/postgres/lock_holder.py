"""Who holds the lock on migrating a database: said by the holder where others can read it without a table."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mig_kit.postgres.connection import Connection

__all__ = ["LockHolder", "application_name", "find_holder", "payload", "this_process"]

# A name's length in PostgreSQL, less its final zero; what is longer would be cut by the server.
_NAME_BYTES = 63
_PAYLOAD = re.compile(r"/\* mig_kit (\{.*?\}) \*/", re.DOTALL)

_HOLDER = """
    SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), a.backend_start,
           CASE WHEN a.backend_start IS NULL THEN NULL ELSE coalesce(host(a.client_addr), 'a socket') END, a.query
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
      AND l.classid::bigint = %s AND l.objid::bigint = %s & 4294967295
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.pid <> pg_backend_pid()
    LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Name who migrates: the server process and role, and the person and machine where these can be told.

    ``since`` and ``address`` are None where this role may not see another's; ``process`` is ``user@host process n``,
    '' where the holder said nothing of itself.
    """

    pid: int
    role: str
    application: str
    since: datetime | None
    address: str | None
    process: str = ""
    purpose: str = ""

    def __str__(self) -> str:
        who = self.process or self.application or "an unnamed session"
        doing = f" ({self.purpose})" if self.purpose else ""
        since = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        where = f", from {self.address}" if self.address else ""
        return f"{who}{doing}{since}{where}, as the role {self.role!r}, server process {self.pid}"


def this_process(purpose: str) -> dict[str, Any]:
    """Return what a holder says of itself: who, on which machine, in which process, since when, for what."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"user": user[:60], "host": socket.gethostname()[:100], "process": os.getpid(), "since": now, "for": purpose}


def payload(said: dict[str, Any]) -> str:
    """Return it as an SQL comment, which stands in pg_stat_activity while the holder does nothing else."""
    return f"/* mig_kit {json.dumps(said).replace('/', chr(92) + '/')} */"  # no end of the comment within it


def application_name(purpose: str) -> str:
    """Return who holds it in so many bytes as an application_name has; every role may read that one."""
    said = this_process(purpose)
    text = f"mig_kit {purpose} {said['process']} {said['user'][:20]}@{said['host']}"
    return text.encode("ascii", "replace").decode()[:_NAME_BYTES]


def find_holder(conn: Connection, first: int, second: int) -> LockHolder | None:
    """Return who else holds the advisory lock of these two keys in this database, None when nobody does."""
    row = conn.execute(_HOLDER, (first, second)).fetchone()
    if row is None:
        return None
    pid, role, application, started, address, query = row
    said = _said(query or "")
    process = f"{said['user']}@{said['host']} process {said['process']}" if said else ""
    since = datetime.fromisoformat(said["since"]) if said else started
    since = since.astimezone(UTC) if since else None
    return LockHolder(pid, role, application, since, address, process, said.get("for", ""))


def _said(query: str) -> dict[str, Any]:
    found = _PAYLOAD.search(query)
    try:
        said = json.loads(found[1]) if found else {}
        datetime.fromisoformat(said["since"])
    except (ValueError, KeyError, TypeError):
        return {}
    return {"user": "?", "host": "?", "process": "?", **said}
