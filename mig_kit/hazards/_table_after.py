"""A table as it is after one action: what the statements of ``catalog_after`` do to a TableInfo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mig_kit.hazards._definitions import Defined
from mig_kit.hazards._words import Reader
from mig_kit.hazards.catalog import Column, TableInfo
from mig_kit.hazards.column_change import type_words

__all__ = [
    "altered_column",
    "each_of",
    "swapped",
    "validated",
    "with_defined",
    "with_renamed_constraint",
    "without_column",
    "without_constraint",
]


def with_defined(info: TableInfo, defined: Defined | None) -> TableInfo:
    """Return a table with what was defined."""
    if defined is None:
        return info
    columns = info.columns
    if defined.column is not None and columns is not None:
        columns = {**columns, defined.column.name: defined.column}
    return replace(
        info,
        columns=columns,
        indexes=None if info.indexes is None else (*info.indexes, *defined.indexes),
        checks=None if info.checks is None else (*info.checks, *defined.checks),
        foreign_keys=None if info.foreign_keys is None else (*info.foreign_keys, *defined.foreign_keys),
    )


def altered_column(column: Column, action: Reader) -> Column:
    """Return a column after one action of ALTER COLUMN."""
    if action.take("SET", "NOT", "NULL"):
        return replace(column, not_null=True)
    if action.take("DROP", "NOT", "NULL"):
        return replace(column, not_null=False)
    if action.take("SET", "DEFAULT"):
        return replace(column, default=" ".join(word.text for word in action.rest))
    if action.take("DROP", "DEFAULT"):
        return replace(column, default=None)
    if action.take("DROP", "IDENTITY"):
        return replace(column, identity=False)
    if action.take("DROP", "EXPRESSION"):
        return replace(column, generated="")
    if action.take("ADD", "GENERATED"):
        return replace(column, identity=True, not_null=True)
    action.take("SET", "DATA")
    if action.take("TYPE"):
        kind = type_words(action)
        return replace(column, type=kind, collation=action.relation() if action.take("COLLATE") else None)
    return column


def each_of(given: tuple[Any, ...] | None, change: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """Return each changed; what is not known stays so."""
    return None if given is None else tuple(change(each) for each in given)


def swapped(names: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    """Return names with one of them changed."""
    return tuple(new if name == old else name for name in names)


def with_renamed_constraint(info: TableInfo, old: str, new: str) -> TableInfo:
    """Return a table with a constraint under another name."""

    def renamed(each: Any) -> Any:
        return replace(each, name=new) if each.name == old else each

    return replace(
        info,
        indexes=each_of(
            info.indexes,
            lambda index: replace(index, name=new, constraint=new) if index.constraint == old else index,
        ),
        checks=each_of(info.checks, renamed),
        foreign_keys=each_of(info.foreign_keys, renamed),
    )


def without_constraint(info: TableInfo, name: str | None) -> TableInfo:
    """Return a table without a constraint, and without the index that serves it."""

    def kept(given: tuple[Any, ...] | None, of: str = "name") -> tuple[Any, ...] | None:
        return None if given is None else tuple(each for each in given if getattr(each, of) != name)

    return replace(
        info,
        indexes=kept(info.indexes, "constraint"),
        checks=kept(info.checks),
        not_nulls=kept(info.not_nulls) or (),
        foreign_keys=kept(info.foreign_keys),
    )


def without_column(info: TableInfo, name: str | None) -> TableInfo:
    """Return a table without a column and what goes with it."""

    def kept(given: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return None if given is None else tuple(each for each in given if name not in each.columns)

    columns = info.columns
    return replace(
        info,
        columns=None if columns is None else {key: column for key, column in columns.items() if key != name},
        indexes=kept(info.indexes),
        checks=kept(info.checks),
        not_nulls=tuple(each for each in info.not_nulls if each.column != name),
        foreign_keys=kept(info.foreign_keys),
        dependents=kept(info.dependents),
    )


def validated(info: TableInfo, name: str | None) -> TableInfo:
    """Return a table with a constraint that holds for every row now."""

    def valid(each: Any) -> Any:
        return replace(each, valid=True) if each.name == name else each

    return replace(
        info,
        checks=each_of(info.checks, valid),
        foreign_keys=each_of(info.foreign_keys, valid),
        not_nulls=tuple(valid(each) for each in info.not_nulls),
    )
