"""Where a database is and who goes there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from mig_kit.errors import DatabaseError, NotPostgreSQL, UsageError
from mig_kit.secret import Secret

__all__ = ["ConnectionInfo"]

# What a Django engine path says when it is certainly another database. Anything else may be a wrapper
# (PostGIS, a metrics or tenant backend), so it gets the benefit of the doubt: connecting tells.
_OTHER_DATABASES = ("sqlite", "spatialite", "mysql", "mariadb", "oracle", "mssql", "sql_server")

# libpq's own names, so that what only Django or psycopg knows (pool, server_side_binding …) is left out.
_LIBPQ_NAMES = frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())
_FIELDS = ("host", "port", "dbname", "user", "password")


@dataclass(frozen=True, repr=False)
class ConnectionInfo:
    """Name one database on one server, and the account to use; the repr and ``safe`` never show a secret.

    ``host``: '' is libpq's default (a Unix socket, or what PGHOST says); a path is a socket's directory.
    ``port``: None is libpq's default. ``options``: further libpq parameters (sslmode, service, options …).
    """

    host: str = ""
    port: int | None = None
    dbname: str = ""
    user: str = ""
    password: Secret = field(default_factory=Secret)
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    @classmethod
    def from_django(cls, settings_dict: Mapping[str, Any]) -> ConnectionInfo:
        """Read one entry of Django's DATABASES, with the precedence that Django's own backend has.

        ``assume_role`` becomes a ``role`` setting in ``options``, so that pg_dump takes on that role as well.
        Raises NotPostgreSQL for an engine that is another database, DatabaseError for a port that is no
        number.
        """
        engine = str(settings_dict.get("ENGINE") or "")
        if any(name in engine.lower() for name in _OTHER_DATABASES):
            raise NotPostgreSQL(
                f"The database {str(settings_dict.get('NAME') or '')!r} is of {engine}, not PostgreSQL.",
                hint="steps that need no PostgreSQL still work; choose a PostgreSQL database for the others",
            )
        given: dict[str, Any] = dict(settings_dict.get("OPTIONS") or {})
        name = settings_dict.get("NAME")
        if name is None:  # Django's way to ask for the maintenance database
            given.pop("service", None)
            given["dbname"] = given.get("dbname") or "postgres"
        elif name:
            given.setdefault("dbname", name)
        for key, setting in (("user", "USER"), ("password", "PASSWORD"), ("host", "HOST"), ("port", "PORT")):
            if settings_dict.get(setting):
                given[key] = settings_dict[setting]
        if role := given.pop("assume_role", None):
            given["options"] = f"{given.get('options') or ''} -c role={_escaped(str(role))}".strip()
        given.pop("client_encoding", None)
        options = {key: str(value) for key, value in given.items() if key in _LIBPQ_NAMES and value is not None}
        text = {key: options.pop(key, "") for key in _FIELDS}
        port = None
        if "," in text["port"]:  # several hosts, several ports: only libpq reads that
            options["port"] = text["port"]
        elif text["port"]:
            port = _port(text["port"])
        return cls(text["host"], port, text["dbname"], text["user"], Secret(text["password"]), options)

    @classmethod
    def from_url(cls, text: str, *, dbname: str = "postgres") -> ConnectionInfo:
        """Read libpq's ``postgresql://user@host:port/name`` or ``host=… dbname=…``; ``dbname`` where it names none.

        What it leaves out, the password say, libpq finds as always (PGPASSFILE, a service file). Raises UsageError,
        which does not repeat the text: it may hold a password.
        """
        try:
            given = {key: str(value) for key, value in conninfo_to_dict(text).items() if value is not None}
        except psycopg.ProgrammingError:
            given = {}
        if not given:
            raise UsageError(
                "That is no address of a PostgreSQL server.", hint="write postgresql://user@host:port/database"
            )
        port = given.pop("port", "")
        if "," in port:
            given["port"] = port
        return cls(
            given.pop("host", ""),
            _port(port) if port and "," not in port else None,
            given.pop("dbname", "") or dbname,
            given.pop("user", ""),
            Secret(given.pop("password", "")),
            given,
        )

    def with_dbname(self, name: str) -> ConnectionInfo:
        """Return the same server and account with another database."""
        return replace(self, dbname=name)

    def params(self) -> dict[str, Any]:
        """Return the arguments of ``psycopg.connect``, the password among them: never for text."""
        given: dict[str, Any] = dict(self.options)
        given.update({"host": self.host, "port": self.port, "dbname": self.dbname, "user": self.user})
        given.update({"password": self.password.reveal(), "client_encoding": "UTF8"})
        if "port" in self.options and self.port is None:
            given["port"] = self.options["port"]
        return {key: value for key, value in given.items() if value not in ("", None)}

    @property
    def address(self) -> str:
        """Name the server for a sentence: ``host:port``, a socket's path, or a service."""
        if not self.host and "service" in self.options:
            return f"service {self.options['service']}"
        port = self.port or self.options.get("port") or 5432
        if self.host.startswith(("/", "@")):
            return f"{self.host} (socket, port {port})"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host or 'the default socket'}:{port}" if host else f"the default socket (port {port})"

    @property
    def safe(self) -> str:
        """Show it as a URL without any secret: ``postgresql://user@host:port/db``."""
        user = f"{_quoted(self.user)}@" if self.user else ""
        query = []
        host = self.host
        if host.startswith(("/", "@")):
            host, query = "", [f"host={_quoted(self.host, keep='/')}"]
        elif ":" in host:
            host = f"[{host}]"
        if "service" in self.options:
            query.append(f"service={_quoted(self.options['service'])}")
        port = f":{self.port}" if self.port else ""
        tail = f"?{'&'.join(query)}" if query else ""
        return f"postgresql://{user}{host}{port}/{_quoted(self.dbname)}{tail}"

    @property
    def is_local(self) -> bool:
        """Tell whether the server is surely on this machine: a socket or a loopback address."""
        if "service" in self.options and not self.host:
            return False
        host = self.options.get("hostaddr") or self.host or os.environ.get("PGHOST", "")
        return all(_is_loopback(one) for one in host.split(","))

    def __repr__(self) -> str:
        return f"<ConnectionInfo {self.safe}>"


def _is_loopback(host: str) -> bool:
    return host in ("", "localhost", "::1") or host.startswith(("/", "@", "127."))


def _port(text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise DatabaseError(
        f"The port {text!r} is not a number between 1 and 65535.",
        hint="correct the port, in the project's DATABASES or in the address",
    )


def _escaped(value: str) -> str:
    # In libpq's `options`, a backslash keeps a space from ending the word.
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def _quoted(text: str, keep: str = "") -> str:
    """Percent-encode what has a meaning in a URL; letters of any script stay readable."""
    return "".join(
        c if c.isalnum() or c in "-._~ " + keep else "".join(f"%{b:02X}" for b in c.encode("utf-8", "replace"))
        for c in text
    ).replace(" ", "%20")
