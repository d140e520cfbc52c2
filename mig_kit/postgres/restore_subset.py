"""Restore some tables without their rows: what of an archive is left out for that, and what is done in its place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import psycopg

from mig_kit.errors import BackupError
from mig_kit.postgres.archive import Archive, Entry
from mig_kit.postgres.connection import Connection
from mig_kit.postgres.refusal import first_line

__all__ = ["Subset", "add_keys", "subset"]

_TABLE = re.compile(r"^-- Name: (.*); Type: TABLE; Schema: (.*); Owner: .*$", re.MULTILINE)
_KEY = re.compile(r"^-- Name: .*; Type: FK CONSTRAINT; .*\n--\n\n", re.MULTILINE)
_NAME = r'(?:"(?:[^"]|"")+"|[^".\s]+)'
_ALTERED = re.compile(rf"ALTER TABLE (?:ONLY )?({_NAME})\.({_NAME})\s")


@dataclass(frozen=True, slots=True)
class Subset:
    """State what is left out: the entries of rows, and of the foreign keys that would miss them.

    ``keys``: the statements that add those keys all the same, NOT VALID: they hold for new rows only.
    """

    entries: tuple[Entry, ...] = ()
    keys: tuple[str, ...] = ()


def subset(archive: Archive, labels: Collection[str]) -> Subset:
    """Find what to leave out so that the tables of those names (``schema.table``, unquoted) come without rows.

    A partitioned table's name stands for its partitions. Raises BackupError for plain SQL, and for a name that the
    dump does not have.
    """
    if not labels:
        return Subset()
    if archive.format == "plain":
        raise BackupError(
            f"{archive.path.name} is plain SQL, of which no table's rows can be left out.",
            hint="restore all of it, or make a backup by mig-kit backup",
        )
    names = _table_names(archive)
    if unknown := sorted(set(labels) - {f"{schema}.{name}" for schema, name in names.values()}):
        raise BackupError(
            f"{archive.path.name} has no table {unknown[0]}.", hint="name tables as schema.table, without quotes"
        )
    parents = _parents(archive, names)
    empty = {number for number, (schema, name) in names.items() if f"{schema}.{name}" in labels}
    while more := {part for part, parent in parents.items() if parent in empty} - empty:
        empty |= more
    # A partitioned table lacks rows as soon as one of its partitions does.
    short = set(empty)
    while more := {parents[part] for part in short if part in parents} - short:
        short |= more
    rows = [each for each in archive.entries if each.text.startswith("TABLE DATA ") and each.needs & empty]
    looked_at = [each for each in archive.entries if each.text.startswith("FK CONSTRAINT ") and each.needs & short]
    missing, keys = [], []
    for key, statement in zip(looked_at, _statements(archive, looked_at), strict=True):
        own = {number for number in key.needs & names.keys() if names[number] == _altered(statement)}
        # Of an empty table, and of one to itself, every key holds.
        if not own <= empty and (key.needs & names.keys() & short) - own:
            missing.append(key)
            keys.append(statement)
    return Subset((*rows, *missing), tuple(keys))


def add_keys(conn: Connection, keys: Iterable[str]) -> tuple[int, list[str]]:
    """Add foreign keys without a look at the rows that are there; return how many, and why others could not be."""
    added, refused = 0, []
    for key in keys:
        statement = key.removesuffix(";").removesuffix(" NOT VALID") + " NOT VALID"
        try:
            conn.execute(statement.encode())
            added += 1
        except psycopg.Error as error:  # before 18, one of a partitioned table cannot be NOT VALID
            refused.append(first_line(error))
    return added, refused


def _table_names(archive: Archive) -> dict[int, tuple[str, str]]:
    """Return schema and name of each table by its entry's number; the list of entries alone is ambiguous."""
    made = [each for each in archive.entries if re.match(r"TABLE (?!DATA |ATTACH )", each.text)]
    found = [(schema, name) for name, schema in _TABLE.findall(archive.script(made))] if made else []
    if len(found) != len(made):
        raise _not_told_apart(archive, "tables")
    return {each.number: name for each, name in zip(made, found, strict=True)}


def _parents(archive: Archive, names: Mapping[int, tuple[str, str]]) -> dict[int, int]:
    """Return the partitioned table of each partition, both by number."""
    found = {}
    for entry in archive.entries:
        pair = sorted(entry.needs & names.keys(), key=lambda number: len(" ".join(names[number])), reverse=True)
        if entry.text.startswith("TABLE ATTACH ") and len(pair) == 2:
            own = entry.text.removeprefix("TABLE ATTACH ")
            first = own.startswith(" ".join(names[pair[0]]) + " ")
            found[pair[0] if first else pair[1]] = pair[1] if first else pair[0]
    return found


def _statements(archive: Archive, keys: list[Entry]) -> list[str]:
    parts = _KEY.split(archive.script(keys))[1:] if keys else []
    if len(parts) != len(keys):
        raise _not_told_apart(archive, "foreign keys")
    return [part.partition("\n\n\n")[0].strip() for part in parts]


def _altered(statement: str) -> tuple[str, str]:
    found = _ALTERED.match(statement)
    return (_unquoted(found[1]), _unquoted(found[2])) if found else ("", "")


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _not_told_apart(archive: Archive, what: str) -> BackupError:
    return BackupError(f"The {what} of {archive.path.name} cannot be told apart.", hint="restore all of it")
