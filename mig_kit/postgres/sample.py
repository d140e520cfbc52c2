"""Load a part of a table's rows from a dump: every so manieth, the same ones each time."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from typing import IO

import psycopg
from psycopg import sql

from mig_kit.errors import BackupError
from mig_kit.postgres.archive import Archive
from mig_kit.postgres.connection import Connection, connect
from mig_kit.postgres.info import ConnectionInfo
from mig_kit.postgres.refusal import first_line

__all__ = ["load_samples"]

_ENCODING = re.compile(rb"SET client_encoding = '([\w-]+)';")

# Each foreign key of a sampled table, with its columns and those it refers to.
_KEYS = """
    SELECT n.nspname, c.relname, m.nspname, d.relname,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY x (n, at) JOIN pg_attribute a
                   ON a.attrelid = k.conrelid AND a.attnum = x.n ORDER BY x.at),
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY x (n, at) JOIN pg_attribute a
                   ON a.attrelid = k.confrelid AND a.attnum = x.n ORDER BY x.at)
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class d ON d.oid = k.confrelid JOIN pg_namespace m ON m.oid = d.relnamespace
    WHERE k.contype = 'f' AND c.relkind = 'r' AND n.nspname || '.' || c.relname = ANY (%s)
    ORDER BY k.conname
"""


def load_samples(archive: Archive, info: ConnectionInfo, tables: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Load one row in so many of each table (schema, name) into a database where they are empty.

    Then rows that refer to what was not loaded are taken out, so that every foreign key holds. Returns the rows that
    each table (``schema.table``) has. Triggers do not fire. Raises BackupError.
    """
    if archive.format == "plain":
        raise BackupError(
            f"{archive.path.name} is plain SQL, of which no sample can be taken.", hint="make a backup: mig-kit backup"
        )
    with contextlib.closing(connect(info)) as conn:
        try:
            conn.execute("SET session_replication_role = replica; SET synchronous_commit = off")
            for (schema, name), one_in in tables.items():
                _load(archive, conn, schema, name, one_in)
            _without_orphans(conn, [f"{schema}.{name}" for schema, name in tables])
            return {f"{schema}.{name}": _count(conn, schema, name) for schema, name in tables}
        except psycopg.Error as error:
            hint = "restore the tables in full"
            if isinstance(error, psycopg.errors.InsufficientPrivilege):
                hint = "name a superuser of the scratch server, or let mig_kit make a server of its own"
            raise BackupError(f"Samples cannot be loaded: {first_line(error)}.", hint=hint) from error


def _load(archive: Archive, conn: Connection, schema: str, name: str, one_in: int) -> None:
    command = [str(archive.binaries.tool("pg_restore")), "--data-only", f"--schema={schema}", f"--table={name}"]
    process = subprocess.Popen(
        [*command, "--file=-", str(archive.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C", "LANGUAGE": "C"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        _copy(conn, process.stdout, one_in)
        said = process.stderr.read().decode("utf-8", "replace").strip()
        if process.wait():
            why = said.splitlines()[0] if said else f"pg_restore ended with {process.returncode}"
            raise BackupError(f"The rows of {schema}.{name} cannot be read: {why}.", hint="mig-kit verify-backup")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()


def _copy(conn: Connection, script: IO[bytes], one_in: int) -> None:
    """Copy the rows that a script's COPY statements bring, of each so many the first."""
    for line in script:
        if found := _ENCODING.match(line):
            conn.execute(sql.SQL("SET client_encoding = {}").format(sql.Literal(found[1].decode())))
        if not line.startswith(b"COPY "):
            continue
        with conn.cursor().copy(line.strip().removesuffix(b";")) as copy:
            for number, row in enumerate(iter(script.readline, b"\\.\n")):
                if not row:
                    break  # the end came too early; pg_restore says why
                if number % one_in == 0:
                    copy.write(row)


def _without_orphans(conn: Connection, tables: Iterable[str]) -> None:
    """Take out rows until every foreign key of those tables holds."""
    keys = conn.execute(_KEYS, (list(tables),)).fetchall()
    thinned = set()
    gone = True
    while gone:
        gone = False
        for schema, name, other_schema, other_name, columns, refers in keys:
            pairs = list(zip(columns, refers, strict=True))
            set_all = sql.SQL(" AND ").join(
                sql.SQL("c.{} IS NOT NULL").format(sql.Identifier(column)) for column, _ in pairs
            )
            same = sql.SQL(" AND ").join(
                sql.SQL("p.{} = c.{}").format(sql.Identifier(refer), sql.Identifier(column)) for column, refer in pairs
            )
            statement = sql.SQL("DELETE FROM {} c WHERE {} AND NOT EXISTS (SELECT FROM {} p WHERE {})").format(
                sql.Identifier(schema, name), set_all, sql.Identifier(other_schema, other_name), same
            )
            if conn.execute(statement).rowcount:
                gone = True
                thinned.add((schema, name))
    for table in sorted(thinned):
        conn.execute(sql.SQL("VACUUM FULL {}").format(sql.Identifier(*table)))


def _count(conn: Connection, schema: str, name: str) -> int:
    row = conn.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(schema, name))).fetchone()
    return int(row[0]) if row else 0
