"""Hand a connection to PostgreSQL's programs without its secrets in a process list or an environment."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from psycopg.conninfo import make_conninfo

from mig_kit.errors import DatabaseError
from mig_kit.postgres.info import ConnectionInfo

__all__ = ["tool_connection"]

_SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")


@contextlib.contextmanager
def tool_connection(info: ConnectionInfo) -> Iterator[tuple[str, dict[str, str]]]:
    """Give a conninfo without secrets and the environment that goes with it, while the block lasts.

    The password is in a PGPASSFILE of mode 0600 in a directory of its own, removed at the end; messages are
    in English. Raises DatabaseError for a password that no password file can hold.
    """
    params = info.params()
    params.pop("client_encoding", None)  # a dump is in the database's own encoding
    secrets = {name: str(params.pop(name)) for name in _SECRETS if name in params}
    environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": "C"}
    with tempfile.TemporaryDirectory(prefix="mig_kit-") as folder:  # mode 0700
        if password := secrets.pop("password", ""):
            params.pop("passfile", None)
            environment.pop("PGPASSWORD", None)  # it would go before the file
            environment["PGPASSFILE"] = str(_write(Path(folder, "pgpass"), f"*:*:*:*:{_escaped(password)}\n"))
        if secrets and "service" not in params:
            lines = [f"{name}={value}\n" for name, value in secrets.items()]
            environment["PGSERVICEFILE"] = str(_write(Path(folder, "service"), "[mig_kit]\n" + "".join(lines)))
            params["service"] = "mig_kit"
        yield make_conninfo("", **params), environment


def _escaped(password: str) -> str:
    if "\n" in password or "\r" in password:
        raise DatabaseError(
            "The password holds a line break, which PostgreSQL's programs cannot take from a file.",
            hint="choose a password without line breaks",
        )
    return password.replace("\\", "\\\\").replace(":", "\\:")


def _write(path: Path, text: str) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path
