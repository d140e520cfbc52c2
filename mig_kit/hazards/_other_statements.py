"""Statements about rows, sequences, views, triggers and what else a migration runs."""

from __future__ import annotations

from collections.abc import Callable

from mig_kit.hazards._words import Reader
from mig_kit.hazards.facts import Draft, WorkKind
from mig_kit.hazards.locks import LockMode

__all__ = ["READERS"]

_AE = LockMode.ACCESS_EXCLUSIVE
_SUE = LockMode.SHARE_UPDATE_EXCLUSIVE


# Functions that a migration's bare SELECT may call without touching a table.
_HARMLESS_NAMES = "coalesce current_setting currval greatest least lower max min now nullif set_config upper"
_HARMLESS = frozenset(_HARMLESS_NAMES.split())
_TABLELESS_NAMES = """AGGREGATE CAST COLLATION CONVERSION DATABASE DOMAIN EXTENSION FUNCTION LANGUAGE OPERATOR PROCEDURE
    ROLE ROUTINE SCHEMA SERVER TYPE"""
_TABLELESS = frozenset(_TABLELESS_NAMES.split())


def _comment(draft: Draft, reader: Reader) -> None:
    what = reader.take_any("TABLE", "COLUMN", "INDEX", "CONSTRAINT", "TRIGGER", "VIEW", "SEQUENCE")
    draft.kinds.append("comment")
    if not what:
        if reader.peek() not in _TABLELESS:
            draft.unknown("what is commented on was not recognised")
        return
    if what in ("CONSTRAINT", "TRIGGER"):
        return  # ACCESS SHARE on the table
    name = _column_owner(reader) if what == "COLUMN" else reader.relation()
    if name is None or not reader.take("IS"):
        draft.unknown("what is commented on was not recognised")
        return
    draft.relation = draft.table(name).label
    draft.lock(draft.relation, _SUE)


def _column_owner(reader: Reader) -> str | None:
    names = [reader.identifier()]
    while reader.take("."):
        names.append(reader.identifier())
    if None in names or not 2 <= len(names) <= 3:
        return None
    return ".".join(str(name) for name in names[:-1])


def _on_table(kind: str, mode: LockMode) -> Callable[[Draft, Reader], None]:
    """Read ``… ON table``, up to which nothing matters."""

    def read(draft: Draft, reader: Reader) -> None:
        reader.until("ON")
        name = reader.relation() if reader.take("ON") else None
        if name is None:
            return
        draft.kinds.append(kind)
        draft.relation = draft.table(name).label
        draft.lock(draft.relation, mode)
        if kind == "create trigger" and reader.take("FROM") and (other := reader.relation()):
            draft.lock(draft.table(other).label, mode)

    return read


def _truncate(draft: Draft, reader: Reader) -> None:
    reader.take("TABLE")
    reader.take("ONLY")
    names = reader.relations()
    if names is None:
        return
    draft.kinds.append("truncate")
    reader.take_any("RESTART IDENTITY", "CONTINUE IDENTITY")
    cascade = reader.take("CASCADE")
    for name in names:
        info = draft.table(name)
        draft.relation = draft.relation or info.label
        draft.lock(info.label, _AE)
        draft.lock(info.label, LockMode.SHARE)
        draft.lock_indexes(info)
        draft.because("the table gets an empty file: no row is read")
        for key in info.referenced_by or ():
            if cascade:
                draft.lock(key.table, _AE)
            elif key.table not in names:
                draft.fails = f"the foreign key {key.name} of {key.table} refers to {info.label}"
        if cascade:
            # Those that refer to the referring tables are emptied, too.
            draft.unsure.append(f"every table with a foreign key to {info.label}, also by way of another, is emptied")


def _lock_table(draft: Draft, reader: Reader) -> None:
    reader.take("TABLE")
    reader.take("ONLY")
    names = reader.relations()
    mode = _AE
    if reader.take("IN"):
        words = reader.until("MODE")
        try:
            mode = LockMode.parse(" ".join(word.text for word in words))
        except ValueError:
            return
    if names is None:
        return
    draft.kinds.append("lock table")
    for name in names:
        draft.relation = draft.relation or draft.table(name).label
        draft.lock(draft.table(name).label, mode)


def _change_rows(kind: str) -> Callable[[Draft, Reader], None]:
    def read(draft: Draft, reader: Reader) -> None:
        reader.take("ONLY")
        name = reader.relation()
        if name is None:
            return
        info = draft.table(name)
        draft.kinds.append(kind)
        draft.relation = info.label
        draft.lock(info.label, LockMode.ROW_EXCLUSIVE)
        draft.unsure.append("what its triggers and foreign keys touch besides")
        keys = {word.key for word in reader.rest}
        if kind == "insert":
            # Rows written out grow with the statement, not with a table.
            # Django's bulk_create writes its rows as arrays.
            arrays = [word.key for word in reader.words if word.key == "SELECT" or word.key == "UNNEST"]
            if {"SELECT", "TABLE", "WITH"} & keys and arrays != ["SELECT", "UNNEST"]:
                draft.work(WorkKind.CHANGE_ROWS, info.label, "a row for each that the query gives")
                draft.unknown("how much its query reads is not known")
            return
        if {"SELECT", "FROM", "USING"} & keys:
            draft.unknown("how much it reads of other tables is not known")
        where = "WHERE" in keys
        draft.work(
            WorkKind.SCAN, info.label, "the rows are looked for; an index may help" if where else "every row is read"
        )
        draft.work(WorkKind.CHANGE_ROWS, info.label)

    return read


def _select(draft: Draft, reader: Reader) -> None:
    words = reader.words
    for place, word in enumerate(words):
        if word.key in ("INTO", "FROM", "FOR"):
            draft.unknown("a SELECT from tables may call what writes, and how much it reads is not known")
            return
        called = place + 1 < len(words) and words[place + 1].text == "("
        if called and word.name is not None and word.key != "SELECT" and word.name not in _HARMLESS:
            draft.unknown(f"what the function {word.name} does is not known")
            return
    draft.kinds.append("select")


def _refresh(draft: Draft, reader: Reader) -> None:
    concurrently = reader.take("CONCURRENTLY")
    name = reader.relation()
    if name is None:
        return
    info = draft.table(name)
    draft.kinds.append("refresh materialized view")
    draft.relation = info.label
    draft.lock(info.label, LockMode.EXCLUSIVE if concurrently else _AE)
    draft.lock_indexes(info)
    draft.work(WorkKind.REWRITE, info.label)
    draft.unknown("how much its query reads is not known")


def _analyze(draft: Draft, reader: Reader) -> None:
    reader.parentheses() or reader.take("VERBOSE")
    draft.kinds.append("analyze")
    name = reader.relation()
    if name is None:
        draft.unknown("ANALYZE without a table goes through all of them")
        return
    draft.relation = draft.table(name).label
    draft.lock(draft.relation, _SUE)
    draft.because("a sample of the rows is read")


def _vacuum(draft: Draft, reader: Reader) -> None:
    options = {word.key for word in reader.parentheses() or ()}
    full = reader.take("FULL") or "FULL" in options
    while reader.take_any("FREEZE", "VERBOSE", "ANALYZE"):
        pass
    draft.kinds.append("vacuum full" if full else "vacuum")
    draft.transactional = False
    name = reader.relation()
    if name is None or reader:
        draft.unknown("only VACUUM of one table is recognised")
        return
    info = draft.table(name)
    draft.relation = info.label
    if not full:
        draft.lock(info.label, _SUE)
        draft.work(WorkKind.SCAN, info.label, "dead rows are looked for, under a lock that lets others read and write")
        return
    draft.lock(info.label, _AE)
    draft.rewrite(info, "the rows that live are written into a new file")


def _cluster(draft: Draft, reader: Reader) -> None:
    reader.take("VERBOSE")
    name = reader.relation()
    if name is None:
        draft.unknown("only CLUSTER of one table is recognised")
        return
    if reader.take("USING"):
        reader.identifier()
    if reader:
        draft.unknown("only CLUSTER of one table is recognised")
        return
    draft.kinds.append("cluster")
    info = draft.table(name)
    draft.relation = info.label
    draft.lock(info.label, _AE)
    draft.rewrite(info, "the rows are written anew in an index's order")


def _sequence(kind: str, mode: LockMode) -> Callable[[Draft, Reader], None]:
    def read(draft: Draft, reader: Reader) -> None:
        reader.take_any("IF NOT EXISTS", "IF EXISTS")
        names = reader.relations()
        if names is None:
            return
        draft.kinds.append(kind)
        keys = [word.key for word in reader.rest]
        owned = "OWNED" in keys and keys[-2:] != ["BY", "NONE"]
        if kind == "create sequence":
            draft.creates += names
            if owned:
                draft.unknown("the table that will own the sequence is locked")
            return
        if "OWNED" in keys or (kind == "alter sequence" and {"RENAME", "SCHEMA", "LOGGED", "UNLOGGED"} & set(keys)):
            mode_here = _AE
            draft.unsure.append("the table that owns the sequence may be locked")
        else:
            mode_here = mode
        for name in names:
            draft.relation = draft.relation or name
            draft.lock(name, mode_here)
            if kind == "drop sequence":
                draft.drops.append(name)
                _unown(draft, name)

    return read


def _unown(draft: Draft, sequence: str) -> None:
    """Add the lock on tables whose default a dropped sequence was."""
    owners = [
        table
        for table in draft.catalog.tables.values()
        if any(each.kind == "sequence" and each.name == sequence for each in table.dependents or ())
    ]
    for table in owners:
        draft.used_catalog = True
        draft.lock(table.label, _AE)
    if not owners:
        draft.unsure.append("with CASCADE, the table whose default it is would be locked ACCESS EXCLUSIVE")


def _view(draft: Draft, reader: Reader) -> None:
    reader.take("IF", "NOT", "EXISTS")
    name = reader.relation()
    if name is None:
        return
    draft.kinds.append("create view")
    draft.relation = name
    draft.creates.append(name)
    draft.lock(name, _AE)  # where it is replaced


def _drop_view(draft: Draft, reader: Reader) -> None:
    reader.take("IF", "EXISTS")
    names = reader.relations()
    if names is None:
        return
    draft.kinds.append("drop view")
    draft.drops += names
    for name in names:
        draft.relation = draft.relation or name
        draft.lock(name, _AE)
    if reader.take("CASCADE"):
        draft.unsure.append("the views that use it are dropped too")


def _drop_without_tables(draft: Draft, reader: Reader) -> None:
    draft.kinds.append("drop")
    if "CASCADE" in [word.key for word in reader.rest]:
        draft.unknown("what CASCADE drops with it is not known")


def _without_tables(kind: str) -> Callable[[Draft, Reader], None]:
    def read(draft: Draft, reader: Reader) -> None:
        draft.kinds.append(kind)

    return read


def _add_enum_value(draft: Draft, reader: Reader) -> None:
    name = reader.relation()
    if name is None:
        return
    if reader.take_any("ADD VALUE", "RENAME VALUE", "RENAME TO", "OWNER TO", "SET SCHEMA"):
        draft.kinds.append("alter type")
        draft.because("a value that is added cannot be used before the transaction has committed")


READERS: dict[str, Callable[[Draft, Reader], None]] = {
    "ALTER SEQUENCE": _sequence("alter sequence", LockMode.SHARE_ROW_EXCLUSIVE),
    "ALTER TYPE": _add_enum_value,
    "ALTER POLICY": _on_table("alter policy", _AE),
    "ALTER TRIGGER": _on_table("alter trigger", _AE),
    "ANALYZE": _analyze,
    "CLUSTER": _cluster,
    "COMMENT ON": _comment,
    "CREATE COLLATION": _without_tables("create collation"),
    "CREATE CONSTRAINT TRIGGER": _on_table("create trigger", LockMode.SHARE_ROW_EXCLUSIVE),
    "CREATE DOMAIN": _without_tables("create domain"),
    "CREATE EXTENSION": _without_tables("create extension"),
    "CREATE FUNCTION": _without_tables("create function"),
    "CREATE MATERIALIZED VIEW": lambda draft, reader: draft.unknown("how much its query reads is not known"),
    "CREATE OR REPLACE FUNCTION": _without_tables("create function"),
    "CREATE OR REPLACE PROCEDURE": _without_tables("create function"),
    "CREATE OR REPLACE TRIGGER": _on_table("create trigger", LockMode.SHARE_ROW_EXCLUSIVE),
    "CREATE OR REPLACE VIEW": _view,
    "CREATE POLICY": _on_table("create policy", _AE),
    "CREATE PROCEDURE": _without_tables("create function"),
    "CREATE SCHEMA": _without_tables("create schema"),
    "CREATE SEQUENCE": _sequence("create sequence", LockMode.SHARE_ROW_EXCLUSIVE),
    "CREATE TRIGGER": _on_table("create trigger", LockMode.SHARE_ROW_EXCLUSIVE),
    "CREATE TYPE": _without_tables("create type"),
    "CREATE VIEW": _view,
    "DELETE FROM": _change_rows("delete"),
    "DROP COLLATION": _drop_without_tables,
    "DROP DOMAIN": _drop_without_tables,
    "DROP EXTENSION": _drop_without_tables,
    "DROP FUNCTION": _drop_without_tables,
    "DROP POLICY": _on_table("drop policy", _AE),
    "DROP PROCEDURE": _drop_without_tables,
    "DROP RULE": _on_table("drop rule", _AE),
    "DROP SEQUENCE": _sequence("drop sequence", _AE),
    "DROP SCHEMA": _drop_without_tables,
    "DROP TRIGGER": _on_table("drop trigger", _AE),
    "DROP TYPE": _drop_without_tables,
    "DROP VIEW": _drop_view,
    "INSERT INTO": _change_rows("insert"),
    "LOCK": _lock_table,
    "REFRESH MATERIALIZED VIEW": _refresh,
    "RESET": _without_tables("setting"),
    "SELECT": _select,
    "SET": _without_tables("setting"),
    "SHOW": _without_tables("setting"),
    "TRUNCATE": _truncate,
    "UPDATE": _change_rows("update"),
    "VACUUM": _vacuum,
}
"""The statements read here, by their first words."""
