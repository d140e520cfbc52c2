"""Classify SQL statements: which relations they lock how, and what work they do that grows with a table.

It recognises the forms that Django's schema editor writes and the common ones of hand-written migrations. What it does
not recognise is ``unknown``, never safe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mig_kit.hazards._words import NotRead, Reader, Word, read_statements
from mig_kit.hazards.alter_table import alter_table
from mig_kit.hazards.catalog import Catalog, TableInfo
from mig_kit.hazards.facts import Draft, RelationLock, StatementFacts, Work, WorkKind
from mig_kit.hazards.locks import LockMode

__all__ = ["RelationLock", "StatementFacts", "Work", "WorkKind", "classify", "classify_one"]

_AE = LockMode.ACCESS_EXCLUSIVE
_SUE = LockMode.SHARE_UPDATE_EXCLUSIVE

# Functions that a migration's bare SELECT may call without touching a table.
_HARMLESS_NAMES = "coalesce current_setting currval greatest least lower max min now nullif set_config upper"
_HARMLESS = frozenset(_HARMLESS_NAMES.split())
_TABLELESS_NAMES = """AGGREGATE CAST COLLATION CONVERSION DATABASE DOMAIN EXTENSION FUNCTION LANGUAGE OPERATOR PROCEDURE
    ROLE ROUTINE SCHEMA SERVER TYPE"""
_TABLELESS = frozenset(_TABLELESS_NAMES.split())


def classify(sql: str, catalog: Catalog | None = None) -> tuple[StatementFacts, ...]:
    """Classify a text of one or several statements, in order.

    ``catalog``: what is known of the tables; without it the facts follow from the statement alone and assume the worst
    of PostgreSQL 15 to 18. A text that cannot be read is one statement of kind ``unknown``.
    """
    catalog = catalog or Catalog(evidence="rule")
    try:
        statements = read_statements(sql)
    except NotRead as why:
        draft = Draft(sql.strip(), catalog)
        draft.unknown(f"the text was not read: {why}")
        return (draft.facts(),)
    return tuple(_classify(text, words, catalog) for text, words in statements)


def classify_one(sql: str, catalog: Catalog | None = None) -> StatementFacts:
    """Classify a text that is one statement; several together are of kind ``unknown``."""
    found = classify(sql, catalog)
    if len(found) == 1:
        return found[0]
    draft = Draft(sql.strip(), catalog or Catalog(evidence="rule"))
    draft.unknown(f"these are {len(found)} statements, not one")
    return draft.facts()


def _classify(text: str, words: Sequence[Word], catalog: Catalog) -> StatementFacts:
    draft, reader = Draft(text, catalog), Reader(words)
    for start, read in _STARTS.items():
        if reader.take(*start.split()):
            read(draft, reader)
            break
    if not draft.kinds and draft.recognised:
        draft.unknown("the statement was not recognised")
    return draft.facts()


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


# The first that fits is taken, so the longer stands before the shorter.
_STARTS: dict[str, Callable[[Draft, Reader], None]] = {
    "ALTER TABLE": alter_table,
    "ALTER INDEX": _alter_index,
    "ALTER SEQUENCE": _sequence("alter sequence", LockMode.SHARE_ROW_EXCLUSIVE),
    "ALTER TYPE": _add_enum_value,
    "ALTER POLICY": _on_table("alter policy", _AE),
    "ALTER TRIGGER": _on_table("alter trigger", _AE),
    "ANALYZE": _analyze,
    "COMMENT ON": _comment,
    "CREATE COLLATION": _without_tables("create collation"),
    "CREATE CONSTRAINT TRIGGER": _on_table("create trigger", LockMode.SHARE_ROW_EXCLUSIVE),
    "CREATE DOMAIN": _without_tables("create domain"),
    "CREATE EXTENSION": _without_tables("create extension"),
    "CREATE FUNCTION": _without_tables("create function"),
    "CREATE INDEX": _create_index,
    "CREATE MATERIALIZED VIEW": lambda draft, reader: draft.unknown("how much its query reads is not known"),
    "CREATE OR REPLACE FUNCTION": _without_tables("create function"),
    "CREATE OR REPLACE PROCEDURE": _without_tables("create function"),
    "CREATE OR REPLACE TRIGGER": _on_table("create trigger", LockMode.SHARE_ROW_EXCLUSIVE),
    "CREATE OR REPLACE VIEW": _view,
    "CREATE POLICY": _on_table("create policy", _AE),
    "CREATE PROCEDURE": _without_tables("create function"),
    "CREATE SCHEMA": _without_tables("create schema"),
    "CREATE SEQUENCE": _sequence("create sequence", LockMode.SHARE_ROW_EXCLUSIVE),
    "CREATE TABLE": _create_table,
    "CREATE TRIGGER": _on_table("create trigger", LockMode.SHARE_ROW_EXCLUSIVE),
    "CREATE TYPE": _without_tables("create type"),
    "CREATE UNIQUE INDEX": _create_index,
    "CREATE TEMP TABLE": _create_table,
    "CREATE TEMPORARY TABLE": _create_table,
    "CREATE UNLOGGED TABLE": _create_table,
    "CREATE VIEW": _view,
    "DELETE FROM": _change_rows("delete"),
    "DROP COLLATION": _drop_without_tables,
    "DROP DOMAIN": _drop_without_tables,
    "DROP EXTENSION": _drop_without_tables,
    "DROP FUNCTION": _drop_without_tables,
    "DROP INDEX": _drop_index,
    "DROP POLICY": _on_table("drop policy", _AE),
    "DROP PROCEDURE": _drop_without_tables,
    "DROP RULE": _on_table("drop rule", _AE),
    "DROP SEQUENCE": _sequence("drop sequence", _AE),
    "DROP TABLE": _drop_table,
    "DROP SCHEMA": _drop_without_tables,
    "DROP TRIGGER": _on_table("drop trigger", _AE),
    "DROP TYPE": _drop_without_tables,
    "DROP VIEW": _drop_view,
    "INSERT INTO": _change_rows("insert"),
    "LOCK": _lock_table,
    "REFRESH MATERIALIZED VIEW": _refresh,
    "REINDEX": _reindex,
    "RESET": _without_tables("setting"),
    "SELECT": _select,
    "SET": _without_tables("setting"),
    "SHOW": _without_tables("setting"),
    "TRUNCATE": _truncate,
    "UPDATE": _change_rows("update"),
}
