"""The statements that make and drop scratch databases, and the locale they get."""

from __future__ import annotations

import re

import psycopg
from psycopg import sql

from mig_kit.postgres.archive import Archive
from mig_kit.postgres.connection import Connection
from mig_kit.postgres.owner import is_dead, owner_token

__all__ = ["copy_database", "create_like", "drop_database", "new_name", "sweep_databases"]

_PREFIX = "mig_kit_scratch_"
_NAME = re.compile(_PREFIX + r"([0-9a-f]{8}_\d+_[0-9a-f]+)_\d+")
_NAMED = ("LOCALE", "LC_COLLATE", "LC_CTYPE", "ICU_LOCALE", "BUILTIN_LOCALE")
_LOCALE = re.compile(
    r" (ENCODING|LOCALE_PROVIDER|LOCALE|LC_COLLATE|LC_CTYPE|ICU_LOCALE|ICU_RULES|BUILTIN_LOCALE) = '((?:[^']|'')*)'|"
    r" (LOCALE_PROVIDER) = (\w+)"
)


def new_name(number: int) -> str:
    """Return a database's name that tells whose it is."""
    return f"{_PREFIX}{owner_token()}_{number}"


def create_like(conn: Connection, name: str, archive: Archive | None) -> str:
    """Make an empty database with the encoding and locale of the dumped one, where the server has that locale.

    A locale it lacks is replaced by one that knows the same letters and sorts by code point; the sentence returned says
    so, '' where it was not. Raises psycopg.Error.
    """
    wanted = _locale_of(archive)
    encoding = {option: value for option, value in wanted.items() if option == "ENCODING"}
    neutral = {"LC_COLLATE": "C", "LC_CTYPE": "C.UTF-8"}
    if conn.info.server_version >= 170000:
        neutral = {"LOCALE_PROVIDER": "builtin", "BUILTIN_LOCALE": "C.UTF-8", "LOCALE": "C"}
    lacks = ", ".join(dict.fromkeys(value for option, value in wanted.items() if option in _NAMED))
    replaced = f"The scratch server lacks the locale {lacks}: the copy sorts by code point."
    for options, said in ((wanted, ""), ({**encoding, **neutral}, replaced)):
        try:
            conn.execute(_create(name, sql.SQL("template0"), options))
            return said
        except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege):
            raise
        except psycopg.Error:
            continue
    conn.execute(_create(name, sql.SQL("template0"), {**encoding, "LC_COLLATE": "C", "LC_CTYPE": "C"}))
    return replaced


def copy_database(conn: Connection, name: str, template: str) -> None:
    """Make a copy by copying files, the quickest way for a large one. Raises psycopg.Error."""
    statement = _create(name, sql.Identifier(template), {})
    if conn.info.server_version >= 150000:  # else it is the only way there is
        statement += sql.SQL(" STRATEGY file_copy")
    conn.execute(statement)


def drop_database(conn: Connection, name: str) -> None:
    """Drop a database if it is there, ending the connections to it where the server can (13 and later)."""
    force = sql.SQL(" WITH (FORCE)" if conn.info.server_version >= 130000 else "")
    conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)) + force)


def sweep_databases(conn: Connection) -> list[str]:
    """Drop the scratch databases of processes of this machine that are gone; return their names."""
    swept = []
    for (name,) in conn.execute("SELECT datname FROM pg_database ORDER BY datname").fetchall():
        if (found := _NAME.fullmatch(name)) and is_dead(found[1]):
            try:
                drop_database(conn, name)
            except psycopg.errors.InsufficientPrivilege:  # made under another user
                continue
            swept.append(name)
    return swept


def _locale_of(archive: Archive | None) -> dict[str, str]:
    if archive is None or archive.format == "plain":
        return {}
    found = _LOCALE.findall(archive.script(create=True).partition("CREATE DATABASE ")[2].partition("\n")[0])
    return {name or other: (value or word).replace("''", "'") for name, value, other, word in found}


def _create(name: str, template: sql.Composable, options: dict[str, str]) -> sql.Composed:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), template)
    for option, value in options.items():
        statement += sql.SQL(f" {option} ") + (sql.SQL(value) if option == "LOCALE_PROVIDER" else sql.Literal(value))
    return statement
