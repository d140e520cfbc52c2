"""The catalog as it is after a statement: what a plan makes, drops and renames is known to the statements after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from mig_kit.hazards._definitions import read_column, read_constraint, read_index
from mig_kit.hazards._table_after import (
    altered_column,
    each_of,
    swapped,
    validated,
    with_defined,
    with_renamed_constraint,
    without_column,
    without_constraint,
)
from mig_kit.hazards._words import NotRead, Reader, read_statements, split_at_commas
from mig_kit.hazards.catalog import Catalog, TableInfo

__all__ = ["catalog_after", "renamed_table"]

_ON_TABLE = ("CONSTRAINT", "CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "EXCLUDE")


def catalog_after(catalog: Catalog, statement: str) -> Catalog:
    """Return the catalog after one statement has run.

    What is not understood changes nothing: such a statement is ``unknown`` to the classification, and so is what
    depends on it.
    """
    try:
        read = read_statements(statement)
    except NotRead:
        return catalog
    tables = dict(catalog.tables)
    for _text, words in read:
        reader = Reader(words)
        for start, change in _READERS.items():
            if reader.take(*start.split()):
                change(tables, reader)
                break
    return replace(catalog, tables=tables)


def renamed_table(statement: str) -> tuple[str, str] | None:
    """Return (old, new) of ALTER TABLE … RENAME TO."""
    try:
        read = read_statements(statement)
    except NotRead:
        return None
    for _text, words in read:
        reader = Reader(words)
        if reader.take("ALTER", "TABLE"):
            name = _altered(reader)
            new = reader.identifier() if name and reader.take("RENAME", "TO") else None
            if name and new:
                return name, _beside(name, new)
    return None


def _beside(name: str, new: str) -> str:
    """Return a new name in the schema of the old one."""
    schema, dot, _name = name.rpartition(".")
    return f"{schema}{dot}{new}"


def _altered(reader: Reader) -> str | None:
    reader.take("IF", "EXISTS")
    reader.take("ONLY")
    name = reader.relation()
    reader.take("*")
    return name


_Tables = dict[str, TableInfo]


def _key(tables: Mapping[str, TableInfo], name: str) -> str | None:
    """Return the label under which a table is known."""
    if name in tables:
        return name
    return next((label for label, info in tables.items() if f"{info.schema}.{info.name}" == name), None)


def _create_table(tables: _Tables, reader: Reader) -> None:
    reader.take("IF", "NOT", "EXISTS")
    name = reader.relation()
    inside = reader.parentheses()
    if name is None or inside is None or _key(tables, name):
        return
    info = TableInfo(
        label=name,
        name=name.rpartition(".")[2],
        size_bytes=0,
        row_estimate=0,
        columns={},
        indexes=(),
        checks=(),
        foreign_keys=(),
        referenced_by=(),
        dependents=(),
    )
    for part in split_at_commas(inside):
        item = Reader(part)
        if item.peek() in _ON_TABLE:
            defined = read_constraint(name, item, info.columns or ())
        else:
            defined = read_column(name, item)
        info = with_defined(info, defined)
    tables[name] = info
    _refer(tables, info)


def _refer(tables: _Tables, info: TableInfo) -> None:
    """Tell the parents which foreign keys a table has now."""
    for label, parent in list(tables.items()):
        if parent.referenced_by is None:
            continue
        others = tuple(key for key in parent.referenced_by if key.table != info.label)
        own = tuple(key for key in info.foreign_keys or () if _key(tables, key.parent) == label)
        if parent.referenced_by != (*others, *own):
            tables[label] = replace(tables[label], referenced_by=(*others, *own))


def _alter_table(tables: _Tables, reader: Reader) -> None:
    name = _altered(reader)
    label = _key(tables, name) if name else None
    if label is None:
        return
    for words in split_at_commas(reader.rest):
        label = _alter(tables, label, Reader(words))
    _refer(tables, tables[label])


def _alter(tables: _Tables, label: str, action: Reader) -> str:
    """Do one action of ALTER TABLE; returns the table's label afterwards."""
    info = tables[label]
    if action.take("RENAME", "TO"):
        new = action.identifier()
        return _rename_table(tables, label, _beside(label, new)) if new else label
    if action.take("RENAME", "CONSTRAINT"):
        old = action.identifier()
        new = action.identifier() if action.take("TO") else None
        tables[label] = with_renamed_constraint(info, old, new) if old and new else info
    elif action.take("RENAME"):
        action.take("COLUMN")
        old = action.identifier()
        new = action.identifier() if action.take("TO") else None
        if old and new:
            _rename_column(tables, label, old, new)
    elif action.take("ADD"):
        if action.peek() in _ON_TABLE:
            defined = read_constraint(label, action, info.columns or ())
        else:
            action.take("COLUMN")
            action.take("IF", "NOT", "EXISTS")
            defined = read_column(label, action)
        tables[label] = with_defined(info, defined)
    elif action.take("DROP", "CONSTRAINT"):
        action.take("IF", "EXISTS")
        tables[label] = without_constraint(info, action.identifier())
    elif action.take("DROP"):
        action.take("COLUMN")
        action.take("IF", "EXISTS")
        tables[label] = without_column(info, action.identifier())
    elif action.take("VALIDATE", "CONSTRAINT"):
        tables[label] = validated(info, action.identifier())
    elif action.take("ALTER") and action.peek() != "CONSTRAINT":
        action.take("COLUMN")
        column = action.identifier()
        known = (info.columns or {}).get(column or "")
        if known is not None:
            tables[label] = replace(info, columns={**(info.columns or {}), known.name: altered_column(known, action)})
    return label


def _rename_table(tables: _Tables, old: str, new: str) -> str:
    info = tables.pop(old)
    tables[new] = replace(info, label=new, name=new.rpartition(".")[2])
    for label, each in list(tables.items()):
        tables[label] = replace(
            each,
            foreign_keys=each_of(
                each.foreign_keys, lambda key: replace(key, **_moved(key.table, key.parent, old, new))
            ),
            referenced_by=each_of(
                each.referenced_by, lambda key: replace(key, **_moved(key.table, key.parent, old, new))
            ),
            partitions=tuple(new if part == old else part for part in each.partitions),
        )
    return new


def _moved(table: str, parent: str, old: str, new: str) -> dict[str, str]:
    return {"table": new if table == old else table, "parent": new if parent == old else parent}


def _rename_column(tables: _Tables, label: str, old: str, new: str) -> None:
    info = tables[label]
    columns = info.columns
    if columns is not None:
        columns = {new if name == old else name: column for name, column in columns.items()}
        if new in columns:
            columns[new] = replace(columns[new], name=new)
    tables[label] = replace(
        info,
        columns=columns,
        indexes=each_of(
            info.indexes,
            lambda index: replace(index, columns=swapped(index.columns, old, new), keys=swapped(index.keys, old, new)),
        ),
        checks=each_of(
            info.checks,
            lambda check: replace(
                check,
                columns=swapped(check.columns, old, new),
                proves_not_null=new if check.proves_not_null == old else check.proves_not_null,
            ),
        ),
        not_nulls=tuple(replace(each, column=new) if each.column == old else each for each in info.not_nulls),
        foreign_keys=each_of(info.foreign_keys, lambda key: replace(key, columns=swapped(key.columns, old, new))),
        referenced_by=each_of(
            info.referenced_by, lambda key: replace(key, parent_columns=swapped(key.parent_columns, old, new))
        ),
        dependents=each_of(info.dependents, lambda other: replace(other, columns=swapped(other.columns, old, new))),
    )
    for other, each in list(tables.items()):
        if other != label and any(key.parent == label for key in each.foreign_keys or ()):
            tables[other] = replace(
                each,
                foreign_keys=each_of(
                    each.foreign_keys,
                    lambda key: (
                        replace(key, parent_columns=swapped(key.parent_columns, old, new))
                        if key.parent == label
                        else key
                    ),
                ),
            )


def _create_index(tables: _Tables, reader: Reader) -> None:
    start = reader.at
    read = read_index(reader)
    label = _key(tables, read[0]) if read else None
    if label is None:
        return
    info = tables[label]
    if info.indexes is None:
        return
    reader.at = start
    read = read_index(reader, info.columns or ())
    assert read is not None
    unique = any(word.key == "UNIQUE" for word in reader.words[:2])
    tables[label] = replace(info, indexes=(*info.indexes, replace(read[1], unique=unique)))


def _drop_index(tables: _Tables, reader: Reader) -> None:
    reader.take("CONCURRENTLY")
    reader.take("IF", "EXISTS")
    names = {name.rpartition(".")[2] for name in reader.relations() or ()}
    for label, info in list(tables.items()):
        if any(index.name in names for index in info.indexes or ()):
            tables[label] = replace(info, indexes=tuple(i for i in info.indexes or () if i.name not in names))


def _alter_index(tables: _Tables, reader: Reader) -> None:
    reader.take("IF", "EXISTS")
    old = reader.relation()
    new = reader.identifier() if reader.take("RENAME", "TO") else None
    if old is None or new is None:
        return
    old = old.rpartition(".")[2]
    for label, info in list(tables.items()):
        if any(index.name == old for index in info.indexes or ()):
            tables[label] = replace(
                info,
                indexes=each_of(info.indexes, lambda index: replace(index, name=new) if index.name == old else index),
            )


def _drop_table(tables: _Tables, reader: Reader) -> None:
    reader.take("IF", "EXISTS")
    labels = [_key(tables, name) for name in reader.relations() or ()]
    for label in labels:
        if label is None:
            continue
        del tables[label]
        for other, info in list(tables.items()):
            keys = tuple(key for key in info.foreign_keys or () if key.parent != label)
            incoming = tuple(key for key in info.referenced_by or () if key.table != label)
            if len(keys) != len(info.foreign_keys or ()) or len(incoming) != len(info.referenced_by or ()):
                tables[other] = replace(info, foreign_keys=keys, referenced_by=incoming)


def _drop_view(tables: _Tables, reader: Reader) -> None:
    reader.take("IF", "EXISTS")
    names = set(reader.relations() or ())
    for label in [_key(tables, name) for name in names]:
        if label is not None:
            del tables[label]
    for label, info in list(tables.items()):
        if any(other.kind == "view" and other.name in names for other in info.dependents or ()):
            tables[label] = replace(
                info, dependents=tuple(o for o in info.dependents or () if o.kind != "view" or o.name not in names)
            )


_READERS: dict[str, Callable[[_Tables, Reader], None]] = {
    "ALTER INDEX": _alter_index,
    "ALTER TABLE": _alter_table,
    "CREATE INDEX": _create_index,
    "CREATE TABLE": _create_table,
    "CREATE UNIQUE INDEX": _create_index,
    "CREATE UNLOGGED TABLE": _create_table,
    "DROP INDEX": _drop_index,
    "DROP MATERIALIZED VIEW": _drop_view,
    "DROP TABLE": _drop_table,
    "DROP VIEW": _drop_view,
}
