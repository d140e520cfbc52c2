"""Statements that make, drop and rebuild tables and indexes, ALTER TABLE aside."""

from __future__ import annotations

from collections.abc import Callable

from mig_kit.hazards._words import Reader
from mig_kit.hazards.catalog import TableInfo
from mig_kit.hazards.facts import Draft, WorkKind
from mig_kit.hazards.locks import LockMode

__all__ = ["READERS"]

_AE = LockMode.ACCESS_EXCLUSIVE
_SUE = LockMode.SHARE_UPDATE_EXCLUSIVE


def _create_table(draft: Draft, reader: Reader) -> None:
    reader.take("IF", "NOT", "EXISTS")
    name = reader.relation()
    columns = reader.parentheses()
    if name is None or columns is None:
        draft.unknown("only CREATE TABLE name (…) is recognised")
        return
    draft.kinds.append("create table")
    draft.relation = name
    draft.creates.append(name)
    inside = Reader(columns)
    while inside:
        if inside.take("REFERENCES"):
            parent = inside.relation()
            if parent is None:
                draft.unknown("the parent of a foreign key was not recognised")
            elif parent != name:
                draft.lock(draft.table(parent).label, LockMode.SHARE_ROW_EXCLUSIVE)
        elif inside.peek() == "LIKE" and inside.at == 0:
            draft.unknown("LIKE copies another table's definition")
            return
        else:
            inside.at += 1
    if reader and not reader.take_any("WITH", "TABLESPACE", "USING", "ON COMMIT", "PARTITION BY"):
        draft.unknown("INHERITS, PARTITION OF and AS touch another table")


def _drop_table(draft: Draft, reader: Reader) -> None:
    reader.take("IF", "EXISTS")
    names = reader.relations()
    cascade = reader.take("CASCADE")
    if names is None:
        return
    draft.kinds.append("drop table")
    for name in names:
        info = draft.table(name)
        draft.relation = draft.relation or info.label
        draft.drops.append(info.label)
        draft.lock(info.label, _AE)
        draft.lock_indexes(info)
        if info.foreign_keys is None:
            draft.unsure.append(f"the parents of the foreign keys of {info.label} are locked ACCESS EXCLUSIVE too")
        for key in info.foreign_keys or ():
            draft.lock(key.parent, _AE)
        for key in info.referenced_by or ():
            draft.lock(key.table, _AE)
            if not cascade and key.table not in names and key.table != info.label:
                draft.fails = f"the foreign key {key.name} of {key.table} refers to {info.label}"
        for other in info.dependents or ():
            if other.kind in ("view", "sequence"):
                draft.lock(other.name, _AE)
                draft.drops.append(other.name)
            if other.kind == "view" and not cascade:
                draft.fails = f"the view {other.name} uses {info.label}"


def _create_index(draft: Draft, reader: Reader) -> None:
    concurrently = reader.take("CONCURRENTLY")
    reader.take("IF", "NOT", "EXISTS")
    index = None if reader.peek() == "ON" else reader.identifier()
    table = None
    if reader.take("ON"):
        reader.take("ONLY")
        table = reader.relation()
    if table is None:
        return
    draft.kinds.append("create index concurrently" if concurrently else "create index")
    info = draft.table(table)
    draft.relation = info.label
    draft.transactional = not concurrently
    draft.lock(info.label, _SUE if concurrently else LockMode.SHARE)
    draft.build(info, "the whole table is read" + (", twice" if concurrently else ""))
    if index is not None:
        draft.creates.append(index)


def _drop_index(draft: Draft, reader: Reader) -> None:
    concurrently = reader.take("CONCURRENTLY")
    reader.take("IF", "EXISTS")
    names = reader.relations()
    if names is None:
        return
    draft.kinds.append("drop index concurrently" if concurrently else "drop index")
    draft.transactional = not concurrently
    for name in names:
        _lock_index(draft, name, _SUE if concurrently else _AE, _SUE if concurrently else _AE)
        draft.drops.append(name)


def _lock_index(draft: Draft, name: str, on_index: LockMode, on_table: LockMode | None) -> TableInfo | None:
    """Add the locks on an index and its table, which only a catalog knows."""
    draft.lock(name, on_index)
    found = draft.catalog.index(name)
    if found is None:
        draft.relation = draft.relation or name
        if on_table is not None:
            draft.unsure.append(f"the table of the index {name} is locked {on_table} too")
        return None
    draft.used_catalog = True
    draft.relation = found[0].label
    if on_table is not None:
        draft.lock(found[0].label, on_table)
    return found[0]


def _alter_index(draft: Draft, reader: Reader) -> None:
    reader.take("IF", "EXISTS")
    name = reader.relation()
    if name is None:
        return
    if reader.take("RENAME", "TO"):
        draft.kinds.append("rename index")
        _lock_index(draft, name, _SUE, None)
    elif reader.take_any("SET (", "RESET (", "ALTER"):
        draft.kinds.append("set index parameters")
        _lock_index(draft, name, _AE if "TABLESPACE" in str(reader.words) else _SUE, None)
    elif reader.take("SET", "TABLESPACE"):
        draft.kinds.append("set index tablespace")
        info = _lock_index(draft, name, _AE, None)
        draft.work(WorkKind.REWRITE, info.label if info else name, "the index's file is copied")


def _reindex(draft: Draft, reader: Reader) -> None:
    options = reader.parentheses()
    what = reader.take_any("INDEX", "TABLE")
    concurrently = reader.take("CONCURRENTLY") or "CONCURRENTLY" in [word.key for word in options or ()]
    name = reader.relation()
    if not what or name is None:
        draft.unknown("only REINDEX of one INDEX or TABLE is recognised")
        return
    draft.kinds.append("reindex concurrently" if concurrently else "reindex")
    draft.transactional = not concurrently
    mode = _SUE if concurrently else LockMode.SHARE
    on_index = _SUE if concurrently else _AE
    if what == "INDEX":
        info = _lock_index(draft, name, on_index, mode)
        draft.build(info or TableInfo(label=name), "the index is built anew")
        return
    info = draft.table(name)
    draft.relation = info.label
    draft.lock(info.label, mode)
    draft.lock_indexes(info, on_index)
    if info.indexes is None:
        draft.unsure.append("while an index is built anew, every query that would plan with it waits")
    draft.build(info, "every index is built anew")


READERS: dict[str, Callable[[Draft, Reader], None]] = {
    "ALTER INDEX": _alter_index,
    "CREATE INDEX": _create_index,
    "CREATE TABLE": _create_table,
    "CREATE UNIQUE INDEX": _create_index,
    "CREATE TEMP TABLE": _create_table,
    "CREATE TEMPORARY TABLE": _create_table,
    "CREATE UNLOGGED TABLE": _create_table,
    "DROP INDEX": _drop_index,
    "DROP TABLE": _drop_table,
    "REINDEX": _reindex,
}
"""The statements read here, by their first words."""
