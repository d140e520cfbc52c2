"""What a dump needs and a server has not: programs, extensions, roles; what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import sql

from mig_kit.errors import BackupError, BinariesNotFound
from mig_kit.postgres.archive import Archive
from mig_kit.postgres.binaries import Binaries, find_binaries
from mig_kit.postgres.connection import Connection
from mig_kit.postgres.plain_sql import SqlScan, policy_roles

__all__ = ["Fit", "fit", "fitting_binaries"]


@dataclass(frozen=True, slots=True)
class Fit:
    """State what of a dump is left out (number and line of each entry), and what was done, a sentence each."""

    left_out: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def fitting_binaries(archive: Archive, server: int) -> Binaries:
    """Choose the programs: as new as the dump, and as old as the server; BackupError when there are none."""
    if archive.format == "plain":
        return archive.binaries
    by = archive.pg_dump_version[0] if archive.pg_dump_version else 1
    name = archive.path.name
    if by >= 17 > server:
        # It would send SET transaction_timeout, which only 17 and later know.
        raise BackupError(
            f"{name} was written by pg_dump {by}, whose pg_restore does not work with PostgreSQL {server}.",
            hint=f"restore it into PostgreSQL {by}, or dump again with pg_dump {server}",
        )
    try:
        found = find_binaries(server, at_least=by, needs=("pg_restore",))
    except BinariesNotFound as error:
        raise BackupError(f"{name} cannot be restored: {error.message}", hint=error.hint) from error
    if found.version[0] >= 17 > server:
        raise BackupError(
            f"pg_restore {found.version_text} does not work with PostgreSQL {server}, and there is none that does.",
            hint=f"install postgresql-client-{server}",
        )
    return archive.binaries if archive.compression == "zstd" and not found.supports_zstd else found


def fit(
    conn: Connection, archive: Archive, scan: SqlScan | None, *, without_extensions: bool, create_roles: bool
) -> Fit:
    """Find the extensions and roles that the server lacks, and say what is left out for it.

    ``scan``: of a plain SQL dump, of which nothing can be left out. Raises BackupError where that leaves no way.
    """
    left_out, notes = _extensions(conn, archive, scan, without_extensions)
    named = (
        set(scan.roles) if scan else set(policy_roles(archive.script(archive.policies))) if archive.policies else set()
    )
    absent = sorted(named - {row[0] for row in conn.execute("SELECT rolname FROM pg_roles")})
    if not absent:
        return Fit(left_out, tuple(notes))
    names = ", ".join(absent)
    if create_roles:
        for role in absent:
            conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        notes.append(f"Made on the scratch server, unable to log in: {_kind('role', absent)} {names}.")
    elif scan is not None:
        raise BackupError(
            f"The script names {_kind('role', absent)} {names}, which the server does not have.",
            hint="dump with --no-owner --no-privileges or --format=custom, or make them: "
            + "; ".join(f'CREATE ROLE "{role}"' for role in absent),
        )
    else:
        hit = [each for each in archive.policies if set(policy_roles(archive.script([each]))) & set(absent)]
        left_out.update((each.number, each.text.strip()) for each in hit)
        notes.append(f"Left out, for the server lacks {_kind('role', absent)} {names}: {len(hit)} row-level policies.")
    return Fit(left_out, tuple(notes))


def _extensions(
    conn: Connection, archive: Archive, scan: SqlScan | None, without: bool
) -> tuple[dict[int, str], list[str]]:
    there = {row[0] for row in conn.execute("SELECT name FROM pg_available_extensions")}
    wanted = archive.extensions if scan is None else scan.extensions
    missing = [name for name in wanted if name not in there]
    if not missing:
        return {}, []
    what = f"{_kind('extension', missing)} {', '.join(missing)}"
    needing = archive.needing_extensions(missing)
    lost = [each for each in needing if each.text.startswith("TABLE DATA ")]
    if scan is None and without:
        note = (
            f"Left out, for the server lacks {what}: {len(needing)} entries, the rows of {len(lost)} tables among them."
        )
        return {each.number: each.text.strip() for each in needing}, [note]
    parameters = conn.info.get_parameters()
    where = f"the PostgreSQL {conn.info.server_version // 10000} at {conn.info.host}:{parameters.get('port', '5432')}"
    hint = f"name a server that has {'it' if len(missing) == 1 else 'them'}"
    if scan is None:
        hint += f", or go on without what needs it, the rows of {len(lost)} tables: without_extensions=True"
    raise BackupError(f"The dump needs {what}, which {where} does not have.", hint=hint)


def _kind(word: str, names: list[str]) -> str:
    return f"the {word}" if len(names) == 1 else f"the {word}s"
